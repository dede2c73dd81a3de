"""TAXII's media types, answers and errors; which version an asker takes.

Facts: TAXII 2.1 sections 1.6.8 (media types) and 3.6 (errors); TAXII 2.0 sections 1.6.8 and 3.6.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import duckdb
import structlog
from starlette.requests import Request
from starlette.responses import Response

from tipline.engine.signin import SignInRefusedError
from tipline.errors import TiplineError
from tipline.outputs.taxii_objects import Spec

log = structlog.get_logger()

TAXII_21 = "application/taxii+json;version=2.1"
TAXII_20 = "application/vnd.oasis.taxii+json; version=2.0"
STIX_21 = "application/stix+json;version=2.1"
STIX_20 = "application/vnd.oasis.stix+json; version=2.0"
_SAFE = {
    "cache-control": "private, no-cache",
    "vary": "Accept, Authorization",
    "x-content-type-options": "nosniff",
}

Handler = Callable[[Request], Response]
AsyncHandler = Callable[[Request], Awaitable[Response]]


class TaxiiError(Exception):
    """A request that is answered with an error object; the message is for the asker."""

    def __init__(self, status: HTTPStatus, description: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(description)
        self.status, self.description, self.headers = status, description, dict(headers or {})


_ERRORS = (TaxiiError, TiplineError, duckdb.Error)


def not_found(what: str) -> TaxiiError:
    """There is no such thing."""
    return TaxiiError(HTTPStatus.NOT_FOUND, f"there is no such {what}, or you may not read it")


def wants(request: Request, *, stix: bool = False) -> Spec:
    """The version that the asker takes.

    Args:
        request: its Accept header decides; without one, 2.1.
        stix: whether STIX objects are asked for, which in 2.0 have a media type of their own.

    Raises:
        TaxiiError: 406, neither.
    """
    best: tuple[float, Spec] | None = None
    for part in request.headers.get("accept", "*/*").split(","):
        word, *parameters = [piece.strip().lower() for piece in part.split(";")]
        values = dict(each.partition("=")[::2] for each in parameters)
        spec = _spec(word, values.get("version", "").strip('"'), stix=stix)
        weight = _weight(values.get("q", "1"))
        if spec is not None and weight > 0 and (best is None or weight > best[0]):
            best = (weight, spec)
    if best is None:
        accepted = f"{TAXII_21}, or {STIX_20 if stix else TAXII_20}"
        raise TaxiiError(HTTPStatus.NOT_ACCEPTABLE, f"the Accept header must name {accepted}")
    return best[1]


def _spec(word: str, version: str, *, stix: bool) -> Spec | None:
    if word in {"*/*", "application/*"} or (word == "application/taxii+json" and version in {"", "2.1"}):
        return "2.1"
    ours = STIX_20 if stix else TAXII_20
    return "2.0" if word == ours.partition(";")[0] and version in {"", "2.0"} else None


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def answer(
    content: Mapping[str, Any],
    spec: Spec,
    *,
    stix: bool = False,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A resource with its media type."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    media = TAXII_21 if spec == "2.1" else (STIX_20 if stix else TAXII_20)
    # Starlette would add a character set to a media type that it is given.
    return Response(body, status, {**_SAFE, **(headers or {}), "content-type": media})


def guarded(handler: Handler) -> Handler:
    """A handler whose errors are answered as TAXII says."""

    def answered(request: Request) -> Response:
        try:
            return handler(request)
        except _ERRORS as exc:
            return _error(request, exc)

    answered.__doc__ = handler.__doc__
    return answered


def guarded_writing(handler: AsyncHandler) -> AsyncHandler:
    """The same for a handler that reads a body."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except _ERRORS as exc:
            return _error(request, exc)

    answered.__doc__ = handler.__doc__
    return answered


def _unavailable(request: Request, exc: Exception) -> TaxiiError:
    if isinstance(exc, SignInRefusedError):
        return TaxiiError(HTTPStatus.TOO_MANY_REQUESTS, exc.what, {"retry-after": str(int(exc.wait) + 1)})
    # Readers may be strangers: paths and SQL are for the log.
    log.error("collection not served", path=request.url.path, error=str(exc))
    why = "the collection cannot be read or written now"
    return TaxiiError(HTTPStatus.SERVICE_UNAVAILABLE, why, {"retry-after": "30"})


def _error(request: Request, failed: Exception) -> Response:
    exc = failed if isinstance(failed, TaxiiError) else _unavailable(request, failed)
    spec: Spec = "2.0" if "vnd.oasis" in request.headers.get("accept", "") else "2.1"
    content = {
        "title": exc.status.phrase,
        "description": exc.description,
        "http_status": str(int(exc.status)),
    }
    return answer(content, spec, status=exc.status, headers={**exc.headers, "cache-control": "no-store"})
