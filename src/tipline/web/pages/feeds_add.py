"""Adding a feed by its address or a sample, and changing one: what it would bring is shown before anything is kept."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from tipline.config.edit import settings_of
from tipline.engine.library_operations import SAMPLE, SIGN_IN
from tipline.engine.people import RequestError
from tipline.kinds import kinds
from tipline.model.reasons import DROP_REASONS
from tipline.sources.fetch_settings import FetchSettings
from tipline.web.feedform import Draft, draft_of, kind_of, shown
from tipline.web.page import Editor, Fields, Form, Page, tried
from tipline.web.site import PREFIX

router = APIRouter()
Name = Annotated[str, Path(max_length=200)]
# Kinds that are no feeds to fetch.
_NO_FEEDS = {"never-block", "local", "ingest", "watch"}


@router.get("/feeds/add")
def add(page: Editor, kind: str = "", url: str = "") -> Response:
    """Where one gives an address or a sample; or says the kind, and fills in the form."""
    draft = draft_of({"kind": kind_of(kind).kind, **({"url": url} if url else {})}, "") if kind else None
    return _add(page, draft, at=url)


@router.post("/feeds/try")
def look(page: Editor, form: Form) -> Response:
    """What a feed would bring: recognised, or read with the settings of the form."""
    return _looked(page, form, None)


@router.post("/feeds/add")
def added(page: Editor, form: Form) -> Response:
    """Add the feed."""
    draft = draft_of({"kind": kind_of(form["was"]).kind}, form["name"], form)
    if draft.wrong:
        what, fix = "some settings cannot be used", "correct them below"
        return _add(page, draft, at=form["at"], into=form.all("into"), error=what, fix=fix, status=422)
    arguments = {"name": form["name"], "text": draft.text, "into": form.all("into"), "message": form["message"]}
    _, refused = tried(lambda: page.operations.call("feed_add", arguments))
    if refused:
        return _add(page, draft, at=form["at"], into=form.all("into"), **refused)
    return page.done(f"{form['name']} is added, and fetched now.", "/feeds")


@router.get("/feeds/{name}/edit")
def edit(page: Editor, name: Name) -> Response:
    """A feed's settings."""
    found = page.operations.call("feed", {"name": name})
    return _edit(page, draft_of(found["text"], name), found)


@router.post("/feeds/{name}/try")
def look_again(page: Editor, form: Form, name: Name) -> Response:
    """What a feed would bring with the settings of the form; nothing is kept."""
    return _looked(page, form, page.operations.call("feed", {"name": name}))


@router.post("/feeds/{name}/edit")
def changed(page: Editor, form: Form, name: Name) -> Response:
    """Put a feed's settings to work."""
    found = page.operations.call("feed", {"name": name})
    before = _lines(form["seen"])
    draft = draft_of(found["text"], name, form, before=before)
    if before.strip() != found["text"].strip():
        what = "somebody else has changed this feed meanwhile"
        return _edit(page, draft, found, error=what, fix="look at what you would change now, and save", status=409)
    if draft.wrong:
        return _edit(page, draft, found, error="some settings cannot be used", fix="correct them below", status=422)
    if draft.text == found["text"]:
        return page.done("Nothing was changed.", "/feeds")
    arguments = {"name": name, "text": draft.text, "message": form["message"]}
    _, refused = tried(lambda: page.operations.call("feed_change", arguments))
    if refused:
        return _edit(page, draft, found, **refused)
    return page.done(f"{name} is changed, and that is in force.", "/feeds")


