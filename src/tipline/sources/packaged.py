"""The shipped never-block list, with the organisation's own domains and networks."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import ClassVar

import polars as pl
from pydantic import Field

from tipline.kinds import Names, NodeSettings
from tipline.model.suffixes import suffix_list
from tipline.sources.base import EXACT, Poll, PollContext, Source, SourceSettings


class PackagedSettings(SourceSettings):
    """Settings of `never-block`."""

    own: Names = Field(default_factory=list, description="Domains and networks of your own, never to be blocked.")


class NeverBlock(Source):
    """What no blocking delivery may carry: Microsoft endpoints, public resolvers, large CDNs, your own."""

    kind: ClassVar[str] = "never-block"
    Settings: ClassVar[type[NodeSettings]] = PackagedSettings
    settings: PackagedSettings
    example: ClassVar[str] = """\
kind: never-block
own: [example.org, 198.51.100.0/24]
"""

    def poll(self, context: PollContext) -> Poll:
        """Read the shipped list; unchanged while neither it nor `own` changes."""
        text = files("tipline.library").joinpath("never-block.txt").read_text(encoding="utf-8")
        digest = hashlib.sha256("\n".join([text, *self.settings.own]).encode()).hexdigest()
        if context.cursor.get("digest") == digest:
            return Poll(iter(()), context.cursor, unchanged=True)
        rows: list[dict[str, str]] = []
        section = ""
        for line in text.splitlines():
            if line.startswith("#"):
                section = line.lstrip("# ").strip()
            elif line.strip():
                rows.append({"value": line.strip(), "description": section})
        rows += [{"value": value, "description": "the organisation's own"} for value in self.settings.own]
        suffixes = suffix_list()
        rows += [
            {"value": name, "type": "domain", "description": "a public suffix", "tags": EXACT}
            for name in sorted(suffixes.icann.plain | suffixes.private.plain)
        ]
        return Poll(iter([pl.DataFrame(rows)]), {"digest": digest})
