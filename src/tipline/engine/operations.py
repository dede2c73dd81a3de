"""What a person can do, each as one method over plain JSON: the command line and HTTP call these."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tipline.durations import Duration
from tipline.engine import journeys
from tipline.engine.delivery_operations import DeliveryOperations
from tipline.engine.doctor import diagnose
from tipline.engine.draft_operations import DraftOperations
from tipline.engine.evaluate import Evaluated
from tipline.engine.leaving import RETIREMENT
from tipline.engine.listfiles import write_files
from tipline.engine.listing import listing
from tipline.engine.log_operations import LogOperations
from tipline.engine.lookup import lookup
from tipline.engine.news_operations import NewsOperations
from tipline.engine.operation import NAMES, Base, operation, plain
from tipline.engine.override_operations import OverrideOperations
from tipline.engine.paths import still_held, why
from tipline.engine.people import Entry
from tipline.engine.rawbody import head_of
from tipline.engine.search_operations import SearchOperations
from tipline.engine.start_operations import StartOperations
from tipline.engine.status import status
from tipline.engine.team_operations import TeamOperations
from tipline.engine.upkeep_operations import UpkeepOperations
from tipline.engine.verify import verify
from tipline.engine.visible import NotYoursError
from tipline.engine.warning_operations import WarningOperations
from tipline.model.keys import key
from tipline.model.tlp import RED, level
from tipline.store import overrides
from tipline.store.receipts import NO, PARKED, WITHDRAWN
from tipline.store.records import runs_of

_STEP = 0.1  # seconds between looks at receipts while waiting for them


class NewEntry(BaseModel):
    """One indicator to add by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: str = Field(description="The indicator, in any spelling.")
    type: str | None = Field(default=None, description="Its type; detected if not given.")
    ttl: Duration | Literal["never"] | None = Field(
        default=None, description="How long it stays, such as 30d, or never; as its source says if not given."
    )
    comment: str | None = Field(default=None, description="Why it was added.")
    tlp: str | None = Field(default=None, description="clear, green, amber, amber+strict or red.")
    tags: list[str] = Field(default_factory=list, description="Tags.")
    confidence: int | None = Field(default=None, ge=0, le=100, description="0 to 100; the source's if not given.")

    def entry(self) -> Entry:
        """For the engine."""
        ttl = None if self.ttl == "never" else self.ttl
        never, tags = self.ttl == "never", tuple(self.tags)
        return Entry(self.value, self.type, ttl, never, self.comment, self.tlp, tags, self.confidence)


