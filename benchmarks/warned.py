"""Warning lists: all that ship made ready, and what a feed's indicators are looked up in them; nothing of it stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import peak_mib, spent
from benchmarks.setting import engine
from tipline.config.warning_lists import WarningListSettings, WarningSettings, shipped
from tipline.engine.core import Engine
from tipline.engine.graph import Graph
from tipline.engine.warnings import marked
from tipline.processors.warningsql import NARROW
from tipline.store.schema import claims_table

_NAMES = 1_000_000
_SLICE = 10_000


def warning_lists(_n: int, directory: Path) -> dict[str, Any]:
    """The feed of the first poll against every list that ships, then with a list of a million names beside them."""
    with engine(directory) as made:
        found = {"all_that_ship": _measured(made, _graph(made, {}))}
        path = made.warnings.path("million")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(_million()))
        found["with_a_million_names"] = _measured(made, _graph(made, {"million": WarningListSettings(url=["million"])}))
        path.unlink()
    return {**found, "peak_mib": peak_mib()}


def _graph(made: Engine, own: dict[str, WarningListSettings]) -> Graph:
    """The nodes as they are, with every list in use."""
    every = {name: WarningListSettings(enabled=True) for name in shipped()}
    used = WarningSettings(lists={**every, **own})
    settings = made.configuration.settings.model_copy(update={"warning_lists": used})
    return Graph(replace(made.configuration, settings=settings), made.graph.ids)


def _measured(made: Engine, graph: Graph) -> dict[str, Any]:
    claims = f"(SELECT {NARROW} FROM {claims_table(graph.ids['feed'])})"
    with made.lake.trying() as con:
        with spent() as ready:
            made.warnings.bring_up(con, graph, made.clock(), noted=False)
        with spent() as done:
            con.execute(f"CREATE TEMP TABLE marks AS {marked(con, graph, claims)}")
        with spent() as sliced:
            part = f"(SELECT * FROM {claims} LIMIT {_SLICE})"
            con.execute(f"CREATE TEMP TABLE few AS {marked(con, graph, part)}")
        (indicators,) = con.execute(f"SELECT count(*) FROM {claims}").fetchone() or (0,)
        (hits,) = con.execute("SELECT count(*) FROM marks").fetchone() or (0,)
        (entries,) = con.execute("SELECT sum(entries) FROM warning_lists").fetchone() or (0,)
    return {
        "lists": sum(each.enabled for each in graph.warning_lists.values()), "entries": int(entries), "hits": hits,
        "made_ready": ready.figures(), "looked_up": done.figures(indicators, "indicators"),
        "looked_up_10_000": sliced.figures(),
    }  # fmt: skip


def _million() -> dict[str, Any]:
    """A list as tranco's: a million names, one in ten below another."""
    random = np.random.default_rng(11)
    names = [f"{word:x}.com" for word in random.integers(1 << 20, 1 << 40, _NAMES * 9 // 10)]
    names += [f"www.{name}" for name in names[: _NAMES - len(names)]]
    facts = {"name": "million", "description": "", "type": "hostname", "matching_attributes": ["domain", "url"]}
    return {**facts, "list": names}
