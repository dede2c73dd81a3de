"""The stix2 format: indicators of STIX 2.0 and 2.1 in bundles, TAXII envelopes, lists, and lines of JSON.

Files are read twice: first for what may stand behind the objects it is about (newer versions, markings,
relationships), then for the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.errors import FormatError
from tipline.formats.base import Context
from tipline.formats.json_rows import Unreadable
from tipline.formats.stixobjects import Rows, add_indicator, add_observables, is_observable
from tipline.formats.stixstream import Members, Objects
from tipline.formats.stixsurvey import Object, Survey

__all__ = ["Reading", "Stix2Settings", "read"]

_BATCH = 5_000


class Stix2Settings(BaseModel):
    """How STIX 2 is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    observables: bool = Field(
        default=False,
        description="Take observables (observed data, addresses, files, ...) too, as not actionable.",
    )


class Reading:
    """Files that belong together: bundles of one feed, or pages of one collection.

    Args:
        settings: of the source.
        ctx: feed's name, and where warnings go.

    Attributes:
        objects: how many objects the files hold.
    """

    def __init__(self, settings: Stix2Settings, ctx: Context) -> None:
        self.objects = 0
        self._settings = settings
        self._ctx = ctx
        self._paths: list[Path] = []
        self._survey = Survey()

    def add(self, path: Path) -> Members:
        """Look through a file, which must stay until the frames are read.

        Returns:
            The document's members besides its objects (`more` and `next` of an envelope), and `count`, the
            number of its objects.

        Raises:
            FormatError: not JSON, or not STIX 2.
        """
        found, count, typed = Objects(path, self._ctx), 0, 0
        for item in found:
            count += 1
            if not isinstance(item, Unreadable):
                typed += isinstance(item.get("type"), str)
                self._survey.add(item)
        if count and not typed:
            raise FormatError("the list holds no STIX objects", where=self._ctx.feed, fix="look at the body")
        self.objects += count
        self._paths.append(path)
        return {**found.members, "count": count}

    def frames(self) -> Iterator[pl.DataFrame]:
        """Raw frames of all files, 5,000 rows each.

        A record is a STIX id, and all of its rows come: what an earlier poll read of it and this one does not
        hold is withdrawn. Revoked and older versions are rows with a reason.
        """
        self._survey.close()
        if self._survey.repeated:
            for item in self._all():
                if not isinstance(item, Unreadable):
                    self._survey.weigh(item)
        rows = Rows()
        for item in self._all():
            if isinstance(item, Unreadable):
                rows.unreadable(item.text)
                continue
            self._add(rows, item)
            if len(rows) >= _BATCH:
                yield rows.take()
        if len(rows):
            yield rows.take()

    def _all(self) -> Iterator[Object | Unreadable]:
        for path in self._paths:
            yield from Objects(path, self._ctx)

    def _add(self, rows: Rows, item: Object) -> None:
        kind = item.get("type")
        if kind == "indicator":
            add_indicator(rows, item, self._survey)
        elif self._settings.observables and is_observable(kind):
            add_observables(rows, item, self._survey)


def read(path: Path, settings: Stix2Settings, ctx: Context) -> Iterator[pl.DataFrame]:
    """Raw frames of one file.

    Args:
        path: UTF-8 text.
        settings: of the source.
        ctx: feed's name, and where warnings go.

    Raises:
        FormatError: not JSON, or not STIX 2.
    """
    reading = Reading(settings, ctx)
    reading.add(path)
    yield from reading.frames()
