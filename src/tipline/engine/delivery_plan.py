"""Plans a delivery: what to withdraw and what to send, from the published set, its log and the receipts.

The state decides, not the log's order: the log (or a due receipt) only says which keys to look at, so that an
indicator that came and went before it was sent costs no call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from tipline.engine.times import literal
from tipline.outputs.delivery import Delivered, Ranking, Row
from tipline.store.control import Control
from tipline.store.overrides import Override
from tipline.store.receipts import plan_columns
from tipline.store.schema import REMOVED, digest_sql, log_table, published_table

SEND, REPLACE, WITHDRAW, FORGET = "send", "replace", "withdraw", "forget"
# From so many touched keys on, all receipts are read in one go.
_SCAN_FROM = 20_000
# So many indicators a plan can send: the others are counted, and their turn comes with a later plan.
MOST = 200_000
_FIRST = "confidence DESC, key"
_ROW = (
    "type", "value", "sources", "confidence", "tlp", "direction", "threat_types", "tags", "description",
    "refs", "first_seen", "valid_until", "override",
)  # fmt: skip
_OVERRIDDEN: dict[str, Any] = {
    "key": pl.String, "identity": pl.String, "mark": pl.String, "ends": pl.Datetime("us"), "override": pl.String,
}  # fmt: skip
_HAD: dict[str, Any] = {
    "key": pl.String, "state": pl.String, "holds": pl.String, "identity": pl.String, "sent": pl.String,
    "expires": pl.Datetime("us"), "due": pl.Datetime("us"),
}  # fmt: skip


@dataclass(frozen=True)
class Position:
    """Where an output's log ends, and whether rows after a cursor were pruned."""

    last: int
    gap: bool


@dataclass
class Plan:
    """What is to be done; the rows are in the connection's temporary table `todo`.

    Attributes:
        last: the log's last number that the plan takes in.
        full: whether everything was compared.
        counts: number of indicators by what is to be done with them.
        waiting: number of published indicators that are not sent now, by reason.
        handled: number of planned sends that were dealt with.
        basis: what everything is compared in full for when it changes (settings, overrides).
    """

    con: duckdb.DuckDBPyConnection
    last: int
    full: bool
    counts: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    handled: int = 0
    basis: str = ""

    @property
    def sends(self) -> int:
        """Indicators to send."""
        return self.counts.get(SEND, 0) + self.counts.get(REPLACE, 0)

    @property
    def withdrawals(self) -> int:
        """Indicators to take back for good."""
        return self.counts.get(WITHDRAW, 0)

    def settled(self) -> None:
        """Let go of what only the making of the plan needed."""
        for name in ("shown_rows", "had", "chosen", "decided"):
            self.con.execute(f"DROP TABLE {name}")

    def forgotten(self) -> list[str]:
        """Keys whose receipt has no more to say: lapsed, or never taken by the far side."""
        rows = self.con.execute(f"SELECT {_hex('key')} FROM todo WHERE op = '{FORGET}'").fetchall()
        return [key for (key,) in rows]

    def to_withdraw(self, batch: int) -> Iterator[list[tuple[str, bool]]]:
        """Batches of (key, false positive)."""
        found = self.con.execute(
            f"SELECT {_hex('key')}, false_positive FROM todo WHERE op IN ('{WITHDRAW}', '{REPLACE}')"
            f" ORDER BY op = '{REPLACE}', false_positive DESC, key"
        )
        while rows := found.fetchmany(batch):
            yield [(key, bool(false_positive)) for key, false_positive in rows]

    def to_send(self, batch: int, limit: int) -> Iterator[list[tuple[Row, str]]]:
        """Batches of (indicator, digest of what is sent), the most confident first; of a long plan only the first."""
        found = self.con.execute(
            f"SELECT {_hex('key')}, current, {', '.join(_ROW)} FROM todo WHERE op IN ('{SEND}', '{REPLACE}')"
            f" ORDER BY {_FIRST} LIMIT {limit}"
        )
        while rows := found.fetchmany(batch):
            yield [(_row(row), row[1]) for row in rows]