class Operations(
    TeamOperations,
    LogOperations,
    NewsOperations,
    SearchOperations,
    StartOperations,
    DraftOperations,
    DeliveryOperations,
    OverrideOperations,
    UpkeepOperations,
    WarningOperations,
    Base,
):
    """Everything a person can do on one engine."""

    @operation
    def status(self) -> dict[str, Any]:
        """Every node, what is held, and which alerts run."""
        return {
            "instance": self.engine.configuration.settings.instance,
            "at": self.engine.clock(),
            "running": self.scheduler.alive,
            "nodes": [node.as_dict() for node in status(self.engine, self.asker)],
            "holds": self._holds(),
            "alerts": self._alerts(),
        }

    @operation
    def add(
        self,
        entries: list[NewEntry],
        source: str | None = None,
        team: str | None = None,
        user: str = "",
        *,
        whole: bool = False,
    ) -> dict[str, Any]:
        """Add indicators by hand, or (whole) put them in the place of all that a source holds."""
        team, user = self._acting(team, user)
        self._keeps_red(entries, source, team)
        if whole and source not in self._owned():
            raise NotYoursError(f"{source} is not yours as a whole", fix="name a source of your team")
        new = [entry.entry() for entry in entries]
        account = self.people.add(new, source=source, team=team, user=user, whole=whole)
        return {**account, "outputs": self._follow(account["source"])}

    @operation
    def remove(
        self,
        values: list[str],
        *,
        source: str | None = None,
        team: str | None = None,
        user: str = "",
        everyone: bool = False,
    ) -> dict[str, Any]:
        """Remove what a user (or everybody) of a team added by hand."""
        team, user = self._acting(team, user)
        if everyone and source is not None and source not in self._owned():
            raise NotYoursError(f"{source} is another team's", fix="leave everyone out: remove what you added")
        account = self.people.remove(values, source=source, team=team, user=user, everyone=everyone)
        if account["source"] not in self._owned():
            account["left"] = [entry for entry in account["left"] if entry["by"].startswith(f"{team}/")]
        return {**account, "outputs": self._follow(account["source"])}

    @operation
    def allow(
        self,
        value: str,
        *,
        reason: str,
        ttl: Duration | None = None,
        type: str | None = None,
        team: str | None = None,
        user: str = "",
        wait: float = 0,
    ) -> dict[str, Any]:
        """Allow a value: it leaves every output at once, and far sides before anything else does.

        Args:
            value: the indicator, network or domain.
            reason: why; kept with it.
            ttl: how long it stays allowed; for good if not given.
            type: its type; detected if not given.
            team: whose outputs it is taken out of.
            user: who does it.
            wait: seconds to wait for far sides' answers when a server delivers in the background.

        Returns:
            What it took out of which outputs, the far sides' receipts, and left: what still covers the value where
            (a domain above it or a network around it goes on being published).
        """
        team, user = self._acting(team, user)
        graph = self.engine.graph
        outputs = graph.downstream(self.engine.configuration.team_allow(team))
        before = journeys.log_positions(self.engine, self._owned(outputs))
        account = self.people.allow(value, reason=reason, ttl=ttl, team=team, user=user, type_=type)
        evaluated = self.engine.evaluate(outputs)
        taken = journeys.changes_since(self.engine, before)
        samples = [sample for change in taken for sample in change["samples"]]
        keys = {sample["key"] for sample in samples if sample["op"] == "removed"}
        # Read before deliveries begin: the receipt of what is withdrawn goes with it.
        receipts = [receipt for receipt in self._receipts(keys) if receipt["holds"] != NO]
        self._publish(outputs)
        return {
            "source": account["source"],
            "added": account["added"],
            "outputs": [_without_keys(change) for change in taken],
            "held": [result.output for result in evaluated if result.held and result.output in before],
            "left": still_held(self.engine, value, type, before, self.asker),
            "receipts": self._settled(receipts, keys, wait),
        }

    @operation
    def disallow(self, value: str, team: str | None = None, user: str = "") -> dict[str, Any]:
        """Take back what was allowed by hand."""
        team, user = self._acting(team, user)
        account = self.people.disallow(value, team=team, user=user)
        return {**account, "outputs": self._follow(account["source"])}

    @operation
    def why(self, value: str, type: str | None = None) -> dict[str, Any]:
        """Each claim on a value, what each node did with it, which outputs hold it, and receipts."""
        found = why(self.engine, value, type, self.asker)
        there = {
            (receipt["output"], receipt["value"]) for receipt in found["receipts"] if receipt["state"] == "accepted"
        }
        for held in (entry for entry in found["outputs"] if entry["output"] in self._owned()):
            identifier = key(held["type"], held["value"])
            if (held["output"], held["value"]) not in there:
                held["waiting"] = self.scheduler.deliveries.why_waiting(held["output"], identifier)
            by_hand = overrides.one(self.engine.control, held["output"], identifier.hex)
            if by_hand is not None:
                held["override"] = self._overrides_shown(held["output"], [by_hand])[0]
        return found

    @operation
    def lookup(self, values: list[str], outputs: list[str] | None = None) -> list[dict[str, Any]]:
        """Look values up in what is published."""
        for name in outputs or []:
            self._known(name, self._seen(self.engine.graph.outputs), "output")
        return lookup(self.engine, values, outputs, self.asker)

    @operation
    def list_(self, node: str, limit: int = 1000, offset: int = 0) -> dict[str, Any]:
        """What a node holds now."""
        self._known(node, self._seen(), "node")
        return {"node": node, "rows": listing(self.engine, node, limit, offset, self.asker)}

    @operation
    def holds(self) -> dict[str, Any]:
        """What guards keep back."""
        return {"holds": self._holds()}

    @operation
    def approve(self, node: str, user: str = "") -> dict[str, Any]:
        """Release what a guard keeps back on a node."""
        team, user = self._acting(None, user)
        if not self.asker.everywhere:
            self._known(node, [*self._owned(), *self._leaving()], "node")
        result = self.people.approve(node, team=team, user=user)
        if result["what"] == RETIREMENT:
            self.scheduler.deliveries.refresh()
            if not self.scheduler.alive:
                self.scheduler.deliveries.drain()
            return result
        outputs = [node] if node in self.engine.graph.outputs else self.engine.graph.downstream(node)
        self._publish(outputs)
        return result

    @operation
    def keep(self, node: str, user: str = "") -> dict[str, Any]:
        """Leave at its far side what an output put there that is in the configuration no more, and forget it."""
        team, user = self._acting(None, user)
        if not self.asker.everywhere:
            self._known(node, self._leaving(), "node")
        result = self.people.keep(node, team=team, user=user)
        self.scheduler.deliveries.refresh()
        return result

    @operation
    def verify(self, outputs: list[str] | None = None) -> dict[str, Any]:
        """Hold what is published against the view evaluated from scratch."""
        known = self._owned(self.engine.graph.outputs)
        for name in outputs or []:
            self._known(name, known, "output")
        found = verify(self.engine, known if outputs is None else outputs)
        self._publish([entry.output for entry in found])
        return {
            "equal": all(entry.equal or entry.held for entry in found),
            "outputs": [{**asdict(entry), "equal": entry.equal} for entry in found],
        }

    @operation
    def poll(self, source: str) -> dict[str, Any]:
        """Poll one source now."""
        self._known(source, self._owned(self.engine.graph.sources), "source")
        result = self.engine.poll(source)
        self._note("poll", source, state=result.state)
        return {**result.as_dict(), "outputs": self._follow(source)}

    @operation
    def run_once(self) -> dict[str, Any]:
        """Poll every source, evaluate every output, and deliver until nothing is left to do."""
        self._everywhere()
        done = self.scheduler.run_once()
        self._note("run once", "every source", failed=done.failed)
        return {
            "polls": [poll.as_dict() for poll in done.polls],
            "outputs": [_evaluated(result) for result in done.evaluated],
            "deliveries": done.deliveries,
            "failed": done.failed,
        }

    @operation
    def doctor(self, output: str | None = None) -> dict[str, Any]:
        """Check everything that the program stands on."""
        if output:
            self._known(output, self._owned(self.engine.graph.outputs), "output")
        else:
            self._everywhere()
        return diagnose(self.engine.configuration.path, self.engine.data, engine=self.engine, output=output)

    @operation
    def last_body(self, source: str) -> dict[str, Any]:
        """The beginning of the last body that a source fetched (of the first, if it reads several), as text."""
        self._known(source, self._owned(self.engine.graph.sources), "source")
        found = head_of(self.engine.data, source)
        return {"source": source, "body": None if found is None else asdict(found)}

    @operation
    def runs(self, node: str, limit: int = 20) -> dict[str, Any]:
        """The newest runs of a node."""
        self._known(node, self._owned(), "node")
        return {"node": node, "runs": runs_of(self.engine.control, node, limit)}

    def _follow(self, source: str) -> list[dict[str, Any]]:
        theirs = self._owned()
        results = self.scheduler.changed(self.engine.graph.downstream(source))
        return [_evaluated(result) for result in results if result.output in theirs]

    def _holds(self) -> list[dict[str, Any]]:
        theirs = [*self._owned(), *self._leaving()]
        return [hold for hold in self.people.holds() if self.asker.everywhere or hold["node"] in theirs]

    def _alerts(self) -> list[dict[str, Any]]:
        theirs = self._owned()
        running = self.scheduler.alerts.running()
        return [each for each in running if self.asker.everywhere or str(each["name"]).split(" ")[1] in theirs]

    def _receipts(self, keys: set[str]) -> list[dict[str, Any]]:
        theirs = self._owned()
        return [each for each in journeys.receipts(self.engine, keys) if each["output"] in theirs]

    def _keeps_red(self, entries: list[NewEntry], source: str | None, team: str) -> None:
        node = self.engine.graph.sources.get(source or "")
        if node is None or node.settings.team == team:
            return
        if any(entry.tlp and level(entry.tlp) == RED for entry in entries):
            raise NotYoursError(f"{source} is another team's: what is red must not go there", fix="use your own source")

    def _publish(self, outputs: list[str]) -> None:
        for name in outputs:
            write_files(self.engine, name)
        self.scheduler.deliveries.wake(outputs)

    def _settled(self, before: list[dict[str, Any]], keys: set[str], wait: float) -> list[dict[str, Any]]:
        """What became of receipts, once far sides have answered or the wait is over."""
        if not self.scheduler.alive:
            self.scheduler.deliveries.drain()
        end = time.monotonic() + wait
        while True:
            now = {(r["output"], r["type"], r["value"]): r for r in self._receipts(keys)}
            found = [
                now.get((old["output"], old["type"], old["value"])) or {**old, "state": WITHDRAWN, "holds": NO}
                for old in before
            ]
            settled = all(receipt["state"] in {WITHDRAWN, PARKED} for receipt in found)
            if settled or not self.scheduler.alive or time.monotonic() >= end:
                return found
            time.sleep(_STEP)


def _evaluated(result: Evaluated) -> dict[str, Any]:
    return {
        "output": result.output,
        "full": result.full,
        "added": result.added,
        "changed": result.changed,
        "removed": result.removed,
        "held": result.held,
        "message": result.message,
    }


def _without_keys(change: dict[str, Any]) -> dict[str, Any]:
    samples = [{k: v for k, v in sample.items() if k != "key"} for sample in change["samples"]]
    return {**change, "samples": samples}


__all__ = ["NAMES", "NewEntry", "Operations", "operation", "plain"]
