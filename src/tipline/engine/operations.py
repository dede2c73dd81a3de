"""What a person can do, each as one method over plain JSON: the command line and HTTP call these."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, validate_call

from tipline.config.check import check_text
from tipline.durations import Duration, format_duration
from tipline.engine import journeys
from tipline.engine.core import Engine
from tipline.engine.doctor import diagnose
from tipline.engine.evaluate import Evaluated
from tipline.engine.listfiles import write_files
from tipline.engine.lookup import lookup
from tipline.engine.paths import listing, why
from tipline.engine.people import Entry, People, RequestError
from tipline.engine.plan import approve as approve_plan
from tipline.engine.plan import plan
from tipline.engine.reconcile import CLEAN, DRIFT, SKIPPED
from tipline.engine.schedule import Scheduler
from tipline.engine.status import status
from tipline.engine.times import iso
from tipline.engine.verify import verify
from tipline.model.keys import key
from tipline.outputs.delivery import Delivered
from tipline.store.receipts import NO, PARKED, WITHDRAWN
from tipline.store.records import runs_of

NAMES: dict[str, str] = {}  # operation -> method
_STEP = 0.1  # seconds between looks at receipts while waiting for them
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def operation(method: MethodT) -> MethodT:
    """Mark a method as one that people may call by name."""
    NAMES[method.__name__.removesuffix("_")] = method.__name__
    return method


class NewEntry(BaseModel):
    """One indicator to add by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: str = Field(description="The indicator, in any spelling.")
    type: str | None = Field(default=None, description="Its type; detected if not given.")
    ttl: Duration | None = Field(default=None, description="How long it stays, such as 30d; for good if not given.")
    comment: str | None = Field(default=None, description="Why it was added.")
    tlp: str | None = Field(default=None, description="clear, green, amber, amber+strict or red.")
    tags: list[str] = Field(default_factory=list, description="Tags.")
    confidence: int | None = Field(default=None, ge=0, le=100, description="0 to 100; the source's if not given.")

    def entry(self) -> Entry:
        """For the engine."""
        return Entry(self.value, self.type, self.ttl, self.comment, self.tlp, tuple(self.tags), self.confidence)


