"""Allow-lists as DuckDB SQL: what an allowed entry takes out of a relation, and why.

* The same indicator is taken out, whatever its type.
* A domain takes out itself, its sub-domains and URLs that name nothing but such a host. A URL with a path or
  a query stays unless `urls='all'`: allowing a host must not lose the malware on it.
* A network takes out the addresses and ranges inside it and the URLs whose host is such an address, and is
  cut out of the ranges that it covers in part.

Joins are equality or ASOF joins only. An ASOF join finds one candidate, so lists are reduced first to entries
of which none covers another: otherwise a narrow entry beside a row would hide the wide one that holds it.
"""

from __future__ import annotations

from typing import Literal

from tipline.processors.iptext import family
from tipline.processors.rangesql import (
    IS_IP,
    MERGED,
    VIEW,
    entry,
    gaps,
    merged_intervals,
    networks,
    overlapping,
)

Urls = Literal["host-only", "all"]

# Sorts after every host, so that [rhost, rhost || _TOP) holds exactly the hosts that start with rhost.
_TOP = "chr(1114111)"
_HOST_ONLY = "regexp_full_match(value, '[a-z][a-z0-9+.-]*://[^/?#]*/?')"
_NARROW = "key, type, value, lo, up, rhost"


def prefix_free(allow: str) -> str:
    """SQL: (rhost, entry): the domains of an allow relation that no other of its domains covers.

    Reversed hosts end with a dot, so that `com.example.` covers `com.example.www.` and not `com.examples.`.
    """
    return f"""SELECT rhost, entry FROM (SELECT *, max(rhost || {_TOP}) OVER (ORDER BY rhost
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered FROM (
        SELECT rhost, min({entry()}) AS entry FROM {allow}
        WHERE type = 'domain' AND rhost IS NOT NULL GROUP BY rhost))
    WHERE covered IS NULL OR rhost >= covered"""


def widest(allow: str) -> str:
    """SQL: (family, lo, up, entry, hull): the networks that no other network of the relation covers.

    `hull` is the end of the addresses that are allowed without a gap from `lo` on.
    """
    distinct = f"SELECT family, lo, up, min(entry) AS entry FROM ({networks(allow)}) GROUP BY ALL"
    by_lo = f"""SELECT family, lo, max(up) AS up, max_by(entry, up) AS entry
        FROM ({distinct}) GROUP BY family, lo"""
    reach = f"""SELECT *, max(up) OVER (PARTITION BY family ORDER BY lo
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ({by_lo})"""
    numbered = f"""SELECT *, sum(coalesce(before < lo, true)::INTEGER)
        OVER (PARTITION BY family ORDER BY lo) AS island FROM ({reach})"""
    return f"""SELECT family, lo, up, entry, hull FROM (
    SELECT *, max(up) OVER (PARTITION BY family, island) AS hull FROM ({numbered}))
    WHERE before IS NULL OR up > before"""


def blocked(relation: str, allow: str, urls: Urls = "host-only", *, networks: bool = True) -> str:
    """SQL: (key, reason): the rows that the allow relation takes out whole, one row a key.

    Args:
        relation: the rows.
        allow: the entries.
        urls: whether a domain takes out URLs with a path, too.
        networks: whether there is an entry with addresses at all.

    Reasons read `allowed by <source>: <entry>`; the same indicator is named before a domain, and that before
    a network.
    """
    # Within URLs only: the pattern is costly, and most rows are something else.
    named = "type = 'url'" if urls == "all" else f"type = 'url' AND {_HOST_ONLY}"
    hosts = f"rhost IS NOT NULL AND (type = 'domain' OR {named})"
    nets = ("", "")
    if networks:
        within = f"""
    UNION ALL SELECT key, 3, entry || CASE WHEN r.up <= n.up THEN '' ELSE ' and what follows it' END
    FROM (SELECT key, lo, up, {family()} AS family FROM narrow WHERE lo IS NOT NULL) r
    ASOF JOIN net n ON r.family = n.family AND r.lo >= n.lo WHERE r.lo < n.hull AND r.up <= n.hull"""
        nets = f"\nnet AS MATERIALIZED ({widest(allow)}),", within
    return f"""WITH narrow AS MATERIALIZED (SELECT {_NARROW} FROM {relation}),
listed AS (SELECT key, min({entry()}) AS entry FROM {allow} GROUP BY key),
suffix AS MATERIALIZED ({prefix_free(allow)}),{nets[0]}
found AS (
    SELECT key, 1 AS rank, entry FROM narrow JOIN listed USING (key)
    UNION ALL SELECT key, 2, entry FROM (SELECT key, rhost FROM narrow WHERE {hosts}) r
    ASOF JOIN suffix s ON r.rhost >= s.rhost WHERE starts_with(r.rhost, s.rhost){nets[1]})
SELECT key, 'allowed by ' || min_by(entry, {{'r': rank, 'e': entry}}) AS reason FROM found GROUP BY key"""