def log_position(con: duckdb.DuckDBPyConnection, output: int, cursor: int) -> Position:
    """Where the log is, seen from a cursor."""
    last, first = con.execute(
        "SELECT (SELECT seq FROM output_state WHERE output = ?),"
        f" (SELECT min(seq) FROM {log_table(output)} WHERE seq > ?)",
        [output, cursor],
    ).fetchone() or (0, None)
    last = int(last or 0)
    return Position(last, last > cursor and (first is None or int(first) > cursor + 1))


def make_plan(
    con: duckdb.DuckDBPyConnection,
    control: Control,
    kind: Delivered,
    output: int,
    ask: Ask,
) -> Plan:
    """Compare what is wanted with the receipts, in one snapshot; fills the temporary table `todo`.

    Args:
        con: a connection of its own.
        control: the control database.
        kind: the output.
        output: its number.
        ask: what to look at.
    """
    published = published_table(output)
    con.execute("BEGIN")
    try:
        last = log_position(con, output, ask.cursor).last
        full = ask.full or kind.ranked
        touched = None if full else _touched(con, output, ask)
        _load_receipts(con, control, kind.name, touched)
        _load_overrides(con, kind, ask)
        con.execute(_published_sql(kind, published, ask, touched is not None))
        ranking = Ranking("shown_rows", "had", literal(ask.now), ask.slots_taken, ask.pinned)
        con.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS {kind.select(ranking)}")
        con.execute(_decided_sql(literal(ask.now)))
        con.execute(_todo_sql(output))
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    plan = Plan(con, last, full)
    plan.counts = dict(con.execute("SELECT op, count(*) FROM decided GROUP BY op").fetchall())
    plan.waiting = dict(
        con.execute(
            "SELECT split_part(waiting, ':', 1), count(*) FROM chosen WHERE waiting IS NOT NULL GROUP BY 1"
        ).fetchall()
    )
    return plan


@dataclass(frozen=True)
class Ask:
    """What a plan is to look at.

    Attributes:
        now: the moment.
        instance: the installation's name.
        cursor: the log's number that was dealt with.
        full: compare everything.
        restless: keys to look at whatever the log says.
        slots_taken: how much of the far side's room others take.
        pinned: sources whose indicators come first.
        retiring: nothing is wanted any more.
        overrides: how people want single indicators to be; with others than in the last plan, `full` is needed.
    """

    now: datetime
    instance: str
    cursor: int = 0
    full: bool = False
    restless: tuple[str, ...] = ()
    slots_taken: int = 0
    pinned: tuple[str, ...] = ()
    retiring: bool = False
    overrides: tuple[Override, ...] = ()


def waiting_for(con: duckdb.DuckDBPyConnection, key: str) -> str | None:
    """Why a published key is not sent, in the plan just made; None if it is, or is not published."""
    row = con.execute("SELECT waiting FROM chosen WHERE key = ?::UUID", [key]).fetchone()
    return row[0] if row else None


def rows_of(con: duckdb.DuckDBPyConnection, keys: list[str]) -> dict[str, Row]:
    """Those of some keys (32 hex digits) that the plan just made wants at the far side, by key."""
    if not keys:
        return {}
    con.register("asked_keys", pl.DataFrame({"key": keys}).to_arrow())
    try:
        rows = con.execute(
            f"SELECT {_hex('key')}, current, {', '.join(_ROW)} FROM shown_rows JOIN chosen USING (key)"
            " WHERE waiting IS NULL AND key IN (SELECT key::UUID FROM asked_keys)"
        ).fetchall()
    finally:
        con.unregister("asked_keys")
    return {row[0]: _row(row) for row in rows}


