"""Takes indicators that programs push: `POST /api/v1/ingest/<source>`, and DELETE to take them back."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from tipline.api.access import owner, shown
from tipline.api.identity import Identity
from tipline.api.v1.asking import Limits
from tipline.engine.inbox import FullError, Receipt, TooLargeError, inbox_of, ingest_source, status
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.errors import TiplineError
from tipline.http_problems import problem
from tipline.sources.bodies import feed_kinds
from tipline.sources.ingest import Ingest
from tipline.sources.submissions import user_sender, waiting

PATH = "/api/v1/ingest/{source}"
_AGAIN_SECONDS = 30
# How long an answer is waited for unless `Prefer: wait=` says otherwise, at most, and between looks; in seconds.
_WAIT, _MOST_WAIT, _LOOK, _LONGEST_LOOK = 10.0, 60.0, 0.01, 0.25
_ALIASES = {"misp": "misp-file", "stix": "stix2", "plain": "lines", "text": "lines"}
_MEDIA = {
    "text/csv": "csv",
    "text/plain": "lines",
    "application/x-ndjson": "json",
    "application/stix+json": "stix2",
    "application/taxii+json": "stix2",
    "application/vnd.oasis.stix+json": "stix2",
    "application/vnd.misp+json": "misp-file",
    "application/xml": "stix1",
    "text/xml": "stix1",
}
_PREFER = re.compile(r"\bwait=(\d{1,4})\b")
_HEAD = 1 << 14
_Body = dict[str, Any]


def router(operations: Operations, identity: Identity) -> APIRouter:
    """The routes; what an earlier process left in an inbox is read soon."""
    pushed = Pushed(operations, identity)
    for name, source in operations.engine.graph.sources.items():
        if isinstance(source, Ingest) and waiting(inbox_of(operations.engine, name)):
            operations.scheduler.wake(name)
    routes = APIRouter(tags=["ingest"])
    add = routes.add_api_route
    add(PATH, pushed.add, methods=["POST"], summary="Push indicators to a source", response_class=Response)
    add(PATH, pushed.withdraw, methods=["DELETE"], summary="Take back what was pushed", response_class=Response)
    one = PATH + "/{submission}"
    add(one, pushed.status, methods=["GET"], summary="What became of a submission", response_class=Response)
    return routes


class Pushed:
    """Answers those who push: senders with a key of the source, and users who may add indicators to it."""

    def __init__(self, operations: Operations, identity: Identity) -> None:
        self._engine = operations.engine
        self._identity = identity
        self._limits = Limits()
        self._scheduler = operations.scheduler

    async def add(self, request: Request, source: str) -> Response:
        """Take a body in, and answer with its account, or with 202 and where to ask for it."""
        return await self._take(request, source, withdraw=False)

    async def withdraw(self, request: Request, source: str) -> Response:
        """Take back the values in the body; only what the same sender has pushed goes."""
        return await self._take(request, source, withdraw=True)

    async def status(self, request: Request, source: str, submission: str) -> Response:
        """What became of a submission of the asker's."""
        sender = await to_thread.run_sync(self._sender, request, source)
        if sender is None:
            return _shut()
        try:
            return _answer(request, await self._status(source, submission, sender))
        except RequestError as exc:
            return problem(HTTPStatus.NOT_FOUND, exc.what)

    def _sender(self, request: Request, source: str) -> str | None:
        """Who pushes; None: nobody who may, or there is no such source.

        Raises:
            TooManyError: a user's key is used more often than it may.
        """
        node = self._engine.graph.sources.get(source)
        if not isinstance(node, Ingest):
            return None
        keys = ((name, key.get_secret_value()) for name, key in node.settings.keys.items())
        sender = owner(shown(request.headers), keys)
        if sender is not None:
            return sender
        user = self._identity.who(request)
        if user is None or not user.may("indicators") or not user.asker.owns(node.settings):
            return None
        self._limits.take(user)
        return user_sender(user.name)

    async def _take(self, request: Request, source: str, *, withdraw: bool) -> Response:
        sender = await to_thread.run_sync(self._sender, request, source)
        if sender is None:
            return _shut()
        node = ingest_source(self._engine, source)
        try:
            _announced(request, node)
            async with asyncio.timeout(node.settings.max_time):
                submission = await self._keep(request, source, sender, withdraw=withdraw)
        except (TimeoutError, ClientDisconnect, TiplineError) as exc:
            return _refused(exc)
        self._scheduler.wake(source)
        return _answer(request, await self._await(request, source, submission, sender), source)

    async def _keep(self, request: Request, source: str, sender: str, *, withdraw: bool) -> str:
        """Bring the body to disk; from the return on, nothing loses it."""
        blocks = request.stream()
        head = b""
        async for block in blocks:
            head += block
            if len(head) >= _HEAD:
                break
        if not head.strip():
            raise RequestError("the body is empty", fix="send lines, CSV, JSON, STIX 2 or a MISP event")
        receipt = Receipt(self._engine, source, _kind(request, head), sender, withdraw=withdraw)
        try:
            receipt.write(head)
            async for block in blocks:
                receipt.write(block)
            return await to_thread.run_sync(receipt.keep)
        finally:
            receipt.drop()

    async def _await(self, request: Request, source: str, submission: str, sender: str) -> _Body:
        """The account, if it is there in time."""
        asked = _PREFER.search(request.headers.get("prefer", ""))
        respond_async = "respond-async" in request.headers.get("prefer", "")
        left = min(float(asked[1]), _MOST_WAIT) if asked else 0.0 if respond_async else _WAIT
        look = _LOOK
        found = {"submission": submission, "state": "waiting"}
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                while found["state"] == "waiting":
                    await asyncio.sleep(look)
                    look = min(look * 1.5, _LONGEST_LOOK)
                    # In the moment between commit and run it is neither here nor there.
                    with suppress(RequestError):
                        found = await self._status(source, submission, sender)
        return found

    async def _status(self, source: str, submission: str, sender: str) -> _Body:
        return await to_thread.run_sync(lambda: status(self._engine, source, submission, sender=sender))


