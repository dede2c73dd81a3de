"""MineMeld's API, as far as scripts of others call it, in its shapes and with basic authentication.

Answers are `{"result": ...}` or `{"error": {"message": ...}}`. Each module has its group of addresses (`ROUTES`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from tipline.api.identity import Identity
from tipline.api.minemeld import access, candidate, data, prototypes, series, session, status, supervisor
from tipline.api.minemeld.calls import Call, Route, body_of, error, result
from tipline.engine.operations import Operations
from tipline.errors import TiplineError


def router(operations: Operations, identity: Identity) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["minemeld"])
    session.add(routes, identity)
    for module in (status, candidate, supervisor, data, prototypes, series, access):
        for route in module.ROUTES:
            answer = _answer(operations, identity, route)
            words = (route.work.__doc__ or "").strip().splitlines()[0]
            summary = f"MineMeld's API: {words[:1].lower()}{words[1:]}"
            for method in route.methods:
                routes.add_api_route(
                    route.path, answer, methods=[method], summary=summary, response_class=Response,
                    include_in_schema=method == route.methods[0],
                )  # fmt: skip
    return routes


def _answer(operations: Operations, identity: Identity, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            principal = await to_thread.run_sync(identity.need, request, route.scope)
            call = Call(operations.asked_by(principal.asker), principal, request, await body_of(request))
            return result(await to_thread.run_sync(route.work, call))
        except TiplineError as exc:
            return error(exc, bare=route.bare)

    return answer
