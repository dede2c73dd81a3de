"""What a paged output publishes, as objects in the order of their last change: a change moves one to the end.

A reader that pages by this order loses nothing while it reads: what changes meanwhile comes later, or again,
and nothing else moves. Objects that were removed stay for a while, so that readers learn of it.
"""

from __future__ import annotations

import json
import uuid

import duckdb

from tipline.engine.graph import Graph
from tipline.microsoft.stix import NAMESPACE
from tipline.store.schema import OBJECT, REMOVED, log_table, objects_table, published_table

_OWN = {"seq", "stamp", "id", "removed"}
_TAKEN = [name for name in OBJECT if name not in _OWN]


def namespace(instance: str, output: str) -> uuid.UUID:
    """The namespace of an output's identifiers: two installations, or two outputs, never share one."""
    return uuid.uuid5(NAMESPACE, json.dumps(["objects", instance, output]))


def paged_outputs(graph: Graph) -> list[int]:
    """The numbers of the outputs that have objects."""
    return [graph.ids[name] for name, output in graph.outputs.items() if output.paged]


def line_up(con: duckdb.DuckDBPyConnection, number: int, within: uuid.UUID, seq: int) -> None:
    """Bring an output's objects up to date with its log (inside the transaction that wrote it).

    Args:
        con: the transaction's connection.
        number: the output's number.
        within: its namespace.
        seq: the last number of the log before.
    """
    objects, published = objects_table(number), published_table(number)
    con.execute(
        # Readers go on from the last moment they saw: each round has a later one, even if clocks go back.
        f"CREATE OR REPLACE TEMP TABLE moved AS SELECT seq, op, key, greatest(stamp, (SELECT max(stamp) +"
        f" INTERVAL 1 MILLISECOND FROM {objects})) AS stamp FROM {log_table(number)} WHERE seq > ?",
        [seq],
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE former AS SELECT * FROM {objects} WHERE NOT removed"
        " AND key IN (SELECT key FROM moved)"
    )
    con.execute(f"DELETE FROM {objects} WHERE NOT removed AND key IN (SELECT key FROM former)")
    taken = ", ".join(f"x.{name}" for name in _TAKEN)
    con.execute(
        f"INSERT INTO {objects} (seq, stamp, id, removed, {', '.join(_TAKEN)}) SELECT * FROM ("
        f" SELECT m.seq, m.stamp, x.id, TRUE AS removed, {taken} FROM former x JOIN moved m USING (key)"
        f" WHERE m.op = {REMOVED} UNION ALL"
        f" SELECT m.seq, m.stamp, coalesce(f.id, {id_sql(within, 'x')}), FALSE, {taken} FROM {published} x"
        f" JOIN moved m USING (key) LEFT JOIN former f USING (key) WHERE m.op <> {REMOVED}) ORDER BY seq"
    )
    con.execute("DROP TABLE moved")
    con.execute("DROP TABLE former")


def id_sql(within: uuid.UUID, alias: str) -> str:
    """SQL: the UUID (version 5) of type, value and `since`.

    What returns after it was removed is another object: in STIX one that was revoked never comes back.
    """
    name = f"{alias}.type || '|' || {alias}.value || '|' || epoch_us({alias}.since)"
    digest = f"sha1(from_hex('{within.hex}') || encode({name}))"
    # RFC 4122: the version in the 13th hex digit, the variant in the two upper bits of the 17th.
    variant = "substr('89ab', ('0x' || substr(h, 17, 1))::INTEGER % 4 + 1, 1)"
    parts = f"substr(h, 1, 12) || '5' || substr(h, 14, 3) || {variant} || substr(h, 18, 15)"
    return f"list_transform([{digest}], lambda h: ({parts})::UUID)[1]"
