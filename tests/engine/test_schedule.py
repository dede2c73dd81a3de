"""The engine in threads: sources when due, outputs after them, and nothing that stops it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.support import Time, configuration, plain, published, source
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.engine.schedule import Scheduler
from tipline.engine.signin import IDLE, SignInRefusedError
from tipline.engine.times import utc_now
from tipline.store.accounts import SESSIONS, THROTTLE, some


def until(true: Callable[[], bool]) -> bool:
    """Wait until something is true, for as long as a loaded machine may need."""
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_sources_are_polled_at_the_start_and_when_asked(tmp_path: Path) -> None:
    feed, dead = source("feed"), source("dead")
    feed.rows, dead.rows = [{"value": "1.1.1.1"}], None
    with Engine(configuration(tmp_path, feed, dead, plain("out", ["feed", "dead"])), clock=utc_now) as engine:
        scheduler = Scheduler(engine)
        scheduler.start()
        try:
            assert until(lambda: set(published(engine, "out")) == {"1.1.1.1"})
            feed.rows = [{"value": "9.9.9.9"}]
            scheduler.wake("feed")
            assert until(lambda: set(published(engine, "out")) == {"9.9.9.9"})
            assert scheduler.alive
            assert any(alert["name"] == "source dead failing" for alert in scheduler.alerts.running()) or until(
                lambda: bool(scheduler.alerts.running())
            )
        finally:
            scheduler.stop()
        assert not scheduler.alive


def test_a_round_tells_what_failed_and_does_the_rest(tmp_path: Path) -> None:
    feed, dead = source("feed"), source("dead")
    feed.rows, dead.rows = [{"value": "1.1.1.1"}], None
    with Engine(configuration(tmp_path, feed, dead, plain("out", ["feed", "dead"])), clock=utc_now) as engine:
        done = Scheduler(engine).run_once()
        assert done.failed
        assert {poll.source: poll.state for poll in done.polls if poll.source in {"feed", "dead"}} == {
            "feed": "ok",
            "dead": "failed",
        }
        assert set(published(engine, "out")) == {"1.1.1.1"}


def test_each_hour_old_sessions_and_failed_sign_ins_are_forgotten(tmp_path: Path) -> None:
    clock = Time()
    with Engine(configuration(tmp_path, source("feed"), plain("out", "feed")), clock=clock) as engine:
        accounts, scheduler = Accounts(engine.control, engine.clock), Scheduler(engine)
        accounts.add("ada", role="admin", team="default")

        def use() -> None:
            accounts.signin.begin("ada", "192.0.2.7", "a browser")
            with pytest.raises(SignInRefusedError):
                accounts.signin.check("ada", "wrong", "192.0.2.7")

        def kept() -> int:
            return len(some(engine.control, SESSIONS)) + len(some(engine.control, THROTTLE))

        use()
        clock.forward(seconds=IDLE.total_seconds() + 1)
        scheduler.start()
        try:
            for _ in range(2):
                assert until(lambda: kept() == 0)
                use()
                assert kept() == 3
                clock.forward(seconds=IDLE.total_seconds() + 1)
        finally:
            scheduler.stop()
