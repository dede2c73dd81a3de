"""Errors over HTTP: the status that each has, and its problem document (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tipline.errors import TiplineError

MEDIA = "application/problem+json"
log = structlog.get_logger()
_STATUS = {
    "request": HTTPStatus.BAD_REQUEST,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "sign-in-refused": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "missing": HTTPStatus.NOT_FOUND,
    "conflict": HTTPStatus.CONFLICT,
    "changed": HTTPStatus.PRECONDITION_FAILED,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "config": HTTPStatus.UNPROCESSABLE_ENTITY,
    "format": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too-many": HTTPStatus.TOO_MANY_REQUESTS,
    "far-side": HTTPStatus.BAD_GATEWAY,
    "sign-in": HTTPStatus.BAD_GATEWAY,
    "fetch": HTTPStatus.BAD_GATEWAY,
    "store": HTTPStatus.SERVICE_UNAVAILABLE,
    "full": HTTPStatus.SERVICE_UNAVAILABLE,
    "not-ready": HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(exc: TiplineError) -> HTTPStatus:
    """The status of an answer that tells an error."""
    if getattr(exc, "wait", 0):
        return HTTPStatus.TOO_MANY_REQUESTS
    return _STATUS.get(exc.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def headers_of(exc: TiplineError, realm: str = 'Bearer realm="tipline"') -> dict[str, str]:
    """The headers that say what to do about it: wait, or sign in."""
    status = status_of(exc)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return {"retry-after": str(int(getattr(exc, "wait", 0)) + 1)}
    return {"www-authenticate": realm} if status == HTTPStatus.UNAUTHORIZED else {}


def document(
    status: HTTPStatus, what: str, *, where: str = "", fix: str = "", code: str = "request"
) -> dict[str, str | int]:
    """A problem document, with the members of the error behind it."""
    told: dict[str, str | int] = {"what": what, "where": where, "fix": fix, "code": code}
    return {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": what, **told}


def problem(status: HTTPStatus, what: str, *, where: str = "", fix: str = "", code: str = "request") -> JSONResponse:
    """A problem document as an answer."""
    content = document(status, what, where=where, fix=fix, code=code)
    return JSONResponse(content, int(status), media_type=MEDIA)


def add_handlers(app: FastAPI) -> None:
    """Let an application answer every error with a problem document."""
    for kind in (TiplineError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answered)


def answered(request: Request, exc: Exception) -> Response:
    """The answer to an error; of one of the program itself the log tells, and the asker is not told."""
    if isinstance(exc, TiplineError):
        found = problem(status_of(exc), exc.what, where=exc.where, fix=exc.fix, code=exc.code)
        found.headers.update(headers_of(exc))
    elif isinstance(exc, RequestValidationError):
        what = wrong_parts(exc)[:2000] or "the request is not what is asked for"
        found = problem(HTTPStatus.BAD_REQUEST, what, fix="see /api/v1/openapi.json")
    elif isinstance(exc, HTTPException):
        found = problem(HTTPStatus(exc.status_code), str(exc.detail))
        found.headers.update(exc.headers or {})
    else:
        log.error("request failed", path=request.url.path, error=type(exc).__name__, exc_info=exc)
        fix = "look at the server's log, and report it"
        found = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", fix=fix, code="internal")
    return found


def wrong_parts(exc: RequestValidationError) -> str:
    """Which parts of a request are wrong, and why."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}" for each in exc.errors()
    )
