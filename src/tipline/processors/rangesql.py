"""Arithmetic on address ranges as DuckDB SQL: disjoint ranges, cutting, islands.

Every function takes relations (a table's name, or a subquery in parentheses) with the view columns, all of
whose rows are passed on, and returns the text of one SELECT. A table must not be called like one of the
subqueries here (`src`, `near`, `busy`, ...): DuckDB refuses the circle.

Joins are equality or ASOF joins only: intervals are half-open, so every bound of a result is a bound of some
input, and no address arithmetic is needed. The families never meet: `::/0` holds no IPv4 address.
"""

from __future__ import annotations

from tipline.processors.iptext import family, named

VIEW = (
    "key, kh, type, value, lo, up, rhost, sources, confidence, actionable, tlp, direction, threat_types,"
    " tags, description, refs, extra, first_seen, last_seen, valid_until, added"
)
_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
IS_IP = "type IN ('ipv4', 'ipv6') AND lo IS NOT NULL AND up IS NOT NULL"


def _union_of(column: str) -> str:
    return f"list_sort(list_distinct(flatten(list({column}) FILTER ({column} IS NOT NULL))))"


def _most_confident(column: str) -> str:
    # Ties by source and then by the words themselves, so that the order of rows never matters.
    return f"min_by({column}, (255 - confidence, sources[1], {column})) FILTER ({column} IS NOT NULL)"


# How rows that speak of the same addresses become one: an aggregate for each attribute of a view row.
MERGE: dict[str, str] = {
    "sources": _union_of("sources"),
    "confidence": "max(confidence)",
    "actionable": "bool_or(actionable)",
    "tlp": "max(tlp)",
    # count(DISTINCT) would say the same at fifty times the cost.
    "direction": "CASE WHEN min(direction) = max(direction) AND count(direction) = count(*) THEN min(direction) END",
    "threat_types": _union_of("threat_types"),
    "tags": _union_of("tags"),
    "description": _most_confident("description"),
    "refs": _union_of("refs"),
    "extra": _most_confident("extra"),
    "first_seen": "min(first_seen)",
    "last_seen": "max(last_seen)",
    "valid_until": "CASE WHEN count(valid_until) = count(*) THEN max(valid_until) END",
    "added": "min(added)",
}
MERGED = ", ".join(f"{sql} AS {column}" for column, sql in MERGE.items())
_ATTRIBUTES = ", ".join(MERGE)


def addresses(relation: str) -> str:
    """SQL: the address rows of a relation."""
    return f"SELECT {VIEW} FROM {relation} WHERE {IS_IP}"


