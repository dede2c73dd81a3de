"""Addresses under /sandbox/: state, faults, switches, time and queries for a stand-in in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from tipline.errors import TiplineError

from .behaviours import behaviours
from .world import Answer, Call, RefusalError, Route, World, route


class Controlled(Protocol):
    """What the control routes need of the sandbox."""

    def state(self, *, contents: bool = False) -> dict[str, Any]:
        """Counters, and contents if asked for."""

    def addresses(self) -> dict[str, str]:
        """Addresses and ids; no secret."""

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Read-only SQL."""

    def republish(self) -> int:
        """Publish every object again."""

    def advance(self, seconds: float) -> None:
        """Move the stand-in's time forward."""

    def portal_add(self, value: str, kind: str, action: str = "Audit", **fields: Any) -> str:
        """Add a foreign indicator."""

    def portal_delete(self, number: str) -> None:
        """Remove an indicator."""

    def portal_edit(self, number: str, **changes: Any) -> None:
        """Change an indicator."""


def _object(call: Call) -> dict[str, Any]:
    body = call.json()
    if not isinstance(body, dict):
        raise RefusalError(Answer(400, {"message": "The request body is not a JSON object."}))
    return body


def _state(sandbox: Controlled, _world: World, call: Call) -> Answer:
    return Answer(200, sandbox.state(contents=call.query.get("contents") in ("1", "true")))


def _addresses(sandbox: Controlled, _world: World, _call: Call) -> Answer:
    return Answer(200, sandbox.addresses())


def _behaviours(_sandbox: Controlled, world: World, _call: Call) -> Answer:
    return Answer(200, {"behaviours": behaviours(world.behaviour), "limits": asdict(world.limits)})


def _switch(_sandbox: Controlled, world: World, call: Call) -> Answer:
    world.behaviour.change(**_object(call))
    return Answer(200, {"behaviours": behaviours(world.behaviour)})


def _faults(_sandbox: Controlled, world: World, _call: Call) -> Answer:
    return Answer(200, world.faults.as_dict())


def _set_faults(_sandbox: Controlled, world: World, call: Call) -> Answer:
    body = call.json()
    plans = body if isinstance(body, list) else [_object(call)]
    if not all(isinstance(each, dict) for each in plans):
        raise RefusalError(Answer(400, {"message": "An object, or a list of objects, is expected."}))
    before = world.faults.plans
    try:
        world.faults.clear()
        for each in plans:
            world.faults.add(**each)
    except TiplineError:
        world.faults.plans = before
        raise
    return Answer(200, world.faults.as_dict())


def _clear_faults(_sandbox: Controlled, world: World, _call: Call) -> Answer:
    world.faults.clear()
    return Answer(200, world.faults.as_dict())


def _query(sandbox: Controlled, _world: World, call: Call) -> Answer:
    return Answer(200, {"rows": sandbox.query(str(_object(call).get("query", "")))})


def _republish(sandbox: Controlled, _world: World, _call: Call) -> Answer:
    return Answer(200, {"objects": sandbox.republish()})


def _advance(sandbox: Controlled, _world: World, call: Call) -> Answer:
    seconds = _object(call).get("seconds")
    if not isinstance(seconds, int | float):
        raise RefusalError(Answer(400, {"message": "seconds: a number is expected."}))
    sandbox.advance(seconds)
    return Answer(200, {})


def _portal_add(sandbox: Controlled, _world: World, call: Call) -> Answer:
    body = _object(call)
    value, kind = str(body.pop("indicatorValue", "")), str(body.pop("indicatorType", ""))
    return Answer(200, {"id": sandbox.portal_add(value, kind, str(body.pop("action", "Audit")), **body)})


def _portal_edit(sandbox: Controlled, _world: World, call: Call, number: str) -> Answer:
    sandbox.portal_edit(number, **_object(call))
    return Answer(200, {"id": number})


def _portal_delete(sandbox: Controlled, _world: World, _call: Call, number: str) -> Answer:
    sandbox.portal_delete(number)
    return Answer(204)


def routes(sandbox: Controlled) -> list[Route]:
    """The control routes of a sandbox; errors of tipline's hierarchy become 400 with their text."""

    def bound(work: Callable[..., Answer]) -> Callable[..., Answer]:
        def handle(world: World, call: Call, **path: str) -> Answer:
            try:
                return work(sandbox, world, call, **path)
            except RefusalError:
                raise
            except TiplineError as problem:
                raise RefusalError(Answer(400, {"message": str(problem)})) from problem

        return handle

    table: list[tuple[str, str, Callable[..., Answer]]] = [
        ("GET", "/", _addresses),
        ("GET", "/sandbox/state", _state),
        ("GET", "/sandbox/behaviours", _behaviours),
        ("POST", "/sandbox/behaviours", _switch),
        ("GET", "/sandbox/faults", _faults),
        ("POST", "/sandbox/faults", _set_faults),
        ("DELETE", "/sandbox/faults", _clear_faults),
        ("POST", "/sandbox/query", _query),
        ("POST", "/sandbox/republish", _republish),
        ("POST", "/sandbox/advance", _advance),
        ("POST", "/sandbox/portal", _portal_add),
        ("PATCH", "/sandbox/portal/{number}", _portal_edit),
        ("DELETE", "/sandbox/portal/{number}", _portal_delete),
    ]
    return [route("sandbox.control", method, path, bound(work)) for method, path, work in table]
