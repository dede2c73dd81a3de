"""Operations on deliveries: how far each is, receipts, what far sides have, and setting them right."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from tipline.durations import Duration
from tipline.engine import defender_items, journeys, sentinel_items
from tipline.engine.defender_items import ItemFilter
from tipline.engine.delivering import Delivering
from tipline.engine.operation import operation
from tipline.engine.people import RequestError
from tipline.engine.reconcile import CLEAN, DRIFT, SKIPPED
from tipline.engine.sentinel_items import ObjectFilter
from tipline.engine.trends import delivery_trend
from tipline.store import receipt_search
from tipline.store.receipt_search import Wanted
from tipline.store.schema import published_table

_MOST = 1000
_DAY, _LONGEST = timedelta(days=1), timedelta(days=366)
Confidence = Annotated[int, Field(ge=0, le=100)]
_SOURCES = 50


class DeliveryOperations(Delivering):
    """What people ask of deliveries."""

    @operation
    def deliveries(self) -> dict[str, Any]:
        """How far every delivery has come.

        Returns:
            deliveries, and leaving: outputs that are in the configuration no more, while far sides hold copies.
        """
        names, gone = self._owned(self.engine.graph.outputs), self._leaving()
        return {
            "deliveries": [each for each in journeys.deliveries(self.engine) if each["output"] in names],
            "leaving": [each for each in journeys.departures(self.engine) if each["output"] in gone],
        }

    @operation
    def receipts(
        self,
        output: str,
        state: str = "",
        types: list[str] | None = None,
        text: str = "",
        reason: str = "",
        key: str = "",
        limit: int = Field(default=100, ge=1, le=_MOST),
        after: str | None = None,
    ) -> dict[str, Any]:
        """What a far side answered for each indicator, in the order of their keys.

        Args:
            output: the delivered output.
            state: sending, accepted, parked, withdrawing or withdrawn.
            types: of the indicators.
            text: a part of the value.
            reason: the far side's words, in full.
            key: of the one indicator that is wanted (32 hex digits).
            limit: how many at most.
            after: the key of the last one of the page before.

        Returns:
            receipts, and next: what to go on after, or nothing if this was the last page.
        """
        self._known(output, self._owned(self.engine.graph.outputs), "output")
        wanted = Wanted(state, tuple(types or ()), text, reason, key)
        found = receipt_search.receipts_of(self.engine.control, output, limit + 1, after=after or "", wanted=wanted)
        following = found[limit - 1]["key"] if len(found) > limit else None
        return {"receipts": found[:limit], "next": following}

    @operation
    def delivery_history(self, output: str | None = None, span: Duration = _DAY) -> dict[str, Any]:
        """What deliveries did over time, in equal parts of a span that ends now; of one output, or of all together.

        Returns:
            at: when each part begins, in seconds since 1970 (UTC); sent, accepted, errors and deleted: indicators.
        """
        return asdict(delivery_trend(self.engine, self._delivered(output), min(span, _LONGEST)))

    @operation
    def retry(self, output: str, reason: str | None = None, user: str = "") -> dict[str, Any]:
        """Have the next cycle try again what the far side refused (for one reason)."""
        self._delivered(output)
        number = receipt_search.retry(self.engine.control, output, reason, self.engine.clock())
        self._note("retry", output, reason=reason, count=number, **({"user": user} if user else {}))
        self._deliver([output])
        return {"output": output, "retried": number}

    @operation
    def far_side(self, output: str) -> dict[str, Any]:
        """What a far side has of an output: by type, end, confidence, newest; and what is published, by source."""
        self._delivered(output)
        found, newest = receipt_search.counts(self.engine.control, output, self.engine.clock())
        table = published_table(self.engine.graph.ids[output])
        with self.engine.lake.reading() as con:
            sources = con.execute(
                f"SELECT source, count(*) AS n FROM (SELECT unnest(sources) AS source FROM {table})"
                f" GROUP BY source ORDER BY n DESC, source LIMIT {_SOURCES}"
            ).fetchall()
        seen = set(self._seen())
        return {
            "output": output,
            **found,
            "newest": newest,
            "sources": {name: count for name, count in sources if name in seen},
        }

    @operation
    def slots(
        self,
        output: str,
        waiting: str = "",
        text: str = "",
        limit: int = Field(default=100, ge=1, le=_MOST),
        after: tuple[Confidence, str] | None = None,
    ) -> dict[str, Any]:
        """Which published indicators are to be at a far side, and which wait and why; the most confident first.

        Args:
            output: the delivered output.
            waiting: those that wait for this reason (`no-slot`, `covered`, `ended`, `refused`), or `placed`.
            text: a part of the value.
            limit: how many at most.
            after: confidence and key of the last one of the page before.

        Returns:
            indicators, and next: what to go on after, or nothing if this was the last page.
        """
        self._delivered(output)
        if after is not None and not _is_key(after[1]):
            raise RequestError("there is no such place to go on after", fix="take it from `next` of the page before")
        found = self.scheduler.deliveries.slots(output, limit + 1, waiting=waiting, text=text, after=after)
        last = found[limit - 1] if len(found) > limit else None
        following = [last["confidence"], last["key"]] if last else None
        seen = set(self._seen())
        rows = [{**row, "sources": [name for name in row["sources"] if name in seen]} for row in found[:limit]]
        return {"output": output, "indicators": rows, "next": following}

    @operation
    def defender_items(
        self,
        output: str,
        wanted: ItemFilter,
        limit: int = Field(default=100, ge=1, le=_MOST),
        after: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """A Defender tenant's indicators: ours as accepted, others' as last read.

        Returns:
            items, next, total, and counts: groups (the portal's tabs), facets (whose, action, severity, by), edited (by
            people), soon (expire within a day); and read: when the tenant was last read.
        """
        self._delivered(output)
        if self.engine.graph.outputs[output].kind != "microsoft-defender":
            raise RequestError(f"{output} is no Defender output", fix="name one of kind microsoft-defender")
        found = defender_items.defender_items(self.engine, output, wanted, limit, after)
        (state,) = (each for each in self.deliveries()["deliveries"] if each["output"] == output)
        return {**found, "output": output, "read": state["last_reconcile"]}

    @operation
    def sentinel_items(
        self,
        output: str,
        wanted: ObjectFilter,
        limit: int = Field(default=100, ge=1, le=_MOST),
        after: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """A Sentinel workspace's indicators, the last received first: by our receipts, and as the workspace shows them.

        Returns:
            items (each with `there`, as the workspace showed it), next, reported (objects, foreign, ended, and counts
            by types, sources, confidence and ends; none if it was never read), and read: when it was.
        """
        self._delivered(output)
        if self.engine.graph.outputs[output].kind != "microsoft-sentinel":
            raise RequestError(f"{output} is no Sentinel output", fix="name one of kind microsoft-sentinel")
        found = sentinel_items.sentinel_items(self.engine, output, wanted, limit, after, set(self._seen()))
        (state,) = (each for each in self.deliveries()["deliveries"] if each["output"] == output)
        return {**found, "output": output, "read": state["last_reconcile"]}

    @operation
    def reconcile(self, output: str | None = None, *, fix: bool = False) -> dict[str, Any]:
        """Compare far sides with what they should hold; with `fix`, set right what differs.

        Returns:
            clean (every far side that can be signed in to is as it should be), and a report for each output.
        """
        names = self._delivered(output)
        reports = [self.scheduler.deliveries.reconcile(name, fix=fix).as_dict() for name in names]
        if fix:
            self._note("reconcile", output or "every output", fixed={r["output"]: r["fixed"] for r in reports})
            self._deliver(names)
        settled = {CLEAN, SKIPPED, *([DRIFT] if fix else [])}
        return {"clean": all(report["state"] in settled for report in reports), "outputs": reports}

    @operation
    def adopt(
        self, output: str, *, source: str | None = None, apply: bool = False, retire: bool = False
    ) -> dict[str, Any]:
        """Match by value what an earlier tool left at a far side; with `apply`, make it ours."""
        (name,) = self._delivered(output)
        found = self.scheduler.deliveries.adopt(name, source=source, apply=apply, retire=retire).as_dict()
        if apply:
            self._note("adopt", name, source=source, retire=retire, counts=found["counts"], deleted=found["deleted"])
            self._deliver([name])
        return found

    @operation
    def try_delivery(self, output: str, limit: int = 3) -> dict[str, Any]:
        """The requests that a delivery would make for the first published indicators; none is made."""
        (name,) = self._delivered(output)
        return self.scheduler.deliveries.preview(name, limit)


def _is_key(text: str) -> bool:
    return len(text) == 32 and all(letter in "0123456789abcdef" for letter in text)
