from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tipline.microsoft.credentials import Credentials
from tipline.microsoft.pace import StoppedError
from tipline.microsoft.transport import Connection, Patience
from tipline.sandbox import Sandbox


class FakeClock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.waits: list[float] = []
        self.stopped = False

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        if self.stopped:
            raise StoppedError
        self.waits.append(seconds)
        self.now += seconds


class FakeTokens:
    """Tokens t1, t2 ... or the given ones; a new one when the last was rejected."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens) or ["t1", "t2", "t3"]
        self.asked: list[str] = []

    def token(self, scope: str, rejected: str | None = None) -> str:
        self.asked.append(scope)
        if rejected == self.tokens[0] and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.tokens[0]


class FarSide:
    """Answers requests from a script (repeating its last entry) or a function, and keeps them."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        answer = step(request) if callable(step) else step
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer)

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests if request.content]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def far_side() -> Callable[..., FarSide]:
    return FarSide


@pytest.fixture
def connect(clock: FakeClock) -> Callable[..., Connection]:
    def build(handler: Callable[[httpx.Request], httpx.Response], **patience: Any) -> Connection:
        return Connection(
            clock=clock,
            patience=Patience(**patience),
            transport=httpx.MockTransport(handler),
            jitter=lambda: 1.0,
        )

    return build


@pytest.fixture
def jwt() -> Callable[..., str]:
    def make(*roles: str, **claims: Any) -> str:
        payload = json.dumps({"roles": list(roles), **claims}).encode()
        return "h." + base64.urlsafe_b64encode(payload).decode().rstrip("=") + ".s"

    return make


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture
def credentials(sandbox: Sandbox) -> Callable[..., Credentials]:
    """Settings for the stand-in's own app, or with other values."""

    def make(**changes: Any) -> Credentials:
        settings = {
            "tenant_id": sandbox.tenant_id,
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "login_url": sandbox.login_url,
            "defender_url": sandbox.defender_url,
            "sentinel_url": sandbox.sentinel_url,
            "arm_url": sandbox.arm_url,
            "ca_file": sandbox.ca_file,
        }
        return Credentials(**{**settings, **changes})

    return make


@pytest.fixture
def open_client(sandbox: Sandbox, clock: FakeClock) -> Iterator[Callable[..., Any]]:
    """Opens clients that wait in no real time; they are closed at the end."""
    with ExitStack() as stack:

        def build(kind: Callable[..., Any], credentials: Credentials, *more: Any, **patience: Any) -> Any:
            connection = Connection(
                ca_file=credentials.ca_file,
                clock=clock,
                patience=Patience(**patience),
                jitter=lambda: 1.0,
            )
            return stack.enter_context(kind(credentials.endpoints, credentials, *more, connection))

        yield build


@pytest.fixture
def httpserver_of() -> Iterator[Callable[[Any], tuple[list[str], str]]]:
    """Serves one JSON answer on loopback; gives the list of paths asked for, and the address."""
    with ExitStack() as stack:

        def build(answer: Any) -> tuple[list[str], str]:
            seen: list[str] = []

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    seen.append(self.path)
                    content = json.dumps(answer).encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

                def log_message(self, *_: Any) -> None:
                    """Stay silent."""

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return seen, f"http://127.0.0.1:{server.server_port}/token"

        yield build
