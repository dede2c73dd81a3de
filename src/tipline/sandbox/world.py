"""What every part of the stand-in shares: one call, one answer, and the world they meet in."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tipline.errors import TiplineError

from .behaviours import Behaviour
from .faults import Faults
from .limits import Limits, Meter

if TYPE_CHECKING:
    from .tables import Store
    from .tokens import Signer


@dataclass
class Answer:
    """A response; a `body` of str is sent as it is (already JSON), None as nothing, else as JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The bytes of the body."""
        if self.body is None:
            return b""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body, separators=(",", ":"))
        return text.encode()


class RefusalError(TiplineError):
    """Ends the work on a call; nothing it wrote is kept, and `answer` is what the caller gets."""

    code = "refusal"

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with {answer.status}")
        self.answer = answer


@dataclass(frozen=True)
class Call:
    """A request, fully read; header names are lower case, `base` is the scheme and host that was called."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str

    def json(self) -> Any:
        """The body as JSON, or None when it is not."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass
class World:
    """State and settings. Handlers run one at a time, inside one transaction of the store."""

    store: Store
    signer: Signer
    behaviour: Behaviour
    faults: Faults
    meter: Meter
    clock: Callable[[], datetime]
    calls: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    # Names that ARM has deleted and its queries still show, see `arm_delete_uploaded`.
    half_deleted: set[str] = field(default_factory=set)

    @property
    def limits(self) -> Limits:
        """Sizes and windows."""
        return self.meter.limits

    @property
    def now(self) -> datetime:
        """The stand-in's present."""
        return self.clock()


Handler = Callable[..., Answer]


@dataclass(frozen=True)
class Route:
    """Where a handler listens; `operation` is `service.name`."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler

    @property
    def service(self) -> str:
        """login, defender, sentinel, arm, graph or sandbox."""
        return self.operation.partition(".")[0]


def route(operation: str, method: str, path: str, handler: Handler) -> Route:
    """A route; `{name}` stands for one path segment. Paths match in any case, as Azure's do."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return Route(operation, method, re.compile(pattern, re.IGNORECASE), handler)


def find(routes: list[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | set[str]:
    """The route and its decoded path values, or the methods that this path has (none: no such path)."""
    others: set[str] = set()
    for each in routes:
        if match := each.pattern.fullmatch(path):
            if each.method == method:
                return each, {name: unquote(value) for name, value in match.groupdict().items()}
            others.add(each.method)
    return others


def guid() -> str:
    """A fresh correlation id."""
    return str(uuid.uuid4())
