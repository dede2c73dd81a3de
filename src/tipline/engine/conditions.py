"""What people must know of now: sources failing, stale or held; deliveries lagging or refused; secrets that expire."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tipline.engine.alerts import Condition
from tipline.engine.core import Engine
from tipline.engine.leaving import RETIREMENT, released
from tipline.engine.static import publisher
from tipline.engine.times import iso
from tipline.engine.warning_refresh import own
from tipline.microsoft.credentials import Credentials
from tipline.store.control import DELIVERIES
from tipline.store.records import open_holds, rows
from tipline.store.warning_fetches import fetches

_LAG = timedelta(hours=1)
# Days before a secret's end at which people are told (again).
_WARN_DAYS = (1, 7, 30)


def conditions(engine: Engine) -> list[Condition]:
    """Every condition that holds now."""
    nodes = [*_sources(engine), *_holds(engine), *_deliveries(engine)]
    return [*nodes, *_secrets(engine), *_static(engine), *_warning_lists(engine)]


def _sources(engine: Engine) -> list[Condition]:
    graph = engine.graph
    names = {number: name for name, number in graph.ids.items() if name in graph.sources}
    with engine.lake.reading() as con:
        found = con.execute(
            "SELECT source, failing_since, message FROM source_state WHERE failing_since IS NOT NULL"
        ).fetchall()
    now = engine.clock()
    result = []
    for number, since, message in found:
        name = names.get(number)
        if name is None:
            continue
        limit = graph.sources[name].settings.stale_after
        stale = limit is not None and now - since >= limit
        word = "stale, and withdrawn" if stale else "failing"
        severity = "critical" if stale else "warning"
        result.append(Condition(f"source {name} {word}", severity, f"{name} fails since {iso(since)}: {message}"))
    return result


def _holds(engine: Engine) -> list[Condition]:
    return [
        Condition(f"{hold['sort']} {hold['node']} held", "warning", _held(hold)) for hold in open_holds(engine.control)
    ]


def _held(hold: dict[str, Any]) -> str:
    name = hold["node"]
    if hold["what"] == RETIREMENT:
        if hold["approved_at"]:
            return f"copies of {name} are being withdrawn: {hold['reason']}"
        ways = f"tipline holds approve {name} withdraws them, tipline holds keep {name} leaves them there"
        return f"copies of {name} are held: {hold['reason']} ({ways})"
    return f"{hold['what']} of {name} are held: {hold['reason']} (tipline holds approve {name} to let them through)"


def _deliveries(engine: Engine) -> list[Condition]:
    now = engine.clock()
    result = []
    for row in rows(engine.control, DELIVERIES):
        name = row["output"]
        if name not in engine.graph.outputs and name not in released(engine.control):
            continue
        if row["state"] == "failing":
            result.append(Condition(f"delivery {name} refused", "critical", f"{name}: {row['message']}"))
            last = row["last_success"]
            if last is not None and now - last > _LAG:
                result.append(Condition(f"delivery {name} lagging", "critical", f"{name}: nothing since {iso(last)}"))
        elif row["state"] == "drift":
            result.append(Condition(f"delivery {name} drift", "warning", f"{name}: {row['message']}"))
        quota = ((row["detail"] or {}).get("waiting") or {}).get("no-slot", 0)
        if quota:
            result.append(Condition(f"delivery {name} quota", "warning", f"{name}: {quota} indicators wait for a slot"))
    return result


def _static(engine: Engine) -> list[Condition]:
    return [
        Condition(f"files at {target} not published", "warning", f"{why}; it is tried again every minute")
        for target, why in publisher(engine).problems().items()
    ]


def _warning_lists(engine: Engine) -> list[Condition]:
    used = {name for name, each in own(engine).items() if each.enabled}
    failing = [each for name, each in fetches(engine.control).items() if name in used and each.failing_since]
    return [
        Condition(f"list {each.name} failing", "warning", f"fails since {iso(each.failing_since)}: {each.message}")
        for each in failing
    ]


def _secrets(engine: Engine) -> list[Condition]:
    today = engine.clock().date()
    result = []
    for name, output in engine.graph.outputs.items():
        credentials = getattr(output.settings, "credentials", None)
        left = credentials.secret_days_left(today) if isinstance(credentials, Credentials) else None
        if left is None:
            continue
        step = next((days for days in _WARN_DAYS if left <= days), None)
        if step is not None:
            text = f"the secret of {name} expires in {left} days" if left > 0 else f"the secret of {name} has expired"
            result.append(
                Condition(f"secret {name} {step}d", "critical" if step == 1 else "warning", f"{text}: make a new one")
            )
    return result
