"""The configuration as MineMeld shows it, and the commit of what is being edited; nodes are not changed here."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from tipline.api.minemeld.calls import Call, MissingError, RefusedError, Route
from tipline.api.minemeld.status import nodes
from tipline.engine.configuring import ConflictError
from tipline.engine.people import RequestError
from tipline.engine.shown import chosen
from tipline.store import versions
from tipline.store.versions import Candidate

_READ_ONLY = "nodes are not changed here: edit the configuration's file, or use the pages or /api/v1/configuration"
Properties = dict[str, Any]


def running(call: Call) -> dict[str, Any]:
    """The configuration that runs: every node with its class, inputs and settings, without secrets."""
    return {"nodes": dict(_nodes(call))}


def info(call: Call) -> dict[str, Any]:
    """The version of what is being edited, and whether it differs from what runs."""
    return {
        "fabric": False,
        "mgmtbus": False,
        "version": _version(call),
        "next_node_id": len(_nodes(call)),
        "changed": _changed(call),
    }


def full(call: Call) -> dict[str, Any]:
    """The same, with every node under its number."""
    version, found = _version(call), _nodes(call)
    listed = [{"name": name, "properties": each, "version": f"{version}+0"} for name, each in found]
    return {**info(call), "nodes": listed}


def node(call: Call) -> dict[str, Any]:
    """One node by its number."""
    number, found = call.part("number"), full(call)["nodes"]
    if not number.isdecimal():
        raise RequestError("invalid node number")
    if len(number) > len(str(len(found))) or int(number) >= len(found):
        raise MissingError("Not Found")
    shown: dict[str, Any] = found[int(number)]
    return shown


def refused(_call: Call) -> None:
    """Nodes are not changed one by one."""
    raise RequestError(_READ_ONLY)


def again(call: Call) -> str:
    """Forget what is being edited: it begins anew from what runs."""
    call.only_ours()
    if call.given("c", "running") not in {"running", "committed"}:
        raise RequestError("Unknown config")
    call.operations.call("draft_discard", {})
    return _version(call)


def commit(call: Call) -> str:
    """Put what is being edited to work; guards hold what it would take away."""
    version = call.fields().get("version")
    if version is None:
        raise RequestError("version required")
    if str(version) != _version(call):
        raise RefusedError(HTTPStatus.CONFLICT, "version mismatch")
    draft = call.operations.call("draft", {})
    if not draft["ok"]:
        wrong = [f"{each['where']}: {each['what']}" for each in draft["problems"] if each["severity"] == "error"]
        raise RefusedError(HTTPStatus.PAYMENT_REQUIRED, wrong)
    if not draft["changes"]:
        return "OK"
    try:
        given = {"message": "committed over MineMeld's API", "revision": draft["revision"]}
        call.operations.call("draft_commit", given)
    except ConflictError:
        raise RefusedError(HTTPStatus.CONFLICT, "version mismatch") from None
    return "OK"


def _nodes(call: Call) -> list[tuple[str, Properties]]:
    """The nodes that the asker sees; the settings of those that are theirs."""
    configured, asker = call.operations.engine.configuration.nodes(), call.operations.asker
    found = []
    for each in nodes(call):
        settings = configured[each["name"]].settings
        shown: Properties = {"class": each["class"], "inputs": each["inputs"], "output": each["output"]}
        if asker.owns(settings):
            shown["config"] = {name: value for name, value in chosen(settings).items() if name != "inputs"}
        found.append((each["name"], shown))
    return found


def _candidate(call: Call) -> Candidate | None:
    return versions.candidate(call.operations.engine.control)


def _version(call: Call) -> str:
    """What a commit names: the version that runs, and which saving of the candidate."""
    now, made = versions.newest(call.operations.engine.control), _candidate(call)
    return f"{now.number if now else 0}.{made.revision if made else 0}"


def _changed(call: Call) -> bool:
    now, made = versions.newest(call.operations.engine.control), _candidate(call)
    return made is not None and now is not None and made.text != now.text


ROUTES = (
    Route("/config/running", "read", running),
    Route("/config/committed", "read", running),
    Route("/status/config", "read", running),
    Route("/config/info", "read", info),
    Route("/config/full", "read", full),
    Route("/config/reload", "configuration", again),
    Route("/config/commit", "configuration", commit, ("POST",)),
    Route("/config/node", "configuration", refused, ("POST",)),
    Route("/config/node/{number}", "read", node),
    Route("/config/node/{number}", "configuration", refused, ("PUT", "DELETE")),
)
