"""Users, teams, keys and sessions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from tipline.api.v1.asking import CHANGED, Body, Feeds, Managing, Read, tagged
from tipline.durations import Duration
from tipline.engine.account_operations import UserChanges
from tipline.engine.accounts import RATE
from tipline.model.roles import Role

router = APIRouter(tags=["accounts"])
User = Annotated[str, Path(max_length=100)]
Team = Annotated[str, Path(max_length=200)]


class NewUser(Body):
    """A user to make."""

    name: str = Field(max_length=100, description="Letters, digits and . _ @ + -", examples=["ada"])
    role: Role = Field(default="viewer", description="What they may do.")
    team: str = Field(default="default", max_length=200, description="Their team.")
    display: str = Field(default="", max_length=200, description="Their name for people.")
    password: str | None = Field(default=None, max_length=1000, description="None: keys or single sign-on.", repr=False)
    tags: list[str] = Field(default_factory=list, max_length=100, description="Of feed readers: lists they may read.")


class NewTeam(Body):
    """A team to make."""

    name: str = Field(max_length=100, description="Letters, digits, - _ and .", examples=["blue"])
    title: str = Field(default="", max_length=200, description="Its name for people.")


class TeamChanges(Body):
    """What is changed of a team."""

    title: str = Field(max_length=200, description="Its name for people.")


class NewKey(Body):
    """A key to make."""

    user: str | None = Field(default=None, max_length=100, description="Whose; the asker's own unless given.")
    label: str = Field(default="", max_length=200, description="What it is for.")
    scopes: list[str] = Field(default_factory=list, max_length=20, description="What it may do; all if empty.")
    ttl: Duration | None = Field(default=None, description="How long it is in force; for good unless given.")
    rate: int = Field(default=RATE, ge=1, le=100_000, description="Requests a minute.")


@router.get("/users")
def users(asked: Managing) -> dict[str, Any]:
    """The users."""
    return asked.call("users")


@router.post("/users", status_code=201)
def user_add(asked: Managing, body: NewUser) -> Response:
    """Make a user."""
    return tagged(asked.call("user_add", **dict(body)), 201)


@router.get("/readers")
def readers(asked: Managing) -> dict[str, Any]:
    """Who reads lists, TAXII collections and MISP feeds: feed readers with their tags, and who may read what."""
    return asked.call("readers")


@router.get("/users/{name}")
def user(asked: Managing, name: User) -> Response:
    """One user, with an ETag for changing it."""
    return tagged(asked.call("user", name=name))


@router.patch("/users/{name}", responses=CHANGED)
def user_change(asked: Managing, name: User, body: UserChanges) -> Response:
    """Change a user; what is left out stays."""
    asked.unchanged("user", name=name)
    return tagged(asked.call("user_change", name=name, changes=body))


@router.delete("/users/{name}", responses=CHANGED)
def user_remove(asked: Managing, name: User) -> dict[str, Any]:
    """Delete a user with their keys and sessions."""
    asked.unchanged("user", name=name)
    return asked.call("user_remove", name=name)


@router.get("/teams")
def teams(asked: Read) -> dict[str, Any]:
    """The teams that the asker may know of, with how many users and nodes each has."""
    return asked.call("teams")


@router.post("/teams", status_code=201)
def team_add(asked: Managing, body: NewTeam) -> Response:
    """Make a team; it stands in the configuration."""
    return tagged(asked.call("team_add", **dict(body)), 201)


@router.get("/teams/{name}")
def team(asked: Managing, name: Team) -> Response:
    """What a team has, with an ETag for changing it."""
    return tagged(asked.call("team", name=name))


@router.patch("/teams/{name}", responses=CHANGED)
def team_change(asked: Managing, name: Team, body: TeamChanges) -> Response:
    """Give a team another title."""
    asked.unchanged("team", name=name)
    return tagged(asked.call("team_change", name=name, title=body.title))


@router.delete("/teams/{name}", responses=CHANGED)
def team_close(asked: Managing, name: Team) -> dict[str, Any]:
    """Close a team that owns nothing any more; its users are shut out."""
    asked.unchanged("team", name=name)
    return asked.call("team_close", name=name)


@router.get("/keys")
def keys(asked: Feeds, user: Annotated[str | None, Query(max_length=100)] = None) -> dict[str, Any]:
    """Keys: the asker's own, or anybody's for an admin."""
    return asked.call("keys", user=user)


@router.post("/keys", status_code=201)
def key_add(asked: Feeds, body: NewKey) -> dict[str, Any]:
    """Make a key: `key` in this answer is the only time that it is shown. A key can make none that may do more."""
    mine = asked.principal.scopes
    scopes = list(body.scopes) or (sorted(mine) if asked.principal.how == "key" else [])
    asked.operations.only_scopes(scopes, mine)
    return asked.call("key_add", **{**dict(body), "scopes": scopes})


@router.delete("/keys/{id}")
def key_remove(asked: Feeds, id: Annotated[str, Path(max_length=16)]) -> dict[str, Any]:
    """Revoke a key at once."""
    return asked.call("key_remove", id=id)


@router.get("/sessions")
def sessions(asked: Feeds) -> dict[str, Any]:
    """The asker's browser sessions."""
    return asked.call("sessions")


@router.delete("/sessions")
def sessions_end(asked: Feeds) -> dict[str, Any]:
    """End all of the asker's browser sessions."""
    return asked.call("sessions_end")
