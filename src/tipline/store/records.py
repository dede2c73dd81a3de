"""Reads and writes of the control tables that belong to no single module: runs, holds, audit, configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, func, insert, select, update

from tipline.store.control import AUDIT, CONFIGS, HOLDS, RUNS, Control


def record_run(control: Control, values: Mapping[str, Any]) -> int:
    """Write one finished run; returns its number."""
    with control.transaction() as con:
        (number,) = con.execute(insert(RUNS).values(**values)).inserted_primary_key or (0,)
        return int(number)


def record_runs(control: Control, runs: list[dict[str, Any]]) -> None:
    """Write finished runs, all in one transaction."""
    if runs:
        with control.transaction() as con:
            for values in runs:
                con.execute(insert(RUNS).values(**values))


def last_runs(control: Control) -> dict[str, dict[str, Any]]:
    """The newest run of every node, by node name."""
    newest = select(func.max(RUNS.c.id).label("id")).group_by(RUNS.c.node).subquery()
    with control.reading() as con:
        rows = con.execute(select(RUNS).join(newest, RUNS.c.id == newest.c.id)).mappings()
        return {row["node"]: dict(row) for row in rows}


def runs_of(control: Control, node: str, limit: int = 20) -> list[dict[str, Any]]:
    """The newest runs of one node, newest first."""
    query = select(RUNS).where(RUNS.c.node == node).order_by(RUNS.c.id.desc()).limit(limit)
    with control.reading() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def run_by_message(control: Control, node: str, message: str, before: int | None = None) -> dict[str, Any] | None:
    """The newest run of a node (before the one of a number) whose message begins so."""
    query = select(RUNS).where(RUNS.c.node == node, RUNS.c.message.startswith(message, autoescape=True))
    if before is not None:
        query = query.where(RUNS.c.id < before)
    with control.reading() as con:
        row = con.execute(query.order_by(RUNS.c.id.desc()).limit(1)).mappings().first()
        return dict(row) if row else None


@dataclass(frozen=True)
class Hold:
    """What a guard keeps back on a node."""

    id: int
    node: str
    sort: str
    what: str
    reason: str
    count: int
    since: datetime
    approved_at: datetime | None


def open_hold(control: Control, node: str) -> Hold | None:
    """The hold in force on a node, if any."""
    query = select(HOLDS).where(HOLDS.c.node == node, HOLDS.c.ended.is_(None))
    with control.reading() as con:
        row = con.execute(query).mappings().first()
    return Hold(**{field.name: row[field.name] for field in fields(Hold)}) if row else None


def open_holds(control: Control) -> list[dict[str, Any]]:
    """Every hold in force, oldest first."""
    query = select(HOLDS).where(HOLDS.c.ended.is_(None)).order_by(HOLDS.c.id)
    with control.reading() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def set_hold(control: Control, node: str, sort: str, values: Mapping[str, Any], *, restart: bool) -> bool:
    """Keep a node's hold up to date, or start one; returns whether it is new.

    Args:
        control: the control database.
        node: the node's name.
        sort: source or output.
        values: what, reason, count, samples, seen.
        restart: what is held differs from before, so its time starts again and an approval no longer counts.
    """
    with control.transaction() as con:
        query = select(HOLDS).where(HOLDS.c.node == node, HOLDS.c.ended.is_(None))
        existing = con.execute(query).first()
        if existing is None:
            con.execute(insert(HOLDS).values(node=node, sort=sort, since=values["seen"], **values))
            return True
        again = {"since": values["seen"], "approved_at": None, "approved_by": None} if restart else {}
        con.execute(update(HOLDS).where(HOLDS.c.id == existing.id).values(**values, **again))
        return False


def approve_hold(control: Control, hold: int, actor: str, at: datetime) -> None:
    """Note that a person releases a hold."""
    with control.transaction() as con:
        con.execute(update(HOLDS).where(HOLDS.c.id == hold).values(approved_by=actor, approved_at=at))


def end_hold(control: Control, node: str, at: datetime, reason: str) -> bool:
    """End a node's hold; returns whether there was one."""
    with control.transaction() as con:
        result = con.execute(
            update(HOLDS).where(HOLDS.c.node == node, HOLDS.c.ended.is_(None)).values(ended=at, end_reason=reason)
        )
        return bool(result.rowcount)


def audit(
    control: Control,
    at: datetime,
    actor: str,
    team: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    *,
    address: str = "",
) -> None:
    """Note who did what, and from where; of a change, `detail` holds what was `before` and is `after`."""
    entry = {"at": at, "actor": actor, "team": team, "action": action, "subject": subject, "address": address}
    with control.transaction() as con:
        con.execute(insert(AUDIT).values(**entry, detail=dict(detail)))


def record_config(control: Control, at: datetime, actor: str, fingerprint: str, nodes: Mapping[str, str]) -> None:
    """Note that a configuration was approved or put to work."""
    with control.transaction() as con:
        con.execute(insert(CONFIGS).values(at=at, actor=actor, fingerprint=fingerprint, nodes=dict(nodes)))


@dataclass(frozen=True)
class ApprovedPlan:
    """The newest approval of a configuration: when, and what was approved of each output (a fingerprint)."""

    at: datetime
    nodes: Mapping[str, str]


def approved_plan(control: Control) -> ApprovedPlan | None:
    """The newest approval; None: there never was one."""
    with control.reading() as con:
        row = con.execute(select(CONFIGS).order_by(CONFIGS.c.id.desc()).limit(1)).first()
    return ApprovedPlan(row.at, dict(row.nodes)) if row else None


def approved_fingerprints(control: Control) -> dict[str, str]:
    """The newest approved configuration's outputs: name -> fingerprint."""
    found = approved_plan(control)
    return dict(found.nodes) if found else {}


def prune(control: Control, before: datetime) -> None:
    """Drop runs, ended holds and audit entries from before a moment (each node keeps its newest run)."""
    newest = select(func.max(RUNS.c.id)).group_by(RUNS.c.node)
    with control.transaction() as con:
        con.execute(delete(RUNS).where(RUNS.c.started < before, RUNS.c.id.not_in(newest)))
        con.execute(delete(HOLDS).where(HOLDS.c.ended.is_not(None), HOLDS.c.ended < before))
        con.execute(delete(AUDIT).where(AUDIT.c.at < before))


def rows(control: Control, table: Table, *where: Any) -> Sequence[dict[str, Any]]:
    """Rows of a table as dicts."""
    with control.reading() as con:
        return [dict(row) for row in con.execute(select(table).where(*where)).mappings()]
