"""Feeds: the sources, what they have in common, and what an address or a file would be as one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from tipline.api.v1.asking import Body, Configuring, Read
from tipline.engine.library_operations import MOST_BYTES

router = APIRouter(prefix="/feeds", tags=["feeds"])


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


@router.get("")
def feeds(asked: Read) -> dict[str, Any]:
    """The sources."""
    return {"feeds": [each for each in asked.call("status")["nodes"] if each["sort"] == "source"]}


@router.get("/overlap")
def overlap(asked: Read, source: Annotated[list[str] | None, Query(max_length=1000)] = None) -> dict[str, Any]:
    """How much sources have in common, what only one has, and who had it first."""
    return asked.call("overlap", sources=source)


@router.post("/try")
def try_(asked: Configuring, body: Tried) -> dict[str, Any]:
    """Which kind and settings read a feed, and what they make of it: types, samples, drops by reason, YAML."""
    return asked.call("try", **dict(body))
