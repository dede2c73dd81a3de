"""The state of nodes and of this machine, and polls, in MineMeld's words."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from tipline import __version__
from tipline.api.minemeld.calls import Call, MissingError, Route
from tipline.api.minemeld.classes import class_of
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError

_STARTED = 5
_MEMORY = Path("/proc/meminfo")
_BAD = {"failing", "failed", "needs credentials"}


def nodes(call: Call) -> list[dict[str, Any]]:
    """The state of every node."""
    configured = call.operations.engine.graph.configuration.nodes()
    found, seen = [], {node["name"]: node for node in call.operations.call("status", {})["nodes"]}
    for name, node in seen.items():
        found.append(
            {
                "name": name,
                "class": class_of(node["sort"], node["kind"]),
                "state": _STARTED,
                "length": node["indicators"],
                "inputs": [each for each in getattr(configured[name].settings, "inputs", []) if each in seen],
                "output": node["sort"] != "output",
                "statistics": {"added": node["added"], "removed": node["removed"], "aged_out": node["expired"]},
                "clock": 0,
                "trace": False,
                **(_polled(node) if node["sort"] == "source" else {}),
            }
        )
    return found


def _polled(node: dict[str, Any]) -> dict[str, Any]:
    """What is told of nodes that poll."""
    last, bad = _milliseconds(node["last_run"]), node["state"] in _BAD
    return {
        "last_run": last,
        "last_successful_run": None if bad else last,
        "sub_state": "ERROR" if bad else "WAITING" if node["state"] == "held" else "SUCCESS",
        **({"sub_state_message": node["message"]} if node["message"] else {}),
    }


def info(_call: Call) -> dict[str, Any]:
    """The version."""
    return {"version": f"tipline {__version__}", "sns": False}


def system(call: Call) -> dict[str, Any]:
    """Load, memory and disk of this machine, in percent."""
    disk = shutil.disk_usage(call.operations.engine.data)
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    memory = _memory()
    return {
        "cpu": [min(100.0, round(100 * load / processors, 1))] * processors,
        "memory": _used(memory, "MemTotal", "MemAvailable"),
        "swap": _used(memory, "SwapTotal", "SwapFree"),
        "disk": round(100 * disk.used / disk.total, 1),
        "sns": False,
    }


def _memory() -> dict[str, int]:
    """What the system says of its memory, in KiB; nothing where it does not."""
    try:
        lines = _MEMORY.read_text().splitlines()
    except OSError:
        return {}
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.strip()}


def _used(memory: dict[str, int], total: str, free: str) -> float:
    whole = memory.get(total, 0)
    return round(100 * (whole - memory.get(free, 0)) / whole, 1) if whole else 0.0


def hup(call: Call) -> str:
    """Poll a source now; nodes of other sorts have nothing to do."""
    call.only_ours()
    name = call.part("node")
    sort = {each["name"]: each["sort"] for each in call.operations.call("status", {})["nodes"]}.get(name)
    if sort is None:
        raise MissingError("Unknown node")
    if sort == "source":
        poll(call.operations, name)
    return "ok"


def poll(operations: Operations, name: str) -> None:
    """Poll a source soon.

    Raises:
        RequestError: the asker has none of this name.
    """
    seen = {each["name"]: each for each in operations.call("status", {})["nodes"]}
    if seen.get(name, {}).get("sort") != "source":
        raise RequestError(f"there is no source {name[:60]}")
    operations.scheduler.wake(name)


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1000)


ROUTES = (
    Route("/status/minemeld", "read", nodes),
    Route("/status/info", "read", info),
    Route("/status/system", "read", system),
    Route("/status/{node}/hup", "holds", hup, ("GET", "POST")),
)
