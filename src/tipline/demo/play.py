"""Plays the lab: feeds in, Defender and Sentinel and lists out, a bad publish held, a false positive allowed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx

from tipline.api.serving import served
from tipline.api.serving import stay as wait_for_signal
from tipline.config.check import check
from tipline.demo.feeds import FeedServer, packaged
from tipline.demo.tell import Teller
from tipline.engine.accounts import first_token
from tipline.engine.core import Engine
from tipline.engine.deliveries import Deliveries
from tipline.engine.listing import listing
from tipline.engine.paths import why
from tipline.engine.people import Entry, People
from tipline.engine.schedule import Round, Scheduler
from tipline.engine.status import status
from tipline.engine.verify import verify
from tipline.sandbox import Sandbox
from tipline.store.receipts import delivery

_HAND_ADDED = "123.123.123.123"
_FAR_SIDES = ("defender", "sentinel")


@dataclass
class Stage:
    """Everything that is on stage: the stand-in, the feeds and the engine."""

    sandbox: Sandbox
    feeds: FeedServer
    engine: Engine
    scheduler: Scheduler
    directory: Path
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def deliveries(self) -> Deliveries:
        """The deliveries of the engine."""
        return self.scheduler.deliveries


def play(teller: Teller, *, stay: bool = False) -> dict[str, Any]:
    """Play the lab once; returns its figures.

    Args:
        teller: who says what happens.
        stay: leave the lab running afterwards, until interrupted.
    """
    with staged() as stage:
        act(stage, teller)
        with served(stage.engine, [("127.0.0.1", 0)]) as (urls, scheduler):
            _count_lists(stage, teller, urls[0])
            if stay:
                _stays(stage, teller, urls[0])
                wait_for_signal(scheduler)
            else:
                teller.say("the lab ends here, and its folder goes with it: tipline demo --serve leaves it running,")
                teller.say("with these lists and the pages; tipline init begins a configuration of your own")
        return stage.result


@contextmanager
def staged() -> Iterator[Stage]:
    """Start the stand-in, the feeds and the engine on the lab's configuration, in a temporary folder."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tipline-lab-")))
        sandbox = stack.enter_context(Sandbox(place / "microsoft", rate_limits=False))
        feeds = stack.enter_context(FeedServer())
        stack.enter_context(_environment(_names(sandbox, feeds, place)))
        configuration_file = place / "lab.yml"
        configuration_file.write_bytes(files("tipline.demo").joinpath("lab.yml").read_bytes())
        engine = stack.enter_context(Engine(check(configuration_file).usable()))
        yield Stage(sandbox, feeds, engine, Scheduler(engine), place)


def act(stage: Stage, teller: Teller) -> None:
    """The lab's eight steps, but for the lists' addresses."""
    _introduce(stage, teller)
    _first_round(stage, teller)
    _add_by_hand(stage, teller)
    _count_in_sentinel(stage, teller)
    _next_version(stage, teller)
    _bad_publish(stage, teller)
    _allow(stage, teller)
    _finish(stage, teller)


def _introduce(stage: Stage, teller: Teller) -> None:
    teller.step("The lab is set up")
    teller.say(f"stand-in for Microsoft's APIs (sign-in, Defender, Sentinel): {stage.sandbox.url}")
    teller.say(f"feeds: {stage.feeds.url}/covid19.csv, /cert-pa.txt, /cybersaiyan, /wl-ipv4.txt")
    teller.say(f"configuration, to read and copy: {files('tipline.demo').joinpath('lab.yml')}")


def _first_round(stage: Stage, teller: Teller) -> None:
    teller.step("Every feed is fetched, merged, and delivered")
    done = stage.scheduler.run_once()
    teller.table(
        "Feeds",
        ["feed", "read", "accepted", "duplicate", "dropped", "added"],
        [
            [p.source, p.ledger.read, p.ledger.accepted, p.ledger.duplicate, sum(p.ledger.dropped.values()), p.added]
            for p in done.polls
            if p.ledger.read and p.source != stage.engine.configuration.never_block
        ],
    )
    teller.table(
        "Outputs",
        ["output", "published", "left out, with reason"],
        [[e.output, _held(stage, e.output), _reasons(e.ledger.dropped)] for e in done.evaluated],
    )