def published_among(con: duckdb.DuckDBPyConnection, output: int, keys: list[str]) -> list[str]:
    """Those of some keys (32 hex digits) that an output publishes."""
    if not keys:
        return []
    con.register("asked_keys", pl.DataFrame({"key": keys}).to_arrow())
    try:
        rows = con.execute(
            f"SELECT {_hex('key')} FROM {published_table(output)} WHERE key IN (SELECT key::UUID FROM asked_keys)"
        ).fetchall()
    finally:
        con.unregister("asked_keys")
    return [key for (key,) in rows]


def first_rows(con: duckdb.DuckDBPyConnection, limit: int) -> tuple[list[Row], int]:
    """The first indicators that the plan just made wants at the far side, and how many it wants in all."""
    wanted = "FROM shown_rows JOIN chosen USING (key) WHERE waiting IS NULL"
    rows = con.execute(
        f"SELECT {_hex('key')}, current, {', '.join(_ROW)} {wanted} ORDER BY confidence DESC, key LIMIT {int(limit)}"
    ).fetchall()
    (count,) = con.execute(f"SELECT count(*) {wanted}").fetchone() or (0,)
    return [_row(row) for row in rows], int(count)


def _touched(con: duckdb.DuckDBPyConnection, output: int, ask: Ask) -> list[str] | None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT key FROM"
        f" {log_table(output)} WHERE seq > {int(ask.cursor)}"
    )
    if ask.restless:
        frame = pl.DataFrame({"key": list(ask.restless)})
        con.register("restless_keys", frame.to_arrow())
        con.execute("INSERT INTO touched SELECT DISTINCT key::UUID FROM restless_keys"
                    " WHERE key::UUID NOT IN (SELECT key FROM touched)")  # fmt: skip
        con.unregister("restless_keys")
    return [key for (key,) in con.execute(f"SELECT {_hex('key')} FROM touched").fetchall()]


def _load_receipts(con: duckdb.DuckDBPyConnection, control: Control, name: str, touched: list[str] | None) -> None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE had (key UUID, state VARCHAR, holds VARCHAR, identity VARCHAR,"
        " sent VARCHAR, expires TIMESTAMP, due TIMESTAMP)"
    )
    few = touched is not None and len(touched) < _SCAN_FROM
    semi = "" if touched is None else " SEMI JOIN touched USING (key)"
    for rows in plan_columns(control, name, touched if few else None):
        con.register("had_rows", pl.DataFrame(rows, schema=_HAD, orient="row").to_arrow())
        con.execute(f"INSERT INTO had SELECT * FROM (SELECT * REPLACE (key::UUID AS key) FROM had_rows){semi}")
        con.unregister("had_rows")


def _load_overrides(con: duckdb.DuckDBPyConnection, kind: Delivered, ask: Ask) -> None:
    """How single indicators are to be otherwise, with the identity that each then has."""
    rows = [
        (each.key, kind.identity_with(each, ask.instance), each.mark, each.expires, each.as_json())
        for each in ask.overrides
    ]
    con.register("override_rows", pl.DataFrame(rows, schema=_OVERRIDDEN, orient="row").to_arrow())
    con.execute("CREATE OR REPLACE TEMP TABLE overridden AS SELECT * REPLACE (key::UUID AS key) FROM override_rows")
    con.unregister("override_rows")


def _published_sql(kind: Delivered, published: str, ask: Ask, cut: bool) -> str:
    """The published rows with the digest and the identity they would be sent with now."""
    columns = [f"o.{name}" if name == "override" else f"p.{name}" for name in _ROW if name != "valid_until"]
    types = sorted(kind.types or ())
    cases = " ".join(f"WHEN '{type_}' THEN {_text(kind.identity(type_, ask.instance))}" for type_ in types)
    other = _text(kind.identity("", ask.instance))
    identity = f"CASE p.type {cases} ELSE {other} END" if cases else other
    semi = " SEMI JOIN touched USING (key)" if cut else " WHERE false" if ask.retiring else ""
    settings = kind.settings_digest(ask.instance)
    return (
        f"CREATE OR REPLACE TEMP TABLE shown_rows AS SELECT key, p.rhost, {', '.join(columns)},"
        " coalesce(o.ends, p.valid_until) AS valid_until,"
        f" printf('%016x', {_digest(kind)}) || ':{settings}' || coalesce(':' || o.mark, '') AS current,"
        f" coalesce(o.identity, {identity}) AS identity"
        f" FROM {published} p LEFT JOIN overridden o USING (key){semi}"
    )


