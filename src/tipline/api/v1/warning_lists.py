"""Warning lists: which there are and what stands on them; switched, added, fetched and taken out by admins."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from tipline.api.v1.asking import CHANGED, Body, Managing, Read, tagged
from tipline.api.v1.feeds import Base, BaseQuery
from tipline.config.warning_lists import Action, Category

router = APIRouter(prefix="/warning-lists", tags=["warning lists"])
Name = Annotated[str, Path(max_length=200)]
_MOST_VALUES = 10_000


class Values(Body):
    """Values to look for."""

    values: list[Annotated[str, Field(max_length=4000)]] = Field(
        max_length=_MOST_VALUES, description="In any spelling.", examples=[["8.8.8.8", "www[.]microsoft[.]com"]]
    )


class NewList(Body):
    """A list of one's own."""

    name: str = Field(max_length=100, description="Its name; that of a list that ships, to take its place.")
    url: str = Field(min_length=1, max_length=8000, description="Address or path of its list.json.")
    every: str | None = Field(default=None, max_length=40, description="Time between fetches; a day.", examples=["12h"])
    action: Action | None = Field(default=None, description="What is done with indicators on it.")
    category: Category | None = Field(default=None, description="Of what sort it is.")
    base: Base = None


class ListChanges(Body):
    """Changes of a list; what is not named stays."""

    enabled: bool | None = Field(default=None, description="Whether it is used.", examples=[True])
    action: Action | None = Field(default=None, description="What is done with indicators on it.")
    category: Category | None = Field(default=None, description="Of what sort it is.")
    base: Base = None


class Choice(Body):
    """What goes for all lists; what is not named stays."""

    recommended: bool | None = Field(default=None, description="Whether the recommended ones are used.")
    drop: list[Category] | None = Field(default=None, max_length=2, description="Categories that drop.")
    base: Base = None


class Refresh(Body):
    """How a list is fetched."""

    approve: bool = Field(default=False, description="Take in what differs much from what there was, too.")


@router.get("")
def warning_lists(asked: Read) -> dict[str, Any]:
    """Every list as it is used, and how many indicators stand on it."""
    return asked.call("warning_lists")


@router.patch("")
def choose(asked: Managing, body: Choice) -> dict[str, Any]:
    """Whether the recommended lists are used, and which categories drop."""
    return asked.call("warning_lists_set", **dict(body))


@router.post("", status_code=201)
def add(asked: Managing, body: NewList) -> dict[str, Any]:
    """Add a list of one's own, and fetch it."""
    return asked.call("warning_list_add", **dict(body))


@router.post("/check")
def check(asked: Read, body: Values) -> dict[str, Any]:
    """On which lists in use values stand, whether or not a feed claims them."""
    return asked.call("warning_check", values=body.values)


@router.get("/{name}")
def show(asked: Read, name: Name) -> Response:
    """One list, and how many indicators of each feed stand on it; with an ETag for changing it."""
    return tagged(asked.call("warning_list", name=name))


@router.get("/{name}/entries")
def entries(
    asked: Read,
    name: Name,
    text: Annotated[str, Query(max_length=2000, description="Only entries with this in them.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
) -> dict[str, Any]:
    """The entries of a list, as they stand in it."""
    return asked.call("warning_entries", name=name, text=text, limit=limit, offset=offset)


@router.patch("/{name}", responses=CHANGED)
def change(asked: Managing, name: Name, body: ListChanges) -> dict[str, Any]:
    """Switch a list on or off, or have it tag or drop."""
    asked.unchanged("warning_list", name=name)
    return asked.call("warning_list_change", name=name, **dict(body))


@router.post("/{name}/refresh")
def refresh(asked: Managing, name: Name, body: Refresh) -> dict[str, Any]:
    """Fetch a list of one's own now."""
    return asked.call("warning_list_refresh", name=name, approve=body.approve)


@router.delete("/{name}", responses=CHANGED)
def remove(asked: Managing, name: Name, base: BaseQuery = None) -> dict[str, Any]:
    """Take a list of one's own out."""
    asked.unchanged("warning_list", name=name)
    return asked.call("warning_list_remove", name=name, base=base)