def _looked(page: Page, form: Fields, found: dict[str, Any] | None) -> Response:
    """Look at a feed as the form says: with its settings if it has some, else guessing them."""
    name = found["name"] if found else form["name"]
    draft = None
    if form["was"] and form["was"] == (form["kind"] or form["was"]):
        before = _lines(form["seen"]) if found else None
        draft = draft_of(found["text"] if found else {"kind": form["was"]}, name, form, before=before)
    preview, refused = tried(lambda: page.operations.call("try", _asked(form, draft)))
    if preview is not None:
        draft = draft or _guessed(preview, form)
        preview = {**preview, "drops": _explained(preview["preview"]["drops"])}
    if page.request.headers.get("hx-request"):
        refused.pop("status", None)  # a part of a page is put in place whatever it says
    if found:
        return _edit(page, draft or draft_of(found["text"], name), found, preview=preview, **refused)
    return _add(page, draft, at=form["at"], preview=preview, into=form.all("into") if form["was"] else None, **refused)


def _asked(form: Fields, draft: Draft | None) -> dict[str, Any]:
    """The arguments of `try`."""
    settings: dict[str, Any] = {"kind": form["kind"]} if form["kind"] and draft is None else {}
    url = form["at"]
    if draft is not None:
        whole = settings_of(draft.text)
        refused = FetchSettings.model_fields.keys() - SIGN_IN
        settings = {key: value for key, value in whole.items() if key not in refused and not _refers(value)}
        first = whole.get("url", "")
        url = str(first[0] if isinstance(first, list) and first else first or url)
    asked: dict[str, Any] = {"settings": settings, "exact": draft is not None}
    if form.file:
        return {**asked, "encoded": base64.b64encode(form.file).decode(), "filename": form.filename}
    if form["sample"]:
        return {**asked, "body": form["sample"]}
    if not url:
        raise RequestError("there is nothing to look at", fix="give an address, a text or a file")
    return {**asked, "url": url}


def _refers(value: Any) -> bool:
    """Whether a value is a secret that is kept, or hidden, so that a look goes without it."""
    if isinstance(value, Mapping):
        return any(map(_refers, value.values()))
    return isinstance(value, str) and ("${" in value or "•" in value)


def _guessed(preview: dict[str, Any], form: Fields) -> Draft:
    settings = {key: value for key, value in preview["settings"].items() if value != SAMPLE or key != "url"}
    return draft_of(settings, form["name"] or preview["name"])


def _explained(drops: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"reason": reason, "why": DROP_REASONS.get(reason, ""), **each} for reason, each in drops.items()]


def _add(
    page: Page, draft: Draft | None, *, at: str = "", preview: dict[str, Any] | None = None,
    into: list[str] | None = None, error: str = "", fix: str = "", status: int = 200,
) -> Response:  # fmt: skip
    known = {word: kind for word, kind in kinds("source").items() if word not in _NO_FEEDS}
    view: dict[str, Any] = {
        "at": at, "found": preview, "error": error, "fix": fix, "form": draft is not None, "new": True, "seen": "",
        "kinds": [{"kind": word, "about": kind.summary()} for word, kind in known.items()],
        "action": f"{PREFIX}/feeds/add", "look": f"{PREFIX}/feeds/try", "into": [],
    }  # fmt: skip
    if draft is not None:
        view.update(shown(page, draft, into))
    return page.show("feeds/add.html", view, title="Add a feed", status=status)


def _edit(
    page: Page, draft: Draft, found: dict[str, Any], *, preview: dict[str, Any] | None = None,
    error: str = "", fix: str = "", status: int = 200,
) -> Response:  # fmt: skip
    path = f"{PREFIX}/feeds/{found['name']}"
    view = {
        "at": "", "found": preview, "error": error, "fix": fix, "form": True, "new": False,
        "seen": found["text"], "kinds": [{"kind": draft.kind.kind, "about": draft.kind.summary()}],
        "action": f"{path}/edit", "look": f"{path}/try", "into": found["into"], **shown(page, draft, found["into"]),
    }  # fmt: skip
    return page.show("feeds/add.html", view, title=f"Edit {found['name']}", status=status)


def _lines(text: str) -> str:
    """A text with the line ends that browsers take out."""
    return text.replace("\r\n", "\n")
