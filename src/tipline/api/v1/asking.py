"""What every route of the API is given: who asks and what they may do; and how it pages, tags and limits."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tipline.api.identity import Principal, identity_of
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.errors import TiplineError

_REMEMBERED = 10_000


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    what: str
    where: str
    fix: str
    code: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "It was asked for wrongly, or by somebody who may not."},
    "5XX": {"model": Problem, "description": "The server, or a far side, failed."},
}


class TooManyError(TiplineError):
    """A key asks more often than it may; `wait` in seconds."""

    code = "too-many"

    def __init__(self, what: str, *, fix: str, wait: float) -> None:
        super().__init__(what, fix=fix)
        self.wait = wait


class ChangedError(TiplineError):
    """What was to be changed is not what the asker saw."""

    code = "changed"


class Limits:
    """How often each key may ask: its rate a minute, all of it at once if it was quiet before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (left, at)

    def take(self, principal: Principal) -> None:
        """Count one request.

        Raises:
            TooManyError: there were too many.
        """
        if not principal.rate:
            return
        now, most = time.monotonic(), float(principal.rate)
        with self._lock:
            left, at = self._buckets.pop(principal.ident, (most, now))
            left = min(most, left + (now - at) * most / 60)
            self._buckets[principal.ident] = (max(left - 1, 0) if left >= 1 else left, now)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        if left < 1:
            what = f"this key may ask {principal.rate} times a minute"
            raise TooManyError(what, fix="wait, or ask an admin for a higher rate", wait=(1 - left) * 60 / most)


@dataclass(frozen=True)
class Asked:
    """One request: who asks, and the operations in their name."""

    request: Request
    principal: Principal
    operations: Operations

    def call(self, operation: str, /, **arguments: Any) -> Any:
        """Run an operation; arguments that are None are left to their defaults."""
        return self.operations.call(operation, {word: value for word, value in arguments.items() if value is not None})


def _needs(scope: str) -> Any:
    def dependency(request: Request) -> Asked:
        principal = identity_of(request).need(request, scope)
        request.app.state.limits.take(principal)
        return Asked(request, principal, request.app.state.operations.asked_by(principal.asker))

    return Depends(dependency)


Feeds = Annotated[Asked, _needs("feeds")]
Read = Annotated[Asked, _needs("read")]
Indicators = Annotated[Asked, _needs("indicators")]
Holds = Annotated[Asked, _needs("holds")]
Configuring = Annotated[Asked, _needs("configuration")]
Managing = Annotated[Asked, _needs("accounts")]


def cursor(position: Any) -> str | None:
    """A position as a word for the asker to bring back."""
    return None if position is None else base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def position(word: str | None, length: int) -> list[Any] | None:
    """The position in a word that the asker brought back: a list of so many.

    Raises:
        RequestError: it is none of ours.
    """
    if not word:
        return None
    try:
        found = json.loads(base64.b64decode(word, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != length or not all(isinstance(each, (str, int)) for each in found):
        raise RequestError("cursor is none of this server", fix="take it from `next` of the page before")
    return found


def tag_of(document: Any) -> str:
    """The entity tag of a document."""
    return f'"{hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]}"'


def tagged(document: Any, status: int = 200) -> Response:
    """A document with its entity tag."""
    return JSONResponse(document, status, {"etag": tag_of(document)})


def unchanged(request: Request, document: Any) -> None:
    """Check that what is to be changed is what the asker saw, if they say what they saw (`If-Match`).

    Raises:
        ChangedError: it is not.
    """
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted.strip() != "*" and tag_of(document) not in {w.strip() for w in wanted.split(",")}:
        raise ChangedError("somebody changed it since you read it", fix="read it again, and repeat the change")