def disjoint(relation: str, allow: str | None = None) -> str:
    """SQL: maximal disjoint ranges, each with the merged attributes of exactly the rows that cover it.

    Rows that overlap nothing (most, in practice) pass as they are; the others, and the allowed networks, are
    laid over the segments between all their bounds. Rows of other types are not returned.

    Args:
        relation: the rows; a key may occur several times.
        allow: networks to leave out; a row of which nothing remains comes with the reason in `dropped`.
    """
    cuts = (
        networks(allow)
        if allow
        else "SELECT 4::UTINYINT AS family, NULL::UUID AS lo, NULL::UUID AS up, '' AS entry LIMIT 0"
    )
    return f"""WITH src AS MATERIALIZED ({addresses(relation)}),
cut AS MATERIALIZED ({cuts}),
near AS (SELECT key, lo, up, lead(lo) OVER w AS next_lo, max(up) OVER (w {_BEFORE}) AS prev_up
    FROM (SELECT key, lo, up, {family()} AS family FROM src UNION ALL SELECT NULL, lo, up, family FROM cut)
    WINDOW w AS (PARTITION BY family ORDER BY lo)),
busy AS MATERIALIZED (SELECT DISTINCT key FROM near WHERE key IS NOT NULL AND (next_lo < up OR prev_up > lo)),
cover AS MATERIALIZED (SELECT *, {family()} AS family FROM src SEMI JOIN busy USING (key)),
edge AS (SELECT family, lo, up FROM cover UNION ALL SELECT family, lo, up FROM cut),
bound AS MATERIALIZED (SELECT family, pos, row_number() OVER (ORDER BY family, pos) AS i
    FROM (SELECT family, lo AS pos FROM edge UNION SELECT family, up FROM edge)),
part AS MATERIALIZED (SELECT *, unnest(range(i0, i1)) AS i FROM ({_spans("cover")})),
allowed AS (SELECT i, min(entry) AS entry FROM (
    SELECT entry, unnest(range(i0, i1)) AS i FROM ({_spans("cut")})) GROUP BY i),
merged AS (SELECT i, type, max(value) FILTER (i1 = i0 + 1) AS value, {MERGED}
    FROM part ANTI JOIN allowed USING (i) GROUP BY i, type),
segment AS (SELECT NULL::UUID AS key, NULL::UBIGINT AS kh, type, value, a.pos AS lo, e.pos AS up,
    NULL::VARCHAR AS rhost, {_ATTRIBUTES}
    FROM merged JOIN bound a ON a.i = merged.i JOIN bound e ON e.i = merged.i + 1),
lost AS (SELECT key, arg_min(entry, i) AS entry FROM part LEFT JOIN allowed USING (i)
    GROUP BY key HAVING count(entry) = count(*))
SELECT {VIEW}, NULL::VARCHAR AS dropped FROM src ANTI JOIN busy USING (key)
UNION ALL BY NAME SELECT {VIEW}, NULL::VARCHAR AS dropped FROM ({named("SELECT * FROM segment")})
UNION ALL BY NAME SELECT {VIEW}, 'allowed by ' || entry AS dropped FROM src JOIN lost USING (key)"""


def _spans(rows: str) -> str:
    """Rows (family, lo, up) with the numbers of their bounds: they cover segments from i0 to before i1."""
    return f"""SELECT r.*, a.i AS i0, e.i AS i1 FROM {rows} r
    JOIN bound a ON a.family = r.family AND a.pos = r.lo
    JOIN bound e ON e.family = r.family AND e.pos = r.up"""


def merge_neighbours(relation: str) -> str:
    """SQL: the ranges of a disjoint relation, those that touch and have the same sources joined into one."""
    return f"""WITH src AS MATERIALIZED ({addresses(relation)}),
near AS (SELECT key, family, lo,
    lag(up) OVER w IS NOT DISTINCT FROM lo AND lag(sources) OVER w = sources AS joins
    FROM (SELECT *, {family()} AS family FROM src) WINDOW w AS (PARTITION BY family ORDER BY lo)),
chain AS MATERIALIZED (SELECT key, i FROM (SELECT key, joins, lead(joins) OVER w AS joined,
    sum((NOT joins)::INTEGER) OVER (w ROWS UNBOUNDED PRECEDING) AS i
    FROM near WINDOW w AS (PARTITION BY family ORDER BY lo)) WHERE joins OR joined),
merged AS (SELECT type, min(lo) AS lo, max(up) AS up, NULL::VARCHAR AS value, NULL::UUID AS key,
    NULL::UBIGINT AS kh, NULL::VARCHAR AS rhost, {MERGED} FROM src JOIN chain USING (key) GROUP BY type, i)
SELECT {VIEW}, NULL::VARCHAR AS dropped FROM src ANTI JOIN chain USING (key)
UNION ALL BY NAME SELECT {VIEW}, NULL::VARCHAR AS dropped FROM ({named(f"SELECT {VIEW} FROM merged")})"""


def _hulls(intervals: str, apart: str, extra: str = "") -> str:
    """Hulls of the islands in `intervals` (family, lo, up); an island ends where prev_up `apart` lo holds."""
    # Intervals of one lo are peers of one island: the sum's default frame counts all of them.
    return f"""SELECT family, min(lo) AS lo, max(up) AS up{extra} FROM (
    SELECT *, sum(coalesce(prev_up {apart} lo, true)::INTEGER)
        OVER (PARTITION BY family ORDER BY lo) AS island
    FROM (SELECT *, max(up) OVER (PARTITION BY family ORDER BY lo {_BEFORE}) AS prev_up FROM ({intervals})))
    GROUP BY family, island"""


