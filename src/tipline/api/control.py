"""Operations over HTTP: for commands of this machine alone, with the token that lies in the data directory.

`POST /api/v1/operations/<name>` with a JSON object of arguments answers with the operation's result. Errors
are problem documents (RFC 9457) with the members `what`, `where`, `fix` and `code` of the error behind them.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, Response

from tipline.api.client import is_loopback
from tipline.engine.operations import NAMES, Operations
from tipline.http_problems import problem

PREFIX = "/api/v1/operations"


def router(operations: Operations, token: str) -> APIRouter:
    """The routes.

    Args:
        operations: what may be asked for.
        token: what the asker must show as a bearer token.
    """
    routes = APIRouter(prefix=PREFIX)

    @routes.get("")
    def names(request: Request) -> Response:
        """The operations there are."""
        return _refused(request, token) or JSONResponse(sorted(NAMES))

    @routes.post("/{name}")
    def run(request: Request, name: str, arguments: Annotated[dict[str, Any] | None, Body()] = None) -> Response:
        """Run one operation."""
        refused = _refused(request, token)
        if refused:
            return refused
        if name not in NAMES:
            fix = f"there are: {', '.join(NAMES)}"
            return problem(HTTPStatus.NOT_FOUND, f"there is no operation {name}", fix=fix)
        return JSONResponse(operations.call(name, arguments or {}))

    @routes.api_route("/{name}", methods=["GET", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def only_post(name: str) -> Response:
        """Operations are run by POST."""
        answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{name} is run by POST", fix="send a POST")
        answer.headers["allow"] = "POST"
        return answer

    return routes


def _refused(request: Request, token: str) -> Response | None:
    if not request.client or not is_loopback(request.client.host):
        return problem(HTTPStatus.FORBIDDEN, "operations are for this machine alone", fix="run tipline there")
    shown = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secrets.compare_digest(shown.encode(), token.encode()):
        what = "the token is missing or wrong"
        return problem(HTTPStatus.UNAUTHORIZED, what, fix="it is in server.json of the data directory")
    return None