def _digest(kind: Delivered) -> str:
    """SQL: the digest of what the far side is given of a row; the stored one where it is the same."""
    columns = kind.sent_columns()
    return "p.shown" if columns is None else digest_sql(columns, "p.")


def _decided_sql(now: str) -> str:
    """What to do with each key."""
    gone = "(w.key IS NULL OR w.waiting IS NOT NULL)"
    later = f"h.state = 'withdrawing' AND coalesce(h.due > {now}, false)"
    op = f"""CASE
        WHEN {later} OR w.waiting = 'refused' THEN NULL
        WHEN {gone} AND h.key IS NULL THEN NULL
        WHEN {gone} AND h.holds = 'no' THEN CASE WHEN h.state <> 'withdrawn' THEN '{FORGET}' END
        WHEN {gone} AND h.state = 'accepted' AND h.expires <= {now} THEN '{FORGET}'
        WHEN {gone} THEN '{WITHDRAW}'
        WHEN h.key IS NULL THEN '{SEND}'
        WHEN h.state = 'withdrawing' OR (h.holds <> 'no' AND h.identity <> w.identity) THEN '{REPLACE}'
        WHEN h.state IN ('sending', 'withdrawn') OR h.sent <> w.current OR h.due <= {now} THEN '{SEND}'
        END"""
    return f"""CREATE OR REPLACE TEMP TABLE decided AS
WITH w AS (SELECT key, current, identity, confidence, waiting FROM shown_rows JOIN chosen USING (key)),
every AS (SELECT coalesce(w.key, h.key) AS key, {op} AS op, w.key IS NULL AS gone, w.confidence
    FROM w FULL JOIN had h ON w.key = h.key)
SELECT * FROM every WHERE op IS NOT NULL"""


def _todo_sql(output: int) -> str:
    """What is done of it, with what is needed to do it: all that leaves, and the first of what is sent."""
    sends = f"op IN ('{SEND}', '{REPLACE}')"
    columns = ", ".join(f"w.{name}" for name in ("current", *_ROW))
    return f"""CREATE OR REPLACE TEMP TABLE todo AS
WITH first AS (SELECT key FROM decided WHERE {sends} ORDER BY {_FIRST} LIMIT {MOST}),
picked AS MATERIALIZED (SELECT * FROM decided WHERE NOT {sends} OR key IN (SELECT key FROM first)),
why AS (SELECT key, arg_max(coalesce(reason, ''), seq) AS reason FROM {log_table(output)}
    SEMI JOIN (SELECT key FROM picked WHERE op = '{WITHDRAW}') USING (key) WHERE op = {REMOVED} GROUP BY key)
SELECT picked.key, op, gone, {columns},
    gone AND coalesce(starts_with(why.reason, 'allowed'), false) AS false_positive
FROM picked LEFT JOIN shown_rows w USING (key) LEFT JOIN why USING (key)"""


def _row(values: tuple[Any, ...]) -> Row:
    content = dict(zip(_ROW, values[2:], strict=True))
    for name in ("sources", "threat_types", "tags", "refs"):
        content[name] = content[name] or ()
    content["override"] = Override.of_json(content["override"]) if content["override"] else None
    return Row(key=values[0], **content)


def _hex(column: str) -> str:
    return f"replace({column}::VARCHAR, '-', '')"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
