"""The candidate, node by node: see, change, take back, try, put to work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tipline.api.v1.asking import CHANGED, Body, Configuring, tagged
from tipline.api.v1.nodes import Name

router = APIRouter(tags=["configuration"], prefix="/configuration/candidate")
Section = Literal["sources", "processors", "outputs"]
Seen = Annotated[str, Query(max_length=100, description="What the node's `seen` said when the change began.")]


class Node(Body):
    """One node of the candidate: its settings, or the same as YAML text (comments are kept)."""

    settings: dict[str, Any] | None = Field(default=None, description="Its settings.")
    text: str | None = Field(default=None, max_length=1 << 20, description="Its settings as YAML.")
    seen: str = Field(default="", max_length=100, description="What its `seen` said; empty for a new node.")


class NodeText(Body):
    """Settings in the making."""

    section: Section = Field(description="Where the node stands.")
    name: str = Field(default="", max_length=100, description="The node.")
    text: str = Field(max_length=1 << 20, description="Its settings as YAML.")


class Decision(Body):
    """Which change holds, where the candidate and a version put to work since changed the same node."""

    prefer: dict[str, Literal["ours", "theirs"]] = Field(description="By node: the candidate's, or the version's.")


class CandidateCommit(Body):
    """The candidate, to be put to work."""

    message: str = Field(max_length=2000, description="What it is for.")
    revision: int = Field(ge=0, le=1 << 53, description="The revision that was looked at.")
    approve: bool = Field(default=False, description="Whether what the plan showed may pass the guards.")


@router.get("")
def candidate(asked: Configuring) -> Response:
    """What the candidate changes of the asker's nodes, its problems, and what was put to work since."""
    return tagged(asked.call("draft"))


@router.delete("", responses=CHANGED)
def discard_candidate(asked: Configuring) -> dict[str, Any]:
    """Forget what the asker may change of the candidate."""
    asked.unchanged("draft")
    return asked.call("draft_discard")


@router.get("/nodes")
def candidate_nodes(asked: Configuring) -> dict[str, Any]:
    """The candidate's nodes, and who reads whom."""
    return asked.call("draft_nodes")


@router.get("/nodes/{name}")
def candidate_node(asked: Configuring, name: Name) -> Response:
    """One node of the candidate, without its secrets."""
    return tagged(asked.call("draft_node", name=name))


@router.put("/{section}/{name}", responses=CHANGED)
def put_candidate_node(asked: Configuring, section: Section, name: Name, body: Node) -> dict[str, Any]:
    """Give a node its settings in the candidate."""
    asked.unchanged("draft_node", name=name)
    return asked.call("draft_put", section=section, name=name, **dict(body))


@router.delete("/nodes/{name}", responses=CHANGED)
def drop_candidate_node(asked: Configuring, name: Name, seen: Seen) -> dict[str, Any]:
    """Take a node out of the candidate."""
    asked.unchanged("draft_node", name=name)
    return asked.call("draft_drop", name=name, seen=seen)


@router.post("/nodes/{name}/undo")
def undo_candidate_node(asked: Configuring, name: Name) -> dict[str, Any]:
    """Take back what the candidate changes of a node."""
    return asked.call("draft_undo", name=name)


@router.post("/check")
def check_candidate_node(asked: Configuring, body: NodeText) -> dict[str, Any]:
    """The problems that a node would have with other settings, each with its line and setting."""
    return asked.call("draft_check", **dict(body))


@router.post("/decide")
def decide(asked: Configuring, body: Decision) -> dict[str, Any]:
    """Say which changes hold."""
    return asked.call("draft_decide", prefer=body.prefer)


@router.post("/plan")
def plan_candidate(asked: Configuring) -> dict[str, Any]:
    """What putting the candidate to work would add to and remove from every output, with samples."""
    return asked.call("draft_plan")


@router.post("/commit", responses=CHANGED)
def commit_candidate(asked: Configuring, body: CandidateCommit) -> dict[str, Any]:
    """Put the candidate to work, as far as it is the asker's; the rest stays a candidate."""
    asked.unchanged("draft")
    return asked.call("draft_commit", **dict(body))
