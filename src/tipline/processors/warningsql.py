"""Warning lists as DuckDB SQL: which rows of a relation stand on which lists.

The lists lie in tables (`tipline.store.schema`): exact values, hosts reversed, networks, and expressions. A row may
stand on many lists, and all of them count, so allow-lists' reduction to entries of which none covers another does not
do here. Instead a host is looked for by each of its parents (equality), and an address in segments: all bounds of all
networks cut the address space into pieces, each of which knows its lists (one ASOF join).

Joins are equality or ASOF joins only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tipline.processors.iptext import family

NARROW = "key, type, value, lo, up, rhost"  # what is looked at of a row
# The last two labels of a reversed host, its top-level domain first.
STEM = "(split_part(rhost, '.', 1) || '.' || split_part(rhost, '.', 2) || '.')"


@dataclass(frozen=True)
class Entries:
    """What there is of one list.

    Attributes:
        types: of the indicators that it speaks of.
        exact, hosts, networks: whether it has such entries.
        patterns: its expressions.
    """

    types: tuple[str, ...]
    exact: bool
    hosts: bool
    networks: bool
    patterns: tuple[str, ...]


def hits(relation: str, lists: Mapping[int, Entries]) -> str | None:
    """SQL: (key, list): the rows that stand on lists, once each; None if there is nothing to look for.

    Args:
        relation: rows with NARROW; a key may occur several times.
        lists: what there is of each list that counts, by number.
    """
    placed, in_networks = _networks(lists)
    parts = [*_exact(lists), *_hosts(lists), *in_networks, *_patterns(lists)]
    if not parts:
        return None
    return (
        f"WITH narrow AS MATERIALIZED (SELECT {NARROW} FROM {relation}){placed}\n"
        f"SELECT DISTINCT key, list FROM ({' UNION ALL '.join(parts)})"
    )


def merge_networks(raw: str) -> str:
    """SQL: (list, family, lo, up): the networks of `raw` (same columns), those that overlap or touch joined by list."""
    reach = f"""SELECT *, max(up) OVER (PARTITION BY list, family ORDER BY lo
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM {raw}"""
    numbered = f"""SELECT *, sum(coalesce(before < lo, true)::INTEGER)
        OVER (PARTITION BY list, family ORDER BY lo) AS island FROM ({reach})"""
    return f"SELECT list, family, min(lo) AS lo, max(up) AS up FROM ({numbered}) GROUP BY list, family, island"


def segments(networks: str) -> str:
    """SQL: (family, lo, up, lists): the pieces between all bounds of merged networks that some list holds."""
    # No joins of bounds on family and position: with few rows expected they would be planned on the family alone.
    return f"""WITH numbered AS (SELECT *, row_number() OVER () AS n FROM {networks}),
edge AS MATERIALIZED (SELECT n, list, family, pos, dense_rank() OVER (ORDER BY family, pos) AS i FROM (
    SELECT n, list, family, lo AS pos FROM numbered UNION ALL SELECT n, list, family, up FROM numbered)),
piece AS (SELECT i, list_sort(list(list)) AS lists FROM (
    SELECT list, unnest(range(min(i), max(i))) AS i FROM edge GROUP BY n, list) GROUP BY i),
bound AS (SELECT i, family, pos AS lo, lead(pos) OVER (ORDER BY i) AS up
    FROM (SELECT DISTINCT i, family, pos FROM edge))
SELECT family, lo, up, lists FROM piece JOIN bound USING (i)"""


def _those(lists: Mapping[int, Entries], numbers: list[int]) -> str:
    """SQL: (list, types) of some lists."""
    rows = ", ".join(f"({number}::INTEGER, [{_quoted(lists[number].types)}])" for number in numbers)
    return f"(VALUES {rows}) t(list, types)"


def _types(lists: Mapping[int, Entries], numbers: list[int]) -> str:
    """SQL: whether a row is of a type that one of some lists speaks of."""
    return f"type IN ({_quoted(tuple(sorted({name for number in numbers for name in lists[number].types})))})"


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _exact(lists: Mapping[int, Entries]) -> list[str]:
    numbers = [number for number, each in lists.items() if each.exact]
    if not numbers:
        return []
    found = (
        f"SELECT r.key, e.list FROM (SELECT key, type, value FROM narrow WHERE {_types(lists, numbers)}) r"
        f" JOIN warning_values e USING (value) JOIN {_those(lists, numbers)} ON t.list = e.list"
        " WHERE list_contains(t.types, r.type)"
    )
    return [found]


def _hosts(lists: Mapping[int, Entries]) -> list[str]:
    numbers = [number for number, each in lists.items() if each.hosts]
    if not numbers:
        return []
    # Most rows share no two last labels with any entry, and are done with here.
    near = (
        f"SELECT key, type, rhost FROM narrow WHERE rhost IS NOT NULL AND {_types(lists, numbers)}"
        f" AND ({STEM} IN (SELECT stem FROM warning_hosts WHERE stem IS NOT NULL)"
        " OR split_part(rhost, '.', 1) || '.' IN (SELECT rhost FROM warning_hosts WHERE stem IS NULL))"
    )
    parents = (
        "SELECT key, type, unnest(list_transform(range(1, len(labels)),"
        " lambda n: array_to_string(labels[1:n], '.') || '.')) AS rhost"
        f" FROM (SELECT key, type, string_split(rhost, '.') AS labels FROM ({near}))"
    )
    found = (
        f"SELECT r.key, e.list FROM ({parents}) r JOIN warning_hosts e USING (rhost)"
        f" JOIN {_those(lists, numbers)} ON t.list = e.list WHERE list_contains(t.types, r.type)"
    )
    return [found]


def _networks(lists: Mapping[int, Entries]) -> tuple[str, list[str]]:
    """The last piece of address space that each row reaches, as a subquery `placed`; and what follows from it."""
    numbers = [number for number, each in lists.items() if each.networks]
    if not numbers:
        return "", []
    rows = (
        f"SELECT key, type, lo, up, {family()} AS family FROM narrow WHERE {_types(lists, numbers)} AND lo IS NOT NULL"
    )
    placed = (
        f",\nplaced AS MATERIALIZED (SELECT r.*, s.lo AS first, s.up AS last, s.lists FROM ({rows}) r"
        " ASOF JOIN warning_segments s ON r.family = s.family AND r.up > s.lo)"
    )
    those = f"{_those(lists, numbers)} ON t.list = p.list"
    within = (
        "SELECT key, p.list FROM"
        " (SELECT key, type, unnest(lists) AS list FROM placed WHERE lo >= first AND up <= last) p"
        f" JOIN {those} WHERE list_contains(t.types, p.type)"
    )
    # What reaches over several pieces may still lie in one list as a whole: such rows are few.
    across = (
        f"SELECT p.key, n.list FROM (SELECT key, type, lo, up, family, unnest([{', '.join(map(str, numbers))}]) AS list"
        f" FROM placed WHERE lo < first) p JOIN {those}"
        " ASOF JOIN (SELECT list, family, lo, up FROM warning_networks) n"
        " ON p.list = n.list AND p.family = n.family AND p.lo >= n.lo"
        " WHERE p.up <= n.up AND list_contains(t.types, p.type)"
    )
    return placed, [within, across]


def _patterns(lists: Mapping[int, Entries]) -> list[str]:
    return [
        f"SELECT key, {number}::INTEGER AS list FROM narrow WHERE {_types(lists, [number])} AND ("
        + " OR ".join(f"regexp_matches(value, {_text(pattern)})" for pattern in each.patterns)
        + ")"
        for number, each in lists.items()
        if each.patterns
    ]


def _text(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
