"""Automation: everybody's own keys, how to use one, their sessions and their password."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.web.page import Form, Page, Reader, tried
from tipline.web.pages.administration import make_key, scopes, shown_keys
from tipline.web.site import Nav

router = APIRouter()
NAV = Nav("Automation", "/automation", key="k", order=80, icon="key", role="reader")
_PLACEHOLDER = "YOUR_KEY"


@router.get("/automation")
def automation(page: Reader) -> Response:
    """One's own keys, and how programs use them."""
    return _automation(page)


@router.post("/automation/keys")
def key_add(page: Reader, form: Form) -> Response:
    """Make a key; it is shown in this answer alone."""
    made, refused = tried(lambda: make_key(page, form, page.person.name))
    return _automation(page, made=made, **refused)


@router.post("/automation/keys/{number}/remove")
def key_remove(page: Reader, number: str) -> Response:
    """Revoke one of one's own keys."""
    page.operations.call("key_remove", {"id": number})
    return page.done(f"The key {number} was revoked.", "/automation")


@router.post("/automation/sessions")
def sessions_end(page: Reader) -> Response:
    """End every session of one's own, this one too."""
    page.operations.call("sessions_end", {"user": page.person.name})
    return page.done("Every session of yours has ended.", "/sign-in")


@router.post("/automation/password")
def password(page: Reader, form: Form) -> Response:
    """Change one's own password."""
    if form["new"] != form["again"]:
        return _automation(page, error="the two new passwords differ", status=400)
    wanted = {"current": form["current"], "new": form["new"]}
    _, refused = tried(lambda: page.operations.call("own_password", wanted))
    if refused:
        return _automation(page, **refused)
    return page.done("Your password was changed: sign in with it.", "/sign-in")


def _automation(
    page: Page, *, made: dict[str, Any] | None = None, error: str = "", fix: str = "", status: int = 200
) -> Response:
    person = page.person
    view = {
        "name": person.name, "role": person.role, "team": person.team, "keys": shown_keys(page, person.name),
        "made": made, "error": error, "fix": fix, "scopes": scopes(person.role),
        "sessions": page.operations.call("sessions", {"user": person.name})["sessions"],
        "has_password": page.operations.call("user", {"name": person.name})["has_password"],
        "address": str(page.request.base_url).removesuffix("/").removesuffix("/ui"),
        "key": made["key"] if made else _PLACEHOLDER,
    }  # fmt: skip
    return page.show("administration/automation.html", view, title="Automation", status=status)
