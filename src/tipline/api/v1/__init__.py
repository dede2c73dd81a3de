"""The REST API at /api/v1: thin routers over the operations that the command line calls, too."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tipline import __version__
from tipline.api import control
from tipline.api.v1 import accounts, configuration, deliveries, indicators, nodes, secrets, system
from tipline.api.v1.asking import PROBLEMS, Limits
from tipline.engine.operations import Operations
from tipline.errors import TiplineError

PREFIX = "/api/v1"
_DESCRIPTION = (
    "Everything that the pages and the command line do. Send `Authorization: Bearer KEY` (or the key alone, as MISP's"
    " programs do); make a key on your account's page, or with `tipline key add`. Errors are problem documents"
    " (RFC 9457)."
)


def create_v1(operations: Operations) -> FastAPI:
    """The API over one engine, to be mounted at `PREFIX` below `tipline.api.identity.Doorkeeper`."""
    app = FastAPI(
        title="tipline", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", responses=PROBLEMS,
    )  # fmt: skip
    app.state.operations = operations
    app.state.limits = Limits()
    app.add_exception_handler(TiplineError, _refused)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, control.unexpected)
    for module in (system, nodes, configuration, secrets, indicators, deliveries, accounts):
        app.include_router(module.router)
    return app


def _refused(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, TiplineError):
        return control.unexpected(request, exc)
    return control.refusal(exc)


def _bad_request(_request: Request, exc: Exception) -> Response:
    found: list[Any] = list(exc.errors()) if isinstance(exc, RequestValidationError) else []
    words = [f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}" for each in found]
    what = "; ".join(words)[:2000] or "the request is not what is asked for"
    return control.problem(HTTPStatus.BAD_REQUEST, what, fix="see /api/v1/openapi.json")


def _http_error(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        return control.unexpected(request, exc)
    answer = control.problem(HTTPStatus(exc.status_code), str(exc.detail))
    answer.headers.update(exc.headers or {})
    return answer
