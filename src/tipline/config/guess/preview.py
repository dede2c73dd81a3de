"""What a kind makes of a feed: polled from a file with the very parser of the kind, and accounted for."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from tipline.errors import ConfigError
from tipline.kinds import Kind, NodeSettings
from tipline.model import conform
from tipline.sources.base import PollContext, Source

_ROWS = 200_000  # rows that are looked at
_SAMPLES = 10
_SHOWN = ("type", "value", "confidence", "tlp", "first_seen", "description")


@dataclass
class Preview:
    """What comes of a feed.

    Attributes:
        kind: that read it.
        read, accepted: rows.
        types: accepted rows by type.
        drops: dropped rows by reason, with some of their texts.
        samples: some accepted rows.
        note: what there is to say.
    """

    kind: str
    read: int = 0
    accepted: int = 0
    types: dict[str, int] = field(default_factory=dict)
    drops: dict[str, dict[str, Any]] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

    @property
    def share(self) -> float:
        """Share of the rows that are accepted; what a list says of itself does not count against it."""
        told = sum(drop["count"] for reason, drop in self.drops.items() if reason in _MEANT)
        return (self.accepted + told) / self.read if self.read else 0.0


# Reasons that show that a row was understood.
_MEANT = {
    "allow-entry", "list-rule", "redirected", "not-routable", "not-an-indicator", "reference", "wildcard", "revoked",
    "regular-expression", "public-suffix", "deleted", "unsupported-type", "composite-pattern", "path-only",
}  # fmt: skip


def _checked(kind: type[Kind[NodeSettings]], settings: Mapping[str, Any], url: str) -> Any:
    """The checked settings of a kind.

    Raises:
        ConfigError: they are wrong.
    """
    try:
        return kind.Settings.model_validate({**settings, "url": url})
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {first['msg'].removeprefix('Value error, ')}", fix="correct --set") from exc


def preview(
    kind: type[Kind[NodeSettings]],
    settings: Mapping[str, Any],
    path: Path,
    spool: Path,
    as_of: datetime,
    end: float = math.inf,
) -> Preview:
    """Poll a file once with a kind.

    Args:
        kind: of the source.
        settings: of the source, without its address.
        path: the file.
        spool: an empty folder.
        as_of: the time.
        end: when to stop, by the monotonic clock; what was read until then is told.

    Raises:
        ConfigError: the settings are wrong.
        FormatError: the file is not of this form.
    """
    model = _checked(kind, settings, str(path))
    source = kind("tried", model)
    if not isinstance(source, Source):
        raise ConfigError(f"{kind.kind} is no kind of source", fix="choose another one")
    seen = Preview(kind.kind)
    types: Counter[str] = Counter()
    for frame in source.poll(PollContext(spool, {}, as_of, "tried", path.parent)).frames:
        claims = conform(frame, model.policy(allow_list=False))
        seen.read += claims.height
        kept = claims.filter(pl.col("drop").is_null())
        seen.accepted += kept.height
        types.update(dict(kept["type"].value_counts().iter_rows()))
        _drops(claims, seen)
        seen.samples += kept.select(_SHOWN).head(_SAMPLES - len(seen.samples)).to_dicts()
        if seen.read >= _ROWS or time.monotonic() > end:
            seen.note = f"the first {seen.read:,} rows"
            break
    seen.types = dict(types.most_common())
    for sample in seen.samples:
        sample["first_seen"] = sample["first_seen"].isoformat() if sample["first_seen"] else None
    return seen


def _drops(claims: pl.DataFrame, seen: Preview) -> None:
    groups = claims.filter(pl.col("drop").is_not_null()).group_by("drop").agg(pl.len(), pl.col("raw").head(3))
    for reason, count, texts in groups.sort("drop").iter_rows():
        entry = seen.drops.setdefault(reason, {"count": 0, "samples": []})
        entry["count"] += count
        entry["samples"] = [*entry["samples"], *texts][:3]
