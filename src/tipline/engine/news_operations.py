"""What changed since somebody looked last."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from tipline.engine.log_operations import naive
from tipline.engine.operation import Base, operation
from tipline.engine.trends import totals
from tipline.outputs.delivery import Delivered
from tipline.store import delivery_counts, visits
from tipline.store.audit import AuditFilter, audit_entries
from tipline.store.control import ALERTS

_MOST = 200
_LISTED = 5


class NewsOperations(Base):
    """What is new to who asks."""

    @operation
    def news(self, since: datetime | None = None, *, look: bool = False) -> dict[str, Any]:
        """What changed since a moment; of nodes, alerts and changes, the asker's own.

        Args:
            since: the moment (UTC); when the asker looked last, before the visit that they are in, if not given.
            look: note that the asker looks now; a visit ends with half an hour without a look.

        Returns:
            since (null: they never looked before), and then: added, removed and expired (indicators of sources),
            deliveries (sent, accepted, errors, deleted), alerts (name, message, severity, started, ended), people
            (how many changes others made, by whom) and changes (the newest of these).
        """
        control, now = self.engine.control, self.engine.clock()
        if look and self.asker.name:
            visits.look(control, self.asker.name, now)
        moment = naive(since) or visits.since(control, self.asker.name)
        if moment is None:
            return {"since": None}
        outputs, lists = self.engine.graph.outputs, self.engine.configuration.allow_lists
        feeds = [name for name in self.engine.graph.sources if name not in lists]
        delivered = self._owned(name for name, kind in outputs.items() if isinstance(kind, Delivered))
        sums = [numbers for _, numbers in delivery_counts.since(control, delivered, moment)]
        columns = [sum(column) for column in zip(*sums, strict=True)] or [0] * len(delivery_counts.NUMBERS)
        others = self._changes_of_others(moment)
        return {
            "since": moment,
            **totals(self.engine, self.asker, feeds, moment),
            "deliveries": dict(zip(delivery_counts.NUMBERS, columns, strict=True)),
            "alerts": self._alerts_since(moment),
            "people": {actor: sum(each["actor"] == actor for each in others) for actor in _actors(others)},
            "changes": others[:_LISTED],
        }

    def _changes_of_others(self, moment: datetime) -> list[dict[str, Any]]:
        team = None if self.asker.everywhere else self.asker.team
        entries = audit_entries(self.engine.control, _MOST, AuditFilter(team=team, since=moment))
        return [each for each in entries if each["actor"] != self.asker.name]

    def _alerts_since(self, moment: datetime) -> list[dict[str, Any]]:
        """Alerts that began or ended since, the newest first."""
        theirs = self._owned()
        query = select(ALERTS).where(or_(ALERTS.c.started >= moment, ALERTS.c.ended >= moment))
        with self.engine.control.reading() as con:
            rows = [dict(row) for row in con.execute(query.order_by(ALERTS.c.id.desc()).limit(_MOST)).mappings()]
        shown = ("name", "severity", "message", "started", "ended")
        return [
            {word: row[word] for word in shown}
            for row in rows
            if self.asker.everywhere or (*str(row["name"]).split(" "), "")[1] in theirs
        ]


def _actors(entries: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(each["actor"]) for each in entries))
