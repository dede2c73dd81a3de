from __future__ import annotations

import threading

import pytest

from tipline.errors import FarSideError
from tipline.microsoft.pace import RateLimiter, StoppedError, SystemClock, Window


def test_no_window_ever_holds_more_calls_than_allowed(clock):
    windows = (Window(3, 60), Window(7, 3600))
    limiter = RateLimiter({"a": windows}, clock, slack=0)
    times = []
    for _ in range(20):
        limiter.acquire("a")
        times.append(clock.now)
    for window in windows:
        for start in times:
            assert sum(start <= t < start + window.seconds for t in times) <= window.calls


def test_calls_within_the_limit_do_not_wait(clock):
    limiter = RateLimiter({"a": (Window(30, 60),)}, clock)
    for _ in range(30):
        limiter.acquire("a")
    assert clock.waits == []
    limiter.acquire("a")
    assert clock.waits == [61.0]


def test_routes_are_counted_apart_and_an_unlimited_one_never_waits(clock):
    limiter = RateLimiter({"a": (Window(1, 60),)}, clock)
    limiter.acquire("a")
    for _ in range(5):
        limiter.acquire("b")
    assert clock.waits == []


def test_a_hold_delays_every_call_of_the_route(clock):
    limiter = RateLimiter({}, clock)
    limiter.hold("a", 37)
    limiter.hold("a", 5)
    limiter.acquire("a")
    assert clock.waits == [37.0]


def test_a_shutdown_ends_a_wait_at_once():
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError) as caught:
        SystemClock(stop).wait(3600)
    assert isinstance(caught.value, FarSideError)
    assert caught.value.retryable


def test_threads_share_one_window():
    limiter = RateLimiter({"a": (Window(4, 3600),)}, SystemClock(stop := threading.Event()))
    passed = []

    def work() -> None:
        try:
            while True:
                limiter.acquire("a")
                passed.append(1)
        except StoppedError:
            return

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(passed) < 4:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(passed) == 4
