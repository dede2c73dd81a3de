"""The web application: lists, health, metrics and operations."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tipline import __version__
from tipline.api import control, feeds, taxii
from tipline.api.metrics import Metrics
from tipline.engine.operations import Operations


def create_app(operations: Operations, token: str, *, lists: bool = True) -> FastAPI:
    """The application over one engine.

    Args:
        operations: what people can do on the engine.
        token: the bearer token that operations ask for.
        lists: whether lists and metrics are served; without them, only health and operations are.
    """
    # No interactive pages: they would fetch their scripts from elsewhere.
    app = FastAPI(title="tipline", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(Exception, control.unexpected)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.include_router(control.router(operations, token))
    _add_health(app, operations)
    if lists:
        app.include_router(feeds.router(operations.engine))
        app.include_router(taxii.router(operations.engine))
        _add_metrics(app, Metrics(operations.engine))
    return app


def _add_health(app: FastAPI, operations: Operations) -> None:
    @app.get("/health")
    def health() -> Response:
        """200 with status ok or degraded; 503 when the engine has stopped."""
        found = condition(operations)
        status = HTTPStatus.SERVICE_UNAVAILABLE if found["status"] == "dead" else HTTPStatus.OK
        return JSONResponse(found, status_code=int(status))


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/metrics")
    def text() -> Response:
        """Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def condition(operations: Operations) -> dict[str, Any]:
    """How the engine does.

    Returns:
        status (ok, degraded, dead) and problems: node, state, message.
    """
    if not operations.scheduler.alive:
        message = operations.scheduler.error or "the engine has stopped"
        return {"status": "dead", "problems": [{"node": "engine", "state": "dead", "message": message}]}
    bad = {"failing", "failed", "held", "drift"}
    problems = [
        {"node": node["name"], "state": node["state"], "message": node["message"]}
        for node in operations.status()["nodes"]
        if node["state"] in bad
    ]
    return {"status": "degraded" if problems else "ok", "problems": problems}


def _http_error(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        return control.unexpected(_request, exc)
    answer = control.problem(HTTPStatus(exc.status_code), str(exc.detail))
    answer.headers.update(exc.headers or {})
    return answer


def _bad_request(_request: Request, _exc: Exception) -> Response:
    what = "the request's body is not what is asked for"
    return control.problem(HTTPStatus.BAD_REQUEST, what, fix="send one JSON object")
