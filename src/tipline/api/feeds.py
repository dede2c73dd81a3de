"""Serves lists at /feeds/<name> from prepared files, and an index of them at /feeds."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, BinaryIO

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from tipline.api.access import gate
from tipline.api.feedbody import FileBody, byte_range, not_modified
from tipline.api.feedquery import BadQueryError, FeedQuery, negotiate, parse_query
from tipline.engine.core import Engine
from tipline.engine.listfiles import DEFAULT, NotReadyError, list_files
from tipline.engine.prepared import SUFFIXES, Encoding, Prepared
from tipline.engine.served import addresses
from tipline.engine.times import iso
from tipline.outputs.list import ListKind
from tipline.outputs.render import MEDIA_TYPES, Dialect, layout

# Requests that wait for files to be made, each in a thread.
_MOST_WAITING = 4
_AGAIN_SECONDS = 30
_REALM = 'Basic realm="tipline lists", charset="UTF-8"'


def router(engine: Engine) -> APIRouter:
    """The routes that serve an engine's lists."""
    feeds = Feeds(engine)
    routes = APIRouter(tags=["lists"])
    one = "/feeds/{name}"
    routes.add_api_route("/feeds", feeds.index, methods=["GET"], summary="The lists that you may read")
    routes.add_api_route(one, feeds.serve, methods=["GET"], summary="A list", response_class=Response)
    routes.add_api_route(one, feeds.serve, methods=["HEAD"], include_in_schema=False)
    return routes


