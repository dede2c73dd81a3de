"""Takes what is pushed to a source: on disk before the sender is told so, and read by the next poll."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.people import RequestError
from tipline.engine.poll import INBOX
from tipline.errors import StoreError
from tipline.sources.bodies import UNREADABLE
from tipline.sources.ingest import Ingest
from tipline.sources.submissions import RECOVERED, Submission, new_submission, waiting, waiting_bytes
from tipline.store.records import run_by_message

_PRIVATE = 0o600
_ACCOUNT = ("read", "accepted", "duplicate", "dropped", "samples", "added", "changed", "removed")


class FullError(StoreError):
    """Too much waits to be read already; the sender has to come again."""

    code = "full"


class TooLargeError(RequestError):
    """The body is larger than the source takes."""

    code = "too-large"


class Receipt:
    """A body on its way in: `write` its parts, then `keep`; whatever is not kept leaves nothing behind.

    Args:
        engine: whose source it is for.
        source: name of a source of kind `ingest`.
        kind: the kind of feed that reads the body.
        sender: who pushes it.
        withdraw: whether it takes back what it names.

    Raises:
        RequestError: there is no such source, or nothing reads such bodies.
        FullError: too much waits already.
    """

    def __init__(self, engine: Engine, source: str, kind: str, sender: str, *, withdraw: bool = False) -> None:
        node = ingest_source(engine, source)
        if not node.reads(kind):
            raise RequestError(f"nothing reads bodies of the kind {kind!r}", where=source)
        folder = inbox_of(engine, source)
        if waiting_bytes(folder) >= node.settings.max_waiting:
            raise FullError("too much waits to be read", where=source, fix="send it again in a while")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.submission: Submission = new_submission(kind, sender, withdraw=withdraw)
        self._left = node.settings.max_bytes
        self._most = node.settings.max_bytes
        self._source = source
        self._stack = ExitStack()
        self._new = self._stack.enter_context(replacing(folder / self.submission.file, _PRIVATE))
        self._new.needed = False

    @property
    def _file(self) -> BinaryIO:
        return self._new.file

    def write(self, block: bytes) -> None:
        """Add a part.

        Raises:
            TooLargeError: the body is larger than `max_bytes`.
        """
        self._left -= len(block)
        if self._left < 0:
            raise TooLargeError(f"the body is larger than {self._most:,} bytes", where=self._source)
        self._file.write(block)

    def keep(self) -> str:
        """Put it on disk for good, and return the submission's id.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        self._new.needed = True
        try:
            self._stack.close()
        except OSError as exc:
            raise StoreError(f"the body could not be kept: {exc.strerror or exc}", where=self._source) from exc
        return self.submission.id

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        self._stack.close()


def submit(
    engine: Engine,
    source: str,
    blocks: Iterable[bytes],
    *,
    format: str,
    sender: str,
    withdraw: bool = False,
) -> str:
    """Push a body; it is safe on disk when this returns, and read by the source's next poll (`Scheduler.wake`).

    Args:
        engine: whose source it is for.
        source: name of a source of kind `ingest`.
        blocks: the body, perhaps compressed.
        format: the kind of feed that reads it: csv, json, lines, stix2, misp-file, ...
        sender: who pushes it; claims are kept apart by sender.
        withdraw: whether it takes back what it names.

    Returns:
        The submission's id, for `status`.

    Raises:
        RequestError: there is no such source, nothing reads such bodies, or the body is too large.
        StoreError: too much waits already, or the disk cannot be written.
    """
    receipt = Receipt(engine, source, format, sender, withdraw=withdraw)
    try:
        for block in blocks:
            receipt.write(block)
        return receipt.keep()
    finally:
        receipt.drop()


def status(engine: Engine, source: str, submission: str, *, sender: str | None = None) -> dict[str, Any]:
    """What became of a submission.

    Args:
        engine: whose source it was for.
        source: the source.
        submission: what `submit` returned.
        sender: who asks; another one's submissions are not there for it. None asks for all.

    Returns:
        submission, and state: waiting; processed, with its account; or unreadable, with a message.

    Raises:
        RequestError: there is no such submission, or it is so old that its run is forgotten.
    """
    ingest_source(engine, source)
    for each in waiting(inbox_of(engine, source)):
        if each.id == submission and sender in {None, each.sender}:
            return {"submission": submission, "state": "waiting"}
    note = f"submission {submission} from {sender or ''}"
    run = run_by_message(engine.control, source, note)
    if run and run["message"].endswith(RECOVERED):
        run = run_by_message(engine.control, source, note, before=run["id"]) or run
    if run is None or (sender is not None and run["message"].removesuffix(RECOVERED) != note):
        raise RequestError(f"there is no submission {submission[:60]!r}", where=source)
    if run["message"].endswith(RECOVERED):
        what = "it was taken in; how many rows were accepted was lost when the process ended"
        return {"submission": submission, "state": "processed", "message": what}
    account = {name: run[name] for name in _ACCOUNT}
    if UNREADABLE in account["dropped"]:
        why = next((s.get("detail", "") for s in account["samples"] if s["reason"] == UNREADABLE), "")
        return {"submission": submission, "state": "unreadable", "message": why, **account}
    return {"submission": submission, "state": "processed", **account}


def ingest_source(engine: Engine, name: str) -> Ingest:
    """A source that takes what is pushed.

    Raises:
        RequestError: there is none of this name.
    """
    node = engine.graph.sources.get(name)
    if not isinstance(node, Ingest):
        raise RequestError(f"{name[:60]!r} takes nothing that is pushed", fix="name a source of kind ingest")
    return node


def inbox_of(engine: Engine, source: str) -> Path:
    """Where what is pushed to a source waits."""
    return engine.data / INBOX / source
