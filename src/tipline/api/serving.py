"""Runs an engine with its HTTP side in the foreground, until it is told to stop."""

from __future__ import annotations

import ipaddress
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from tipline.api.app import create_app
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler
from tipline.errors import StoreError, TiplineError
from tipline.store.lock import announce

LOOPBACK = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_LOOK = 1.0  # seconds between looks at the threads


def run(engine: Engine, addresses: list[tuple[str, int]], *, lists: bool, ready: Callable[[list[str]], None]) -> None:
    """Run the engine and listen, until SIGTERM or SIGINT.

    Args:
        engine: the engine; it is closed by the caller.
        addresses: (host, port) to listen on; a loopback address is added if there is none.
        lists: whether lists and metrics are served, besides health and operations.
        ready: is given the URLs once they answer.

    Raises:
        StoreError: the engine stopped by itself.
        TiplineError: an address cannot be listened on.
    """
    with _stopping() as stop, served(engine, addresses, lists=lists) as (urls, scheduler):
        ready(urls)
        _watch(scheduler, stop)


@contextmanager
def served(
    engine: Engine, addresses: list[tuple[str, int]], *, lists: bool = True
) -> Iterator[tuple[list[str], Scheduler]]:
    """The engine running in threads, and listening; yields the URLs, which answer already, and what runs it.

    Raises:
        TiplineError: an address cannot be listened on.
    """
    sockets = _listen(addresses)
    scheduler = Scheduler(engine)
    token = secrets.token_urlsafe(32)
    app = create_app(Operations(engine, scheduler), token, lists=lists)
    scheduler.start()
    try:
        with _served(app, sockets):
            urls = [_url(each) for each in sockets]
            announce(engine.data, next(url for url in urls if _reaches_loopback(url)), token)
            yield urls, scheduler
    finally:
        scheduler.stop()


def stay(scheduler: Scheduler) -> None:
    """Wait for SIGTERM or SIGINT.

    Raises:
        StoreError: the engine stopped by itself.
    """
    with _stopping() as stop:
        _watch(scheduler, stop)


def _watch(scheduler: Scheduler, stop: threading.Event) -> None:
    while not stop.wait(_LOOK):
        if not scheduler.alive:
            why = scheduler.error or "see the log"
            raise StoreError(f"the engine has stopped: {why}", fix="start it again, or run doctor")


def _listen(addresses: list[tuple[str, int]]) -> list[socket.socket]:
    wanted = list(addresses)
    if not any(_local(host) for host, _ in wanted):
        wanted.append((LOOPBACK, 0))  # where the other commands of this machine ask
    sockets: list[socket.socket] = []
    for host, port in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol is named so that asyncio turns Nagle's algorithm off.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sockets.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as exc:
            for each in sockets:
                each.close()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise TiplineError(
                f"cannot listen: {reason}", where=f"{host}:{port}", fix="choose another --host or --port"
            ) from exc
    return sockets


@contextmanager
def _served(app: FastAPI, sockets: list[socket.socket]) -> Iterator[None]:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=(sockets,), name="http", daemon=True)
    thread.start()
    end = time.monotonic() + _START_SECONDS
    try:
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise TiplineError("the HTTP side did not come up", fix="see the log")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
        for each in sockets:
            each.close()


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = LOOPBACK if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reaches_loopback(url: str) -> bool:
    return url.startswith(("http://127.", "http://[::1]"))
