"""Administration: users, keys, sessions, the server's health, and allow-lists in use."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from tipline.model.roles import ROLES, SCOPE_WORDS, scopes_of
from tipline.web.page import Admin, Fields, Form, Page, tried
from tipline.web.site import PREFIX, Nav
from tipline.web.tables import Column, Table, matching

router = APIRouter()
NAV = Nav("Administration", "/administration", key="u", order=90, icon="people", role="admin")

_MOST = 1000
_ENTRIES = 200
_USERS = (
    Column("name", "Name"),
    Column("display", "For people"),
    Column("role", "Role"),
    Column("team", "Team"),
    Column("how", "Signs in by"),
    Column("keys", "Keys", number=True),
    Column("seen", "Last seen"),
    Column("state", "State"),
)
_KEYS = (
    Column("id", "Key"),
    Column("user", "User"),
    Column("label", "For"),
    Column("scope_words", "May"),
    Column("rate", "A minute", number=True),
    Column("created", "Made"),
    Column("used", "Last used"),
    Column("expires", "Expires"),
    Column("revoke", "Revoke", sort=False),
)


@router.get("/administration")
def administration(page: Admin) -> Response:
    """Users come first."""
    del page
    return RedirectResponse(f"{PREFIX}/administration/users", HTTPStatus.SEE_OTHER)


@router.get("/administration/users")
def users(page: Admin, text: str = "", sort: str = "name") -> Response:
    """Who there is."""
    return _users(page, text=text, sort=sort)


@router.post("/administration/users")
def user_add(page: Admin, form: Form) -> Response:
    """Make a user."""
    wanted = {name: form[name] for name in ("name", "role", "team", "display")}
    entered = {**wanted, "tags": form["tags"].split(), "password": form["password"] or None}
    _, refused = tried(lambda: page.operations.call("user_add", entered))
    if refused:
        return _users(page, given={**wanted, "tags": form["tags"]}, **refused)
    return page.done(f"{form['name']} was made.", _path(form["name"]))


@router.get("/administration/users/{name}")
def user(page: Admin, name: str) -> Response:
    """One user with their keys and sessions."""
    return _user(page, name)


@router.post("/administration/users/{name}")
def user_change(page: Admin, form: Form, name: str) -> Response:
    """Change a user."""
    changes: dict[str, Any] = {
        "display": form["display"], "role": form["role"], "team": form["team"], "tags": form["tags"].split(),
        "disabled": form["disabled"] == "yes", "subject": form["subject"],
    }  # fmt: skip
    return _attempt(page, name, "user_change", {"name": name, "changes": changes}, f"{name} was changed.")


@router.post("/administration/users/{name}/password")
def user_password(page: Admin, form: Form, name: str) -> Response:
    """Give a user another password."""
    changes = {"password": form["password"]}
    said = f"{name} has a new password; their sessions have ended."
    return _attempt(page, name, "user_change", {"name": name, "changes": changes}, said)


@router.post("/administration/users/{name}/sessions")
def user_sessions(page: Admin, name: str) -> Response:
    """End every session of a user."""
    return _attempt(page, name, "sessions_end", {"user": name}, f"The sessions of {name} have ended.")


@router.post("/administration/users/{name}/remove")
def user_remove(page: Admin, form: Form, name: str) -> Response:
    """Delete a user, whose name was written out."""
    if form["name"] != name:
        return _user(page, name, error="the name that was written is another one", status=400)
    said = f"{name} was deleted, with their keys and sessions."
    return _attempt(page, name, "user_remove", {"name": name}, said, path="/administration/users")


@router.post("/administration/users/{name}/keys")
def user_key(page: Admin, form: Form, name: str) -> Response:
    """Make a key for a user; it is shown in this answer alone."""
    made, refused = tried(lambda: make_key(page, form, name))
    return _user(page, name, made=made, **refused)


@router.get("/administration/readers")
def readers(page: Admin) -> Response:
    """Feed readers and their tags, and who may read what."""
    view = {**page.operations.call("readers", {}), "here": "readers"}
    return page.show("administration/readers.html", view, title="Feed readers")


@router.get("/administration/keys")
def keys(page: Admin, text: str = "", sort: str = "user") -> Response:
    """Everybody's keys."""
    found = matching(shown_keys(page, None), text, ("id", "user", "label", "scope_words"))
    view = {"table": Table(_KEYS, found, sort=sort, size=_MOST), "text": text, "here": "keys"}
    return page.show("administration/keys.html", view, title="Keys")


@router.post("/administration/keys/{number}/remove")
def key_remove(page: Admin, number: str) -> Response:
    """Revoke a key."""
    page.operations.call("key_remove", {"id": number})
    return page.done(f"The key {number} was revoked.", "/administration/keys")


@router.get("/administration/sessions")
def sessions(page: Admin) -> Response:
    """Who is signed in with a browser."""
    rows = [
        {"user": each["name"], **session}
        for each in page.operations.call("users", {})["users"]
        for session in page.operations.call("sessions", {"user": each["name"]})["sessions"]
    ]
    rows.sort(key=lambda row: row["seen"], reverse=True)
    return page.show("administration/sessions.html", {"sessions": rows, "here": "sessions"}, title="Sessions")


@router.get("/administration/sign-on")
def sign_on(page: Admin) -> Response:
    """Who vouches for people, what that lets these do, and the addresses that issuers have to know."""
    return _sign_on(page)


