"""Fetching: addresses, objects, files, globs and directories into a spool; whatever a bad server does is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tipline.sources import fetch_files, fetch_http, fetch_objects
from tipline.sources.fetch_settings import (
    ApiKey,
    Basic,
    FetchResult,
    FetchSettings,
    FetchState,
    Part,
    PartState,
)
from tipline.sources.guardrails import mask_url

__all__ = [
    "ApiKey",
    "Basic",
    "FetchResult",
    "FetchSettings",
    "FetchState",
    "Part",
    "PartState",
    "fetch",
    "mask_url",
]


def fetch(settings: FetchSettings, state: FetchState, spool: Path, *, base: Path | None = None) -> FetchResult:
    """Fetch a feed: all of its parts, or the word that none has changed.

    Args:
        settings: of the source.
        state: what the last fetch returned; empty at first.
        spool: directory for the bodies, which the caller removes when they have been read.
        base: what relative paths are relative to; the working directory if unset.

    Returns:
        With `not_modified`, no files: every part answered 304, or has the same bytes as before.

    Raises:
        FetchError: with what, where and what to do; `retryable` if a later try can help.
    """
    result = FetchResult(not_modified=False, state=state)
    try:
        parts = _all_parts(settings, state, spool, base, result)
    except BaseException:
        _discard(result)
        raise
    result.state = FetchState(parts)
    digests = {name: part.sha256 for name, part in parts.items()}
    if digests == {name: part.sha256 for name, part in state.parts.items()}:
        _discard(result)
        result.not_modified = True
    return result


def _all_parts(
    settings: FetchSettings, state: FetchState, spool: Path, base: Path | None, result: FetchResult
) -> dict[str, PartState]:
    """Fetch each part on condition; if any has changed, the others are fetched again in full."""
    found: dict[str, PartState] = {}
    unchanged: list[tuple[str, str | Path]] = []
    parts: dict[str, Part] = {}
    for name, place in _places(settings, base, result):
        part, now = _one(settings, place, state.parts.get(name), spool, result)
        found[name] = now
        if part is None:
            unchanged.append((name, place))
        else:
            parts[name] = part
    if parts or set(found) != set(state.parts):
        for name, place in unchanged:
            part, found[name] = _one(settings, place, None, spool, result)
            if part is not None:
                parts[name] = part
    result.parts = [parts[name] for name in found if name in parts]
    return found


def _places(settings: FetchSettings, base: Path | None, result: FetchResult) -> Iterator[tuple[str, str | Path]]:
    """Name and place of each part: an address, or a file."""
    for number, url in enumerate(settings.url, 1):
        if url.lower().startswith(("http://", "https://")):
            yield f"{number} {mask_url(url)}", url
        elif fetch_objects.is_object(url):
            for name in fetch_objects.objects(url, settings.storage):
                yield name, name
        else:
            for path in fetch_files.files(url, base or Path(), result.warnings):
                yield str(path), path


def _one(
    settings: FetchSettings, place: str | Path, before: PartState | None, spool: Path, result: FetchResult
) -> tuple[Part | None, PartState]:
    """Fetch one part; None if it has not changed."""
    if isinstance(place, Path):
        part, now, size = fetch_files.copy(place, before, spool, settings.max_bytes)
    elif fetch_objects.is_object(place):
        part, now, size = fetch_objects.copy(place, settings.storage, before, spool, settings.max_bytes)
    else:
        part, now, size = fetch_http.get(settings, place, before, spool)
    result.bytes += size
    if part is None:
        return None, replace(now, sha256=before.sha256 if before else None)
    result.parts.append(part)
    return part, now


def _discard(result: FetchResult) -> None:
    for part in result.parts:
        part.path.unlink(missing_ok=True)
    result.parts = []