def _add_by_hand(stage: Stage, teller: Teller) -> None:
    teller.step(f"{_HAND_ADDED} is added by hand (tipline add {_HAND_ADDED})")
    entry = Entry(_HAND_ADDED, comment="seen in a phishing mail to the board")
    People(stage.engine).add([entry], source="local", team="default", user="demo")
    stage.scheduler.changed(stage.engine.graph.downstream("local"))
    stage.deliveries.drain()
    shown = ("indicatorValue", "title", "description", "action", "severity", "expirationTime", "createdByDisplayName")
    found = [
        {name: item[name] for name in shown}
        for item in stage.sandbox.defender_indicators()
        if item["indicatorValue"] == _HAND_ADDED
    ]
    teller.record("In Defender", found[0] if found else {"indicatorValue": "not there"})
    stage.result["hand_added"] = found[0] if found else None


def _count_in_sentinel(stage: Stage, teller: Teller) -> None:
    teller.step("Sentinel holds the COVID-19 indicators")
    report = stage.deliveries.summary("sentinel")
    stage.result["sentinel"] = {key: report[key] for key in ("sent", "accepted", "errors", "deleted")}
    teller.say("sent {sent}, accepted {accepted}, errors {errors}, deleted {deleted}".format(**report))
    stage.result["tables"] = {
        table: stage.sandbox.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        for table in ("ThreatIntelligenceIndicator", "ThreatIntelIndicators")
    }
    for table, count in stage.result["tables"].items():
        teller.say(f"{table} | count  ->  {count}")


def _next_version(stage: Stage, teller: Teller) -> None:
    teller.step("The feed's next version: 16 added, 2 removed, 293 rows that differ in FirstSeen alone")
    delta = _after(stage, lambda: _serve(stage, packaged("covid19/004.csv")))
    stage.result["delta"] = delta
    teller.table(
        "What reached the far sides",
        ["far side", "sent", "accepted", "deleted"],
        [[name, d["sent"], d["accepted"], d["deleted"]] for name, d in delta.items()],
    )


def _bad_publish(stage: Stage, teller: Teller) -> None:
    teller.step("The feed shrinks to 96 rows, as it did for seven hours in May 2020 (and 4 new rows come with it)")
    shrunk = packaged("covid19/002.csv").rstrip(b"\r\n") + b"\r\n" + packaged("covid19/later-rows.csv")
    poll: list[Round] = []
    delta = _after(stage, lambda: poll.append(_serve(stage, shrunk)))
    held = next(p for p in poll[0].polls if p.source == "covid19")
    stage.result["guard"] = held.state
    stage.result["held"] = {"withdrawals": held.held, "additions": held.added, "far_sides": delta}
    teller.say(f"{held.state}: {held.message}; the {held.added} additions flowed, nothing was withdrawn")
    teller.say("`tipline holds` shows it; it ends when the feed recovers, a person approves, or 24 hours agree")


def _allow(stage: Stage, teller: Teller) -> None:
    allowed = min(row["value"] for row in listing(stage.engine, "sentinel"))
    teller.step(f"A false positive: tipline allow {allowed[:16]}… --reason 'our own installer'")
    people = People(stage.engine)
    delta = _after(stage, lambda: _allowed(stage, people, allowed))
    receipts = [r for r in why(stage.engine, allowed)["receipts"] if r["output"] in _FAR_SIDES]
    still = [item for item in stage.sandbox.defender_indicators() if item["indicatorValue"] == allowed]
    again = _after(stage, lambda: _serve(stage, packaged("covid19/004.csv")))
    back = [e["output"] for e in why(stage.engine, allowed)["outputs"]]
    stage.result["allow"] = {
        "value": allowed,
        "withdrawn": {name: d["deleted"] for name, d in delta.items()},
        "receipts": receipts,
        "in_defender": len(still),
        "back_after_next_poll": back,
    }
    teller.table(
        "Withdrawn, with receipts",
        ["far side", "deleted", "receipt"],
        [[n, d["deleted"], _receipt(receipts, n)] for n, d in delta.items()],
    )
    sent = sum(d["sent"] for d in again.values())
    teller.say(f"the next poll lists it again: held by {back or 'no output'}, {sent} sent")