@router.post("/administration/sign-on/{issuer}/check")
def sign_on_check(page: Admin, issuer: str) -> Response:
    """Ask an issuer for its discovery document and keys."""
    found, refused = tried(lambda: page.site.door.check(issuer))
    if refused:
        return _sign_on(page, **refused)
    title = next(each["title"] for each in page.site.door.issuers(page.request) if each["name"] == issuer)
    keys = "1 key" if found["keys"] == 1 else f"{found['keys']} keys"
    return page.done(f"{title} answers, and signs with {keys}.", "/administration/sign-on")


@router.get("/administration/health")
def health(page: Admin) -> Response:
    """Memory, disk, store and versions."""
    view = {"vitals": page.operations.call("vitals", {}), "findings": None, "ok": None, "here": "health"}
    return page.show("administration/health.html", view, title="Health")


@router.get("/administration/health/checks")
def checks(page: Admin) -> Response:
    """The same with everything that `tipline doctor` looks at, far sides included."""
    view = {"vitals": page.operations.call("vitals", {}), **page.operations.call("doctor", {}), "here": "health"}
    return page.show("administration/health.html", view, title="Health")


@router.get("/administration/lists")
def lists(page: Admin) -> Response:
    """Allow-lists in use."""
    view = {**page.operations.call("allow_lists", {}), "here": "lists"}
    return page.show("administration/lists.html", view, title="Allow-lists")


@router.get("/administration/lists/{name}")
def entries(page: Admin, name: str, start: int = 0) -> Response:
    """What stands in an allow-list."""
    first = max(0, start)
    rows = page.operations.call("list", {"node": name, "limit": _ENTRIES + 1, "offset": first})["rows"]
    view = {
        "name": name, "entries": rows[:_ENTRIES], "start": first, "here": "lists",
        "next": first + _ENTRIES if len(rows) > _ENTRIES else None,
        "before": max(0, first - _ENTRIES) if first else None,
    }  # fmt: skip
    return page.show("administration/entries.html", view, title=name)


def make_key(page: Page, form: Fields, name: str) -> dict[str, Any]:
    """Make a key as a form asks for it; the answer holds it.

    Raises:
        TiplineError: it cannot be made.
    """
    wanted = {"user": name, "label": form["label"], "scopes": form.all("scopes"), "ttl": form["ttl"] or None}
    found: dict[str, Any] = page.operations.call("key_add", wanted)
    return found


def shown_keys(page: Page, user: str | None) -> list[dict[str, Any]]:
    """The keys of a user (None: everybody's), with what they may do in words."""
    found = page.operations.call("keys", {"user": user} if user else {})["keys"]
    return [{**each, "scope_words": ", ".join(each["scopes"]) or "all that the user may"} for each in found]


def scopes(role: str) -> list[dict[str, str]]:
    """What a key of somebody with a role can be cut down to."""
    return [{"name": name, "words": SCOPE_WORDS[name]} for name in scopes_of(role)]


def _attempt(
    page: Page, name: str, operation: str, arguments: dict[str, Any], said: str, *, path: str = ""
) -> Response:
    _, refused = tried(lambda: page.operations.call(operation, arguments))
    return _user(page, name, **refused) if refused else page.done(said, path or _path(name))


def _sign_on(page: Page, *, error: str = "", fix: str = "", status: int = 200) -> Response:
    door = page.site.door
    view = {
        "issuers": door.issuers(page.request), "only": not door.passwords(), "error": error, "fix": fix,
        "here": "sign-on",
    }  # fmt: skip
    return page.show("administration/sign_on.html", view, title="Single sign-on", status=status)


def _path(name: str) -> str:
    return f"/administration/users/{quote(name)}"


def _users(
    page: Page, *, text: str = "", sort: str = "name", error: str = "", fix: str = "",
    given: dict[str, str] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    numbers: dict[str, int] = {}
    for key in page.operations.call("keys", {})["keys"]:
        numbers[key["user"]] = numbers.get(key["user"], 0) + 1
    rows = [
        {
            **each,
            "keys": numbers.get(each["name"], 0),
            "how": _how(each),
            "state": "disabled" if each["disabled"] else "ok",
        }
        for each in page.operations.call("users", {})["users"]
    ]
    found = matching(rows, text, ("name", "display", "role", "team"))
    view = {
        "table": Table(_USERS, found, sort=sort, size=_MOST), "text": text, "error": error, "fix": fix,
        "given": given or {"name": "", "role": "viewer", "team": "default", "display": "", "tags": ""},
        "roles": ROLES, "teams": page.operations.call("teams", {})["teams"], "here": "users",
    }  # fmt: skip
    return page.show("administration/users.html", view, title="Users", status=status)


def _user(
    page: Page, name: str, *, error: str = "", fix: str = "", made: dict[str, Any] | None = None, status: int = 200
) -> Response:
    found = page.operations.call("user", {"name": name})
    view = {
        "user": found, "how": _how(found), "keys": shown_keys(page, name), "made": made, "error": error, "fix": fix,
        "sessions": page.operations.call("sessions", {"user": name})["sessions"], "roles": ROLES,
        "teams": page.operations.call("teams", {})["teams"], "scopes": scopes(found["role"]), "here": "users",
    }  # fmt: skip
    return page.show("administration/user.html", view, title=name, status=status)


def _how(user: dict[str, Any]) -> str:
    ways = [
        word for word, has in (("password", user["has_password"]), ("single sign-on", user["single_sign_on"])) if has
    ]
    return ", ".join(ways) or "keys alone"
