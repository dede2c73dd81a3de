"""A TAXII 2.1 and 2.0 server at /taxii2/: outputs of kind `taxii`, and sources that take what is added."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response

from tipline.api.taxii.collections import Collections
from tipline.api.taxii.inbound import Inbound
from tipline.api.taxii.media import AsyncHandler, Handler, TaxiiError, guarded, guarded_writing
from tipline.api.taxii.numbered import Numbered
from tipline.api.taxii.objects import Objects
from tipline.api.taxii.roots import Roots
from tipline.engine.core import Engine
from tipline.engine.taxiistore import TaxiiStore
from tipline.sources.ingest import Ingest

_ROOT = "/taxii2/{root}/"
_COLLECTION = _ROOT + "collections/{collection}/"
_OBJECT = _COLLECTION + "objects/{object}/"
_OTHERS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def router(
    engine: Engine,
    wake: Callable[[str], None],
    user: Callable[[Request, Ingest], str | None] = lambda _request, _source: None,
) -> APIRouter:
    """The routes of the TAXII server.

    Args:
        engine: whose collections are served.
        wake: lets a source be polled soon, once something was added to it.
        user: the name of a user of this server who asks and may add to a source.
    """
    collections = Collections(engine, user)
    inbound = Inbound(collections, wake)
    roots = Roots(collections)
    objects = Objects(collections, TaxiiStore(engine), Numbered())
    routes = APIRouter(tags=["taxii"])
    for path, handler in (
        ("/taxii2/", roots.discovery),
        ("/taxii/", roots.discovery),
        (_ROOT, roots.root),
        (_ROOT + "status/{status}/", inbound.status),
        (_ROOT + "collections/", collections.listing),
        (_COLLECTION, collections.info),
        (_COLLECTION + "objects/", objects.objects),
        (_COLLECTION + "manifest/", objects.manifest),
        (_OBJECT, objects.one),
        (_OBJECT + "versions/", objects.versions),
    ):
        _add(routes, path, guarded(handler), "GET")
    _add(routes, _COLLECTION + "objects/", guarded_writing(inbound.add), "POST")
    for path in ("/taxii2/", "/taxii/", "/taxii2/{rest:path}", "/taxii/{rest:path}"):
        routes.add_api_route(path, guarded(_nothing), methods=_OTHERS, include_in_schema=False, response_class=Response)
    return routes


def _add(routes: APIRouter, path: str, answered: Handler | AsyncHandler, method: str) -> None:
    summary = (answered.__doc__ or "").strip()
    routes.add_api_route(path, answered, methods=[method], summary=summary, response_class=Response)
    methods = {"GET": ["GET", "HEAD"]}.get(method, [method])
    # Some clients leave out the last slash, and do not follow a redirect.
    for each in (path, path.rstrip("/")):
        routes.add_api_route(each, answered, methods=methods, include_in_schema=False, response_class=Response)


def _nothing(request: Request) -> Response:
    """What the standard has no address or no method for."""
    if request.method in {"GET", "HEAD"}:
        raise TaxiiError(HTTPStatus.NOT_FOUND, "there is nothing at this address")
    why = "nothing here can be added, changed or deleted"
    raise TaxiiError(HTTPStatus.METHOD_NOT_ALLOWED, why, {"allow": "GET, HEAD"})
