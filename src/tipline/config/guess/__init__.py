"""Looks at a feed that nobody has described: which kind reads it, with which settings, and what comes of it."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tipline.config.edit import put_node
from tipline.config.guess.candidates import Body, candidates
from tipline.config.guess.preview import Preview, preview
from tipline.config.hidden import sealed
from tipline.config.library import by_url
from tipline.config.yamlfile import Place
from tipline.errors import FormatError, TiplineError
from tipline.formats.decode import Limits, decode
from tipline.kinds import kinds
from tipline.sources.fetch import FetchSettings, FetchState, fetch

# A share of accepted rows below this is hardly the right reading while another one is left.
_GOOD = 0.5


@dataclass
class Guess:
    """What was found.

    Attributes:
        name: for the source.
        settings: of the source, as under `sources:`.
        preview: what the kind makes of the feed with these settings.
        library: the entry that reads the same address, if there is one.
        others: other kinds that were tried, with their share of accepted rows.
        warnings: sentences.
    """

    name: str
    settings: dict[str, Any]
    preview: Preview
    library: str | None = None
    others: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def yaml(self) -> str:
        """The section to paste."""
        return put_node("", "sources", self.name, self.settings)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "yaml": self.yaml()}


def guess(
    place: str,
    over: Mapping[str, Any] | None = None,
    *,
    limits: Mapping[str, Any] | None = None,
    unpacked: Limits | None = None,
    seconds: float = math.inf,
    exact: bool = False,
) -> Guess:
    """Fetch a feed once, and find the kind and settings that read it.

    Args:
        place: address, or path of a file.
        over: settings that the person gives: of the fetch (a key), or of the format; they win.
        limits: settings of this one fetch, which are not part of the source.
        unpacked: how far the body may grow when unpacked.
        seconds: how long to read what was fetched; what is not read by then is not looked at.
        exact: `over` is whole, with its kind, and nothing is guessed.

    Raises:
        FetchError: it cannot be fetched, or its address is refused.
        FormatError: nothing reads it.
    """
    given = dict(over or {})
    with tempfile.TemporaryDirectory(prefix="tipline-try-") as folder:
        spool = Path(folder)
        fetching = {key: given[key] for key in FetchSettings.model_fields if key in given}
        settings = FetchSettings.model_validate({**fetching, **(limits or {}), "url": place})
        fetched = fetch(settings, FetchState(), spool)
        if not fetched.parts:
            raise FormatError("there is no file", where=place, fix="check the path")
        part = fetched.parts[0]
        folder_of_text = spool / "unpacked"
        folder_of_text.mkdir()
        decoded = decode(
            part.path, folder_of_text, unpacked or Limits(), given.get("charset"),
            hint=part.charset, member=given.get("member"), feed=place,
        )  # fmt: skip
        body = Body.of(decoded.path, place)
        ways = [{"kind": given.get("kind", "")}] if exact else _ways(body, given.get("kind"))
        found = _best(ways, body, part.path, given, spool, time.monotonic() + seconds)
    settings_, seen, others = found
    entry = by_url(place)
    name = _name(place)
    shown = {"kind": settings_.pop("kind"), "url": settings_.pop("url", place), **settings_}
    kept_apart = sealed(shown, kinds("source")[shown["kind"]], lambda place, _: _variable(name, place))
    return Guess(name, kept_apart, seen, entry.name if entry else None, others, decoded.warnings)


def _ways(body: Body, kind: str | None) -> Iterator[dict[str, Any]]:
    """Settings to try: what the body looks like; if a kind is said, those of it, and it alone at the end."""
    for settings in candidates(body):
        if kind in {None, settings["kind"]}:
            yield settings
    if kind is not None:
        yield {"kind": kind}


def _best(
    ways: Iterable[dict[str, Any]], body: Body, path: Path, given: Mapping[str, Any], spool: Path, end: float
) -> tuple[dict[str, Any], Preview, dict[str, float]]:
    """The first candidate that reads most of the feed; else the one that reads most."""
    tried: list[tuple[dict[str, Any], Preview]] = []
    others: dict[str, float] = {}
    problem: TiplineError | None = None
    known = kinds("source")
    for number, settings in enumerate(ways):
        if tried and time.monotonic() > end:
            break
        chosen = {**settings, **given}
        if chosen["kind"] not in known:
            continue
        if chosen.pop("whole", False):
            return chosen, Preview(kind=chosen["kind"], note="a poll reads more than this one file"), others
        folder = spool / f"try{number}"
        folder.mkdir()
        try:
            seen = preview(known[chosen["kind"]], chosen, path, folder, datetime.now(UTC).replace(tzinfo=None), end)
        except TiplineError as exc:
            problem = exc
            continue
        tried.append((chosen, seen))
        others[_label(chosen)] = round(seen.share, 3)
        if seen.accepted and seen.share >= _GOOD:
            break
    if not tried:
        raise problem or FormatError("nothing reads this feed", where=body.place, fix="say the kind: --set kind=csv")
    best = max(tried, key=lambda each: (each[1].share, each[1].accepted))
    if not best[1].read:
        best = tried[0]
        best[1].note = "the feed is empty now: look again when it holds something"
    elif not best[1].accepted:
        best[1].note = "no indicators were found: this may be no feed"
    others.pop(_label(best[0]), None)
    return (*best, others)


def _variable(source: str, place: Place) -> str:
    """A reference to a variable of the environment, for a secret at a place of a source's settings."""
    return f"${{env:{re.sub(r'[^A-Za-z0-9]+', '_', '_'.join([source, *map(str, place)])).upper()}}}"


def _label(settings: Mapping[str, Any]) -> str:
    return " ".join(str(settings[key]) for key in ("kind", "dialect") if key in settings)


def _name(place: str) -> str:
    """A node's name for an address or path."""
    parts = urlsplit(place)
    text = f"{parts.hostname or ''}-{Path(parts.path).stem}" if parts.scheme else Path(place).stem
    return re.sub(r"[^a-z0-9]+", "-", text.lower().removeprefix("www.")).strip("-")[:60].strip("-") or "feed"
