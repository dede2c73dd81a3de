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
_BUILT_IN = ("never-block", "allowed")


@router.get("/pipeline")
def pipeline(page: Viewer, q: str = "") -> Response:
    """Nodes and edges, with how much flows along each; `static/pipeline.js` draws them."""
    states = {each["name"]: each for each in page.operations.call("status", {})["nodes"]}
    edges = _with_flow(_edges(page), {name: state["indicators"] for name, state in states.items()})
    drawn = [name for name in states if not name.startswith(_BUILT_IN) or any(name in edge.values() for edge in edges)]
    nodes = [_node(states[name]) for name in drawn]
    changes = len(page.operations.call("draft", {})["changes"]) if page.person.may("editor") else 0
    view = {"nodes": nodes, "edges": edges, "q": q, "changes": changes}
    return page.show("pipeline/index.html", view, title="Pipeline")


def _node(state: dict[str, Any]) -> dict[str, Any]:
    words = ("name", "sort", "kind", "state", "indicators", "message", "team")
    return {word: state[word] for word in words}


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
