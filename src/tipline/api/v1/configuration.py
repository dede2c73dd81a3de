"""The configuration: what runs, the candidate, plan, commit, history, the way back, and single nodes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from tipline.api.v1.asking import CHANGED, Body, Configuring, Cursor, cursor, position, tagged
from tipline.api.v1.nodes import Name

router = APIRouter(tags=["configuration"])
_MOST = 4 << 20
Version = Annotated[int, Path(ge=0, le=1 << 53)]
Section = Literal["sources", "processors", "outputs"]


class Text(Body):
    """A configuration's text."""

    text: str = Field(max_length=_MOST, description="YAML.", examples=["sources: {}\n"])


class Draft(Text):
    """A text in the making."""

    base: int = Field(ge=0, le=1 << 53, description="The version that it began from.")
    revision: int = Field(default=0, ge=0, le=1 << 53, description="The revision that it follows; 0: none.")


class Commit(Text):
    """A text to put to work."""

    message: str = Field(max_length=2000, description="What it is for.")
    base: int = Field(ge=0, le=1 << 53, description="The version that it began from.")
    approve: bool = Field(default=False, description="Whether what the plan showed may pass the guards.")


class Revert(Body):
    """The way back."""

    message: str = Field(default="", max_length=2000, description="Why.")
    approve: bool = Field(default=False, description="Whether its changes may pass the guards.")


class Node(Body):
    """One node: its settings, or the same as YAML text (comments are kept)."""

    base: int = Field(ge=0, le=1 << 53, description="The version that this began from.")
    settings: dict[str, Any] | None = Field(default=None, description="Its settings.")
    text: str | None = Field(default=None, max_length=1 << 20, description="Its settings as YAML.")
    message: str = Field(default="", max_length=2000, description="What it is for.")
    approve: bool = Field(default=False, description="Whether its changes may pass the guards.")


@router.get("/configuration")
def configuration(asked: Configuring) -> Response:
    """What runs, its version, and the candidate; with an ETag for commits."""
    return tagged(asked.call("configuration"))


@router.post("/configuration/check")
def check(asked: Configuring, body: Text) -> dict[str, Any]:
    """Every problem of a text."""
    return asked.call("check", text=body.text)


@router.put("/configuration/candidate", responses=CHANGED)
def save_candidate(asked: Configuring, body: Draft) -> dict[str, Any]:
    """Keep a text in the making."""
    asked.unchanged("configuration")
    return asked.call("save_candidate", **dict(body))


@router.post("/configuration/plan")
def plan(asked: Configuring, body: Text) -> dict[str, Any]:
    """What a text would add to and remove from every output, with samples."""
    return asked.call("plan", text=body.text, path=str(asked.operations.engine.configuration.path))


@router.post("/configuration/commit", responses=CHANGED)
def commit(asked: Configuring, body: Commit) -> dict[str, Any]:
    """Put a text to work and write it to the file; nothing restarts."""
    asked.unchanged("configuration")
    return asked.call("commit", **dict(body))


@router.get("/configuration/versions")
def versions(
    asked: Configuring,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """Versions that were put to work, newest first."""
    (before,) = position(cursor_, int) or [None]
    found = asked.call("history", limit=limit, before=before)["versions"]
    return {"versions": found, "next": cursor([found[-1]["version"]]) if len(found) == limit else None}


@router.get("/configuration/versions/{version}")
def version(asked: Configuring, version: Version, against: Annotated[int | None, Query(ge=0, le=1 << 53)] = None) -> (
    dict[str, Any]
):  # fmt: skip
    """One version, and what it changed."""
    return asked.call("version", version=version, against=against)


@router.post("/configuration/versions/{version}/revert", responses=CHANGED)
def revert(asked: Configuring, version: Version, body: Revert) -> dict[str, Any]:
    """Put an earlier version to work again."""
    asked.unchanged("configuration")
    return asked.call("revert", version=version, **dict(body))


@router.get("/configuration/nodes/{name}")
def node_settings(asked: Configuring, name: Name) -> Response:
    """One node's settings as they stand in the file: as YAML and as JSON; with an ETag for changing it."""
    return tagged(asked.call("node_settings", name=name))


@router.put("/configuration/{section}/{name}", responses=CHANGED)
def put_node(asked: Configuring, section: Section, name: Name, body: Node) -> dict[str, Any]:
    """Add or change one node of the asker's team, and put that to work."""
    asked.unchanged("node_settings", name=name)
    return asked.call("put_node", section=section, name=name, **dict(body))


@router.delete("/configuration/nodes/{name}", responses=CHANGED)
def drop_node(
    asked: Configuring,
    name: Name,
    base: Annotated[int, Query(ge=0, le=1 << 53)],
    message: Annotated[str, Query(max_length=2000)] = "",
    approve: bool = False,
) -> dict[str, Any]:
    """Take one node of the asker's team out of the configuration."""
    asked.unchanged("node_settings", name=name)
    return asked.call("drop_node", name=name, base=base, message=message, approve=approve)
