"""Users, and who may read which list, as MineMeld's access control shows and changes them.

`feeds` are users who read lists (role `reader`, and the `readers` of the configuration), `api` all others.
"""

from __future__ import annotations

from typing import Any

from tipline.api.minemeld.calls import Call, MissingError, Route
from tipline.engine.people import RequestError
from tipline.outputs.access import ANY
from tipline.outputs.list import ListKind

_READER, _LEAST = "reader", "viewer"
_ANONYMOUS = "anonymous"


def current(call: Call) -> dict[str, Any]:
    """Who asks."""
    return {"id": call.principal.name, "read_write": call.principal.may("configuration")}


def users(call: Call) -> dict[str, Any]:
    """The users who read lists (`feeds`), or all others (`api`), with their tags."""
    feeds = _is_feeds(call)
    found = {
        user["name"]: {"tags": user["tags"], "comment": user["display"]}
        for user in call.operations.users()["users"]
        if (user["role"] == _READER) == feeds
    }
    if feeds:
        readers = call.operations.engine.configuration.settings.readers
        configured = {name: {"tags": list(each.tags), "comment": each.note} for name, each in readers.items()}
        found = {**configured, **found}
    return {"enabled": not feeds or _asks(call), "users": found}


def password(call: Call) -> str:
    """Set a user's password; one that is not there is made, to read lists or to look."""
    feeds, name = _is_feeds(call), call.part("user")
    given = call.fields().get("password")
    if not isinstance(given, str):
        raise RequestError("password is missing")
    if _user(call, name, feeds=feeds):
        call.operations.call("user_change", {"name": name, "changes": {"password": given}})
    else:
        role = _READER if feeds else _LEAST
        call.operations.call("user_add", {"name": name, "role": role, "password": given})
    return "ok"


def attributes(call: Call) -> str:
    """Set a user's tags and comment."""
    name, given = call.part("user"), call.fields()
    if not _user(call, name, feeds=_is_feeds(call)):
        raise RequestError("Unknown user")
    changes = {"tags": given.get("tags", []), "display": given.get("comment", "")}
    call.operations.call("user_change", {"name": name, "changes": changes})
    return "ok"


def delete(call: Call) -> str:
    """Delete a user."""
    name = call.part("user")
    if _user(call, name, feeds=_is_feeds(call)):
        call.operations.call("user_remove", {"name": name})
    return "ok"


def feeds(call: Call) -> dict[str, Any]:
    """The lists and their tags."""
    return {"enabled": _asks(call), "feeds": {each.name: {"tags": _tags(each)} for each in _lists(call)}}


def configured(_call: Call) -> None:
    """The tags of lists stand in the configuration, and are not changed here."""
    raise RequestError("the tags of lists are settings: change `access` and `tags` of the list in the configuration")


def tags(call: Call) -> list[str]:
    """The tags in use."""
    asker, readers = call.operations.asker, call.operations.engine.configuration.settings.readers.values()
    theirs = [each for each in readers if asker.everywhere or each.team == asker.team]
    found = {tag for user in call.operations.users()["users"] for tag in user["tags"]}
    found |= {tag for each in _lists(call) for tag in _tags(each)} | {tag for each in theirs for tag in each.tags}
    return sorted(found - {ANY, _ANONYMOUS})


def _is_feeds(call: Call) -> bool:
    subsystem = call.part("subsystem")
    if subsystem not in {"api", "feeds"}:
        raise RequestError("Invalid subsystem")
    return subsystem == "feeds"


def _user(call: Call, name: str, *, feeds: bool) -> bool:
    """Whether there is such a user.

    Raises:
        MissingError: there is one, but of the other subsystem.
    """
    found = {user["name"]: user for user in call.operations.users()["users"]}.get(name)
    if found is not None and (found["role"] == _READER) != feeds:
        raise MissingError(f"{name} is a user of {'api' if feeds else 'feeds'}")
    return found is not None


def _lists(call: Call) -> list[ListKind]:
    return [node for node in call.operations.owned_nodes() if isinstance(node, ListKind)]


def _tags(node: ListKind) -> list[str]:
    return [_ANONYMOUS] if node.settings.access == "public" else list(node.settings.tags)


def _asks(call: Call) -> bool:
    """Whether any list asks who reads it."""
    return any(node.settings.access != "public" for node in _lists(call))


_USER = "/aaa/users/{subsystem}/{user}"
ROUTES = (
    Route("/aaa/users/current", "read", current),
    Route("/aaa/users/{subsystem}", "accounts", users, bare=True),
    Route(_USER, "accounts", password, ("PUT",), bare=True),
    Route(_USER, "accounts", delete, ("DELETE",), bare=True),
    Route(_USER + "/attributes", "accounts", attributes, ("POST",), bare=True),
    Route("/aaa/feeds", "read", feeds),
    Route("/aaa/feeds/{feed}/attributes", "configuration", configured, ("PUT", "POST"), bare=True),
    Route("/aaa/feeds/{feed}", "configuration", configured, ("DELETE",), bare=True),
    Route("/aaa/tags", "read", tags),
)
