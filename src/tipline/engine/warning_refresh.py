"""Fetches warning lists of one's own: each when it is due; what is no list, or far from what it was, is kept out."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from tipline.config.warning_lists import WarningList, WarningListSettings
from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.warnings import FOLDER
from tipline.errors import FormatError, StoreError, TiplineError
from tipline.formats.decode import Limits, decode
from tipline.formats.warning_list import WarningListText, read
from tipline.sources.fetch import FetchState, fetch
from tipline.store import warning_fetches
from tipline.store.warning_fetches import Fetched

log = structlog.get_logger()

_RETRY = timedelta(minutes=5)  # a list that cannot be had is tried again after this, or sooner
_MOST_BYTES = 1 << 26  # of a list, unpacked
_SHRINKS, _FEWEST = 0.5, 20  # to less than this share, of a list with so many entries
_GROWS, _SMALL = 10, 100  # times, of a list with so many entries
State = dict[str, Any]  # of a fetch
_LOCKS: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()


@dataclass(frozen=True)
class Refreshed:
    """What a fetch did: whether the list changed, or why it could not be had."""

    name: str
    changed: bool
    message: str = ""


def own(engine: Engine) -> dict[str, WarningList]:
    """The lists of one's own, by name."""
    return {name: each for name, each in engine.graph.warning_lists.items() if each.settings is not None}


def due(engine: Engine) -> list[str]:
    """The lists to fetch now: those in use whose time has come."""
    known, now = warning_fetches.fetches(engine.control), engine.clock()
    used = {name: each for name, each in own(engine).items() if each.enabled}
    # One whose file is gone, as after a restore, is fetched at once.
    missing = {name for name in used if not engine.warnings.path(name).exists() and not _fails(known.get(name))}
    return [name for name, each in used.items() if name in missing or _is_due(each, known.get(name), now)]


def refresh(engine: Engine, names: list[str], *, approve: bool = False) -> list[Refreshed]:
    """Fetch lists of one's own, one after the other; a call that comes meanwhile waits.

    Args:
        engine: the engine.
        names: the lists.
        approve: take in what differs much from what there was, too.
    """
    with _LOCKS.setdefault(engine, threading.Lock()):
        there = own(engine)
        return [_one(engine, there[name], approve=approve) for name in names if name in there]


def forget_others(engine: Engine) -> None:
    """Forget lists that are not configured any more."""
    keep = {engine.warnings.path(name) for name in own(engine)}
    for path in (engine.data / FOLDER).glob("*.json"):
        if path not in keep:
            path.unlink(missing_ok=True)
    for name in set(warning_fetches.fetches(engine.control)) - own(engine).keys():
        warning_fetches.forget(engine.control, name)


def _fails(known: Fetched | None) -> bool:
    return known is not None and known.failing_since is not None


def _is_due(wanted: WarningList, known: Fetched | None, now: datetime) -> bool:
    if known is None or wanted.settings is None or known.source != _source(wanted.settings):
        return True
    every = min(wanted.settings.every, _RETRY) if known.failing_since else wanted.settings.every
    return known.tried + every <= now


def _source(settings: WarningListSettings) -> str:
    return hashlib.sha256(json.dumps(settings.url).encode()).hexdigest()[:32]


def _one(engine: Engine, wanted: WarningList, *, approve: bool) -> Refreshed:
    settings, name = wanted.settings, wanted.name
    if settings is None:
        raise StoreError(f"{name} is no list of your own", where=name)
    now, source = engine.clock(), _source(settings)
    known = warning_fetches.fetches(engine.control).get(name)
    same = known if known is not None and known.source == source else None
    # What is missing is fetched whole, whatever the far side says of its age.
    state = same.state if same is not None and engine.warnings.path(name).exists() else None
    try:
        changed, state = _fetched(engine, wanted, settings, state, approve=approve)
    except (TiplineError, OSError, ValueError) as exc:
        message = str(exc)
        since = (known.failing_since if known else None) or now
        fetched = known.fetched if known else None
        warning_fetches.keep(engine.control, Fetched(name, now, fetched, since, message, state, source))
        log.warning("warning list", name=name, error=message)
        return Refreshed(name, changed=False, message=message)
    warning_fetches.keep(engine.control, Fetched(name, now, now, None, "", state, source))
    return Refreshed(name, changed)


def _fetched(
    engine: Engine,
    wanted: WarningList,
    settings: WarningListSettings,
    state: State | None,
    *,
    approve: bool,
) -> tuple[bool, State]:
    """Fetch, judge and keep one list; returns whether it changed, and the state for the next fetch."""
    name, path = wanted.name, engine.warnings.path(wanted.name)
    spool = engine.spool / FOLDER / path.stem
    spool.mkdir(parents=True, exist_ok=True)
    try:
        base = engine.configuration.path.parent
        found = fetch(settings, FetchState.from_json(state), spool, base=base)
        if found.not_modified:
            return False, found.state.to_json()
        if len(found.parts) != 1:
            raise FormatError(f"{len(found.parts)} files were found", where=name, fix="name one list.json")
        body = decode(found.parts[0].path, spool, Limits(_MOST_BYTES), feed=name).path.read_bytes()
        text = read(body, name)
        before = engine.warnings.text(wanted)
        if not approve:
            _guard(name, text, before)
        _keep(path, body)
        return before is None or before.digest != text.digest, found.state.to_json()
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _guard(name: str, text: WarningListText, before: WarningListText | None) -> None:
    """Keep out what a list can hardly have become."""
    now, was = len(text.entries), 0 if before is None else len(before.entries)
    fix = f"look at it; `tipline warning-lists refresh {name} --approve` takes it in"
    if not now:
        raise FormatError("held: the list is empty", where=name, fix=fix)
    if was >= _FEWEST and now < was * _SHRINKS:
        raise FormatError(f"held: of {was:,} entries only {now:,} are left", where=name, fix=fix)
    if was >= _SMALL and now > was * _GROWS:
        raise FormatError(f"held: from {was:,} entries it grew to {now:,}", where=name, fix=fix)


def _keep(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, 0o600) as new:
        new.file.write(body)
