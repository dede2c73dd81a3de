"""Keeping to the far side's limits: sliding windows per route, and waits that a shutdown can cut short."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tipline.errors import FarSideError

SLACK = 1.0  # seconds added to a window: the far side counts when calls arrive, we when they leave


class StoppedError(FarSideError):
    """The program is shutting down; what was not acknowledged is sent again at the next start."""

    code = "stopped"

    def __init__(self) -> None:
        super().__init__("stopped while waiting", retryable=True)


class Clock(Protocol):
    """Time as the clients see it; tests put their own in its place."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def wait(self, seconds: float) -> None:
        """Wait; raises StoppedError when the program is shutting down."""


class SystemClock:
    """The machine's clock.

    Args:
        stop: set at shutdown; every wait ends at once with StoppedError.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Wait, or raise StoppedError as soon as the program is shutting down."""
        if self._stop.wait(max(seconds, 0.0)):
            raise StoppedError


@dataclass(frozen=True, slots=True)
class Window:
    """At most `calls` in any `seconds`."""

    calls: int
    seconds: float


class RateLimiter:
    """Sliding windows per route, shared by all clients of one app; thread safe.

    Args:
        windows: the limits of each route; a route without any is not limited.
        clock: what tells the time and waits.
        slack: seconds by which each window is lengthened.
    """

    def __init__(self, windows: Mapping[str, tuple[Window, ...]], clock: Clock, slack: float = SLACK) -> None:
        self._windows = dict(windows)
        self._clock = clock
        self._slack = slack
        self._lock = threading.Lock()
        self._made: defaultdict[str, deque[float]] = defaultdict(deque)
        self._held: dict[str, float] = {}

    def acquire(self, route: str) -> None:
        """Wait until one more call of the route is allowed, and count it.

        Raises:
            StoppedError: the program is shutting down.
        """
        while (delay := self._claim(route)) > 0:
            self._clock.wait(delay)

    def hold(self, route: str, seconds: float) -> None:
        """Let no call of the route pass for some seconds: the far side has asked for it."""
        with self._lock:
            until = self._clock.monotonic() + seconds
            self._held[route] = max(until, self._held.get(route, until))

    def _claim(self, route: str) -> float:
        with self._lock:
            now = self._clock.monotonic()
            windows, made = self._windows.get(route, ()), self._made[route]
            delay = max([self._held.get(route, now) - now, *(self._delay(w, made, now) for w in windows)])
            if delay <= 0 and windows:
                made.append(now)
                if len(made) > max(window.calls for window in windows):
                    made.popleft()
            return delay

    def _delay(self, window: Window, made: deque[float], now: float) -> float:
        if len(made) < window.calls:
            return 0.0
        return made[-window.calls] + window.seconds + self._slack - now
