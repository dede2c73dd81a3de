"""The pipeline as a graph: sources, processors, outputs, and what flows between them."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.web.page import Page, Viewer
from tipline.web.site import Nav

router = APIRouter()
NAV = Nav("Pipeline", "/pipeline", key="p", order=20, icon="pipeline")
Drawn = list[dict[str, Any]]
_BUILT_IN = ("never-block", "allowed")


@router.get("/pipeline")
def pipeline(page: Viewer, q: str = "") -> Response:
    """Nodes and edges, with how much flows along each; `static/pipeline.js` draws them."""
    states = {each["name"]: each for each in page.operations.call("status", {})["nodes"]}
    edges = _with_flow(_edges(page), {name: state["indicators"] for name, state in states.items()})
    drawn = [name for name in states if not name.startswith(_BUILT_IN) or any(name in edge.values() for edge in edges)]
    nodes = [_node(states[name]) for name in drawn]
    nodes, edges, changes = _with_candidate(page, nodes, edges)
    view = {"nodes": nodes, "edges": edges, "q": q, "changes": changes}
    return page.show("pipeline/index.html", view, title="Pipeline")


def _with_candidate(page: Page, nodes: Drawn, edges: Drawn) -> tuple[Drawn, Drawn, int]:
    """The nodes and edges with those that the candidate would add, marked; and how many changes it has."""
    if not page.person.may("editor"):
        return nodes, edges, 0
    changed = {each["name"]: each["op"] for each in page.operations.call("draft", {})["changes"] if each["section"]}
    if not changed:
        return nodes, edges, 0
    drafted = page.operations.call("draft_nodes", {})["nodes"]
    there = {each["name"] for each in nodes}
    new = [
        {**{word: each[word] for word in ("name", "sort", "kind", "team")}, "state": "candidate", "indicators": None,
         "message": "not put to work yet"}
        for each in drafted if each["name"] not in there
    ]  # fmt: skip
    known, drawn = {(each["source"], each["target"]) for each in edges}, there | {each["name"] for each in new}
    wanted = [
        {"source": other, "target": each["name"], "allow": word == "allow", "flow": 0, "draft": True}
        for each in drafted
        for word in ("inputs", "allow")
        for other in each[word]
        if (other, each["name"]) not in known and {other, each["name"]} <= drawn
    ]
    return [{**each, "op": changed.get(each["name"], "")} for each in [*nodes, *new]], [*edges, *wanted], len(changed)


def _node(state: dict[str, Any]) -> dict[str, Any]:
    words = ("name", "sort", "kind", "state", "indicators", "message", "team")
    return {**{word: state[word] for word in words}, "op": ""}


def _edges(page: Page) -> list[dict[str, Any]]:
    """Who reads whom; `allow` says that it only takes out."""
    nodes = page.nodes()
    return [
        {"source": other, "target": name, "allow": word == "allow"}
        for name, node in nodes.items()
        for word in ("inputs", "allow")
        for other in getattr(node.settings, word, [])
        if other in nodes
    ]


def _with_flow(edges: list[dict[str, Any]], held: dict[str, int | None]) -> list[dict[str, Any]]:
    """The edges with their flow: what a source holds; out of a processor, which keeps no count, what it is given.

    Towards a node that reads nothing else and tells what it published, it is no more than that.
    """
    given: dict[str, list[str]] = {}
    for edge in edges:
        if not edge["allow"]:
            given.setdefault(edge["target"], []).append(edge["source"])

    @cache
    def leaves(name: str) -> int:
        count = held.get(name)
        return sum(leaves(each) for each in given.get(name, [])) if count is None else count

    def flow(edge: dict[str, Any]) -> int:
        published = held.get(edge["target"])
        alone = len(given.get(edge["target"], [])) == 1
        return leaves(edge["source"]) if published is None or not alone else min(leaves(edge["source"]), published)

    return [{**edge, "flow": 0 if edge["allow"] else flow(edge)} for edge in edges]
