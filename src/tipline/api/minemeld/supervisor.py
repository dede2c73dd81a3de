"""The processes that MineMeld's supervisor kept: scripts restart the engine after a commit, which needs none here."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from tipline.api.minemeld.calls import Call, Route
from tipline.engine.people import RequestError
from tipline.engine.vitals import STARTED

_RUNNING, _STOPPED = (1, "RUNNING"), (0, "STOPPED")


def processes(call: Call) -> dict[str, Any]:
    """Whether the engine and the server run; both are one process."""
    code, word = _RUNNING if call.operations.scheduler.alive else _STOPPED
    since = int(STARTED.replace(tzinfo=UTC).timestamp())
    names = {"minemeld-engine": word, "minemeld-web": "RUNNING", "minemeld-traced": "STOPPED"}
    told = {name: {"statename": state, "start": since, "children": 0} for name, state in names.items()}
    return {"statecode": code, "statename": word, "processes": told}


def restart(call: Call) -> str:
    """Nothing needs a restart: what is committed runs at once."""
    call.only_ours()
    return "OK"


def start(call: Call) -> bool:
    """The engine runs with the server."""
    call.only_ours()
    return True


def stop(_call: Call) -> None:
    """The engine ends with the server."""
    raise RequestError("the engine is not stopped from here: stop the service, or disable the sources")


ROUTES = (
    Route("/supervisor", "read", processes),
    Route("/supervisor/minemeld-engine/restart", "configuration", restart),
    Route("/supervisor/minemeld-engine/start", "configuration", start),
    Route("/supervisor/minemeld-engine/stop", "configuration", stop),
    Route("/supervisor/minemeld-web/hup", "configuration", restart),
)
