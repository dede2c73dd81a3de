"""What people do: add and remove indicators by hand, allow values, release holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from tipline.engine.claims import compare, withdraw, write_changes
from tipline.engine.core import Engine
from tipline.engine.guard import WITHDRAWALS
from tipline.engine.leaving import RETIREMENT
from tipline.engine.stage import stage
from tipline.errors import TiplineError
from tipline.model.keys import key
from tipline.model.normalise import normalise_one
from tipline.sources.base import Source
from tipline.sources.local import Local
from tipline.store.receipts import forget_output
from tipline.store.records import approve_hold, audit, end_hold, open_holds
from tipline.store.schema import claims_table


class RequestError(TiplineError):
    """What was asked for cannot be done."""

    code = "request"


@dataclass(frozen=True)
class Entry:
    """One indicator to add by hand.

    Attributes:
        ttl: how long it stays; None: as long as the source says.
        never: it stays for good, whatever the source says.
    """

    value: str
    type: str | None = None
    ttl: timedelta | None = None
    never: bool = False
    comment: str | None = None
    tlp: str | None = None
    tags: tuple[str, ...] = ()
    confidence: int | None = None


class People:
    """The hand-made changes; each is written to the audit log with who made it."""

    def __init__(self, engine: Engine, address: str = "") -> None:
        self.engine = engine
        self.address = address

    def add(
        self, entries: list[Entry], *, source: str | None, team: str, user: str, whole: bool = False
    ) -> dict[str, Any]:
        """Add indicators; an entry of the same team and user is replaced.

        Args:
            entries: what to add.
            source: a local source; None: the team's first one.
            team: for whom.
            user: by whom.
            whole: whether they take the place of all that the source holds, whoever added it.

        Returns:
            added, changed, removed and refused entries, each refused one with its reason.

        Raises:
            RequestError: there is no such source; or of a whole an entry was refused, so that nothing was changed.
        """
        name = self._local(source, team)
        account = self._write(name, entries, team, user, whole=whole)
        self._audit(
            "replace" if whole else "add", name, team, user, {"entries": [entry.value for entry in entries], **account}
        )
        return {"source": name, **account}

    def remove(
        self, values: list[str], *, source: str | None, team: str, user: str, everyone: bool = False
    ) -> dict[str, Any]:
        """Remove entries of a team's user (or everybody's); other people's entries stay."""
        name = self._local(source, team)
        return self._take_out(name, values, team, user, everyone=everyone)

    def allow(
        self, value: str, *, reason: str, ttl: timedelta | None, team: str, user: str, type_: str | None = None
    ) -> dict[str, Any]:
        """Allow a value: from now on no output of the team carries it, nor what it covers."""
        name = self.engine.configuration.team_allow(team)
        account = self._write(name, [Entry(value, type=type_, ttl=ttl, comment=reason)], team, user)
        if account["refused"]:
            raise RequestError(f"{value!r} cannot be allowed: {account['refused'][0]['reason']}")
        self._audit("allow", value, team, user, {"reason": reason, "ttl": str(ttl) if ttl else None})
        return {"source": name, **account}

    def disallow(self, value: str, *, team: str, user: str) -> dict[str, Any]:
        """Take back what was allowed by hand, whoever of the team did it."""
        return self._take_out(self.engine.configuration.team_allow(team), [value], team, user, everyone=True)

    def holds(self) -> list[dict[str, Any]]:
        """What guards keep back."""
        return open_holds(self.engine.control)

    def approve(self, node: str, *, team: str = "default", user: str) -> dict[str, Any]:
        """Release what a guard keeps back on a node.

        Raises:
            RequestError: nothing is held there.
        """
        engine = self.engine
        hold = next((hold for hold in self.holds() if hold["node"] == node), None)
        if hold is None:
            held = ", ".join(other["node"] for other in self.holds()) or "nothing"
            raise RequestError(f"nothing is held on {node}", fix=f"held: {held}")
        now = engine.clock()
        approve_hold(engine.control, hold["id"], user, now)
        self._audit("approve", node, team, user, {"what": hold["what"], "count": hold["count"]})
        if hold["what"] == RETIREMENT:
            return {"node": node, "what": hold["what"], "removed": hold["count"], "added": 0}
        if hold["sort"] == "output":
            results = engine.evaluate([node], approved=True)
            return {"node": node, "what": hold["what"], "removed": results[0].removed, "added": results[0].added}
        source = engine.graph.sources[node]
        if hold["what"] == WITHDRAWALS:
            removed = engine.poller.release(source, engine.graph.ids[node], now, f"approved by {user}")
            engine.evaluate(engine.graph.downstream(node), approved=True)
            return {"node": node, "what": hold["what"], "removed": removed, "added": 0}
        result = engine.poll(node)
        engine.evaluate(engine.graph.downstream(node), approved=True)
        return {"node": node, "what": hold["what"], "removed": result.removed, "added": result.added}

    def keep(self, node: str, *, team: str = "default", user: str) -> dict[str, Any]:
        """Leave the copies of an output that is gone at its far side, and forget them.

        Raises:
            RequestError: nothing of it is held there, or it is being withdrawn already.
        """
        hold = next((each for each in self.holds() if each["node"] == node and each["what"] == RETIREMENT), None)
        if hold is None:
            raise RequestError(f"no copies of {node} are held", fix="see `tipline holds`")
        if hold["approved_at"] is not None:
            raise RequestError(f"the copies of {node} are being withdrawn", fix="see `tipline deliveries`")
        control, now = self.engine.control, self.engine.clock()
        with control.transaction() as con:
            forget_output(con, node)
        end_hold(control, node, now, f"left at the far side by {user}")
        self._audit("keep", node, team, user, {"count": hold["count"]})
        return {"node": node, "kept": hold["count"]}

    def _local(self, source: str | None, team: str) -> str:
        graph = self.engine.graph
        builtin = set(self.engine.configuration.allow_lists)
        locals_ = [
            name
            for name, kind in graph.sources.items()
            if isinstance(kind, Local) and kind.settings.team == team and name not in builtin
        ]
        if source is not None:
            kind = graph.sources.get(source)
            theirs = isinstance(kind, Local) and kind.settings.team != team and kind.settings.distribution == "team"
            if not isinstance(kind, Local) or theirs:
                what = f"{source} is another team's" if theirs else f"{source} is no local source"
                raise RequestError(what, fix=f"local sources: {', '.join(locals_) or 'none'}")
            return source
        if not locals_:
            raise RequestError(
                "there is no local source to add to", fix="add one: {kind: local}, and read it in a node"
            )
        return locals_[0]

    def _write(self, name: str, entries: list[Entry], team: str, user: str, *, whole: bool = False) -> dict[str, Any]:
        engine = self.engine
        now = engine.clock()
        source: Source = engine.graph.sources[name]
        number = engine.graph.ids[name]
        usual = getattr(source.settings, "ttl", None)
        stays = [entry.ttl or (None if entry.never else usual) for entry in entries]
        frame = pl.DataFrame(
            {
                "value": [entry.value for entry in entries],
                "type": [entry.type for entry in entries],
                "record": [f"{team}/{user}" for _ in entries],
                "confidence": [None if entry.confidence is None else str(entry.confidence) for entry in entries],
                "tlp": [entry.tlp for entry in entries],
                "tags": [list(entry.tags) for entry in entries],
                "description": [entry.comment for entry in entries],
                "valid_until": [(now + stay).isoformat() if stay else None for stay in stays],
                "extra": [json.dumps({"team": team, "user": user}) for _ in entries],
            },
            schema_overrides={
                "value": pl.String,
                "type": pl.String,
                "record": pl.String,
                "confidence": pl.String,
                "tlp": pl.String,
                "tags": pl.List(pl.String),
                "description": pl.String,
                "valid_until": pl.String,
                "extra": pl.String,
            },
        )
        policy = source.settings.policy(allow_list=name in engine.configuration.allow_lists)
        con = engine.lake.connection()
        try:
            ledger = stage(con, [frame], policy)
            if whole and ledger.dropped:
                first = ledger.samples[0]
                raise RequestError(f"{first['value']!r} was refused: {first['reason']}; nothing was changed")
            with engine.lake.writing(con):
                compare(con, number, snapshot=whole, refresh=False)
                counts = write_changes(con, number, now, [], append=True)
                con.execute(
                    "UPDATE source_state SET last_poll = ?, last_success = ? WHERE source = ?", [now, now, number]
                )
        finally:
            con.close()
        refused = [{"value": sample["value"], "reason": sample["reason"]} for sample in ledger.samples]
        return {**counts, "refused": refused, **ledger.as_dict()}

    def _take_out(self, name: str, values: list[str], team: str, user: str, *, everyone: bool) -> dict[str, Any]:
        engine = self.engine
        number = engine.graph.ids[name]
        policy = engine.graph.sources[name].settings.policy(allow_list=name in engine.configuration.allow_lists)
        found = [normalise_one(value, None, policy) for value in values]
        keys = [str(key(v.type, v.value)) for v in found if v.drop is None and v.type and v.value]
        if not keys:
            return {"source": name, "removed": 0, "left": []}
        listed = ", ".join(f"'{key}'" for key in keys)
        mine = "" if everyone else " AND record = " + _text(f"{team}/{user}")
        now = engine.clock()
        query = f"SELECT value, record FROM {claims_table(number)} WHERE key IN ({listed}) ORDER BY value, record"
        with engine.lake.writing() as con:
            before, removed, left = (
                con.execute(query).fetchall(),
                withdraw(con, number, now, f"key IN ({listed}){mine}", approved=True),
                con.execute(query).fetchall(),
            )
        entries = [[{"value": value, "by": record} for value, record in rows] for rows in (before, left)]
        detail = {"values": values, "removed": removed, "before": entries[0], "after": entries[1]}
        self._audit("remove", name, team, user, detail)
        return {"source": name, "removed": removed, "left": entries[1]}

    def _audit(self, action: str, subject: str, team: str, user: str, detail: dict[str, Any]) -> None:
        control, now = self.engine.control, self.engine.clock()
        audit(control, now, user, team, action, subject, detail, address=self.address)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
