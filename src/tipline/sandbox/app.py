"""The ASGI application: reads a call, lets a fault strike or the work be done, answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from . import arm, armentry, defender, graph, identity, objects, sentinel
from .faults import Decision
from .world import Answer, Call, RefusalError, Route, World, find

_LISTED = (identity.ROUTES, defender.ROUTES, sentinel.ROUTES, arm.ROUTES, graph.ROUTES)

Drop = Callable[[Scope], None]


def _fault(world: World, service: str, decision: Decision) -> Answer:
    """The refusal that a fault plan asks for, in the service's own shape."""
    seconds, throttle = decision.retry_after, decision.kind == "throttle"
    if service == "defender":
        return defender.throttled(seconds) if throttle else defender.broken()
    if service == "sentinel":
        return sentinel.throttled(world, seconds) if throttle else sentinel.broken()
    if service == "arm":
        return armentry.throttled(seconds) if throttle else armentry.broken()
    if service == "graph":
        return graph.throttled(seconds) if throttle else graph.broken()
    answer = identity.oauth_error(world, 90033, status=429 if throttle else 503)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _nowhere(call: Call, methods: set[str]) -> Answer:
    if methods:
        return Answer(405, {"message": f"{call.method} is not allowed here."}, {"Allow": ", ".join(sorted(methods))})
    return Answer(404, {"error": {"code": "NotFound", "message": f"No such address: {call.path}"}})


class Application:
    """Serves every route of the stand-in.

    Calls are worked on one at a time, each in one transaction, so that what a client sees is what was stored.

    Args:
        world: state and settings.
        drop: closes the connection of a request without an answer.
        extra: the control routes.
    """

    def __init__(self, world: World, drop: Drop, extra: list[Route]) -> None:
        self.world = world
        self.drop = drop
        self.routes = [each for routes in (extra, *_LISTED) for each in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            call = await _read(request)
        except ClientDisconnect:
            return
        found = find(self.routes, call.method, call.path)
        if isinstance(found, set):
            self.world.calls["unknown"][str(405 if found else 404)] += 1
            await _respond(_nowhere(call, found), scope, receive, send)
            return
        route, path = found
        answer, slow = self._work(route, call, path)
        try:
            await asyncio.sleep(slow / 1000)
        except asyncio.CancelledError:
            return  # the stand-in stops, and nobody waits for this answer any more
        if answer is None:
            self.drop(scope)
            # Returning now would make the server answer 500 on a connection that is not closed yet.
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await _respond(answer, scope, receive, send)

    def _work(self, route: Route, call: Call, path: dict[str, str]) -> tuple[Answer | None, int]:
        """The answer (None: drop the connection) and the milliseconds to hold it back."""
        world, service = self.world, route.service
        with world.store.lock:
            decision = Decision() if service == "sandbox" else world.faults.decide(route.operation)
            if decision.kind in ("throttle", "error"):
                answer: Answer | None = _fault(world, service, decision)
            elif decision.kind == "drop_before":
                answer = None
            else:
                answer = self._transact(route, call, path)
            done = str(answer.status) if answer else "dropped-before"
            if decision.kind == "drop_after":
                answer, done = None, f"dropped-after-{done}"
            world.calls[route.operation][done] += 1
        return answer, decision.slow_ms

    def _transact(self, route: Route, call: Call, path: dict[str, str]) -> Answer:
        try:
            with self.world.store.transaction():
                if route.service in ("sentinel", "arm"):
                    objects.republish(self.world, due_only=True)
                return route.handler(self.world, call, **path)
        except RefusalError as refusal:
            return refusal.answer
        except UnicodeEncodeError:
            # JSON may spell half a surrogate pair, which is no text that could be stored.
            return Answer(400, {"message": "The request holds text that is not Unicode."})


async def _read(request: Request) -> Call:
    scope = request.scope
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Call(
        method=request.method,
        path=scope["raw_path"].decode("latin-1").partition("?")[0],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=await request.body(),
        base=f"{scope['scheme']}://{headers.get('host', '127.0.0.1')}",
    )


async def _respond(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    body = answer.encoded()
    headers = dict(answer.headers)
    if body:
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
    await Response(body, status_code=answer.status, headers=headers)(scope, receive, send)
