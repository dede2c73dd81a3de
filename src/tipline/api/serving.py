"""Runs an engine with its HTTP side in the foreground, until it is told to stop."""

from __future__ import annotations

import ipaddress
import secrets
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from tipline.api.app import create_app
from tipline.engine.configuring import Configuring
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler
from tipline.errors import StoreError, TiplineError
from tipline.store.lock import announce

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_LOOK = 1.0  # seconds between looks at the threads


@dataclass(frozen=True)
class Tls:
    """The server's certificate (with its chain) and key, as PEM files."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Load both.

        Raises:
            TiplineError: they cannot be read, or do not belong together.
        """
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.certificate, self.key)
        except OSError as exc:  # ssl.SSLError is one
            fix = "give PEM files that belong together, readable by tipline, without a passphrase"
            raise TiplineError(f"the certificate cannot be used: {exc}", where=str(self.certificate), fix=fix) from exc


def run(
    engine: Engine,
    addresses: list[tuple[str, int]],
    *,
    lists: bool,
    ready: Callable[[list[str]], None],
    tls: Tls | None = None,
) -> None:
    """Run the engine and listen, until SIGTERM or SIGINT; SIGHUP reads the configuration file again.

    Args:
        engine: the engine; it is closed by the caller.
        addresses: (host, port) to listen on; a loopback address is added if there is none.
        lists: whether lists and metrics are served, besides health and operations.
        ready: is given the URLs once they answer.
        tls: serves by HTTPS; a loopback address for the commands of this machine stays without.

    Raises:
        StoreError: the engine stopped by itself.
        TiplineError: an address cannot be listened on.
    """
    with _told() as told, served(engine, addresses, lists=lists, tls=tls) as (urls, scheduler):
        ready(urls)
        _watch(scheduler, told)


@contextmanager
def served(
    engine: Engine, addresses: list[tuple[str, int]], *, lists: bool = True, tls: Tls | None = None
) -> Iterator[tuple[list[str], Scheduler]]:
    """The engine running in threads, and listening; yields the URLs, which answer already, and what runs it.

    Raises:
        TiplineError: an address cannot be listened on.
    """
    if tls is not None:
        tls.check()
    sockets = _listen(addresses, plain_loopback=tls is not None)
    # By HTTPS all but the last, which is for the commands of this machine.
    secured = sockets[:-1] if tls else []
    scheduler = Scheduler(engine)
    token = secrets.token_urlsafe(32)
    app = create_app(Operations(engine, scheduler), token, lists=lists)
    scheduler.start()
    try:
        plain = [each for each in sockets if each not in secured]
        with _served(app, secured, tls), _served(app, plain), app.state.ending:
            urls = [_url(each, secure=each in secured) for each in sockets]
            announce(engine.data, next(url for url in urls if _reaches_loopback(url)), token)
            yield urls, scheduler
    finally:
        scheduler.stop()


def stay(scheduler: Scheduler) -> None:
    """Wait for SIGTERM or SIGINT.

    Raises:
        StoreError: the engine stopped by itself.
    """
    with _told() as told:
        _watch(scheduler, told)


@dataclass
class _Told:
    """What signals have asked for."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)


def _watch(scheduler: Scheduler, told: _Told) -> None:
    while not told.stop.wait(_LOOK):
        if told.reload.is_set():
            told.reload.clear()
            _reload(scheduler)
        if not scheduler.alive:
            why = scheduler.error or "see the log"
            raise StoreError(f"the engine has stopped: {why}", fix="start it again, or run doctor")


def _reload(scheduler: Scheduler) -> None:
    try:
        done = Configuring(scheduler).reload("SIGHUP")
    except TiplineError as exc:
        log.error("configuration not put to work: what ran before runs on", error=str(exc))
    else:
        log.info("configuration reloaded", version=done.version, waits_for_restart=done.at_restart)


def _listen(addresses: list[tuple[str, int]], *, plain_loopback: bool) -> list[socket.socket]:
    wanted = list(addresses)
    if plain_loopback or not any(_local(host) for host, _ in wanted):
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
def _served(app: FastAPI, sockets: list[socket.socket], tls: Tls | None = None) -> Iterator[None]:
    if not sockets:
        yield
        return
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=5,
        ssl_certfile=tls.certificate if tls else None, ssl_keyfile=tls.key if tls else None,
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
def _told() -> Iterator[_Told]:
    told = _Told()
    wanted = {signal.SIGTERM: told.stop, signal.SIGINT: told.stop, signal.SIGHUP: told.reload}
    before = {each: signal.signal(each, lambda *_, asked=asked: asked.set()) for each, asked in wanted.items()}
    try:
        yield told
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _url(listener: socket.socket, *, secure: bool = False) -> str:
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = LOOPBACK if address.version == 4 else "::1"
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _reaches_loopback(url: str) -> bool:
    return url.startswith(("http://127.", "http://[::1]"))
