"""Rate limits as sliding windows, and the sizes each API allows."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

MINUTE, HOUR = 60, 3600

#: operation -> windows of (calls, seconds); per app. Defender: D1 to D5. Sentinel: S1, per calling identity.
WINDOWS: dict[str, tuple[tuple[int, int], ...]] = {
    "defender.post": ((100, MINUTE), (1500, HOUR)),
    "defender.list": ((100, MINUTE), (1500, HOUR)),
    "defender.delete": ((100, MINUTE), (1500, HOUR)),
    "defender.import": ((30, MINUTE),),
    "defender.batch-delete": ((30, MINUTE), (1500, HOUR)),
    "sentinel.upload": ((100, MINUTE),),
}


@dataclass
class Limits:
    """Settings: windows (calls, seconds) per operation, sizes, and how strictly calls are counted.

    Attributes:
        enabled: False counts nothing, so that nobody has to wait.
        scale: multiplies the calls of every window.
        count_refused: whether calls answered 429 use up the window too.
        capacity: active Defender indicators a tenant may hold.
        value_max: characters (title_max, description_max alike); 0 = any length.
    """

    enabled: bool = True
    scale: float = 1.0
    count_refused: bool = False
    windows: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=lambda: dict(WINDOWS))
    capacity: int = 15_000
    import_max: int = 500
    batch_delete_max: int = 500
    list_max: int = 10_000
    list_page: int = 10_000
    value_max: int = 800
    title_max: int = 4_000
    description_max: int = 100
    upload_max: int = 100
    arm_page: int = 100


class Meter:
    """Remembers the calls of each (app, operation)."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def wait(self, app: str, operation: str, now: datetime) -> int | None:
        """Count one call; the whole seconds to wait when it is one too many, else None."""
        windows = self.limits.windows.get(operation, ())
        if not self.limits.enabled or not windows:
            return None
        at = now.timestamp()
        calls = self._calls.setdefault((app, operation), deque())
        while calls and calls[0] <= at - max(span for _, span in windows):
            calls.popleft()
        waits = [self._until_free(calls, count, span, at) for count, span in windows]
        longest = max(waits)
        if longest <= 0 or self.limits.count_refused:
            calls.append(at)
        return max(1, math.ceil(longest)) if longest > 0 else None

    def _until_free(self, calls: deque[float], count: int, span: int, at: float) -> float:
        allowed = max(1, int(count * self.limits.scale))
        if len(calls) < allowed:
            return 0.0
        return calls[-allowed] + span - at

    def forget(self) -> None:
        """Open every window again."""
        self._calls.clear()
