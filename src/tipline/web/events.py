"""Live updates: one stream of server-sent events at `/ui/events`, fed by one look at the engine a second.

An event names topics that changed: `node` and `node:NAME` for a node, `runs`, `holds`, `deliveries`, `alerts`,
`audit`, `configuration`. It carries no data: the page fetches itself again, with the rights of who looks at it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from tipline.engine.operations import Operations
from tipline.store import versions
from tipline.store.control import ALERTS, AUDIT, DELIVERIES, HOLDS, RUNS
from tipline.web.page import Viewer

router = APIRouter()
_LOOK = 1.0  # seconds between looks
_BEAT = 15  # looks between signs of life, so that proxies keep the connection
_UNREAD = 100  # events that are kept for who does not read
State = dict[str, Any]
Queue = asyncio.Queue[set[str] | None]


@router.get("/events")
async def events(page: Viewer) -> Response:
    """The stream; it ends when the server stops or the session does."""
    request = page.request
    hub: Hub = request.app.state.hub
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    stream = _stream(hub, request, {name for name in page.engine.configuration.nodes() if not page.sees(name)})
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


class Hub:
    """Looks at the engine while somebody listens, and tells all who do what changed.

    A thread looks, since the listeners may be of several servers (HTTP and HTTPS), each with its own loop.
    """

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._listeners: dict[Queue, asyncio.AbstractEventLoop] = {}
        self._looker: threading.Thread | None = None

    def join(self) -> Queue:
        """A queue of changed topics; None ends it."""
        queue: Queue = asyncio.Queue()
        with self._lock:
            if self._closed.is_set():
                queue.put_nowait(None)
                return queue
            self._listeners[queue] = asyncio.get_running_loop()
            if self._looker is None:
                self._looker = threading.Thread(target=self._look, name="events", daemon=True)
                self._looker.start()
        return queue

    def leave(self, queue: Queue) -> None:
        """Stop listening."""
        with self._lock:
            self._listeners.pop(queue, None)

    def close(self) -> None:
        """End every stream, for a server that stops waits until all is answered."""
        with self._lock:
            self._closed.set()
            looker = self._looker
        if looker is not None:
            looker.join()

    def _look(self) -> None:
        try:
            before, looks = observe(self.operations), 0
            while not self._closed.wait(_LOOK):
                if not self._listeners:
                    continue
                now = observe(self.operations)
                topics, before, looks = difference(before, now), now, looks + 1
                if topics or looks % _BEAT == 0:
                    with self._lock:
                        self._tell(topics)
        finally:
            with self._lock:
                self._looker = None
                self._tell(None)

    def _tell(self, topics: set[str] | None) -> None:
        for queue, loop in self._listeners.items():
            loop.call_soon_threadsafe(_put, queue, topics)


def _put(queue: Queue, topics: set[str] | None) -> None:
    # Who does not read misses nothing: the next change makes the page fetch everything again.
    if topics is None or queue.qsize() < _UNREAD:
        queue.put_nowait(topics)


def observe(operations: Operations) -> State:
    """What the pages show of the engine, by topic: cheap to make, and equal while nothing changes."""
    engine = operations.engine
    with engine.control.reading() as con:
        runs = dict(con.execute(select(RUNS.c.node, func.max(RUNS.c.id)).group_by(RUNS.c.node)).all())
        holds = con.execute(select(HOLDS.c.node, HOLDS.c.count, HOLDS.c.approved_at).where(HOLDS.c.ended.is_(None)))
        held = {row.node: tuple(row) for row in holds}
        columns = [
            DELIVERIES.c[name] for name in ("output", "cursor", "state", "sent", "accepted", "errors", "deleted")
        ]
        sent = {row.output: tuple(row) for row in con.execute(select(*columns))}
        alerts = con.execute(select(func.count(), func.max(ALERTS.c.id)).where(ALERTS.c.ended.is_(None))).one()
        audit = con.execute(select(func.max(AUDIT.c.id))).scalar()
    polling = set(operations.scheduler.polling)
    nodes = {*runs, *held, *sent, *polling}
    found: State = {f"node:{n}": (runs.get(n), held.get(n), sent.get(n), n in polling) for n in nodes}
    whole = {"runs": runs, "holds": held, "deliveries": sent, "alerts": tuple(alerts), "audit": audit}
    made, newest = versions.candidate_revision(engine.control), versions.newest_number(engine.control)
    return {**found, **whole, "configuration": (newest, sorted(engine.configuration.nodes())), "candidate": made}


def difference(before: State, now: State) -> set[str]:
    """The topics that changed."""
    topics = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    return topics | ({"node"} if any(name.startswith("node:") for name in topics) else set())


async def _stream(hub: Hub, request: Request, hidden: set[str]) -> AsyncIterator[str]:
    queue = hub.join()
    door = request.app.state.site.door
    try:
        yield "retry: 2000\n\n"
        while (topics := await queue.get()) is not None:
            # A session that has ended gets nothing more.
            if await to_thread.run_sync(door.person, request) is None:
                return
            visible = sorted(topics - {f"node:{name}" for name in hidden})
            yield f"event: change\ndata: {json.dumps({'topics': visible})}\n\n" if visible else ": still here\n\n"
    finally:
        hub.leave(queue)
