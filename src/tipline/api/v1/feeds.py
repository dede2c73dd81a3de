"""Feeds: the sources, what they have in common, and what an address or a file would be as one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tipline.api.v1.asking import CHANGED, Body, Configuring, Read, tagged
from tipline.api.v1.nodes import Name
from tipline.engine.library_operations import MOST_BYTES

router = APIRouter(prefix="/feeds", tags=["feeds"])


_MOST = 1 << 53
Base = Annotated[int | None, Field(ge=0, le=_MOST, description="The version that this began from; the newest.")]
BaseQuery = Annotated[int | None, Query(ge=0, le=_MOST, description="The version that this began from; the newest.")]
MESSAGE = Field(default="", max_length=2000, description="What it is for; kept with the version.")


class Tried(Body):
    """A feed to look at: its address, its text, or a file of it."""

    url: str | None = Field(default=None, max_length=8000, pattern="^https?://", description="Its public address.")
    body: str | None = Field(default=None, max_length=MOST_BYTES, description="Instead of it, its text.")
    encoded: str | None = Field(
        default=None, max_length=MOST_BYTES * 3 // 2, description="Instead of both, a file in base64 (up to 16 MiB)."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Of the format, or to sign in; they win.", examples=[{"kind": "csv"}]
    )
    exact: bool = Field(default=False, description="Guess nothing: the settings are whole.")
    filename: str = Field(default="", max_length=300, description="What the file is called, for the source's name.")


class New(Body):
    """A feed to add."""

    name: str = Field(max_length=200, description="Name of the source.", examples=["covid-19"])
    settings: dict[str, Any] = Field(
        description="As under `sources`; a secret that stands in it is kept encrypted, and only named.",
        examples=[{"kind": "csv", "url": "https://feeds.example.org/covid.csv", "columns": {"value": 2}}],
    )
    into: list[str] = Field(
        default_factory=list, max_length=200, description="Processors and outputs that shall read it."
    )
    base: Base = None
    message: str = MESSAGE


class Changes(Body):
    """Changes of a feed."""

    settings: dict[str, Any] = Field(
        description="Laid over its own; null takes one out, and what is not named stays.", examples=[{"enabled": False}]
    )
    base: Base = None
    message: str = MESSAGE


class MispList(Body):
    """MISP's feed list."""

    body: str = Field(max_length=MOST_BYTES, description="JSON, as MISP's Feeds page exports it.")
    names: list[Annotated[str, Field(max_length=200)]] | None = Field(
        default=None, max_length=1000, description="What to add, by the names of the first answer; none: only look."
    )
    into: list[str] = Field(
        default_factory=list, max_length=200, description="Processors and outputs that shall read them."
    )
    base: Base = None
    message: str = MESSAGE


@router.get("")
def feeds(asked: Read) -> dict[str, Any]:
    """The sources, with their state, schedule and usual settings."""
    return asked.call("feeds")


@router.post("", status_code=201)
def add(asked: Configuring, body: New) -> dict[str, Any]:
    """Add a feed, have other nodes read it, and put that to work."""
    return asked.call("feed_add", **dict(body))


@router.get("/overlap")
def overlap(asked: Read, source: Annotated[list[str] | None, Query(max_length=1000)] = None) -> dict[str, Any]:
    """How much sources have in common, what only one has, and who had it first."""
    return asked.call("overlap", sources=source)


@router.get("/worth")
def worth(asked: Read, source: Annotated[list[str] | None, Query(max_length=1000)] = None) -> dict[str, Any]:
    """What each source is worth: age, churn, what it has first and by how much, and what of it is harmless."""
    return asked.call("worth", sources=source)


@router.post("/try")
def try_(asked: Configuring, body: Tried) -> dict[str, Any]:
    """Which kind and settings read a feed, and what they make of it: types, samples, drops by reason, YAML."""
    return asked.call("try", **dict(body))


@router.get("/misp")
def misp_export(asked: Read) -> dict[str, Any]:
    """The asker's feeds as MISP's feed list (`feeds`), without secrets; and what that cannot say (`notes`)."""
    return asked.call("misp_export")


@router.post("/misp")
def misp_import(asked: Configuring, body: MispList) -> dict[str, Any]:
    """What a feed list of MISP's would be here, and what becomes of each setting; with `names`, these are added."""
    return asked.call("misp_import", **dict(body))


@router.get("/{name}")
def show(asked: Configuring, name: Name) -> Response:
    """A feed's settings as YAML, without its secrets, and what reads it; with an ETag for changing it."""
    return tagged(asked.call("feed", name=name))


@router.patch("/{name}", responses=CHANGED)
def change(asked: Configuring, name: Name, body: Changes) -> dict[str, Any]:
    """Change some settings of a feed, and put that to work; what it holds stays, if it is switched off."""
    asked.unchanged("feed", name=name)
    return asked.call("feed_change", name=name, **dict(body))


@router.delete("/{name}", responses=CHANGED)
def remove(
    asked: Configuring, name: Name, base: BaseQuery = None, message: Annotated[str, Query(max_length=2000)] = ""
) -> dict[str, Any]:
    """Take a feed out, and out of what reads it: what it claims is withdrawn."""
    asked.unchanged("feed", name=name)
    return asked.call("feed_remove", name=name, base=base, message=message)
