"""`plan` shows what a configuration would change and does nothing; an approved one passes the guards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.support import Given, Time, aggregate, configuration, plain, published, source
from tipline.config.schema import Configuration
from tipline.engine.core import Engine
from tipline.engine.plan import OutputPlan, approve, plan
from tipline.errors import ConfigError
from tipline.processors.filter import FilterKind, FilterSettings
from tipline.store.records import open_holds

ROWS = [{"value": f"host{number}.com", "confidence": str(number)} for number in range(100)]


def made(folder: Path, where: str = "confidence >= 0", **more: Any) -> Configuration:
    return configuration(
        folder, source("feed"), aggregate("all", ["feed"]), plain("out", "all", where=where, guard={}, **more)
    )


def filled(folder: Path) -> Engine:
    engine = Engine(made(folder), clock=Time())
    node = engine.graph.sources["feed"]
    assert isinstance(node, Given)
    node.rows = ROWS
    engine.poll("feed")
    engine.evaluate()
    return engine


def dump(engine: Engine) -> Any:
    with engine.lake.reading() as con:
        tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
        return {table: sorted(map(str, con.execute(f"SELECT * FROM {table}").fetchall())) for table in tables}


def of(found: list[OutputPlan], name: str) -> OutputPlan:
    return next(each for each in found if each.output == name)


def test_the_same_configuration_changes_nothing(tmp_path: Path) -> None:
    with filled(tmp_path) as engine:
        found = plan(engine, made(tmp_path))
        assert (found.changes, found.new_sources, found.gone) == (False, [], [])
        assert (of(found.outputs, "out").state, of(found.outputs, "out").published) == ("same", 100)


def test_what_would_go_and_come_is_shown_and_nothing_is_done(tmp_path: Path) -> None:
    with filled(tmp_path) as engine:
        before = dump(engine)
        other = configuration(
            tmp_path, source("feed"), source("more"), aggregate("all", ["feed", "more"]),
            plain("out", "all", where="confidence >= 75"), plain("low", "all", where="confidence < 10"),
        )  # fmt: skip
        found = plan(engine, other)
        out, low = of(found.outputs, "out"), of(found.outputs, "low")
        assert (found.changes, found.new_sources, found.gone) == (True, ["more"], [])
        assert (out.state, out.added, out.removed) == ("changed", 0, 75)
        assert (low.state, low.added, low.removed, len(low.samples)) == ("new", 10, 0, 10)
        assert out.samples[0] == {"op": "removed", "type": "domain", "value": "host0.com"}
        assert dump(engine) == before


def test_what_is_gone_is_shown_with_what_stays_behind(tmp_path: Path) -> None:
    with filled(tmp_path) as engine:
        found = plan(engine, configuration(tmp_path, source("feed"), plain("other", "feed")))
        assert sorted(found.gone) == ["all", "out"]
        gone = of(found.outputs, "out")
        assert (gone.state, gone.removed) == ("gone", 100)


def test_a_node_that_changes_its_kind_is_refused(tmp_path: Path) -> None:
    with filled(tmp_path) as engine:
        before = dump(engine)
        other_kind = FilterKind("all", FilterSettings(kind="filter", inputs=["feed"], where="age < 1d"))
        other = configuration(tmp_path, source("feed"), other_kind, plain("out", "all"))
        with pytest.raises(ConfigError, match=r"all was a .*aggregate.* filter.*another name"):
            plan(engine, other)
        assert dump(engine) == before


def test_a_changed_configuration_is_held_unless_approved(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with Engine(made(tmp_path, "confidence >= 75"), clock=Time()) as engine:
        (result,) = engine.evaluate()
        assert (result.held, result.removed, result.full) == (75, 0, True)
        assert len(published(engine, "out")) == 100
        assert [hold["node"] for hold in open_holds(engine.control)] == ["out"]


def test_an_approved_plan_passes_and_only_that_one(tmp_path: Path) -> None:
    with filled(tmp_path) as engine:
        approve(engine, made(tmp_path, "confidence >= 75"), "ann")
        engine.evaluate()
        assert len(published(engine, "out")) == 100
    with Engine(made(tmp_path, "confidence >= 75"), clock=Time()) as engine:
        (result,) = engine.evaluate()
        assert (result.held, result.removed) == (0, 75)
        assert len(published(engine, "out")) == 25
    with Engine(made(tmp_path, "confidence >= 99"), clock=Time()) as engine:
        (result,) = engine.evaluate()
        assert (result.held, result.removed) == (24, 0)


def test_an_approval_does_not_free_later_evaluations(tmp_path: Path) -> None:
    with filled(tmp_path) as engine:
        approve(engine, made(tmp_path, "confidence >= 50"), "ann")
    with Engine(made(tmp_path, "confidence >= 50"), clock=Time()) as engine:
        engine.evaluate()
        assert len(published(engine, "out")) == 50
        node = engine.graph.sources["feed"]
        assert isinstance(node, Given)
        node.rows = ROWS[:60]
        engine.poll("feed")
        (result,) = engine.evaluate()
        assert (result.held, len(published(engine, "out"))) == (40, 50)
