"""Faults on demand: refusals, lost connections, slow answers, bad items, short-lived tokens."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tipline.errors import ConfigError

KINDS = ("throttle", "error", "drop_before", "drop_after")


@dataclass
class Plan:
    """One set of faults. `*_every` = each n-th matching call (0 never), `*_rate` = a share 0..1 at random.

    Attributes:
        only: services (`login`, `defender`, `sentinel`, `arm`) or operations (`defender.import`); () = all.
        throttle_every: 429, with `retry_after` seconds.
        error_every: 500.
        drop_before_every: the connection closes without an answer, before any work.
        drop_after_every: the work is done and stored, then the connection closes without an answer.
        slow_ms: milliseconds between the work and its answer, at every `slow_every`-th call.
        fail_items_matching: regular expression; items fail whose value (Defender), pattern or id (Sentinel)
            it finds.
        fail_items_every: each n-th item of imports, posts and uploads fails.
        token_seconds: life of tokens issued from now on.
        quota: Defender's capacity instead of the limits' (0: full).
        times: calls refused, dropped or slowed before the plan is spent; None = for ever.
        seed: for the random ones.
    """

    only: tuple[str, ...] = ()
    throttle_every: int = 0
    error_every: int = 0
    drop_before_every: int = 0
    drop_after_every: int = 0
    throttle_rate: float = 0.0
    error_rate: float = 0.0
    drop_before_rate: float = 0.0
    drop_after_rate: float = 0.0
    retry_after: int = 1
    slow_ms: int = 0
    slow_every: int = 1
    fail_items_matching: str = ""
    fail_items_every: int = 0
    fail_reason: str = "Simulated failure of this item."
    token_seconds: int | None = None
    quota: int | None = None
    times: int | None = None
    seed: int = 0
    _seen: int = field(default=0, repr=False)
    _items: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self.only = (self.only,) if isinstance(self.only, str) else tuple(self.only)
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible faults, no secret
        try:
            self._pattern = re.compile(self.fail_items_matching) if self.fail_items_matching else None
        except re.error as error:
            raise ConfigError(f"not a regular expression: {error}", where="fail_items_matching") from error

    def covers(self, operation: str) -> bool:
        """Whether the route filter lets this plan act on an operation such as `defender.import`."""
        return not self.only or operation in self.only or operation.partition(".")[0] in self.only

    def hits(self) -> set[str]:
        """What happens to the next call, by kind (and `slow`)."""
        self._seen += 1
        due = {kind for kind in KINDS if self._due(getattr(self, f"{kind}_every"), self._seen)}
        due |= {kind for kind in KINDS if self._random.random() < getattr(self, f"{kind}_rate")}
        if self.slow_ms and self._due(self.slow_every, self._seen):
            due.add("slow")
        if not due or self.times == 0:
            return set()
        if self.times is not None:
            self.times -= 1
        return due

    def fails(self, *texts: str) -> bool:
        """Whether the next item fails; `texts` are what its value is known by."""
        self._items += 1
        if self._pattern and any(self._pattern.search(text) for text in texts):
            return True
        return self._due(self.fail_items_every, self._items)

    @staticmethod
    def _due(every: int, count: int) -> bool:
        return every > 0 and count % every == 0


@dataclass
class Decision:
    """What is done to one call."""

    kind: str = ""
    slow_ms: int = 0
    retry_after: int = 1


def _plan(values: dict[str, Any]) -> Plan:
    known = {each.name for each in fields(Plan) if not each.name.startswith("_")}
    if wrong := sorted(set(values) - known):
        raise ConfigError(f"no fault {', '.join(wrong)}", where="sandbox", fix=f"one of {', '.join(sorted(known))}")
    return Plan(**values)


class Faults:
    """The plans in force, and how often each kind struck (`struck`)."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.struck: Counter[str] = Counter()

    def set(self, **values: Any) -> None:
        """Replace every plan by one; see `Plan` for the names.

        Raises:
            ConfigError: an unknown name or a bad expression.
        """
        self.plans = [_plan(values)]

    def add(self, **values: Any) -> None:
        """Add a plan to those in force."""
        self.plans = [*self.plans, _plan(values)]

    def clear(self) -> None:
        """No more faults."""
        self.plans = []

    def decide(self, operation: str) -> Decision:
        """The fate of the next call; the first kind of `KINDS` wins over later ones."""
        decision = Decision()
        for plan in [each for each in self.plans if each.covers(operation)]:
            due = plan.hits()
            if "slow" in due:
                decision.slow_ms += plan.slow_ms
                self.struck["slow"] += 1
            kind = next((each for each in KINDS if each in due), "")
            if kind and not decision.kind:
                decision.kind, decision.retry_after = kind, plan.retry_after
        if decision.kind:
            self.struck[decision.kind] += 1
        return decision

    def item_reason(self, operation: str, *texts: str) -> str | None:
        """Why the next item of a batch fails, or None."""
        reasons = [each.fail_reason for each in self._covering(operation) if each.fails(*texts)]
        if reasons:
            self.struck["item"] += 1
        return reasons[0] if reasons else None

    def token_seconds(self) -> int | None:
        """Life of tokens, when a plan sets it."""
        return self._last("token_seconds")

    def quota(self) -> int | None:
        """Defender's capacity, when a plan sets it."""
        return self._last("quota")

    def _covering(self, operation: str) -> Iterable[Plan]:
        return (each for each in self.plans if each.covers(operation))

    def _last(self, name: str) -> int | None:
        values = [getattr(each, name) for each in self.plans if getattr(each, name) is not None]
        return int(values[-1]) if values else None

    def as_dict(self) -> dict[str, Any]:
        """The plans and what struck, for JSON."""
        plans = [{k: v for k, v in asdict(each).items() if not k.startswith("_")} for each in self.plans]
        return {"plans": plans, "struck": dict(self.struck)}
