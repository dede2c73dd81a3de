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

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tipline.api.identity import identity_of
from tipline.api.principal import Principal
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.errors import TiplineError

_REMEMBERED = 10_000
_MOST_NUMBER = 1 << 53  # as far as JSON's numbers are exact
Cursor = Annotated[str | None, Query(alias="cursor", max_length=20_000, description="`next` of the page before.")]


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


class Body(BaseModel):
    """What is sent; unknown members are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Responses = dict[int | str, dict[str, Any]]
PROBLEMS: Responses = {
    "4XX": {"model": Problem, "description": "It was asked for wrongly, or by somebody who may not."},
    "5XX": {"model": Problem, "description": "The server, or a far side, failed."},
}
CHANGED: Responses = {412: {"description": "Somebody changed it since it was read (If-Match)."}}


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

    def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """Run an operation that answers with an object; arguments that are None are left to their defaults."""
        given = {word: value for word, value in arguments.items() if value is not None}
        found: dict[str, Any] = self.operations.call(operation, given)
        return found

    def unchanged(self, operation: str, /, **arguments: Any) -> None:
        """Check that what an operation shows is what the asker saw, if they say what they saw (`If-Match`).

        Raises:
            ChangedError: it is not.
        """
        wanted = self.request.headers.get("if-match", "*")
        if wanted.strip() == "*":
            return
        if _tag_of(self.call(operation, **arguments)) not in {each.strip() for each in wanted.split(",")}:
            raise ChangedError("somebody changed it since you read it", fix="read it again, and repeat the change")


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


def position(word: str | None, *kinds: type) -> list[Any] | None:
    """The position in a word that the asker brought back: a list with a member of each kind.

    Raises:
        RequestError: it is none of ours.
    """
    if not word:
        return None
    found: list[Any] | None
    try:
        found = json.loads(base64.b64decode(word, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or [type(each) for each in found] != list(kinds) or any(map(_is_huge, found)):
        raise RequestError("cursor is none of this server", fix="take it from `next` of the page before")
    return found


def _is_huge(each: Any) -> bool:
    return isinstance(each, int) and abs(each) >= _MOST_NUMBER


def _tag_of(document: Any) -> str:
    """The entity tag of a document."""
    return f'"{hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]}"'


def tagged(document: Any, status: int = 200) -> Response:
    """A document with its entity tag."""
    return JSONResponse(document, status, {"etag": _tag_of(document)})
