"""Outputs that are in no configuration any more while far sides hold copies of theirs.

Nothing is withdrawn by itself: a hold says how many copies there are, until a person lets them be withdrawn or leaves
them there. What withdraws them are the output's last settings, as the history of the configuration has them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tipline.config.check import lone_output
from tipline.config.schema import Configuration
from tipline.engine.core import Engine
from tipline.engine.graph import Graph
from tipline.errors import ConfigError
from tipline.outputs.delivery import Delivered
from tipline.store import versions
from tipline.store.control import DELIVERIES, Control
from tipline.store.receipts import copies, copies_of
from tipline.store.records import approve_hold, approved_plan, end_hold, open_holds, rows, set_hold

RETIREMENT = "retirement"
_VERSIONS = 500  # of the configuration that are looked through for an output's last settings


_LOOKING = threading.Lock()  # of two that look at once, both would begin a hold


@dataclass(frozen=True)
class Leaving:
    """An output that is gone.

    Attributes:
        output: its name.
        copies: how many indicators its far side may hold.
        kind: with its last settings; None if they cannot be had.
        problem: why not, or what they lack.
        team: whose it was; empty if nobody knows.
    """

    output: str
    copies: int
    kind: Delivered | None
    problem: str

    @property
    def team(self) -> str:
        """Whose it was."""
        return self.kind.settings.team if self.kind else ""

    def held(self) -> str:
        """Why it is held, in words."""
        words = f"it was taken out of the configuration, and its far side holds {self.copies:,} copies"
        return f"{words}; they cannot be withdrawn: {self.problem}" if self.problem else words


def leaving(engine: Engine, candidate: Configuration | None = None) -> list[Leaving]:
    """The outputs that are gone (or would be, with a candidate), with copies at their far sides."""
    counts = {name: copies(engine.control, name, engine.clock()) for name in _gone(engine, candidate)}
    return [Leaving(name, count, *_last(engine, name)) for name, count in counts.items() if count]


def predecessors(engine: Engine) -> dict[str, list[str]]:
    """By output: those that are gone and wrote the same items at the same far side."""
    found: dict[str, list[str]] = {}
    there = [kind for kind in engine.graph.outputs.values() if isinstance(kind, Delivered)]
    for name in _gone(engine):
        kind, _ = _last(engine, name)
        new = heir(kind, there) if kind is not None else None
        if new is not None:
            found.setdefault(new.name, []).append(name)
    return found


def last_graph(engine: Engine, gone: Leaving) -> Graph:
    """A graph of an output that is gone alone, as its delivery needs it.

    Raises:
        TypeError: its settings are not known.
    """
    if gone.kind is None:
        raise TypeError(f"the settings of {gone.output} are not known")
    now = engine.configuration
    alone = Configuration(now.path, now.settings, outputs={gone.output: gone.kind})
    with engine.lake.writing() as con:
        number = engine.lake.node_id(con, gone.output, "output", gone.kind.kind, engine.clock())
        con.execute("UPDATE nodes SET retired = coalesce(retired, ?) WHERE id = ?", [engine.clock(), number])
    return Graph(alone, {gone.output: number})


def look(engine: Engine) -> list[Leaving]:
    """Hold what is gone until a person decides, end the holds of what is back or done; returns what is gone."""
    with _LOOKING:
        return _look(engine)


def _look(engine: Engine) -> list[Leaving]:
    found, control, now = leaving(engine), engine.control, engine.clock()
    before = {hold["node"]: hold for hold in open_holds(control)}
    for each in found:
        hold = before.get(each.output)
        samples = copies_of(control, each.output, 5)
        values = {"what": RETIREMENT, "reason": each.held(), "count": each.copies, "samples": samples, "seen": now}
        set_hold(control, each.output, "output", values, restart=hold is not None and hold["what"] != RETIREMENT)
    gone = {each.output for each in found}
    approved = _approved(engine) & gone
    for hold in open_holds(control):
        if hold["what"] != RETIREMENT:
            continue
        if hold["node"] not in gone:
            back = hold["node"] in engine.graph.outputs
            end_hold(control, hold["node"], now, "it is back" if back else "its far side holds no copy any more")
        elif hold["node"] in approved and hold["approved_at"] is None:
            approve_hold(control, hold["id"], "the approved plan", now)
    return found


def released(control: Control) -> set[str]:
    """The outputs that are gone and whose copies somebody lets be withdrawn."""
    return {hold["node"] for hold in open_holds(control) if hold["what"] == RETIREMENT and hold["approved_at"]}


def marks(engine: Engine, candidate: Configuration) -> dict[str, str]:
    """What an approval of a candidate says of the outputs that it takes away, by name."""
    return {each.output: _mark(candidate) for each in leaving(engine, candidate)}


def moved(engine: Engine, candidate: Configuration) -> dict[str, int]:
    """Outputs that keep their name and get another far side: how many copies the present one may hold."""
    before, now = engine.graph.outputs, engine.clock()
    pairs = [(before.get(name), kind) for name, kind in candidate.outputs.items()]
    names = [
        new.name
        for old, new in pairs
        if isinstance(old, Delivered) and isinstance(new, Delivered) and all(old.place()) and old.place() != new.place()
    ]
    counts = {name: copies(engine.control, name, now) for name in names}
    return {name: count for name, count in counts.items() if count}


def refuse_moves(engine: Engine, candidate: Configuration) -> None:
    """Let no output turn its back on copies of its own.

    Raises:
        ConfigError: one would get another far side under its name.
    """
    for name, count in moved(engine, candidate).items():
        raise ConfigError(
            f"{name} would get another far side, and {count:,} copies at the present one would be lost sight of",
            where=name,
            fix="give the new one another name: the copies of the old one are then held until you decide on them",
        )


def heir(kind: Delivered, among: Iterable[Delivered]) -> Delivered | None:
    """The output that writes the same items as another at the same far side, as after a renaming."""
    territory = kind.territory()
    if territory is None:
        return None
    return next((each for each in among if each.kind == kind.kind and each.territory() == territory), None)


def _gone(engine: Engine, candidate: Configuration | None = None) -> list[str]:
    outputs = (candidate or engine.configuration).outputs
    there = {name for name, kind in outputs.items() if isinstance(kind, Delivered)}
    return [row["output"] for row in rows(engine.control, DELIVERIES) if row["output"] not in there]


def _last(engine: Engine, name: str) -> tuple[Delivered | None, str]:
    for version in versions.listed(engine.control, limit=_VERSIONS):
        if name not in version.text:
            continue
        kind, problem = lone_output(version.text, engine.configuration.path, name)
        if isinstance(kind, Delivered):
            absent = kind.missing()
            return kind, problem or (f"set {', '.join(absent)}" if absent else "")
        if problem:
            return None, problem
    return None, "no version of the configuration has its settings: put it back into the file"


def _approved(engine: Engine) -> set[str]:
    """Outputs whose going was approved as part of the configuration that runs, after the one before it."""
    plan, mark = approved_plan(engine.control), _mark(engine.configuration)
    last = versions.listed(engine.control, limit=2)
    before: datetime | None = last[1].at if len(last) > 1 else None
    if plan is None or (before is not None and plan.at <= before):
        return set()
    return {name for name, noted in plan.nodes.items() if noted == mark}


def _mark(configuration: Configuration) -> str:
    return "gone:" + hashlib.sha256(configuration.text.encode()).hexdigest()[:32]