def _kind(request: Request, head: bytes) -> str:
    """The kind of feed that reads a body: as `format=` or Content-Type says; JSON tells what it is by itself.

    Raises:
        RequestError: it cannot be told.
    """
    asked = request.query_params.get("format", "").lower()
    known = feed_kinds()
    if asked:
        kind = _ALIASES.get(asked, asked)
    else:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind = _json_kind(head) if media == "application/json" else _MEDIA.get(media, "")
    if kind not in known:
        names = ", ".join(sorted(known))
        raise RequestError("it cannot be told how to read this body", fix=f"add ?format= with one of: {names}")
    return kind


def _json_kind(head: bytes) -> str:
    text = head.decode("utf-8-sig", "replace").lstrip()
    if re.search(r'"type"\s*:\s*"bundle"|"spec_version"\s*:', text):
        return "stix2"
    if re.match(r'[\[{]\s*\{?\s*"(Event|response)"\s*:', text):
        return "misp-file"
    return "json"


def _answer(request: Request, found: _Body, source: str = "") -> Response:
    states = {"waiting": HTTPStatus.ACCEPTED, "unreadable": HTTPStatus.UNPROCESSABLE_ENTITY}
    code = states.get(found["state"], HTTPStatus.OK)
    headers = {"cache-control": "no-store"}
    if source:
        headers["location"] = f"{request.url.path.rstrip('/')}/{found['submission']}"
    else:
        code = HTTPStatus.OK  # the question was answered, whatever became of the body
    return Response(json.dumps(found), code, headers, media_type="application/json")


def _shut() -> JSONResponse:
    refused = problem(
        HTTPStatus.UNAUTHORIZED, "the key is missing or wrong, may not push here, or there is no such source"
    )
    refused.headers["www-authenticate"] = 'Bearer realm="tipline ingest"'
    refused.headers["connection"] = "close"
    return refused


def _announced(request: Request, node: Ingest) -> None:
    """Refuse before the body what the headers rule out.

    Raises:
        TooLargeError: the body is larger than the source takes.
        FullError: the source is switched off.
    """
    if not node.settings.enabled:
        raise FullError("this source is switched off")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > node.settings.max_bytes:
        raise TooLargeError(f"the body is larger than {node.settings.max_bytes:,} bytes")


def _refused(exc: TimeoutError | ClientDisconnect | TiplineError) -> Response:
    """Why a body was not taken."""
    if isinstance(exc, TooLargeError):
        refused = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, exc.what, fix="send it in parts, or raise max_bytes")
        refused.headers["connection"] = "close"
        return refused
    if isinstance(exc, RequestError):
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, exc.what, fix=exc.fix)
    if isinstance(exc, TiplineError):
        refused = problem(HTTPStatus.SERVICE_UNAVAILABLE, exc.what, fix="send it again in a while", code=exc.code)
        refused.headers["retry-after"] = str(_AGAIN_SECONDS)
        return refused
    return problem(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time")
