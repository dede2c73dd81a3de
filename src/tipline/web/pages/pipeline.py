"""The pipeline as a graph: sources, processors, outputs, and what flows between them."""

from __future__ import annotations

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
    """Nodes and edges; `static/pipeline.js` draws them."""
    states = {each["name"]: each for each in page.operations.call("status", {})["nodes"]}
    edges = _edges(page)
    drawn = [name for name in states if not name.startswith(_BUILT_IN) or any(name in edge.values() for edge in edges)]
    nodes = [_node(states[name]) for name in drawn]
    return page.show("pipeline/index.html", {"nodes": nodes, "edges": edges, "q": q}, title="Pipeline")


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
