"""The pages as one application, mounted below `/ui`."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tipline.engine.operations import Operations
from tipline.errors import TiplineError
from tipline.http_problems import MEDIA, document, status_of
from tipline.web import events
from tipline.web.page import Page, SignInNeededError, wants_json
from tipline.web.session import Door
from tipline.web.site import PREFIX, Headers, Site, include, static_files

log = structlog.get_logger()


def create_web(operations: Operations, door: Door) -> FastAPI:
    """The pages over one engine.

    Args:
        operations: what people can do on the engine.
        door: who lets people in.
    """
    app = FastAPI(title="tipline pages", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = Site(operations, door)
    app.state.site.nav = include(app)
    app.state.hub = events.Hub(operations)
    app.include_router(events.router)
    app.mount("/static", static_files())
    app.add_exception_handler(SignInNeededError, _sign_in)
    app.add_exception_handler(TiplineError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(Headers)
    return app


def _sign_in(request: Request, _exc: Exception) -> Response:
    site: Site = request.app.state.site
    where = request.scope["path"] + (f"?{request.url.query}" if request.url.query else "")
    address = f"{PREFIX}/first-visit" if site.door.is_new() else f"{PREFIX}/sign-in?next={quote(where, safe='/')}"
    part = "hx-request" in request.headers  # of a page that stays as it is: what somebody wrote there is not lost
    if part or wants_json(request) or request.method != "GET":
        return _message(request, HTTPStatus.UNAUTHORIZED, "you are not signed in", fix=f"sign in at {address}")
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)


def _refused(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, TiplineError):
        return _unexpected(request, exc)
    return _message(request, status_of(exc), exc.what, where=exc.where, fix=exc.fix, code=exc.code)


def _http_error(request: Request, exc: Exception) -> Response:
    status = HTTPStatus(exc.status_code) if isinstance(exc, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    what = "there is no such page" if status == HTTPStatus.NOT_FOUND else status.phrase
    return _message(request, status, what)


def _bad_request(request: Request, exc: Exception) -> Response:
    found = exc.errors() if isinstance(exc, RequestValidationError) else []
    what = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in found)
    return _message(request, HTTPStatus.BAD_REQUEST, what or "the address is wrong", fix="correct the address")


def _unexpected(request: Request, exc: Exception) -> Response:
    log.error("page failed", path=request.url.path, error=type(exc).__name__, exc_info=exc)
    fix = "look at the server's log, and report it"
    return _message(request, HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", fix=fix, code="internal")


def _message(
    request: Request, status: HTTPStatus, what: str, *, where: str = "", fix: str = "", code: str = "request"
) -> Response:
    """A problem document (RFC 9457), or the same as a page."""
    problem = document(status, what, where=where, fix=fix, code=code)
    if wants_json(request):
        return JSONResponse(problem, int(status), media_type=MEDIA)
    site: Site = request.app.state.site
    try:
        person = site.door.person(request)
    except TiplineError:
        person = None
    return Page(site, request, person).show("shell/problem.html", problem, title=status.phrase, status=int(status))
