"""The library: ready-made sources; they are found, looked at, and added to the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from tipline.api.v1.asking import Body, Configuring, Read
from tipline.config.library import Status

router = APIRouter(prefix="/library", tags=["library"])
Entry = Annotated[str, Path(max_length=100, examples=["spamhaus-drop"])]


class Add(Body):
    """A source made of an entry."""

    node: str | None = Field(default=None, max_length=200, description="Name of the source; the entry's unless given.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Laid over the entry's; null takes one out. Secrets are named as ${secret:NAME}.",
        examples=[{"confidence": 70, "tags": ["phishing"]}],
    )
    into: list[str] = Field(
        default_factory=list, max_length=200, description="Processors and outputs that shall read it."
    )
    base: int | None = Field(default=None, ge=0, le=1 << 53, description="The version that this began from.")
    message: str = Field(default="", max_length=2000, description="What it is for.")


@router.get("")
def search(
    asked: Read,
    text: Annotated[str, Query(max_length=2000, description="Words, all of which occur.")] = "",
    status: Annotated[Status | None, Query(description="Whether it can be fetched.")] = None,
    tlp: Annotated[Literal["clear", "green", "amber", "amber+strict", "red"] | None, Query(description="Its TLP.")] = (
        None
    ),
) -> dict[str, Any]:
    """Ready-made sources: what each is, who publishes it under which terms, what it needs, and what reads it here."""
    return asked.call("library_search", words=text, status=status, tlp=tlp)


@router.get("/{name}")
def show(asked: Read, name: Entry) -> dict[str, Any]:
    """One entry, with the settings of its source."""
    return asked.call("library_show", name=name)


@router.post("/{name}/add")
def add(asked: Configuring, name: Entry, body: Add) -> dict[str, Any]:
    """Put an entry's source into the configuration, and that to work."""
    return asked.call("library_add", name=name, **dict(body))
