"""The guided start of a new server: how far it is, its steps, and a far side tried before it is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from tipline.api.v1.asking import Body, Managing

router = APIRouter(prefix="/start", tags=["start"])
Step = Annotated[Literal["feeds", "defender", "sentinel", "list"], Path()]


class Chosen(Body):
    """Feeds of the library."""

    names: list[Annotated[str, Field(max_length=100)]] = Field(max_length=200, description="Names of entries.")
    message: str = Field(default="", max_length=2000, description="What it is for.")


class NewOutput(Body):
    """An output."""

    name: str = Field(max_length=200, description="Name of the output.", examples=["defender"])
    text: str = Field(max_length=1 << 20, description="Its settings as YAML; secrets in it are kept encrypted.")


class NewList(Body):
    """A list of what is merged."""

    name: str = Field(max_length=200, description="Name of the list.", examples=["blocklist"])
    confidence: int = Field(default=0, ge=0, le=100, description="Least confidence.")
    max_tlp: Literal["clear", "green", "amber", "amber+strict", "red"] = Field(default="green", description="At most.")


@router.get("")
def start(asked: Managing) -> dict[str, Any]:
    """Which steps are done, set aside, or left."""
    return asked.call("start")


@router.post("/feeds")
def feeds(asked: Managing, body: Chosen) -> dict[str, Any]:
    """Add feeds of the library, merged by the first processor that merges, or by a new one."""
    return asked.call("start_feeds", **dict(body))


@router.post("/list")
def first_list(asked: Managing, body: NewList) -> dict[str, Any]:
    """Add a list of what is merged."""
    return asked.call("start_list", **dict(body))


@router.post("/check")
def check(asked: Managing, body: NewOutput) -> dict[str, Any]:
    """Sign in at the far side that an output would have, and see that we may write; nothing is kept or written."""
    return asked.call("output_check", **dict(body))


@router.post("/connect")
def connect(asked: Managing, body: NewOutput) -> dict[str, Any]:
    """Add an output, and put that to work."""
    return asked.call("output_add", **dict(body))


@router.put("/{step}/aside")
def aside(asked: Managing, step: Step, aside: bool = True) -> dict[str, Any]:
    """Set a step aside, or take it up again."""
    return asked.call("start_aside", step=step, aside=aside)


@router.delete("")
def end(asked: Managing) -> dict[str, Any]:
    """End the guided start."""
    return asked.call("start_end")