class Feeds:
    """Answers requests for the lists of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._files = list_files(engine)
        self._gate = gate(engine)
        self._limiter = CapacityLimiter(_MOST_WAITING)
        self._waiting: dict[tuple[str, Dialect, Encoding], asyncio.Task[tuple[Prepared, str]]] = {}

    async def index(self, request: Request) -> Response:
        """The lists that the asker may read: name, count, version, updated, left_out, access, addresses."""
        found = [
            await self._entry(name, output)
            for name, output in sorted(self._engine.graph.outputs.items())
            if isinstance(output, ListKind) and await self._admits(output, request)
        ]
        return JSONResponse(found, headers={"cache-control": "no-cache"})

    async def serve(self, request: Request, name: str) -> Response:
        """One list, in the dialect v= (docs/reference/list-dialects.md); s= and n= cut out a part of it."""
        output = self._engine.graph.outputs.get(name)
        if not isinstance(output, ListKind):
            return _refuse(HTTPStatus.NOT_FOUND, "there is no such list")
        if not await self._admits(output, request):
            if output.settings.access == "network":
                return _refuse(HTTPStatus.FORBIDDEN, "this list is not for your address")
            return _refuse(HTTPStatus.UNAUTHORIZED, "this list asks for a key", {"www-authenticate": _REALM})
        try:
            compat = output.settings.compat == "minemeld"
            query = parse_query(request.url.query, output.settings.formulas, compat=compat)
        except BadQueryError as exc:
            return _refuse(HTTPStatus.BAD_REQUEST, str(exc))
        # Pages are cut out of the uncompressed file.
        encoding = negotiate(request.headers.get("accept-encoding", "")) if query.whole else "identity"
        try:
            prepared, warning, file = await self._open(name, query.dialect, encoding)
        except NotReadyError as exc:
            # Not an empty list: a firewall would take that for the truth.
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, exc.what, {"retry-after": str(_AGAIN_SECONDS)})
        headers = _headers(prepared, query, encoding, warning, public=output.settings.access == "public")
        try:
            return await _answer(request, prepared, query, headers, file)
        except BaseException:
            file.close()
            raise

    async def _admits(self, output: ListKind, request: Request) -> bool:
        if output.settings.access != "readers":
            return self._gate.admits(output.settings, request)
        return await to_thread.run_sync(self._gate.admits, output.settings, request)

    async def _open(self, name: str, dialect: Dialect, encoding: Encoding) -> tuple[Prepared, str, BinaryIO]:
        prepared, warning = self._files.peek(name, dialect, encoding), ""
        for _ in range(2):
            if prepared is None:
                prepared, warning = await self._obtain((name, dialect, encoding))
            try:
                return prepared, warning, prepared.file(encoding).open("rb")
            except FileNotFoundError:
                # A newer version took its place since.
                prepared = None
        raise NotReadyError("the list is being prepared", where=name, fix="ask again in a little while")

    async def _obtain(self, key: tuple[str, Dialect, Encoding]) -> tuple[Prepared, str]:
        """Have a file made in a thread; all who ask for it meanwhile wait for the same one."""
        task = self._waiting.get(key)
        if task is None:
            task = asyncio.ensure_future(to_thread.run_sync(self._files.obtain, *key, limiter=self._limiter))
            self._waiting[key] = task
            task.add_done_callback(lambda _: self._waiting.pop(key, None))
        return await asyncio.shield(task)

    async def _entry(self, name: str, output: ListKind) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": name, "count": None, "version": None, "updated": None, "left_out": 0}
        try:
            prepared = self._files.peek(name, DEFAULT) or (await self._obtain((name, DEFAULT, "identity")))[0]
        except NotReadyError as exc:
            entry["message"] = exc.what
        else:
            version, made = prepared.version, prepared.made
            entry |= {"count": made.rows, "version": version.seq, "updated": iso(version.moment())}
            entry["left_out"] = made.left_out
        found = await to_thread.run_sync(addresses, self._engine, name)
        return {**entry, "access": output.settings.access, "addresses": found}


async def _answer(
    request: Request, prepared: Prepared, query: FeedQuery, headers: dict[str, str], file: BinaryIO
) -> Response:
    if not_modified(request.headers, headers["etag"], prepared.version.moment()):
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["content-type"] = MEDIA_TYPES[query.dialect.format]
    if not query.whole:
        around = layout(query.dialect, prepared.context)
        first, end = await to_thread.run_sync(prepared.page, query.start, query.count)
        return FileBody(file, first, end, headers, head=around.head, tail=around.tail)
    size = file.seek(0, 2)
    headers["accept-ranges"] = "bytes"
    try:
        part = byte_range(request.headers, headers["etag"], size)
    except ValueError as exc:
        file.close()
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        return _refuse(status, "the range starts past the end", {"content-range": str(exc)})
    if part is None or request.method == "HEAD":
        return FileBody(file, 0, size, headers)
    first, end = part
    headers["content-range"] = f"bytes {first}-{end - 1}/{size}"
    return FileBody(file, first, end, headers, status=HTTPStatus.PARTIAL_CONTENT)


def _headers(prepared: Prepared, query: FeedQuery, encoding: Encoding, warning: str, *, public: bool) -> dict[str, str]:
    page = "" if query.whole else f"-{query.start}-{'' if query.count is None else query.count}"
    headers = {
        "etag": f'"{prepared.tag}{page}{SUFFIXES[encoding].replace(".", "-")}"',
        "cache-control": "no-cache" if public else "private, no-cache",
        "vary": "Accept-Encoding" if public else "Accept-Encoding, Authorization",
        "x-feed-version": str(prepared.version.seq),
        "x-feed-count": str(prepared.made.rows),
        "x-content-type-options": "nosniff",
    }
    changed = prepared.version.moment().replace(microsecond=0, tzinfo=UTC)
    if time.time() > changed.timestamp() + 1:
        # Within the same second it might change once more, and If-Modified-Since would not notice.
        headers["last-modified"] = format_datetime(changed, usegmt=True)
    if encoding != "identity":
        headers["content-encoding"] = encoding
    if prepared.made.left_out:
        headers["x-feed-left-out"] = str(prepared.made.left_out)
    if warning:
        headers["warning"] = f'110 tipline "{warning}"'
    return headers


def _refuse(status: HTTPStatus, why: str, headers: dict[str, str] | None = None) -> Response:
    # Never kept, and never read as anything but text: it may repeat what the address said.
    safe = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return PlainTextResponse(f"{why}\n", status, {**safe, **(headers or {})})
