"""The lake's tables: one place for every column that claims, published sets and logs have.

Statements stay portable to DuckLake: no HUGEINT, no keys or indexes that correctness relies on.
"""

from __future__ import annotations

LAKE_VERSION = 1

# What a source says about an indicator, besides the indicator itself: (column, type).
ATTRIBUTES: dict[str, str] = {
    "confidence": "UTINYINT",
    "actionable": "BOOLEAN",
    "tlp": "UTINYINT",
    "direction": "VARCHAR",
    "threat_types": "VARCHAR[]",
    "tags": "VARCHAR[]",
    "description": "VARCHAR",
    "refs": "VARCHAR[]",
    "extra": "VARCHAR",
    "first_seen": "TIMESTAMP",
    "last_seen": "TIMESTAMP",
    "valid_until": "TIMESTAMP",
}
# The indicator: `lo`/`up` are a half-open address interval, `rhost` the host's labels reversed with a final dot.
INDICATOR: dict[str, str] = {
    "key": "UUID",
    "kh": "UBIGINT",
    "type": "VARCHAR",
    "value": "VARCHAR",
    "lo": "UUID",
    "up": "UUID",
    "rhost": "VARCHAR",
}
CLAIM: dict[str, str] = {
    **INDICATOR,
    "record": "VARCHAR",
    **ATTRIBUTES,
    "digest": "UBIGINT",
    # A hash of the feed's line (and of how it is judged); null where it is not known.
    "line": "UBIGINT",
    "added": "TIMESTAMP",
    "refreshed": "TIMESTAMP",
    "left_at": "TIMESTAMP",
}
# A view relation: what every node hands to the next (rows with `dropped` set are accounted for, not passed on).
VIEW: dict[str, str] = {**INDICATOR, "sources": "VARCHAR[]", **ATTRIBUTES, "added": "TIMESTAMP"}
PUBLISHED: dict[str, str] = {**VIEW, "digest": "UBIGINT", "shown": "UBIGINT", "since": "TIMESTAMP"}
LOG: dict[str, str] = {
    "seq": "BIGINT",
    "stamp": "TIMESTAMP",
    "op": "UTINYINT",
    "key": "UUID",
    "type": "VARCHAR",
    "value": "VARCHAR",
    "reason": "VARCHAR",
}

# What a paged output publishes (and, for a while, what it no longer does), in the order of the last change.
OBJECT: dict[str, str] = {
    # Of the log's row that put it here; an object moves to the end with each change.
    "seq": "BIGINT",
    "stamp": "TIMESTAMP",
    # The identifier that readers know it by: never changed, never used again once it was removed.
    "id": "UUID",
    "key": "UUID",
    "type": "VARCHAR",
    "value": "VARCHAR",
    "since": "TIMESTAMP",
    "removed": "BOOLEAN",
    **{
        name: ATTRIBUTES[name]
        for name in ("confidence", "tlp", "threat_types", "tags", "description", "refs", "valid_until")
    },
}

REMOVED, ADDED, CHANGED = 0, 1, 2
OPS = {REMOVED: "removed", ADDED: "added", CHANGED: "changed"}

VIEW_COLUMNS = ", ".join(VIEW)

_SHARED: dict[str, str] = {
    "meta": "name VARCHAR, value VARCHAR",
    "nodes": "id INTEGER, name VARCHAR, sort VARCHAR, kind VARCHAR, created TIMESTAMP, retired TIMESTAMP",
    "source_state": "source INTEGER, commit_no BIGINT, cursor VARCHAR, last_poll TIMESTAMP, last_success TIMESTAMP,"
    " failing_since TIMESTAMP, held_since TIMESTAMP, clock TIMESTAMP, accepted_share DOUBLE, message VARCHAR",
    "commits": "source INTEGER, commit_no BIGINT, stamp TIMESTAMP, added BIGINT, changed BIGINT, removed BIGINT,"
    " bulk BOOLEAN, approved BOOLEAN",
    "claim_log": "source INTEGER, commit_no BIGINT, stamp TIMESTAMP, op UTINYINT, key UUID, type VARCHAR,"
    " value VARCHAR, lo UUID, up UUID, rhost VARCHAR",
    "held": "source INTEGER, key UUID, record VARCHAR",
    "output_state": "output INTEGER, cursor VARCHAR, as_of TIMESTAMP, seq BIGINT, fingerprint VARCHAR",
    # The warning lists that are in use, ready for matching; the log has what stands on other lists since a revision.
    "warning_lists": "list INTEGER, name VARCHAR, digest VARCHAR, types VARCHAR[], entries BIGINT, refused BIGINT,"
    " samples VARCHAR[], loaded TIMESTAMP",
    "warning_values": "list INTEGER, value VARCHAR",
    "warning_hosts": "list INTEGER, rhost VARCHAR, stem VARCHAR",
    "warning_networks": "list INTEGER, family UTINYINT, lo UUID, up UUID",
    "warning_segments": "family UTINYINT, lo UUID, up UUID, lists INTEGER[]",
    "warning_patterns": "list INTEGER, pattern VARCHAR",
    "warning_log": "revision BIGINT, key UUID, type VARCHAR, lo UUID, up UUID, rhost VARCHAR",
}
# The statements that make a lake's shared tables where they are missing.
SHARED = tuple(f"CREATE TABLE IF NOT EXISTS {name} ({columns})" for name, columns in _SHARED.items())


def columns_sql(columns: dict[str, str]) -> str:
    """Column definitions for CREATE TABLE."""
    return ", ".join(f'"{name}" {kind}' for name, kind in columns.items())


def claims_table(node: int) -> str:
    """Name of the table that holds one source's claims."""
    return f"claims_{node}"


def published_table(node: int) -> str:
    """Name of the table that holds what one output publishes."""
    return f"published_{node}"


def log_table(node: int) -> str:
    """Name of one output's change log."""
    return f"log_{node}"


def objects_table(node: int) -> str:
    """Name of the table that holds the objects of one paged output."""
    return f"objects_{node}"


def node_tables(sort: str, node: int) -> dict[str, dict[str, str]]:
    """The tables that one node owns: name -> columns."""
    if sort == "source":
        return {claims_table(node): CLAIM}
    if sort == "output":
        return {published_table(node): PUBLISHED, log_table(node): LOG, objects_table(node): OBJECT}
    return {}


def digest_sql(columns: list[str], prefix: str = "") -> str:
    """A 64-bit digest of the named columns, the same on every version of the engine."""
    parts = [f"coalesce({prefix}{c}::VARCHAR, '')" for c in columns]
    return f"md5_number_lower(concat_ws(chr(31), {', '.join(parts)}))"