def matched_by(relation: str, changed: str) -> str:
    """SQL: (key): the rows that allow entries which came, went or changed may reach, wholly or in part.

    Args:
        relation: the rows.
        changed: the entries (view columns) as they were and as they are.
    """
    return f"""WITH narrow AS MATERIALIZED (SELECT {_NARROW} FROM {relation}),
suffix AS MATERIALIZED ({prefix_free(changed)}),
cuts AS MATERIALIZED ({merged_intervals(changed)})
SELECT key FROM narrow SEMI JOIN {changed} USING (key)
UNION SELECT key FROM (SELECT key, rhost FROM narrow WHERE type IN ('domain', 'url') AND rhost IS NOT NULL) r
    ASOF JOIN suffix s ON r.rhost >= s.rhost WHERE starts_with(r.rhost, s.rhost)
UNION SELECT key FROM ({overlapping("(FROM narrow WHERE lo IS NOT NULL)", "cuts")})"""


def concerning(entries: str, rows: str) -> str:
    """SQL: the keys of those entries that can have a say on some rows.

    Args:
        entries: the allow entries.
        rows: (key, type, lo, up, rhost) of the rows, and of everything that they are made from.
    """
    return f"""SELECT key FROM {entries} SEMI JOIN {rows} USING (key)
UNION SELECT key FROM (SELECT key, rhost FROM {entries} WHERE type = 'domain' AND rhost IS NOT NULL) e
    ASOF JOIN (SELECT rhost FROM {rows} WHERE rhost IS NOT NULL) r ON e.rhost <= r.rhost
    WHERE starts_with(r.rhost, e.rhost)
UNION {overlapping_keys(entries, rows)}"""


def overlapping_keys(rows: str, others: str) -> str:
    """SQL: the keys of those rows (key, type, lo, up) that overlap one of the others."""
    reach = f"SELECT *, max(up) OVER (PARTITION BY family ORDER BY lo) AS reach FROM ({_intervals(others)})"
    return f"""SELECT e.key FROM ({_intervals(rows)}) e
    ASOF JOIN ({reach}) s ON e.family = s.family AND e.up > s.lo WHERE s.reach > e.lo"""


def _intervals(rows: str) -> str:
    return f"SELECT key, lo, up, {family()} AS family FROM {rows} WHERE lo IS NOT NULL"


def allow(relation: str, allowed: str, urls: Urls = "host-only", *, networks: bool = True) -> str:
    """SQL: the rows of `relation` with the allow relation applied, `dropped` set on what it takes out.

    Args:
        relation: the rows.
        allowed: the entries.
        urls: whether a domain takes out URLs with a path, too.
        networks: whether there is an entry with addresses at all; without one, nothing has to be cut.

    A range that is covered in part is dropped as `cut: <source>: <entry>`, and its pieces are rows of their
    own. A piece that is an indicator already there, or a piece of another range too, becomes one row with it.
    """
    gone = f"""WITH live AS MATERIALIZED (SELECT {VIEW} FROM {relation}),
gone AS MATERIALIZED ({blocked("live", allowed, urls, networks=networks)})"""
    taken_out = f"SELECT {VIEW}, reason AS dropped FROM live JOIN gone USING (key)"
    if not networks:
        return f"""{gone}
SELECT {VIEW}, NULL::VARCHAR AS dropped FROM live ANTI JOIN gone USING (key) UNION ALL BY NAME {taken_out}"""
    return f"""{gone},
cuts AS MATERIALIZED ({merged_intervals(allowed)}),
ranges AS (SELECT {_NARROW} FROM live ANTI JOIN gone USING (key) WHERE {IS_IP}),
hit AS MATERIALIZED ({overlapping("ranges", "cuts")}),
piece AS MATERIALIZED ({gaps("live", "hit", "cuts")}),
widest AS MATERIALIZED ({widest(allowed)}),
struck AS (SELECT r.key, w.entry
    FROM (SELECT key, up, {family()} AS family FROM ranges SEMI JOIN hit USING (key)) r
    ASOF JOIN widest w ON r.family = w.family AND r.up > w.lo GROUP BY ALL),
out AS (SELECT key FROM gone UNION ALL SELECT key FROM hit),
joined AS (SELECT any_value(kh) AS kh, type, value, lo, up, NULL::VARCHAR AS rhost, key, {MERGED} FROM (
    SELECT {VIEW} FROM piece
    UNION ALL SELECT {VIEW} FROM live SEMI JOIN piece USING (key) ANTI JOIN out USING (key))
    GROUP BY key, type, value, lo, up)
SELECT {VIEW}, NULL::VARCHAR AS dropped FROM live
    ANTI JOIN (SELECT key FROM out UNION ALL SELECT key FROM piece) USING (key)
UNION ALL BY NAME SELECT {VIEW}, NULL::VARCHAR AS dropped FROM joined
UNION ALL BY NAME {taken_out}
UNION ALL BY NAME SELECT {VIEW}, 'cut: ' || entry AS dropped FROM live JOIN struck USING (key)"""
