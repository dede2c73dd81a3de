"""The API's own state: who asks, health, metrics, and what changes as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from tipline.api.identity import identity_of
from tipline.api.metrics import Metrics
from tipline.api.v1.asking import Asked, Feeds, Managing, Read
from tipline.web.events import difference, observe

router = APIRouter(tags=["system"])
_LOOK = 1.0  # seconds between looks
_BEAT = 15  # looks between signs of life


@router.get("/me")
def me(asked: Feeds) -> dict[str, Any]:
    """Who asks, and what they may do."""
    who = asked.principal
    scopes = sorted(who.scopes)
    return {"name": who.name, "team": who.team, "role": who.role, "scopes": scopes, "tags": who.tags, "how": who.how}


@router.get("/status")
def status(asked: Read) -> dict[str, Any]:
    """Every node, what is held, and which alerts run."""
    return asked.call("status")


@router.get("/health")
def health(asked: Read) -> dict[str, Any]:
    """Whether the engine runs, and which nodes have a problem."""
    return asked.call("health")


@router.get("/metrics", response_class=Response)
def metrics(asked: Managing) -> Response:
    """Prometheus' text format, over every team."""
    return Response(Metrics(asked.operations.engine).text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/vitals")
def vitals(asked: Managing) -> dict[str, Any]:
    """Memory, disk, files of the store, versions; sizes in bytes."""
    return asked.call("vitals")


@router.get("/allow-lists")
def allow_lists(asked: Read) -> dict[str, Any]:
    """Allow-lists in use: entries, readers, and what each took out of outputs."""
    return asked.call("allow_lists")


@router.get("/events", response_class=StreamingResponse)
async def events(asked: Read) -> Response:
    """Server-sent events: `change` with the topics that changed (`runs`, `holds`, `deliveries`, `node:NAME`)."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_changes(asked), media_type="text/event-stream", headers=headers)


async def _changes(asked: Asked) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    before, looks = await to_thread.run_sync(observe, asked.operations), 0
    while await to_thread.run_sync(_still_there, asked):
        await asyncio.sleep(_LOOK)
        now = await to_thread.run_sync(observe, asked.operations)
        theirs = {f"node:{node.name}" for node in asked.operations.owned_nodes()}
        topics = {t for t in difference(before, now) if not t.startswith("node:") or t in theirs}
        # What changed of other teams' nodes is not even told as a number of changes.
        shown = sorted(topics) if asked.principal.everywhere else sorted(t for t in topics if t.startswith("node:"))
        before, looks = now, looks + 1
        if shown:
            yield f"event: change\ndata: {json.dumps({'topics': shown})}\n\n"
        elif looks % _BEAT == 0:
            yield ": still here\n\n"


def _still_there(asked: Asked) -> bool:
    """Whether the key or session is still in force."""
    identity = identity_of(asked.request)
    identity.forget(asked.request)
    return identity.who(asked.request) is not None
