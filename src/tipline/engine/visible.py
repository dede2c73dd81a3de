"""What an asker may see: nodes, claims and published rows; of another team's nothing that is marked red."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tipline.config.schema import Configuration
from tipline.engine.asker import Asker
from tipline.engine.graph import Graph
from tipline.errors import TiplineError
from tipline.model.tlp import AMBER, RED
from tipline.store.schema import claims_table, published_table

# As `tipline.processors.allowsql` words it: the entry may be red.
_ALLOWED = re.compile(r"allowed by ([^:]+): .*", re.DOTALL)


class NotYoursError(TiplineError):
    """What was asked for is another team's."""

    code = "forbidden"


def seen(graph: Graph, asker: Asker) -> list[str]:
    """The nodes that an asker sees."""
    return [name for name, node in graph.configuration.nodes().items() if asker.sees(node.settings)]


def owned(graph: Graph, asker: Asker) -> list[str]:
    """The nodes whose runs, holds and deliveries an asker sees."""
    return [name for name, node in graph.configuration.nodes().items() if asker.owns(node.settings)]


def claims_cut(graph: Graph, source: str, asker: Asker) -> tuple[str, list[str]]:
    """SQL: the table of a source's claims, and the conditions on what an asker sees of it.

    The source is one that they see.
    """
    settings = graph.sources[source].settings
    table = claims_table(graph.ids[source])
    if asker.owns(settings):
        return table, []
    usual = AMBER if settings.tlp is None else settings.tlp
    return table, [f"coalesce(tlp, {usual}) < {RED}"]


def claims_seen(graph: Graph, source: str, asker: Asker) -> str:
    """SQL: the claims of a source that an asker sees (the source is one that they see)."""
    table, cut = claims_cut(graph, source, asker)
    return f"(SELECT * FROM {restricted(table, cut)})" if cut else table


def published_cut(graph: Graph, output: str, asker: Asker) -> tuple[str, list[str]]:
    """SQL: the table of what an output publishes, and the conditions on what an asker sees of it.

    The output is one that they see.
    """
    owns = asker.owns(graph.outputs[output].settings)
    return published_table(graph.ids[output]), [] if owns else [f"coalesce(tlp, {AMBER}) < {RED}"]


def published_seen(graph: Graph, output: str, asker: Asker) -> str:
    """SQL: what an output publishes, as far as an asker sees it (the output is one that they see)."""
    table, cut = published_cut(graph, output, asker)
    return f"(SELECT * FROM {restricted(table, cut)})" if cut else table


def restricted(table: str, tests: Iterable[str]) -> str:
    """SQL: a table with conditions, as it stands behind FROM."""
    every = " AND ".join(tests)
    return f"{table} WHERE {every}" if every else table


def without_names(graph: Graph, asker: Asker, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the names of sources that an asker does not see, nor what other teams' allow-lists hold."""
    if asker.everywhere:
        return rows
    names, theirs = set(seen(graph, asker)), set(owned(graph, asker))
    return [_without(row, names, theirs) for row in rows]


def _without(row: dict[str, Any], names: set[str], theirs: set[str]) -> dict[str, Any]:
    found = dict(row)
    if isinstance(found.get("sources"), list):
        found["sources"] = [name for name in found["sources"] if name in names]
    allowed = _ALLOWED.fullmatch(found.get("reason") or "")
    if allowed and allowed[1] not in theirs:
        found["reason"] = f"allowed by {allowed[1]}" if allowed[1] in names else "allowed"
    return found


def may_change(before: Configuration, after: Configuration, asker: Asker) -> None:
    """Check that a change of the configuration touches the asker's own nodes alone.

    Raises:
        NotYoursError: it touches another team's node, or a setting of the whole server.
    """
    if asker.everywhere:
        return
    fix = "ask an admin, or somebody of that team"
    if _settings(before) != _settings(after):
        raise NotYoursError("settings of the whole server are for admins to change", fix=fix)
    old, new = before.nodes(), after.nodes()
    for name in sorted(old.keys() | new.keys()):
        sides = [nodes[name] for nodes in (old, new) if name in nodes]
        changed = len(sides) == 1 or sides[0].settings != sides[1].settings
        if changed and not all(asker.owns(node.settings) for node in sides):
            raise NotYoursError(f"{name} is another team's", where=name, fix=fix)


def _settings(configuration: Configuration) -> dict[str, Any]:
    return configuration.settings.model_dump(exclude={"data"})
