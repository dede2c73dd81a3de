"""Alerts: told once at each end over each channel, again when a channel was down, never twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from engine.receivers import Hook, smtp, tcp, udp, webhook
from engine.support import Given, Time, configuration, plain, source
from programs import free_port
from tipline.config.schema import AlertSettings, Configuration, Settings
from tipline.engine.alerts import Alerts, Condition
from tipline.engine.conditions import conditions
from tipline.engine.core import Engine
from tipline.engine.people import People
from tipline.engine.schedule import Scheduler
from tipline.outputs.microsoft_defender import MicrosoftDefender
from tipline.sources.base import GuardSettings
from tipline.store.control import Control
from tipline.store.receipts import note

START = datetime.fromisoformat("2026-01-01")
FAILING = Condition("source feed failing", "warning", "feed fails since then: the server is gone")
STALE = Condition("source feed stale, and withdrawn", "critical", "feed fails since then: the server is gone")


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control(None)
    yield made
    made.close()


def alerts(control: Control, **settings: Any) -> Alerts:
    return Alerts(control, [AlertSettings.model_validate(settings)], "lab")


@contextmanager
def logged() -> Iterator[list[Any]]:
    """Everything that is logged, whatever its level."""
    before, capture = structlog.get_config(), structlog.testing.LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        yield capture.entries
    finally:
        structlog.configure(**before)


def await_count(got: list[Any], count: int) -> None:
    """What is sent is there soon."""
    end = time.monotonic() + 10
    while len(got) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(got) == count


def live(told: Alerts) -> None:
    """A condition that starts, stays, changes its words, and ends, with looks in between; and again."""
    told.update([], START)
    told.update([FAILING], START)
    told.update([FAILING], START + timedelta(minutes=1))
    told.update([Condition(FAILING.name, "warning", "other words")], START + timedelta(minutes=2))
    assert [each["name"] for each in told.running()] == [FAILING.name]
    told.update([], START + timedelta(hours=1))
    told.update([], START + timedelta(hours=2))
    assert told.running() == []
    told.update([FAILING], START + timedelta(hours=3))


def test_webhook_is_told_once_at_each_end(control: Control) -> None:
    hook = Hook()
    with webhook(hook) as url:
        live(alerts(control, kind="webhook", url=f"{url}/hook"))
    assert [(each["event"], each["name"]) for each in hook.got] == [
        ("start", FAILING.name), ("end", FAILING.name), ("start", FAILING.name),
    ]  # fmt: skip
    first, second, _ = hook.got
    assert first == {
        "instance": "lab", "event": "start", "name": FAILING.name, "severity": "warning",
        "message": FAILING.message,
        "started": "2026-01-01T00:00:00Z", "ended": None,
    }  # fmt: skip
    assert second["ended"] == "2026-01-01T01:00:00Z"


def test_syslog_over_udp(control: Control) -> None:
    got: list[bytes] = []
    with udp(got) as port:
        told = alerts(control, kind="syslog", address=f"127.0.0.1:{port}")
        told.update([STALE], START)
        told.update([], START + timedelta(hours=1))
        await_count(got, 2)
    start, end = (line.decode() for line in got)
    assert start.startswith("<130>1 2026-01-01T00:00:00Z ")
    assert end.startswith("<134>1 2026-01-01T01:00:00Z ")
    assert json.loads(start[start.index("{") :])["name"] == STALE.name


def test_syslog_over_tcp_counts_octets(control: Control) -> None:
    got: list[bytes] = []
    with tcp(got) as port:
        told = alerts(control, kind="syslog", address=f"tcp://127.0.0.1:{port}")
        told.update([FAILING, STALE], START)
        await_count(got, 2)
    for line in got:
        length, _, message = line.partition(b" ")
        assert int(length) == len(message)
    assert {line.partition(b" ")[2][:5] for line in got} == {b"<132>", b"<130>"}


def test_mail(control: Control) -> None:
    got: list[dict[str, Any]] = []
    with smtp(got) as port:
        settings = {
            "host": f"127.0.0.1:{port}",
            "sender": "tipline@example.org",
            "to": ["a@example.org", "b@example.org"],
        }
        told = alerts(control, kind="email", starttls=False, **settings)
        told.update([FAILING], START)
        told.update([], START + timedelta(hours=1))
    start, end = got
    assert (start["from"], start["to"]) == ("tipline@example.org", ["a@example.org", "b@example.org"])
    assert "Subject: [tipline lab] warning: source feed failing" in start["text"]
    assert FAILING.message in start["text"]
    assert "Subject: [tipline lab] ended: source feed failing" in end["text"]


def test_a_mail_server_that_cannot_encrypt_is_told_nothing_unless_that_is_allowed(control: Control) -> None:
    got: list[dict[str, Any]] = []
    with smtp(got) as port:
        alerts(control, kind="email", host=f"127.0.0.1:{port}", to=["a@example.org"]).update([FAILING], START)
    assert got == []


def test_a_channel_that_was_down_is_told_later_and_others_are_not_told_twice(control: Control) -> None:
    hook, got = Hook(), []
    hook.status = 503
    port = free_port()
    with webhook(hook) as url:
        channels = [{"kind": "webhook", "url": url}, {"kind": "syslog", "address": f"tcp://127.0.0.1:{port}"}]
        told = Alerts(control, [AlertSettings.model_validate(each) for each in channels], "lab")
        told.update([FAILING], START)
        assert (hook.got, len(hook.paths)) == ([], 1)
        hook.status = 200
        told.update([FAILING], START + timedelta(minutes=1))
        assert len(hook.got) == 1
        told.update([], START + timedelta(minutes=2))
        assert [each["event"] for each in hook.got] == ["start", "end"]
        with tcp(got, port):
            told.update([], START + timedelta(minutes=3))
            await_count(got, 2)
            told.update([], START + timedelta(minutes=4))
        assert [json.loads(line[line.index(b"{") :])["event"] for line in got] == ["start", "end"]
        assert len(hook.got) == 2


def test_what_was_told_is_known_after_a_restart(control: Control) -> None:
    hook = Hook()
    with webhook(hook) as url:
        for _ in range(3):
            alerts(control, kind="webhook", url=url).update([FAILING], START)
        alerts(control, kind="webhook", url=url).update([], START + timedelta(hours=1))
    assert [each["event"] for each in hook.got] == ["start", "end"]


def test_no_secret_is_logged(control: Control) -> None:
    hook = Hook()
    hook.status = 500
    with logged() as logs, webhook(hook) as url:
        alerts(control, kind="webhook", url=f"{url}/T0P-S3CRET").update([FAILING], START)
        settings = {"host": "127.0.0.1:1", "to": ["a@example.org"], "username": "u", "password": "T0P-S3CRET"}
        alerts(control, kind="email", **settings).update([FAILING], START)
    assert {entry["event"] for entry in logs} == {"alert not sent"}
    assert "S3CRET" not in str(logs)
    assert "S3CRET" not in repr(AlertSettings.model_validate({"kind": "webhook", "url": "http://x/T0P-S3CRET"}))


@pytest.mark.parametrize(
    "settings",
    [{"kind": "webhook"}, {"kind": "syslog"}, {"kind": "syslog", "address": "host"},
     {"kind": "email", "host": "h"},
     {"kind": "pigeon"}],
)  # fmt: skip
def test_channels_that_are_not_complete(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertSettings.model_validate(settings)


def test_a_round_tells_what_failed_and_what_recovered(tmp_path: Path) -> None:
    hook, now = Hook(), Time()
    with webhook(hook) as url:
        made = configuration(tmp_path, source("feed"), plain("out", "feed"))
        made.settings = Settings.model_validate({"alerts": [{"kind": "webhook", "url": url}], "instance": "lab"})
        with Engine(made, in_memory=True, clock=now) as engine:
            scheduler = Scheduler(engine)
            node = engine.graph.sources["feed"]
            assert isinstance(node, Given)
            for rows in (None, None, [], []):
                node.rows = rows
                now.forward(minutes=1)
                scheduler.run_once()
            scheduler.stop()
    assert [(each["event"], each["name"]) for each in hook.got] == [
        ("start", FAILING.name),
        ("end", FAILING.name),
    ]
    assert "the server is gone" in hook.got[0]["message"]


def names(engine: Engine) -> set[str]:
    return {condition.name for condition in conditions(engine)}


def test_holds_are_a_condition_with_what_to_do(tmp_path: Path) -> None:
    guard = GuardSettings(min_withdrawn=1)
    with Engine(
        configuration(tmp_path, source("feed", guard=guard), plain("out", "feed")),
        in_memory=True,
        clock=Time(),
    ) as engine:
        node = engine.graph.sources["feed"]
        assert isinstance(node, Given)
        node.rows = [{"value": "a.com"}, {"value": "b.com"}, {"value": "c.com"}]
        engine.poll("feed")
        assert names(engine) == set()
        node.rows = node.rows[:1]
        engine.poll("feed")
        (held,) = conditions(engine)
        assert held.name == "source feed held"
        assert "approve feed" in held.message
        People(engine).approve("feed", user="u")
        assert names(engine) == set()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"state": "ok"}, set()),
        ({"state": "failing", "message": "m", "last_success": START}, {"delivery defender refused"}),
        (
            {"state": "failing", "message": "m", "last_success": START - timedelta(hours=2)},
            {"delivery defender refused", "delivery defender lagging"},
        ),
        ({"state": "drift", "message": "m"}, {"delivery defender drift"}),
        ({"state": "ok", "detail": {"waiting": {"no-slot": 7}}}, {"delivery defender quota"}),
        ({"state": "ok", "detail": {"waiting": {"covered": 7, "ended": 3}}}, set()),
    ],
)
def test_deliveries(tmp_path: Path, values: dict[str, Any], expected: set[str]) -> None:
    """A delivery refused, lagging, drifting, or out of room."""
    with Engine(delivering(tmp_path), in_memory=True, clock=Time()) as engine:
        with engine.control.transaction() as con:
            note(con, "defender", **values)
        assert names(engine) == expected


@pytest.mark.parametrize(("days", "expected"), [(31, set()), (30, {"30d"}), (7, {"7d"}), (1, {"1d"}), (-3, {"1d"})])
def test_a_secret_that_expires(tmp_path: Path, days: int, expected: set[str]) -> None:
    with Engine(
        delivering(tmp_path, secret_expires=date(2026, 1, 1) + timedelta(days=days)),
        in_memory=True,
        clock=Time(),
    ) as engine:
        assert names(engine) == {f"secret defender {each}" for each in expected}


def delivering(folder: Path, **credentials: Any) -> Configuration:
    settings = {"kind": "microsoft-defender", "inputs": "feed", "credentials": credentials}
    node = MicrosoftDefender("defender", MicrosoftDefender.Settings.model_validate(settings))
    return configuration(folder, source("feed"), node)
