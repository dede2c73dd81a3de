"""Editing one node: a new one or one that is there, as a form and as YAML, into the candidate."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response

from tipline.config.library import entry
from tipline.engine.configuring import ConflictError
from tipline.engine.people import RequestError
from tipline.errors import ConfigError, TiplineError
from tipline.http_problems import status_of
from tipline.kinds import Sort, kinds
from tipline.web import editor
from tipline.web.editor import Node
from tipline.web.page import Editor, Form, Page, tried
from tipline.web.site import PREFIX

router = APIRouter()
Name = Annotated[str, Path(max_length=200)]
_SORTS: tuple[Sort, ...] = ("source", "processor", "output")


@router.get("/pipeline/add")
def add(page: Editor, q: str = "") -> Response:
    """Where a new node comes from: the library, or a kind."""
    found = page.operations.call("library_search", {"words": q})["entries"]
    blank = [
        {"sort": each, "kind": kind, "about": cls.summary(), "retired": cls.retired}
        for each in _SORTS
        for kind, cls in kinds(each).items()
        if kind != "never-block"
    ]
    view = {"q": q, "entries": [_row(each) for each in found], "kinds": blank}
    return page.show("pipeline/add.html", view, title="Add a node")


@router.get("/pipeline/new")
def new(page: Editor, entry: str = "", sort: str = "", kind: str = "") -> Response:
    """The editor with a new node: of an entry of the library, or of a kind."""
    if entry:
        return _shown(page, editor.from_library(page, entry), entry=entry)
    chosen = next((each for each in _SORTS if each == sort), None)
    if chosen is None:
        raise RequestError("a new node is of some kind, or from the library", fix="begin at /ui/pipeline/add")
    return _shown(page, editor.blank(page, chosen, kind))


@router.get("/nodes/{name}/edit")
def edit(page: Editor, name: Name, since: str = "") -> Response:
    """The editor with a node as it stands in the candidate."""
    found, refused = tried(lambda: page.operations.call("draft_node", {"name": name}))
    if refused and since:
        state = page.operations.call("draft", {})
        return page.show("pipeline/gone.html", {"name": name, "state": state}, title=f"Edit {name}")
    if refused:
        raise RequestError(refused["error"], fix=refused["fix"])
    node = Node(found["section"], name, found["text"], found["seen"])
    editor.check(page, node)
    return _shown(page, node, since=since)


@router.post("/pipeline/check")
def check(page: Editor, form: Form) -> Response:
    """What the editor shows while somebody types: the other side, and the problems of both."""
    node = editor.of_form(form)
    editor.check(page, node)
    groups = editor.fields(page, node)
    said = [each for group in groups for each in group.fields]
    view = {
        "text": node.text,
        "fields": {each.path: {"text": each.text, "chosen": each.chosen, "problems": each.problems} for each in said},
        "problems": node.problems,
    }
    if form["kind"] != (node.kind.kind if node.kind else ""):
        template = page.site.templates.get_template("settings/only.html")
        view["form"] = template.render(groups=groups, secrets=_secrets(page))
        view["kind"] = node.kind.kind if node.kind else ""
    return JSONResponse(view)


@router.post("/pipeline/keep")
def keep(page: Editor, form: Form) -> Response:
    """Save a node into the candidate; with problems as well, as it is a candidate."""
    node = editor.of_form(form)
    arguments = {"section": node.section, "name": node.name, "text": node.text, "seen": node.seen}
    try:
        if any(each["path"] for each in node.problems if each["line"] is None):
            raise ConfigError("a field cannot be read", fix="correct it, or write YAML")
        page.operations.call("draft_put", arguments)
    except TiplineError as exc:
        theirs = _theirs(page, node) if isinstance(exc, ConflictError) else {}
        editor.check(page, node)
        said = {"error": exc.what, "fix": exc.fix, "theirs": theirs, "status": int(status_of(exc))}
        return _shown(page, node, entry=form["entry"], refused=said)
    path = "/pipeline/plan" if form["then"] == "plan" else "/pipeline/candidate"
    return page.done(f"{node.name} is in the candidate. Nothing of it runs yet.", path)


@router.post("/nodes/{name}/drop")
def drop(page: Editor, name: Name, form: Form) -> Response:
    """Take a node out of the candidate."""
    page.operations.call("draft_drop", {"name": name, "seen": form["seen"]})
    return page.done(f"{name} is taken out of the candidate. It runs on until that is put to work.", "/pipeline/plan")


@router.post("/nodes/{name}/undo")
def undo(page: Editor, name: Name) -> Response:
    """Take back what the candidate changes of a node."""
    page.operations.call("draft_undo", {"name": name})
    return page.done(f"What the candidate changed of {name} is taken back.", "/pipeline/candidate")


@router.post("/pipeline/secret")
def secret(page: Editor, form: Form) -> Response:
    """Keep a secret, and say how the configuration names it."""
    name = form["secret_name"]
    arguments = {"name": name, "value": form["secret"], "team": form["team"] or page.person.team}
    page.operations.call("secret_set", arguments)
    return JSONResponse({"reference": f"${{secret:{name}}}"})


def _shown(page: Page, node: Node, *, entry: str = "", since: str = "", refused: dict[str, Any] | None = None) -> (
    Response
):  # fmt: skip
    said = refused or {}
    kind = node.kind
    running = page.nodes().get(node.name) if node.seen else None
    view = {
        "new": not node.seen,
        "name": node.name,
        "section": node.section,
        "sort": node.sort,
        "kind": kind.kind if kind else "",
        "about": kind.summary() if kind else "",
        "retired": kind.retired if kind else "",
        "text": node.text,
        "seen": node.seen,
        "groups": editor.fields(page, node) if kind else [],
        "problems": node.problems,
        "secrets": _secrets(page),
        "entry": _entry(entry),
        "runs": running is not None,
        "state": page.operations.call("draft", {}),
        "moved": bool(since) and since != node.seen,
        "from": _address(node, entry, since or node.seen),
        "team": page.person.team,
        "error": said.get("error"),
        "fix": said.get("fix"),
        "theirs": said.get("theirs"),
    }
    title = f"Edit {node.name}" if node.seen else f"New {node.sort}"
    return page.show("pipeline/edit.html", view, title=title, status=said.get("status", 200))


def _address(node: Node, entry: str, since: str) -> str:
    """Where the live part of the editor comes from, also after a form that was refused."""
    if node.seen:
        return f"{PREFIX}/nodes/{quote(node.name)}/edit?{urlencode({'since': since})}"
    begun = {"entry": entry} if entry else {"sort": node.sort, "kind": node.kind.kind if node.kind else ""}
    return f"{PREFIX}/pipeline/new?{urlencode(begun)}"


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the library in a table."""
    source = entry["source"]
    words = ("name", "title", "description", "provider", "terms", "status", "since", "instead", "needs")
    return {
        **{word: entry.get(word) for word in words},
        "kind": source["kind"],
        "type": source.get("type"),
        "tlp": source.get("tlp", "amber"),
        "in_use": entry.get("in_use") or [],
    }


def _theirs(page: Page, node: Node) -> dict[str, Any]:
    """What stands in the candidate in place of what somebody wanted to save."""
    try:
        found = page.operations.call("draft_node", {"name": node.name})
    except RequestError:
        return {"seen": "", "text": "", "gone": True}
    return {"seen": found["seen"], "text": found["text"], "gone": False}


def _secrets(page: Page) -> list[str]:
    return [each["name"] for each in page.operations.call("secrets", {})["secrets"]]


def _entry(name: str) -> dict[str, Any] | None:
    return entry(name).as_dict() if name else None
