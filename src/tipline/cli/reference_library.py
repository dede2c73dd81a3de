"""The reference page of the library: every ready-made source, by provider."""

from __future__ import annotations

from itertools import groupby
from textwrap import dedent

from tipline.cli.reference_settings import table
from tipline.config.library import Entry, entries

_INTRO = """
# The library

Ready-made sources: `tipline library search WORDS`, `show NAME`, `add NAME`. `add` puts the source into the
configuration, where it can be changed like any other.

*live* means that nothing is known against it; whether a feed answers today is what
[`tipline try`](../how-to/add-a-feed.md) tells. *needs* says what has to be given first; *dead* since when there is
nothing to fetch, so that old configurations can be explained. MISP's default feeds are named by their number,
MineMeld's stock prototypes by their name.
"""


def library_page() -> str:
    """Every entry with its state and what it replaces."""
    found = sorted(entries().values(), key=lambda each: (each.provider.lower(), each.name))
    blocks = [dedent(_INTRO).strip()]
    for (provider, home, terms), group in groupby(found, key=lambda each: (each.provider, each.home, each.terms)):
        blocks += [f"## {provider}", f"<{home}>: {terms}."]
        rows = ((f"`{e.name}`", e.title, _state(e), str(e.source["kind"]), _elsewhere(e)) for e in group)
        blocks.append(table(("Name", "What", "State", "Kind", "Elsewhere"), rows))
    return "\n\n".join(blocks)


def _state(entry: Entry) -> str:
    if entry.status == "dead":
        return f"dead since {entry.since}" + (f"; take `{entry.instead}`" if entry.instead else "")
    return f"needs {', '.join(entry.needs)}" if entry.needs else "live"


def _elsewhere(entry: Entry) -> str:
    return ", ".join([*(f"MISP {number}" for number in entry.misp), *entry.minemeld])