def _finish(stage: Stage, teller: Teller) -> None:
    teller.step("The proof")
    engine = stage.engine
    for name in _FAR_SIDES:
        report = stage.deliveries.summary(name)
        figures = {key: report[key] for key in ("sent", "accepted", "errors", "deleted")}
        if name == "defender":
            stage.result[name] = {**figures, "active": len(stage.sandbox.defender_indicators())}
        else:
            stage.result[name]["total"] = figures
    checked = verify(engine)
    stage.result["verified"] = all(found.equal for found in checked)
    stage.result["states"] = {entry.name: entry.state for entry in status(engine)}
    teller.table(
        "Proof: what is published equals the views from scratch; far sides agree",
        ["output", "published", "equal to the view", "far side"],
        [
            [v.output, v.published, "yes" if v.equal else f"NO: {v.differences}", _agrees(stage, v.output)]
            for v in checked
        ],
    )
    waiting = delivery(engine.control, "defender").detail["waiting"]
    covered = waiting.get("covered", 0)
    teller.say(f"{covered} of what defender publishes needs no slot there: URLs of domains that are listed already")
    stage.result["defender"]["covered"] = covered
    teller.step(f"tipline why {_HAND_ADDED}")
    teller.why(why(engine, _HAND_ADDED))


def _count_lists(stage: Stage, teller: Teller, url: str) -> None:
    teller.step("The lists, as firewalls read them")
    stage.result["feeds"] = {}
    for name in ("feed-hc", "feed-mc", "feed-lc"):
        lines = httpx.get(f"{url}/feeds/{name}", trust_env=False).raise_for_status().text.splitlines()
        stage.result["feeds"][name] = len(lines)
        teller.say(f"/feeds/{name}  {len(lines)} indicators")


def _stays(stage: Stage, teller: Teller, url: str) -> None:
    """Say where everything is, and how to get in."""
    teller.step("The lab goes on running; Ctrl-C ends it, and its folder goes with it")
    for name in stage.result["feeds"]:
        teller.say(f"list: {url}/feeds/{name}")
    teller.say(f"pages: {url}/ui/first-visit?token={first_token(stage.engine)}")
    teller.say("(this address works once: choose any name and a password there, and you are the lab's administrator)")
    teller.say(f"folder: {stage.directory}")


def _serve(stage: Stage, body: bytes) -> Round:
    stage.feeds.bodies["/covid19.csv"] = body
    return stage.scheduler.run_once()


def _allowed(stage: Stage, people: People, value: str) -> None:
    people.allow(value, reason="our own installer", ttl=None, team="default", user="demo")
    stage.scheduler.changed(list(stage.engine.graph.outputs), approved=True)
    stage.deliveries.drain()


def _after(stage: Stage, action: Any) -> dict[str, dict[str, int]]:
    """What an action made each far side receive."""
    keys = ("sent", "accepted", "errors", "deleted")
    before = {name: stage.deliveries.summary(name) for name in _FAR_SIDES}
    action()
    after = {name: stage.deliveries.summary(name) for name in _FAR_SIDES}
    return {name: {key: after[name][key] - before[name][key] for key in keys} for name in _FAR_SIDES}


def _held(stage: Stage, output: str) -> int:
    with stage.engine.lake.reading() as con:
        row = con.execute(f"SELECT count(*) FROM published_{stage.engine.graph.ids[output]}").fetchone()
    return int(row[0]) if row else 0


def _agrees(stage: Stage, output: str) -> str:
    if output not in _FAR_SIDES:
        return ""
    report = stage.deliveries.reconcile(output)
    stage.result.setdefault("reconciled", {})[output] = report.state
    return report.state


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "-"


def _receipt(receipts: list[dict[str, Any]], output: str) -> str:
    found = [r for r in receipts if r["output"] == output]
    return f"{found[0]['state']} ({found[0]['far_id']})" if found else "gone, acknowledged"


def _names(sandbox: Sandbox, feeds: FeedServer, place: Path) -> dict[str, str]:
    return {
        "LAB_DATA": str(place / "data"),
        "LAB_FEEDS": feeds.url,
        "LAB_TENANT": sandbox.tenant_id,
        "LAB_CLIENT": sandbox.client_id,
        "LAB_SECRET": sandbox.client_secret,
        "LAB_WORKSPACE": sandbox.workspace_id,
        "LAB_SUBSCRIPTION": sandbox.subscription_id,
        "LAB_GROUP": sandbox.resource_group,
        "LAB_WORKSPACE_NAME": sandbox.workspace_name,
        "LAB_CA": str(sandbox.ca_file),
        "LAB_LOGIN": sandbox.login_url,
        "LAB_DEFENDER": sandbox.defender_url,
        "LAB_SENTINEL": sandbox.sentinel_url,
        "LAB_ARM": sandbox.arm_url,
    }


@contextmanager
def _environment(names: dict[str, str]) -> Iterator[None]:
    """The lab's names in the environment, as a user would export them."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
