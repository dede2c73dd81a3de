"""Serves the directories of `misp-feed` outputs at /misp/<name>/, for MISP servers that fetch them."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from tipline.api.access import gate
from tipline.engine.core import Engine
from tipline.engine.mispfeed import HASHES, MANIFEST
from tipline.outputs.misp_feed import MispFeedKind

_EVENT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json")
_MEDIA = {".json": "application/json", ".csv": "text/csv; charset=utf-8"}


def router(engine: Engine) -> APIRouter:
    """The routes; the configuration is looked at with each request."""
    made = APIRouter()

    @made.get("/misp/{name}/{file}")
    async def misp_feed(request: Request, name: str, file: str) -> Response:
        """A file of a MISP feed: manifest.json, hashes.csv, or an event."""
        output = engine.graph.outputs.get(name)
        if not isinstance(output, MispFeedKind):
            return PlainTextResponse("there is no such feed", HTTPStatus.NOT_FOUND)
        if not await to_thread.run_sync(gate(engine).admits, output.settings, request):
            realm = {"www-authenticate": 'Basic realm="tipline"'}
            return PlainTextResponse("this feed is not open to you", HTTPStatus.UNAUTHORIZED, realm)
        if file not in {MANIFEST, HASHES} and not _EVENT.fullmatch(file):
            return PlainTextResponse("there is no such file", HTTPStatus.NOT_FOUND)
        return await to_thread.run_sync(_answer, request, output.folder(engine.data) / file)

    return made


def _answer(request: Request, path: Path) -> Response:
    try:
        found = path.stat()
    except FileNotFoundError:
        return PlainTextResponse("there is no such file", HTTPStatus.NOT_FOUND)
    # A file is replaced, never changed, so that its number and time tell its contents.
    tag = f'"{found.st_ino:x}-{found.st_mtime_ns:x}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return FileResponse(path, headers=headers, media_type=_MEDIA[path.suffix], stat_result=found)
