"""The REST API at /api/v1: thin routers over the operations that the command line calls, too."""

from __future__ import annotations

from fastapi import FastAPI

from tipline import __version__
from tipline.api.v1 import (
    accounts,
    backups,
    candidate,
    configuration,
    deliveries,
    feeds,
    indicators,
    library,
    logs,
    nodes,
    secrets,
    start,
    system,
    warning_lists,
)
from tipline.api.v1.asking import PROBLEMS, Limits
from tipline.engine.operations import Operations
from tipline.http_problems import add_handlers

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
    add_handlers(app)
    for module in (
        system,
        nodes,
        feeds,
        library,
        configuration,
        candidate,
        secrets,
        indicators,
        deliveries,
        accounts,
        start,
        logs,
        backups,
        warning_lists,
    ):
        app.include_router(module.router)
    return app
