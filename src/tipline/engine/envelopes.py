"""Envelopes of STIX objects that are pushed: what becomes of each object, kept for those who ask later.

An object is judged when it arrives, by the rules and the code of the poll that takes it in. The verdicts lie in a file
beside the source's inbox, as long as it is among the newest.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.inbox import inbox_of, ingest_source, status, submit
from tipline.engine.people import RequestError
from tipline.errors import FormatError
from tipline.formats.base import Context
from tipline.formats.json_rows import Unreadable
from tipline.formats.stixobjects import is_observable
from tipline.formats.stixstream import Objects
from tipline.formats.stixsurvey import CONTEXT, Object, text
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.model.reasons import meaning
from tipline.sources.ingest import Ingest

_FORMAT = "stix2"
_FOLDER = "envelopes"
_MOST_KEPT = 1_000
_PRIVATE = 0o600
# Why an object gives no indicator, although what it says was followed.
_FOLLOWED = {"revoked", "superseded"}


@dataclass(frozen=True)
class Verdict:
    """What became of one object.

    Attributes:
        id: its identifier.
        version: `modified` or `created`; empty if it has neither.
        refusal: why it was not taken; empty if it was.
    """

    id: str
    version: str
    refusal: str = ""


@dataclass(frozen=True)
class Envelope:
    """An envelope that was pushed.

    Attributes:
        id: a UUID.
        submission: under which it was pushed.
        sender: who pushed it.
        at: when, as RFC 3339 writes it.
        verdicts: on its objects, in their order.
        waiting: whether it is still to be read.
    """

    id: str
    submission: str
    sender: str
    at: str
    verdicts: tuple[Verdict, ...]
    waiting: bool = True


def push(engine: Engine, source: str, path: Path, sender: str) -> Envelope:
    """Judge an envelope and put it into a source's inbox; it is on disk when this returns (then `Scheduler.wake`).

    Args:
        engine: whose source it is for.
        source: name of a source of kind `ingest`.
        path: of the envelope; the file is left as it is.
        sender: who pushes it.

    Raises:
        FormatError: it is no envelope of STIX objects; nothing of it is kept.
        RequestError: there is no such source, or the envelope is too large.
        StoreError: too much waits already, or the disk cannot be written.
    """
    node = ingest_source(engine, source)
    policy = node.settings.policy(allow_list=source in engine.configuration.allow_lists)
    verdicts = tuple(judge(node, path, policy))
    with path.open("rb") as file:
        blocks = iter(lambda: file.read(1 << 20), b"")
        submission = submit(engine, source, blocks, format=_FORMAT, sender=sender)
    at = f"{engine.clock().isoformat(timespec='milliseconds')}Z"
    made = Envelope(str(uuid.uuid4()), submission, sender, at, verdicts)
    _keep(_folder(engine, source), made)
    return made


def find(engine: Engine, source: str, identity: str, sender: str) -> Envelope | None:
    """An envelope of a sender's, as it is now; None if there is none, or it is no longer known."""
    with suppress(ValueError, OSError):
        content = json.loads((_folder(engine, source) / f"{uuid.UUID(identity)}.json").read_bytes())
        verdicts = tuple(Verdict(*each) for each in content.pop("verdicts"))
        known = Envelope(**content, verdicts=verdicts)
        return _now(engine, source, known) if known.sender == sender else None
    return None


def judge(source: Ingest, path: Path, policy: Policy) -> list[Verdict]:
    """What becomes of each object of an envelope.

    Raises:
        FormatError: it is no envelope of STIX objects.
    """
    found = Objects(path, Context(source.name))
    listed = [_identified(item, source.name) for item in found]
    if listed and "objects" not in found.members:
        raise FormatError("the body is no object with a list of objects", where=source.name)
    taken, refused = _records(source, path, policy)
    return [
        Verdict(identity, version, "" if identity in taken else refused.get(identity, _by_type(kind)))
        for identity, version, kind in listed
    ]


def _identified(item: Object | Unreadable, where: str) -> tuple[str, str, str]:
    """Identifier, version and type of an object."""
    identity, kind = (None, None) if isinstance(item, Unreadable) else (text(item.get("id")), text(item.get("type")))
    if isinstance(item, Unreadable) or identity is None or kind is None:
        raise FormatError("what has no id or no type is no STIX object", where=where)
    return identity, text(item.get("modified")) or text(item.get("created")) or "", kind


def _records(source: Ingest, path: Path, policy: Policy) -> tuple[set[str], dict[str, str]]:
    """The objects of which something is taken or followed, and why others were refused."""
    taken: set[str] = set()
    refused: dict[str, str] = {}
    for frame in source.feed(_FORMAT, path).frames(iter([path]), Context(source.name)):
        judged = conform(frame, policy).select("record", "drop").unique(maintain_order=True)
        taken.update(judged.filter(pl.col("drop").is_null() | pl.col("drop").is_in(_FOLLOWED))["record"])
        for record, reason in judged.filter(pl.col("drop").is_not_null()).iter_rows():
            code, _, detail = reason.partition(":")
            refused.setdefault(record, f"{meaning(code)}{f' ({detail.strip()})' if detail else ''}")
    return taken, refused


def _by_type(kind: str) -> str:
    """Why an object without a row is not taken; empty if it is read for what it says of others."""
    if kind in CONTEXT:
        return ""
    if is_observable(kind):
        return "no indicator: observables are taken where the source's settings say so"
    return "objects of this type are not kept, only indicators"


def _now(engine: Engine, source: str, known: Envelope) -> Envelope:
    try:
        found = status(engine, source, known.submission)
    except RequestError:
        return replace(known, waiting=False)  # its run is so old that it was forgotten
    verdicts = known.verdicts
    if found["state"] == "unreadable":
        verdicts = tuple(replace(each, refusal=found["message"]) for each in verdicts)
    return replace(known, verdicts=verdicts, waiting=found["state"] == "waiting")


def _folder(engine: Engine, source: str) -> Path:
    return inbox_of(engine, source) / _FOLDER


def _keep(folder: Path, made: Envelope) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    content = {**asdict(made), "verdicts": [[each.id, each.version, each.refusal] for each in made.verdicts]}
    del content["waiting"]
    with replacing(folder / f"{made.id}.json", _PRIVATE) as new:
        new.file.write(json.dumps(content).encode())
    by_age = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in by_age[_MOST_KEPT:]:
        old.unlink(missing_ok=True)
