"""A TAXII 1.1 server for the outputs of kind `taxii`, at MineMeld's addresses: discovery, collections, polls."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import Request
from fastapi.responses import Response

from tipline.api.taxii1.messages import MOST_BYTES, Asked, StatusError, read, status_message
from tipline.api.taxii1.services import Services
from tipline.engine.core import Engine
from tipline.engine.taxiistore import TaxiiStore
from tipline.errors import TiplineError

_Handler = Callable[[Request, Asked], Response]


def router(engine: Engine) -> APIRouter:
    """The routes of the server."""
    services = Services(engine, TaxiiStore(engine))
    routes = APIRouter(tags=["taxii1"])
    table: tuple[tuple[str, dict[str, _Handler]], ...] = (
        ("/taxii-discovery-service", {"Discovery_Request": services.discovery}),
        ("/taxii-collection-management-service", {"Collection_Information_Request": services.collections}),
        ("/taxii-poll-service", {"Poll_Request": services.poll, "Poll_Fulfillment": services.part}),
    )
    for path, messages in table:
        summary = " ".join(str(handler.__doc__).strip().split("\n")[0] for handler in messages.values())
        routes.add_api_route(path, _answering(messages), methods=["POST"], summary=summary, response_class=Response)
    return routes


def _answering(messages: dict[str, _Handler]) -> Callable[[Request], object]:
    async def answered(request: Request) -> Response:
        body = b""
        async for block in request.stream():
            body += block
            if len(body) > MOST_BYTES:
                return status_message(request, None, StatusError("BAD_MESSAGE", "the message is too long"))
        return await run_in_threadpool(_handled, messages, request, body)

    return answered


def _unknown(_request: Request, asked: Asked) -> Response:
    raise StatusError("UNSUPPORTED_MESSAGE", f"this service takes no {asked.name[:100]}")


def _handled(messages: dict[str, _Handler], request: Request, body: bytes) -> Response:
    asked = None
    try:
        asked = read(request, body)
        return messages.get(asked.name, _unknown)(request, asked)
    except StatusError as error:
        return status_message(request, asked, error)
    except (TiplineError, duckdb.Error):
        return status_message(request, asked, StatusError("FAILURE", "the collection cannot be read now"))
