"""The candidate as a whole: what it changes, its plan, putting it to work; and the versions that ran before."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response

from tipline.errors import ConfigError, TiplineError
from tipline.web.page import Editor, Form, Page, tried

router = APIRouter()
Number = Annotated[int, Path(ge=0, le=1 << 53)]
_PAGE = 30


@router.get("/pipeline/candidate")
def candidate(page: Editor) -> Response:
    """What the candidate changes, node by node, with its problems."""
    return page.show("pipeline/candidate.html", {"state": _state(page)}, title="Candidate")


@router.post("/pipeline/candidate/discard")
def discard(page: Editor) -> Response:
    """Throw the candidate away, as far as it is the asker's."""
    page.operations.call("draft_discard", {})
    return page.done("The candidate is thrown away; what runs, runs on.", "/pipeline/candidate")


@router.post("/pipeline/candidate/decide")
def decide(page: Editor, form: Form) -> Response:
    """Say which changes hold, where two changed the same node."""
    prefix = "holds."
    prefer = {name.removeprefix(prefix): form[name] for name in form.names() if name.startswith(prefix)}
    page.operations.call("draft_decide", {"prefer": prefer})
    return page.done("The candidate stands on the newest version now.", "/pipeline/candidate")


@router.get("/pipeline/plan")
def plan(page: Editor) -> Response:
    """What each output would gain and lose, before it is committed."""
    return _plan(page, "", {})


@router.post("/pipeline/commit")
def commit(page: Editor, form: Form) -> Response:
    """Put the candidate to work."""
    arguments = {
        "message": form["message"],
        "revision": int(form["revision"]) if form["revision"].isdigit() else 0,
        "approve": form["approve"] == "yes",
    }
    done, refused = tried(lambda: page.operations.call("draft_commit", arguments))
    if refused:
        return _plan(page, form["message"], refused)
    return page.done(_told(done), f"/pipeline/history/{done['version']}")


@router.get("/pipeline/text")
def text(page: Editor) -> Response:
    """The whole candidate as YAML."""
    return _text(page, page.operations.call("draft_text", {}), {})


@router.post("/pipeline/text")
def write(page: Editor, form: Form) -> Response:
    """Keep a whole text as the candidate."""
    whole = form.whole("yaml").replace("\r\n", "\n")
    base, revision = (int(form[name]) if form[name].isdigit() else 0 for name in ("version", "revision"))
    arguments = {"text": whole, "base": base, "revision": revision}
    _, refused = tried(lambda: page.operations.call("save_candidate", arguments))
    if refused:
        return _text(page, {**page.operations.call("draft_text", {}), "text": whole}, refused)
    return page.done("The candidate is kept. Nothing of it runs yet.", "/pipeline/candidate")


@router.post("/pipeline/text/check")
def check(page: Editor, form: Form) -> Response:
    """The problems of a whole text, each with its line, while somebody types."""
    found = page.operations.call("check", {"text": form.whole("yaml").replace("\r\n", "\n")})["problems"]
    return JSONResponse(
        {"fields": {}, "problems": [{**each, "line": _line(each["where"]), "path": ""} for each in found]}
    )


def _line(where: str) -> int | None:
    number = where.rpartition(":")[2]
    return int(number) if number.isdigit() else None


@router.get("/pipeline/history")
def history(page: Editor, before: int | None = None) -> Response:
    """Versions that were put to work, newest first."""
    found, refused = tried(lambda: page.operations.call("history", {"limit": _PAGE, "before": before})["versions"])
    rows = found or []
    following = rows[-1]["version"] if len(rows) == _PAGE else None
    view = {"state": _state(page), "versions": rows, "next": following, "error": refused.get("error")}
    return page.show("pipeline/history.html", view, title="History")


@router.get("/pipeline/history/{number}")
def version(page: Editor, number: Number, against: int | None = None) -> Response:
    """One version: what it changed, and the way back to it."""
    found = page.operations.call("version_shown", {"version": number, "against": against})
    return page.show("pipeline/version.html", {"state": _state(page), "shown": found}, title=f"Version {number}")


@router.post("/pipeline/history/{number}/revert")
def revert(page: Editor, number: Number, form: Form) -> Response:
    """Put an earlier version to work again, as a new one."""
    arguments = {"version": number, "message": form["message"], "approve": form["approve"] == "yes"}
    done = page.operations.call("revert", arguments)
    return page.done(_told(done), f"/pipeline/history/{done['version']}")


def _state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.operations.call("draft", {})
    return found


def _plan(page: Page, message: str, refused: dict[str, Any]) -> Response:
    state = _state(page)
    found: dict[str, Any] = {}
    why: dict[str, Any] = {}
    if state["revision"] and state["ok"] and not state["undecided"]:
        try:
            found = page.operations.call("draft_plan", {})
        except TiplineError as exc:
            why = {"what": exc.what, "fix": exc.fix}
            if isinstance(exc, ConfigError):
                state["problems"].append({"severity": "error", "what": exc.what, "fix": exc.fix, "place": []})
    view = {
        "state": state,
        "plan": found,
        "why_not": why,
        "held": [each["output"] for each in found.get("outputs", []) if _much(each)],
        "message": message,
        "error": refused.get("error"),
        "fix": refused.get("fix"),
    }
    return page.show("pipeline/plan.html", view, title="Plan", status=refused.get("status", 200))


def _much(output: dict[str, Any]) -> bool:
    """Whether what an output would lose or gain may be held: by its guard, or since it is taken out."""
    before, gone, new = output["published"], output["removed"], output["added"]
    if output["state"] == "gone":
        return bool(gone)
    return output["state"] == "changed" and bool(before) and (gone * 10 > before * 3 or new > before * 9)


def _text(page: Page, found: dict[str, Any], refused: dict[str, Any]) -> Response:
    checked = page.operations.call("draft", {})["problems"]
    view = {"draft": found, "problems": checked, "error": refused.get("error"), "fix": refused.get("fix")}
    return page.show("pipeline/text.html", view, title="The whole configuration", status=refused.get("status", 200))


def _told(done: dict[str, Any]) -> str:
    outputs = [each for each in done["outputs"] if each["added"] or each["removed"] or each["held"]]
    moved = "; ".join(
        f"{each['output']}: {each['added']:,} added, {each['removed']:,} removed"
        + (f", {each['held']:,} held" if each["held"] else "")
        for each in outputs[:5]
    )
    waits = f" Waits for a restart: {', '.join(done['at_restart'])}." if done["at_restart"] else ""
    return f"Version {done['version']} runs. {moved or 'No output changed'}.{waits}"
