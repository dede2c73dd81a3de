"""Collections that take objects: they go to a source of kind `ingest`, and a status tells what became of them.

Facts: TAXII 2.1 sections 4.3 (status), 5.5 (add objects); TAXII 2.0 sections 4.3 and 5.4.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tipline.api.taxii.collections import Collections
from tipline.api.taxii.media import STIX_20, TAXII_21, TaxiiError, answer, not_found, wants
from tipline.engine.envelopes import Envelope, Verdict, find, push
from tipline.engine.inbox import TooLargeError
from tipline.errors import FormatError
from tipline.outputs.taxii_objects import Spec
from tipline.sources.ingest import Ingest

_AGAIN = {"retry-after": "30"}
# Lists of more objects are left out of a status: the standard wants the counts only.
_MOST_LISTED = 10_000


@dataclass(frozen=True)
class Inbound:
    """Answers to those who add objects.

    Attributes:
        collections: of the engine.
        wake: lets a source be polled soon.
    """

    collections: Collections
    wake: Callable[[str], None]

    async def add(self, request: Request) -> Response:
        """Add objects: an envelope (2.1) or a bundle (2.0); answers with a status."""
        spec, node, sender = await to_thread.run_sync(self._admitted, request)
        with tempfile.TemporaryDirectory(dir=self.collections.engine.data) as folder:
            path = Path(folder) / "body"
            try:
                async with asyncio.timeout(node.settings.max_time):
                    await _spool(request, path, node.settings.max_bytes)
                made = await to_thread.run_sync(push, self.collections.engine, node.name, path, sender)
            except (TooLargeError, FormatError, TimeoutError, ClientDisconnect) as exc:
                raise _refused(exc) from exc
        self.wake(node.name)
        return answer(_status(made, spec), spec, status=HTTPStatus.ACCEPTED)

    def status(self, request: Request) -> Response:
        """What became of objects that were added; only who added them is told."""
        spec = wants(request)
        for node in self.collections.inbound(request.path_params["root"]):
            sender = self.collections.sender(node, request)
            found = sender and find(self.collections.engine, node.name, request.path_params["status"], sender)
            if found:
                return answer(_status(found, spec), spec)
        raise not_found("status")

    def _admitted(self, request: Request) -> tuple[Spec, Ingest, str]:
        """The version that is spoken, the source, and who sends.

        Raises:
            TaxiiError: this cannot be added, not here, or not by the asker.
        """
        spec = wants(request)
        node = self.collections.named(request)
        content = TAXII_21 if spec == "2.1" else STIX_20
        if not _is(request.headers.get("content-type", ""), content) or "content-encoding" in request.headers:
            raise TaxiiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {content}, and not compressed")
        sender = self.collections.sender(node, request) if isinstance(node, Ingest) else None
        if not isinstance(node, Ingest) or sender is None:
            raise TaxiiError(HTTPStatus.FORBIDDEN, "nothing can be written to this collection")
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > node.settings.max_bytes:
            raise _refused(TooLargeError(f"the body is larger than {node.settings.max_bytes:,} bytes"))
        return spec, node, sender


def _is(given: str, wanted: str) -> bool:
    """Whether a Content-Type is the one that is wanted; its version may be left out."""
    word, *parameters = [part.strip().lower() for part in given.split(";")]
    expected, version = wanted.replace(" ", "").split(";")
    versions = [each.replace('"', "").replace(" ", "") for each in parameters if each.startswith("version")]
    return word == expected and versions in ([], [version])


async def _spool(request: Request, path: Path, most: int) -> None:
    """Bring a body to disk.

    Raises:
        TooLargeError: it is larger than `most` bytes.
    """
    with path.open("wb") as file:
        async for block in request.stream():
            file.write(block)
            if file.tell() > most:
                raise TooLargeError(f"the body is larger than {most:,} bytes")


def _refused(exc: Exception) -> TaxiiError:
    """Why a body was not taken."""
    if isinstance(exc, TooLargeError):
        why = f"{exc.what}; send it in parts"
        return TaxiiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why, {"connection": "close"})
    if isinstance(exc, FormatError):
        return TaxiiError(HTTPStatus.UNPROCESSABLE_ENTITY, exc.what)
    return TaxiiError(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time", _AGAIN)


def _status(made: Envelope, spec: Spec) -> dict[str, Any]:
    """The status resource."""
    refused = [each for each in made.verdicts if each.refusal]
    others = [each for each in made.verdicts if not each.refusal]
    pending, taken = (others, []) if made.waiting else ([], others)
    content: dict[str, Any] = {
        "id": made.id,
        "status": "pending" if made.waiting else "complete",
        "request_timestamp": made.at,
        "total_count": len(made.verdicts),
    }
    for name, plural, listed in (
        ("success", "successes", taken),
        ("failure", "failures", refused),
        ("pending", "pendings", pending),
    ):
        content[f"{name}_count"] = len(listed)
        if 0 < len(listed) <= _MOST_LISTED:
            content[plural] = list(_details(listed, made.at, spec))
    return content


def _details(listed: Iterable[Verdict], at: str, spec: Spec) -> Iterable[Any]:
    """Objects as a status lists them."""
    for each in listed:
        why = {"message": each.refusal} if each.refusal else {}
        if spec == "2.1":
            yield {"id": each.id, "version": each.version or at, **why}
        else:
            yield {"id": each.id, **why} if why else each.id