def networks(relation: str) -> str:
    """SQL: (family, lo, up, entry) of a relation's address rows; `entry` names source and value.

    The one interval that is empty because its end saturates, the last IPv6 address, is left out.
    """
    return f"SELECT {family()} AS family, lo, up, {entry()} AS entry FROM {relation} WHERE {IS_IP} AND lo < up"


def entry(alias: str = "") -> str:
    """SQL: how a reason names an allow entry: `source: value`."""
    p = f"{alias}." if alias else ""
    return f"concat(array_to_string({p}sources, ', '), ': ', {p}value)"


def merged_intervals(relation: str) -> str:
    """SQL: (family, i, lo, up): a relation's networks in order, overlapping or touching ones joined."""
    hulls = _hulls(f"SELECT family, lo, up FROM ({networks(relation)})", "<")
    return f"SELECT family, row_number() OVER (ORDER BY family, lo) AS i, lo, up FROM ({hulls})"


def overlapping(rows: str, cuts: str) -> str:
    """SQL: (key, i0, i1): rows (key, type, lo, up) that overlap `cuts`, with the first and last of those."""
    rows = f"SELECT key, lo, up, {family()} AS family FROM {rows}"
    # Two steps, so that the second join sees the few rows that the first has found.
    hits = f"""SELECT r.*, l.i AS i1 FROM ({rows}) r
    ASOF JOIN {cuts} l ON r.family = l.family AND r.up > l.lo WHERE l.up > r.lo"""
    return f"""SELECT DISTINCT r.key, f.i AS i0, r.i1 FROM ({hits}) r
    ASOF JOIN {cuts} f ON r.family = f.family AND r.lo < f.up"""


def gaps(rows: str, hits: str, cuts: str) -> str:
    """SQL: what is left of `rows` (view columns) outside `cuts`, with new value, key and kh.

    Args:
        rows: the rows that `hits` speaks of, or more.
        hits: a relation as `overlapping` yields; rows wholly covered leave nothing.
        cuts: a relation as `merged_intervals` yields.
    """
    return named(f"""WITH gap AS (SELECT r.*, i0, i1, unnest(range(i0, i1 + 2)) AS i
    FROM {rows} r JOIN {hits} h USING (key))
SELECT * FROM (SELECT gap.* EXCLUDE (i, i0, i1) REPLACE (NULL::VARCHAR AS value,
    CASE WHEN gap.i = i0 THEN gap.lo ELSE b.up END AS lo,
    CASE WHEN gap.i = i1 + 1 THEN gap.up ELSE a.lo END AS up)
    FROM gap LEFT JOIN {cuts} b ON b.i = gap.i - 1 LEFT JOIN {cuts} a ON a.i = gap.i) WHERE lo < up""")


def islands(intervals: str, touched: str, *, touching: bool = True) -> str:
    """SQL: (family, lo, up): the hulls of those islands that hold at least one touched interval.

    Args:
        intervals: relation with family (4 or 6), lo, up: every interval as it is now.
        touched: relation with family, lo, up: the intervals that changed, as they were and as they are.
        touching: whether intervals that only touch are one island (needed if neighbours are merged).
    """
    both = (
        f"SELECT family, lo, up, false AS hit FROM {intervals} WHERE lo IS NOT NULL"
        f" UNION ALL SELECT family, lo, up, true FROM {touched} WHERE lo IS NOT NULL"
    )
    hulls = _hulls(both, "<" if touching else "<=", ", bool_or(hit) AS hit")
    return f"SELECT family, lo, up FROM ({hulls}) WHERE hit"


def within(hulls: str, relation: str) -> str:
    """SQL: the rows of `relation` (key, type, lo, up, any others) whose interval lies in one of the hulls."""
    return f"""SELECT * FROM {relation} SEMI JOIN (
    SELECT r.key FROM (SELECT key, lo, up, {family()} AS family FROM {relation} WHERE lo IS NOT NULL) r
    ASOF JOIN {hulls} h ON r.family = h.family AND r.lo >= h.lo WHERE r.up <= h.up) USING (key)"""
