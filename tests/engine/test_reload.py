"""A new configuration takes effect while the engine runs: what it leaves alone does not notice."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from engine.support import Time, aggregate, configuration, plain, published, source
from engine.test_schedule import until
from tipline.engine.core import Engine
from tipline.engine.schedule import Scheduler
from tipline.engine.times import utc_now
from tipline.errors import ConfigError


def test_a_new_output_is_there_and_a_gone_one_goes(tmp_path: Path) -> None:
    feed = source("feed")
    feed.rows = [{"value": "1.1.1.1"}]
    with Engine(configuration(tmp_path, feed, plain("old", ["feed"])), clock=Time()) as engine:
        scheduler = Scheduler(engine)
        scheduler.run_once()
        scheduler.reload(configuration(tmp_path, feed, plain("new", ["feed"])), actor="ann")
        assert set(engine.graph.outputs) == {"new"}
        assert set(published(engine, "new")) == {"1.1.1.1"}
        scheduler.reload(configuration(tmp_path, feed, plain("old", ["feed"])), actor="ann")
        assert set(published(engine, "old")) == {"1.1.1.1"}


def test_what_stays_the_same_is_not_evaluated_again(tmp_path: Path) -> None:
    feed = source("feed")
    feed.rows = [{"value": "1.1.1.1"}]
    with Engine(
        configuration(tmp_path, feed, plain("out", ["feed"]), plain("other", ["feed"])), clock=Time()
    ) as engine:
        scheduler = Scheduler(engine)
        scheduler.run_once()
        feed_only = configuration(tmp_path, feed, plain("out", ["feed"]), plain("other", ["feed"], where="false"))
        done = {each.output: each for each in scheduler.reload(feed_only, actor="ann")}
        assert (done["out"].full, done["out"].committed) == (False, False)
        assert (done["other"].full, done["other"].removed) == (True, 1)


def test_a_node_that_changes_its_kind_is_refused_and_all_runs_on(tmp_path: Path) -> None:
    feed = source("feed")
    feed.rows = [{"value": "1.1.1.1"}]
    before = configuration(tmp_path, feed, plain("out", ["feed"]))
    with Engine(before, clock=Time()) as engine:
        scheduler = Scheduler(engine)
        changed = plain("out", ["feed"])
        changed.kind = "other"  # type: ignore[misc]
        with pytest.raises(ConfigError, match="was a plain"):
            scheduler.reload(configuration(tmp_path, feed, changed), actor="ann")
        assert engine.configuration is before
        scheduler.run_once()
        assert set(published(engine, "out")) == {"1.1.1.1"}


def test_the_instance_and_the_data_directory_stay(tmp_path: Path) -> None:
    with Engine(configuration(tmp_path, source("feed"), plain("out", ["feed"]))) as engine:
        other = configuration(tmp_path, source("feed"), plain("out", ["feed"]))
        other.settings = other.settings.model_copy(update={"instance": "other", "data": "elsewhere"})
        Scheduler(engine).reload(other, actor="ann")
        assert (engine.configuration.settings.instance, engine.configuration.data) == ("tipline", engine.data)


def test_incremental_equals_full_over_reloads_in_between(tmp_path: Path) -> None:
    one, two = source("one"), source("two")
    one.rows, two.rows = [{"value": f"10.0.0.{n}"} for n in range(1, 9)], [{"value": "10.0.0.1"}, {"value": "9.9.9.9"}]
    one.settings = one.settings.model_copy(update={"allow_private": True})
    narrow = configuration(tmp_path, one, two, aggregate("all", ["two"]), plain("out", ["all"]))
    wide = configuration(tmp_path, one, two, aggregate("all", ["one", "two"]), plain("out", ["all"]))
    with Engine(narrow, clock=Time()) as engine:
        scheduler = Scheduler(engine)
        for step in range(6):
            scheduler.reload(wide if step % 2 else narrow, actor="ann")
            two.rows = [{"value": f"9.9.9.{step + 1}"}]
            scheduler.run_once()
            incremental = published(engine, "out")
            with engine.lake.writing() as con:
                con.execute("UPDATE output_state SET fingerprint = NULL")
            engine.evaluate()
            assert published(engine, "out") == incremental


def test_a_running_server_polls_what_is_new_and_forgets_what_is_gone(tmp_path: Path) -> None:
    one, two = source("one"), source("two")
    one.rows, two.rows = [{"value": "1.1.1.1"}], [{"value": "2.2.2.2"}]
    with Engine(configuration(tmp_path, one, plain("out", ["one"])), clock=utc_now) as engine:
        scheduler = Scheduler(engine)
        scheduler.start()
        try:
            assert until(lambda: set(published(engine, "out")) == {"1.1.1.1"})
            scheduler.reload(configuration(tmp_path, two, plain("out", ["two"])), actor="ann")
            assert until(lambda: set(published(engine, "out")) == {"2.2.2.2"})
            assert scheduler.alive
        finally:
            scheduler.stop()


def test_reloads_beside_polls_and_evaluations_break_nothing(tmp_path: Path) -> None:
    feeds = [source(f"feed{n}") for n in range(4)]
    for n, feed in enumerate(feeds):
        feed.rows = [{"value": f"1.1.{n}.{host}"} for host in range(1, 30)]

    def made(count: int) -> object:
        names = [feed.name for feed in feeds[:count]]
        return configuration(tmp_path, *feeds[:count], plain("out", names), *(plain(f"o{n}", n) for n in names))

    with Engine(made(4), clock=utc_now) as engine:  # type: ignore[arg-type]
        scheduler = Scheduler(engine)
        scheduler.start()
        failures: list[BaseException] = []

        def look() -> None:
            try:
                while not done.is_set():
                    scheduler.changed(list(engine.graph.outputs))
                    engine.tick()
            except BaseException as exc:  # noqa: BLE001 - shown by the test
                failures.append(exc)

        done = threading.Event()
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            for n in (1, 3, 2, 4, 1, 4):
                scheduler.reload(made(n), actor="ann")  # type: ignore[arg-type]
                scheduler.wake("feed0")
                time.sleep(0.05)
            assert until(lambda: len(published(engine, "out")) == 4 * 29)
        finally:
            done.set()
            watcher.join()
            scheduler.stop()
        assert not failures
        assert scheduler.error is None
