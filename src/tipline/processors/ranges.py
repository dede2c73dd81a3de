"""Address arithmetic: disjoint ranges, each with its exact set of sources, minus what is allowed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tipline.kinds import Names, NodeSettings
from tipline.processors.base import Processor, ProcessorSettings, Query, Reach, union
from tipline.processors.iptext import to_cidrs
from tipline.processors.rangesql import disjoint, merge_neighbours
from tipline.store.schema import VIEW_COLUMNS

_OTHERS = "type NOT IN ('ipv4', 'ipv6') OR lo IS NULL"


class RangesSettings(ProcessorSettings):
    """Settings of `ranges`."""

    allow: Names = Field(default_factory=list, description="Allow-list sources: their networks are cut out.")
    merge_neighbours: bool = Field(
        default=False, description="Join ranges that touch and have the same sources into one."
    )
    cidrs: bool = Field(default=False, description="Yield minimal CIDRs instead of ranges.")


class Ranges(Processor):
    """Turns addresses, networks and ranges (IPv4 and IPv6) into disjoint ranges, minus allowed networks."""

    kind: ClassVar[str] = "ranges"
    Settings: ClassVar[type[NodeSettings]] = RangesSettings
    reach: ClassVar[Reach] = "interval"
    unique: ClassVar[bool | None] = True
    settings: RangesSettings
    example: ClassVar[str] = """\
kind: ranges
inputs: [cert, community]
allow: [wl-ipv4]
"""

    def query(self, query: Query) -> str:
        """The disjoint ranges; what is no address carries `dropped`, as does what an allow-list covers whole."""
        rows = query.union()
        found = query.materialise(disjoint(rows, union(query.allow) if query.allow else None))
        live = f"(SELECT * FROM {found} WHERE dropped IS NULL)"
        if self.settings.merge_neighbours:
            live = f"(SELECT * FROM {query.materialise(merge_neighbours(live))})"
        if self.settings.cidrs:
            live = f"(SELECT * FROM {query.materialise(to_cidrs(live))})"
        return (
            f"SELECT {VIEW_COLUMNS}, NULL::VARCHAR AS dropped FROM {live}"
            f" UNION ALL SELECT {VIEW_COLUMNS}, dropped FROM {found} WHERE dropped IS NOT NULL"
            f" UNION ALL SELECT {VIEW_COLUMNS}, 'not-an-address' AS dropped FROM {rows} WHERE {_OTHERS}"
        )