class Operations:
    """Everything a person can do on one engine.

    Args:
        engine: the engine; the process owns its data directory.
        scheduler: the one that runs it; without one, changes are evaluated and delivered by the call itself.
    """

    def __init__(self, engine: Engine, scheduler: Scheduler | None = None) -> None:
        self.engine = engine
        self.people = People(engine)
        self._given = scheduler
        self._own: Scheduler | None = None

    @property
    def scheduler(self) -> Scheduler:
        """What runs the engine; made on first use, since a trial has nothing to run."""
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = Scheduler(self.engine)
        return self._own

    def close(self) -> None:
        """Close the connections to far sides."""
        if self._own is not None:
            self._own.deliveries.stop()

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Run an operation by name.

        Args:
            name: one of `NAMES`.
            arguments: plain JSON; checked against the method's signature.

        Returns:
            Plain JSON.

        Raises:
            RequestError: there is no such operation, or an argument is wrong.
            TiplineError: the operation failed.
        """
        method = self._methods.get(name)
        if method is None:
            raise RequestError(f"there is no operation {name}", fix=_suggest(name, [*NAMES]))
        try:
            return plain(method(**arguments))
        except ValidationError as exc:
            found = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
                for e in exc.errors(include_url=False, include_input=False)
            )
            raise RequestError(f"{name} was asked for wrongly: {found}", fix="correct the arguments") from None

    @cached_property
    def _methods(self) -> dict[str, Callable[..., Any]]:
        return {name: validate_call(getattr(self, method)) for name, method in NAMES.items()}

    @operation
    def status(self) -> dict[str, Any]:
        """Every node, what is held, and which alerts run."""
        return {
            "instance": self.engine.configuration.settings.instance,
            "at": self.engine.clock(),
            "running": self.scheduler.alive,
            "nodes": [node.as_dict() for node in status(self.engine)],
            "holds": self.people.holds(),
            "alerts": self.scheduler.alerts.running(),
        }

    @operation
    def add(
        self, entries: list[NewEntry], source: str | None = None, team: str = "default", user: str = ""
    ) -> dict[str, Any]:
        """Add indicators by hand; what was refused comes with its reason."""
        account = self.people.add([entry.entry() for entry in entries], source=source, team=team, user=user)
        return {**account, "outputs": self._follow(account["source"])}

    @operation
    def remove(
        self,
        values: list[str],
        *,
        source: str | None = None,
        team: str = "default",
        user: str = "",
        everyone: bool = False,
    ) -> dict[str, Any]:
        """Remove what a user (or everybody) of a team added by hand."""
        account = self.people.remove(values, source=source, team=team, user=user, everyone=everyone)
        return {**account, "outputs": self._follow(account["source"])}

    @operation
    def allow(
        self,
        value: str,
        *,
        reason: str,
        ttl: Duration | None = None,
        type: str | None = None,  # noqa: A002 - the word that people use
        team: str = "default",
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
            What it took out of which outputs, and the far sides' receipts.
        """
        graph = self.engine.graph
        outputs = graph.downstream(self.engine.configuration.team_allow(team))
        before = journeys.log_positions(self.engine, outputs)
        account = self.people.allow(value, reason=reason, ttl=ttl, team=team, user=user, type_=type)
        evaluated = self.engine.evaluate(outputs)
        taken = journeys.changes_since(self.engine, before)
        samples = [sample for change in taken for sample in change["samples"]]
        keys = {sample["key"] for sample in samples if sample["op"] == "removed"}
        # Read before deliveries begin: the receipt of what is withdrawn goes with it.
        receipts = [receipt for receipt in journeys.receipts(self.engine, keys) if receipt["holds"] != NO]
        self._publish([change["output"] for change in taken])
        return {
            "source": account["source"],
            "added": account["added"],
            "outputs": [_without_keys(change) for change in taken],
            "held": [result.output for result in evaluated if result.held],
            "receipts": self._settled(receipts, keys, wait),
        }

    @operation
    def disallow(self, value: str, team: str = "default", user: str = "") -> dict[str, Any]:
        """Take back what was allowed by hand."""
        account = self.people.disallow(value, team=team, user=user)
        return {**account, "outputs": self._follow(account["source"])}

    @operation
    def why(self, value: str, type: str | None = None) -> dict[str, Any]:  # noqa: A002 - the word that people use
        """Each claim on a value, what each node did with it, which outputs hold it, and receipts."""
        found = why(self.engine, value, type)
        there = {
            (receipt["output"], receipt["value"]) for receipt in found["receipts"] if receipt["state"] == "accepted"
        }
        for held in found["outputs"]:
            if (held["output"], held["value"]) not in there:
                identifier = key(held["type"], held["value"])
                held["waiting"] = self.scheduler.deliveries.why_waiting(held["output"], identifier)
        return found

    @operation
    def lookup(self, values: list[str], outputs: list[str] | None = None) -> list[dict[str, Any]]:
        """Look values up in what is published."""
        for name in outputs or []:
            self._known(name, list(self.engine.graph.outputs), "output")
        return lookup(self.engine, values, outputs)

    @operation
    def list_(self, node: str, limit: int = 1000, offset: int = 0) -> dict[str, Any]:
        """What a node holds now."""
        self._known(node, [*self.engine.graph.ids], "node")
        return {"node": node, "rows": listing(self.engine, node, limit, offset)}

    @operation
    def deliveries(self) -> dict[str, Any]:
        """How far every delivery has come."""
        return {"deliveries": journeys.deliveries(self.engine)}

    @operation
    def holds(self) -> dict[str, Any]:
        """What guards keep back."""
        return {"holds": self.people.holds()}

    @operation
    def approve(self, node: str, user: str = "") -> dict[str, Any]:
        """Release what a guard keeps back on a node."""
        result = self.people.approve(node, user=user)
        outputs = [node] if node in self.engine.graph.outputs else self.engine.graph.downstream(node)
        self._publish(outputs)
        return result

    @operation
    def verify(self, outputs: list[str] | None = None) -> dict[str, Any]:
        """Hold what is published against the view evaluated from scratch."""
        for name in outputs or []:
            self._known(name, [*self.engine.graph.outputs], "output")
        found = verify(self.engine, outputs)
        self._publish([entry.output for entry in found])
        return {
            "equal": all(entry.equal or entry.held for entry in found),
            "outputs": [{**asdict(entry), "equal": entry.equal} for entry in found],
        }

    @operation
    def plan(self, text: str, path: str, *, approve: bool = False, user: str = "") -> dict[str, Any]:
        """What a configuration would change; with `approve`, the guards let its first evaluation through."""
        candidate = check_text(text, Path(path)).usable()
        found = plan(self.engine, candidate)
        if approve:
            approve_plan(self.engine, candidate, user)
        return {**asdict(found), "changes": found.changes, "approved": approve}

    @operation
    def reconcile(self, output: str | None = None, *, fix: bool = False) -> dict[str, Any]:
        """Compare far sides with what they should hold; with `fix`, set right what differs.

        Returns:
            clean (every far side that can be signed in to is as it should be), and a report for each output.
        """
        names = self._delivered(output)
        reports = [self.scheduler.deliveries.reconcile(name, fix=fix).as_dict() for name in names]
        if fix:
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
            self._deliver([name])
        return found

    @operation
    def poll(self, source: str) -> dict[str, Any]:
        """Poll one source now."""
        self._known(source, [*self.engine.graph.sources], "source")
        result = self.engine.poll(source)
        return {**asdict(result), "ledger": result.ledger.as_dict(), "outputs": self._follow(source)}

    @operation
    def run_once(self) -> dict[str, Any]:
        """Poll every source, evaluate every output, and deliver until nothing is left to do."""
        done = self.scheduler.run_once()
        return {
            "polls": [{**asdict(poll), "ledger": poll.ledger.as_dict()} for poll in done.polls],
            "outputs": [_evaluated(result) for result in done.evaluated],
            "deliveries": done.deliveries,
            "failed": done.failed,
        }

    @operation
    def doctor(self, output: str | None = None) -> dict[str, Any]:
        """Check everything that the program stands on."""
        if output:
            self._known(output, [*self.engine.graph.outputs], "output")
        return diagnose(self.engine.configuration.path, self.engine.data, engine=self.engine, output=output)

    @operation
    def runs(self, node: str, limit: int = 20) -> dict[str, Any]:
        """The newest runs of a node."""
        self._known(node, [*self.engine.graph.ids], "node")
        return {"node": node, "runs": runs_of(self.engine.control, node, limit)}

    def _delivered(self, output: str | None) -> list[str]:
        known = [name for name, kind in self.engine.graph.outputs.items() if isinstance(kind, Delivered)]
        if output is not None:
            self._known(output, known, "delivered output")
        return known if output is None else [output]

    def _deliver(self, outputs: list[str]) -> None:
        """Get deliveries going: by the server's own threads, or here and now."""
        if self.scheduler.alive:
            self.scheduler.deliveries.wake(outputs)
        else:
            self.scheduler.deliveries.drain()

    def _follow(self, source: str) -> list[dict[str, Any]]:
        return [_evaluated(result) for result in self.scheduler.changed(self.engine.graph.downstream(source))]

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
            now = {(r["output"], r["type"], r["value"]): r for r in journeys.receipts(self.engine, keys)}
            found = [
                now.get((old["output"], old["type"], old["value"])) or {**old, "state": WITHDRAWN, "holds": NO}
                for old in before
            ]
            settled = all(receipt["state"] in {WITHDRAWN, PARKED} for receipt in found)
            if settled or not self.scheduler.alive or time.monotonic() >= end:
                return found
            time.sleep(_STEP)

    def _known(self, name: str, known: list[str], what: str) -> None:
        if name not in known:
            raise RequestError(f"there is no {what} {name}", fix=_suggest(name, known))


def plain(value: Any) -> Any:
    """A result as plain JSON: moments in ISO 8601 (UTC), durations as `30d`, sets sorted."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(item) for item in value]
        return sorted(items) if isinstance(value, (set, frozenset)) else items
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    return str(value) if isinstance(value, (date, UUID, Path)) else value


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


def _suggest(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known)) or 'none'}"
