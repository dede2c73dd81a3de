"""The state of nodes and of this machine, in MineMeld's words."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from typing import Any

from tipline import __version__
from tipline.api.minemeld.calls import Call, Route
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError

_STARTED = 5
_BAD = {"failing", "failed", "needs credentials"}


def nodes(call: Call) -> list[dict[str, Any]]:
    """The state of every node."""
    configured = call.operations.engine.graph.configuration.nodes()
    found, seen = [], {node["name"]: node for node in call.operations.call("status", {})["nodes"]}
    for name, node in seen.items():
        last = _milliseconds(node["last_run"])
        bad = node["state"] in _BAD
        found.append(
            {
                "name": name,
                "class": f"tipline.{node['sort']}s.{node['kind']}",
                "state": _STARTED,
                "length": node["indicators"],
                "inputs": [each for each in getattr(configured[name].settings, "inputs", []) if each in seen],
                "output": node["sort"] != "output",
                "statistics": {"added": node["added"], "removed": node["removed"], "aged_out": node["expired"]},
                "clock": 0,
                "last_run": last,
                "last_successful_run": None if bad else last,
                "sub_state": "ERROR" if bad else "WAITING" if node["state"] == "held" else "SUCCESS",
                "sub_state_message": node["message"] or None,
            }
        )
    return found


def configuration(call: Call) -> dict[str, Any]:
    """The nodes and how they are wired, without settings, which hold secrets."""
    return {
        "nodes": [
            {
                "name": node["name"],
                "properties": {"class": node["class"], "inputs": node["inputs"], "output": node["output"]},
            }
            for node in nodes(call)
        ],
        "changed": False,
    }


def info(_call: Call) -> dict[str, str]:
    """The version."""
    return {"version": f"tipline {__version__}"}


def system(call: Call) -> dict[str, Any]:
    """Load and disk of this machine."""
    disk = shutil.disk_usage(call.operations.engine.data)
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    busy = min(100.0, round(100 * load / processors, 1))
    return {"cpu": [busy] * processors, "disk": round(100 * disk.used / disk.total, 1), "sns": True}


def hup(call: Call) -> str:
    """Poll a source now."""
    poll(call.operations, call.part("node"))
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
    Route("/config/full", "read", configuration),
)
