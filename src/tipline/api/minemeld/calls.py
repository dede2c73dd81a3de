"""One call of MineMeld's API: who asks what, and how answers and errors look there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from tipline.api.identity import comes_from_elsewhere
from tipline.api.principal import Principal
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.errors import TiplineError
from tipline.http_problems import headers_of, status_of

_MOST_BYTES = 8 << 20
_REALM = 'Basic realm="tipline", charset="UTF-8"'


class MissingError(RequestError):
    """There is no such thing."""

    code = "missing"


class LargeError(RequestError):
    """The body is too large."""

    code = "too-large"


class ElsewhereError(RequestError):
    """A browser says that another site's page asks for a change."""

    code = "forbidden"


class RefusedError(RequestError):
    """No, with the very status and message that MineMeld had for it."""

    def __init__(self, status: HTTPStatus, message: str | list[str]) -> None:
        super().__init__(message if isinstance(message, str) else "; ".join(message))
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Call:
    """A request of somebody who may ask it.

    Attributes:
        operations: in the asker's name.
        principal: who asks.
        request: with its path and query.
        body: what was sent.
    """

    operations: Operations
    principal: Principal
    request: Request
    body: bytes = b""

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def given(self, name: str, default: str) -> str:
        """A parameter of the query."""
        return self.request.query_params.get(name, default)

    def only_ours(self) -> None:
        """Refuse a change that is asked for with GET by another site's page.

        Raises:
            ElsewhereError: it is.
        """
        if comes_from_elsewhere(self.request):
            raise ElsewhereError("this change comes from another site's page")

    def fields(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RequestError: it is none.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RequestError("the body is not a JSON object")
        return found


@dataclass(frozen=True)
class Route:
    """An address: what it takes to ask it, and what answers; the first line of its docstring describes it."""

    path: str
    scope: str
    work: Callable[[Call], Any]
    methods: tuple[str, ...] = ("GET",)
    bare: bool = False  # whether an error is the text alone, as in `{"error": "Unknown user"}`


def result(value: Any) -> Response:
    """What was asked for."""
    return JSONResponse({"result": value}, headers={"cache-control": "no-store"})


def error(exc: TiplineError, *, bare: bool = False) -> Response:
    """Why not."""
    headers = {"cache-control": "no-store", **headers_of(exc, _REALM)}
    status, message = (exc.status, exc.message) if isinstance(exc, RefusedError) else (status_of(exc), exc.what)
    return JSONResponse({"error": message if bare else {"message": message}}, status, headers)


async def body_of(request: Request) -> bytes:
    """What was sent.

    Raises:
        LargeError: it is too much.
    """
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > _MOST_BYTES:
            raise LargeError(f"the body is larger than {_MOST_BYTES:,} bytes")
    return bytes(body)
