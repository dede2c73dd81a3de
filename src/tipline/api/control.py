"""Operations over HTTP: for commands of this machine alone, with the token that lies in the data directory.

`POST /api/v1/operations/<name>` with a JSON object of arguments answers with the operation's result. Errors
are problem documents (RFC 9457) with the members `what`, `where`, `fix` and `code` of the error behind them.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, Response

from tipline.engine.operations import NAMES, Operations
from tipline.errors import TiplineError

PREFIX = "/api/v1/operations"
PROBLEM = "application/problem+json"
log = structlog.get_logger()
_STATUS = {
    "request": HTTPStatus.BAD_REQUEST,
    "forbidden": HTTPStatus.FORBIDDEN,
    "conflict": HTTPStatus.CONFLICT,
    "config": HTTPStatus.UNPROCESSABLE_ENTITY,
    "far-side": HTTPStatus.BAD_GATEWAY,
    "sign-in": HTTPStatus.BAD_GATEWAY,
    "fetch": HTTPStatus.BAD_GATEWAY,
    "store": HTTPStatus.SERVICE_UNAVAILABLE,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "sign-in-refused": HTTPStatus.UNAUTHORIZED,
    "too-many": HTTPStatus.TOO_MANY_REQUESTS,
    "changed": HTTPStatus.PRECONDITION_FAILED,
}


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
    def run(request: Request, name: str, arguments: dict[str, Any] = Body(default_factory=dict)) -> Response:  # noqa: B008 - FastAPI's way
        """Run one operation."""
        refused = _refused(request, token)
        if refused:
            return refused
        if name not in NAMES:
            fix = f"there are: {', '.join(NAMES)}"
            return problem(HTTPStatus.NOT_FOUND, f"there is no operation {name}", fix=fix)
        return answer(lambda: operations.call(name, arguments))

    @routes.api_route("/{name}", methods=["GET", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def only_post(name: str) -> Response:
        """Operations are run by POST."""
        answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{name} is run by POST", fix="send a POST")
        answer.headers["allow"] = "POST"
        return answer

    return routes


def answer(work: Callable[[], Any]) -> Response:
    """The result of some work as JSON, or its error as a problem document."""
    try:
        return JSONResponse(work())
    except TiplineError as exc:
        return refusal(exc)


def refusal(exc: TiplineError) -> JSONResponse:
    """An error as a problem document."""
    status = _STATUS.get(exc.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    found = problem(status, exc.what, where=exc.where, fix=exc.fix, code=exc.code)
    wait = getattr(exc, "wait", 0)
    if wait:
        found.status_code = int(HTTPStatus.TOO_MANY_REQUESTS)
        found.headers["retry-after"] = str(int(wait) + 1)
    if status == HTTPStatus.UNAUTHORIZED:
        found.headers["www-authenticate"] = 'Bearer realm="tipline"'
    return found


def problem(status: HTTPStatus, what: str, *, where: str = "", fix: str = "", code: str = "request") -> JSONResponse:
    """A problem document (RFC 9457)."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": what,
        "what": what,
        "where": where,
        "fix": fix,
        "code": code,
    }
    return JSONResponse(body, status_code=int(status), media_type=PROBLEM)


def unexpected(request: Request, exc: Exception) -> JSONResponse:
    """An error of the program itself: the log has it, the asker does not."""
    log.error("request failed", path=request.url.path, error=type(exc).__name__, exc_info=exc)
    fix = "look at the server's log, and report it"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", fix=fix, code="internal")


def _refused(request: Request, token: str) -> Response | None:
    if not request.client or not _loopback(request.client.host):
        return problem(HTTPStatus.FORBIDDEN, "operations are for this machine alone", fix="run tipline there")
    shown = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secrets.compare_digest(shown.encode(), token.encode()):
        what = "the token is missing or wrong"
        return problem(HTTPStatus.UNAUTHORIZED, what, fix="it is in server.json of the data directory")
    return None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
