"""The web application: lists, health, metrics and operations."""

from __future__ import annotations

from contextlib import ExitStack
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request

from tipline import __version__
from tipline.api import control, feeds, ingest, minemeld, mispfeed, taxii, taxii1
from tipline.api.access import User, gate, shown
from tipline.api.client import is_loopback
from tipline.api.door import door
from tipline.api.identity import Doorkeeper, Identity
from tipline.api.metrics import Metrics
from tipline.api.v1 import PREFIX, create_v1
from tipline.engine.operations import Operations
from tipline.errors import TiplineError
from tipline.http_problems import add_handlers, problem
from tipline.kinds import NodeSettings
from tipline.web import site as web
from tipline.web.app import create_web


def create_app(operations: Operations, token: str, *, lists: bool = True) -> FastAPI:
    """The application over one engine.

    Args:
        operations: what people can do on the engine.
        token: the bearer token that operations ask for.
        lists: whether lists and metrics are served; without them, only health and operations are.
    """
    # No interactive pages: they would fetch their scripts from elsewhere.
    app = FastAPI(title="tipline", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    add_handlers(app)
    identity = Identity(operations.engine, token)
    app.state.identity = identity
    app.state.ending = ExitStack()  # what a server has to do before it can stop
    app.add_middleware(Doorkeeper, identity=identity)
    app.include_router(control.router(operations, token))
    _add_health(app, operations, identity)
    if lists:
        app.include_router(feeds.router(operations.engine))
        app.include_router(ingest.router(operations, identity))
        app.include_router(minemeld.router(operations, identity))
        app.include_router(
            taxii.router(
                operations.engine,
                operations.scheduler.wake,
                lambda request, source: _user(identity, request, source.settings),
            )
        )
        app.include_router(taxii1.router(operations.engine))
        app.include_router(mispfeed.router(operations.engine))
        gate(operations.engine).user_of = lambda request: _reading(identity, request)
        _add_metrics(app, Metrics(operations.engine), identity, operations)
        app.mount(PREFIX, create_v1(operations))
        pages = create_web(operations, door(identity))
        app.mount(web.PREFIX, pages)
        app.state.ending.callback(pages.state.hub.close)
        app.add_api_route("/", _to_the_pages, methods=["GET"], include_in_schema=False)
    return app


def _to_the_pages() -> Response:
    return RedirectResponse(f"{web.PREFIX}/overview", HTTPStatus.SEE_OTHER)


def _add_health(app: FastAPI, operations: Operations, identity: Identity) -> None:
    @app.get("/health")
    def health(request: Request) -> Response:
        """200 with status ok or degraded; 503 when the engine has stopped."""
        found = operations.health()
        if not _may_know_all(request, identity, operations):
            found["problems"] = []
        status = HTTPStatus.SERVICE_UNAVAILABLE if found["status"] == "dead" else HTTPStatus.OK
        return JSONResponse(found, status_code=int(status))


def _add_metrics(app: FastAPI, metrics: Metrics, identity: Identity, operations: Operations) -> None:
    @app.get("/metrics")
    def text(request: Request) -> Response:
        """Prometheus' text format; with several teams, for this machine and admins alone."""
        if not _may_know_all(request, identity, operations):
            fix = "send an admin's key as Authorization: Bearer KEY, or ask from this machine"
            return problem(HTTPStatus.UNAUTHORIZED, "metrics tell of every team", fix=fix)
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _may_know_all(request: Request, identity: Identity, operations: Operations) -> bool:
    """Whether who asks may know of every team's nodes: there is one team, they are on this machine, or an admin."""
    teams = {node.settings.team for node in operations.engine.configuration.nodes().values()}
    if len(teams) <= 1 or is_loopback(identity.address(request)):
        return True
    try:
        who = identity.who(request)
    except TiplineError:
        return False
    return who is not None and who.everywhere and who.may("read")


def _reading(identity: Identity, request: Request) -> User | None:
    """The user who asks for a list, if they may read lists."""
    try:
        who = identity.who(request)
    except TiplineError:
        return None
    return User(who.asker, frozenset(who.tags)) if who is not None and who.may("feeds") else None


def _user(identity: Identity, request: Request, source: NodeSettings) -> str | None:
    """The name of a user who may add indicators to a source."""
    named = shown(request.headers).user
    if named and all(user["name"] != named for user in identity.accounts.users()):
        return None  # a collection's key under any name is no failed sign-in
    try:
        who = identity.who(request)
    except TiplineError:
        return None
    return who.name or "local" if who is not None and who.may("indicators") and who.asker.owns(source) else None
