"""What every group of operations stands on: how one is marked, called by name, and bound to who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

from pydantic import ValidationError, validate_call

from tipline.durations import format_duration
from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.leaving import leaving
from tipline.engine.people import People, RequestError
from tipline.engine.schedule import Scheduler
from tipline.engine.times import iso
from tipline.engine.visible import NotYoursError, owned, seen
from tipline.kinds import Kind
from tipline.store.records import audit

NAMES: dict[str, str] = {}  # operation -> method
_PLAIN = frozenset({str, int, float, bool, type(None)})
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def operation(method: MethodT) -> MethodT:
    """Mark a method as one that people may call by name."""
    NAMES[method.__name__.removesuffix("_")] = method.__name__
    return method


class Base:
    """The engine, who asks, and the ways to say no.

    Args:
        engine: the engine; the process owns its data directory.
        scheduler: the one that runs it; without one, changes are evaluated and delivered by the call itself.
    """

    def __init__(self, engine: Engine, scheduler: Scheduler | None = None) -> None:
        self.engine = engine
        self.people = People(engine)
        self.asker: Asker = LOCAL
        self._given = scheduler
        self._own: Scheduler | None = None

    def asked_by(self, asker: Asker) -> Self:
        """The same operations for somebody: what they may not see is not there, and changes are in their name."""
        if self._given is None:
            self._own = self.scheduler  # one for all that are bound
        bound = copy(self)
        bound.asker = asker
        bound.people = People(self.engine, asker.address)
        return bound

    @property
    def scheduler(self) -> Scheduler:
        """What runs the engine; made on first use, since a trial has nothing to run."""
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = Scheduler(self.engine)
        return self._own

    def close(self) -> None:
        """Close the connections to far sides."""
        if self._own is not None:
            self._own.deliveries.stop()

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Run an operation by name.

        Args:
            name: one of `NAMES`.
            arguments: plain JSON; checked against the method's signature.

        Returns:
            Plain JSON.

        Raises:
            RequestError: there is no such operation, or an argument is wrong.
            TiplineError: the operation failed.
        """
        of: Any = type(self)
        method = _checked(of).get(name)
        if method is None:
            raise RequestError(f"there is no operation {name}", fix=suggest(name, [*NAMES]))
        try:
            return plain(method(self, **arguments))
        except ValidationError as exc:
            found = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
                for e in exc.errors(include_url=False, include_input=False)
            )
            raise RequestError(f"{name} was asked for wrongly: {found}", fix="correct the arguments") from None

    def _acting(self, team: str | None, user: str) -> tuple[str, str]:
        """The team and user that a change is made for: the asker's own, unless they may speak for others."""
        asker = self.asker
        if not asker.name:
            return team or asker.team, user
        if team is not None and team != asker.team and not asker.everywhere:
            raise NotYoursError(f"you are not of team {team}", fix=f"leave team out, or say {asker.team}")
        return team or asker.team, asker.name

    def _note(self, action: str, subject: str, **detail: Any) -> None:
        """Write what the asker did to the audit log."""
        asker, control = self.asker, self.engine.control
        now, plainly = self.engine.clock(), plain(detail)
        audit(control, now, asker.name or "local", asker.team, action, subject, plainly, address=asker.address)

    def _everywhere(self) -> None:
        """Raises if the asker has only a team of their own."""
        if not self.asker.everywhere:
            raise NotYoursError("this concerns every team", fix="ask an admin")

    def owned_nodes(self) -> list[Kind[Any]]:
        """The nodes that are the asker's."""
        return [self.engine.configuration.nodes()[name] for name in self._owned()]

    def _owned(self, among: Iterable[str] | None = None) -> list[str]:
        """The nodes (among some) that are the asker's."""
        return _among(owned(self.engine.graph, self.asker), among)

    def _seen(self, among: Iterable[str] | None = None) -> list[str]:
        """The nodes (among some) that the asker sees."""
        return _among(seen(self.engine.graph, self.asker), among)

    def _leaving(self) -> list[str]:
        """The outputs that are gone, with copies at their far sides, and were the asker's."""
        asker = self.asker
        return [each.output for each in leaving(self.engine) if asker.everywhere or each.team == asker.team]

    def _known(self, name: str, known: list[str], what: str) -> None:
        if name not in known:
            raise RequestError(f"there is no {what} {name}", fix=suggest(name, known))


def _among(names: list[str], wanted: Iterable[str] | None) -> list[str]:
    if wanted is None:
        return names
    chosen = set(wanted)
    return [name for name in names if name in chosen]


@cache
def _checked(of: Any) -> dict[str, Callable[..., Any]]:
    """The operations of a class, each checking its arguments; made once, as that takes its time."""
    return {name: validate_call(getattr(of, method)) for name, method in NAMES.items() if hasattr(of, method)}


def plain(value: Any) -> Any:
    """A result as plain JSON: moments in ISO 8601 (UTC), durations as `30d`, sets sorted."""
    if isinstance(value, dict):
        # Answers have many thousands of plain values: those are passed by without a call for each.
        return {str(key): item if type(item) in _PLAIN else plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _PLAIN else plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    return str(value) if isinstance(value, (date, UUID, Path)) else value


def suggest(word: str, known: list[str]) -> str:
    """What somebody may have meant."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known)) or 'none'}"
