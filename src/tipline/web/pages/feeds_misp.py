"""MISP's list of feeds: brought over, looked through before anything is added; and the way back."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.people import RequestError
from tipline.web.feedform import readers, usual_readers
from tipline.web.page import Editor, Fields, Form, Page, Viewer, tried

router = APIRouter()


@router.get("/feeds/misp")
def misp(page: Viewer) -> Response:
    """Where one pastes or drops MISP's list, and gets one's own."""
    return _shown(page)


@router.get("/feeds/misp/export")
def export(page: Viewer) -> Response:
    """The own feeds as a file that MISP's Feeds page imports."""
    found = page.operations.call("misp_export", {})["feeds"]
    headers = {"content-disposition": 'attachment; filename="tipline-feeds.json"'}
    return Response(json.dumps(found, indent=2), media_type="application/json", headers=headers)


@router.post("/feeds/misp")
def looked(page: Editor, form: Form) -> Response:
    """What the feeds of a list would be here."""
    body = _body(form)
    found, refused = tried(lambda: page.operations.call("misp_import", {"body": body}))
    return _shown(page, found, body, **refused)


@router.post("/feeds/misp/add")
def added(page: Editor, form: Form) -> Response:
    """Add the feeds of a list that were ticked."""
    body, names = _body(form), form.all("pick")
    if not names:
        raise RequestError("no feed was chosen", fix="go back, and tick what is to be added")
    arguments = {"body": body, "names": names, "into": form.all("into"), "message": form["message"]}
    found, refused = tried(lambda: page.operations.call("misp_import", arguments))
    if refused:
        again, _ = tried(lambda: page.operations.call("misp_import", {"body": body}))
        return _shown(page, again, body, **refused)
    lost = sum(note["outcome"] == "lost" for note in found["notes"] if note["node"] in names)
    more = f" {lost} settings could not be translated." if lost else ""
    return page.done(f"{len(names)} {'feed is' if len(names) == 1 else 'feeds are'} added.{more}", "/feeds")


def _body(form: Fields) -> str:
    text = form.file.decode("utf-8", "replace") if form.file else form["list"]
    if not text:
        raise RequestError("there is no list", fix="paste what MISP's Feeds page exports, or choose the file")
    return text


def _shown(
    page: Page, found: dict[str, Any] | None = None, body: str = "", *, error: str = "", fix: str = "",
    status: int = 200,
) -> Response:  # fmt: skip
    notes: dict[str, list[dict[str, Any]]] = {}
    for note in found["notes"] if found else []:
        notes.setdefault(note["node"], []).append(note)
    view = {
        "found": found and [{**each, "notes": notes.get(each["name"], [])} for each in found["feeds"]],
        "body": body, "error": error, "fix": fix, "export": page.operations.call("misp_export", {}),
        "readers": readers(page), "chosen": usual_readers(page),
    }  # fmt: skip
    return page.show("feeds/misp.html", view, title="MISP's list of feeds", status=status)
