"""The stand-in as a whole: `Sandbox` for tests and demos, `serve` for the command line."""

from __future__ import annotations

import asyncio
import secrets as randomness
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from tipline.errors import TiplineError

from . import directory, objects, portal, tls
from .app import Application
from .behaviours import Behaviour
from .control import routes
from .directory import App, Directory
from .faults import Faults
from .limits import Limits, Meter
from .summary import summary
from .tables import Store
from .times import now_utc
from .tokens import Signer
from .world import World

HOST = "127.0.0.1"
_START_SECONDS = 30
_STOP_SECONDS = 30
_TICK_SECONDS = 0.02


class _Connections:
    """Open connections by the client's address, so that one can be cut without an answer."""

    def __init__(self) -> None:
        self._open: dict[Any, H11Protocol] = {}
        connections = self._open

        class Tracked(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                connections[self.client] = self

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self.client, None)
                super().connection_lost(exc)

        self.protocol = Tracked

    def cut(self, scope: Scope) -> None:
        """Abort the connection of a request."""
        found = self._open.get(tuple(scope["client"] or ()))
        if found is not None:
            found.transport.abort()


class _Server(uvicorn.Server):
    """Stops at once: a polite goodbye to idle clients over TLS would take until its timeout."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            await asyncio.sleep(_TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.connections:
            await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Sandbox:
    """A local stand-in for Microsoft's sign-in, Defender, Sentinel and ARM APIs on 127.0.0.1.

    Args:
        path: a directory that keeps state, CA, keys and the default secret over restarts; None = nothing.
        port: 0 = any free one; a restarted object keeps the one it got.
        tls: serve https with its own CA (the Microsoft libraries insist on it).
        behaviour: switches; see `behaviours()`.
        clock: the stand-in's present (aware); default is the machine's clock.
        limits: sizes and rate limits.
        rate_limits: False = nobody has to wait.
        limits_scale: multiplies the calls that each rate limit allows.
        client_secret: secret of the default app; made if not given.

    Example:
        >>> with Sandbox(rate_limits=False) as sandbox:
        ...     sandbox.faults.set(drop_after_every=3, only=("defender",))
        ...     deliver(sandbox.defender_url, verify=sandbox.ca_file)
        ...     assert sandbox.query("SELECT count(*) AS n FROM DefenderIndicators")[0]["n"] == 295
    """

    tenant_id = directory.TENANT_ID
    client_id = directory.CLIENT_ID
    workspace_id = directory.WORKSPACE_ID
    subscription_id = directory.SUBSCRIPTION_ID
    resource_group = directory.RESOURCE_GROUP
    workspace_name = directory.WORKSPACE_NAME

    def __init__(
        self, path: Path | None = None, *, port: int = 0, tls: bool = True,
        behaviour: Behaviour | None = None,
        clock: Callable[[], datetime] | None = None, limits: Limits | None = None, rate_limits: bool = True,
        limits_scale: float = 1.0, client_secret: str | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self.port = port
        self.faults = Faults()
        self.behaviour = behaviour or Behaviour()
        self.limits = limits or Limits()
        self.limits.enabled = self.limits.enabled and rate_limits
        self.limits.scale *= limits_scale
        self._tls = tls
        self._clock = clock or now_utc
        self._ahead = timedelta(0)
        self._given_secret = client_secret
        self._secret = ""
        self._world: World | None = None
        self._closing = ExitStack()
        self._folder = Path()

    # ---- life ----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Open the state and serve in a thread.

        Raises:
            TiplineError: it runs already, the port is taken, or it does not come up.
        """
        if self._world:
            raise TiplineError("the sandbox runs already", where="sandbox", fix="stop it first")
        with ExitStack() as stack:
            self._folder = self._prepare_folder(stack)
            files = tls.prepare(self._folder) if self._tls else None
            self._secret = self._read_secret()
            store = Store(self._file(), self._now, lambda name: str(getattr(self.behaviour, name)))
            stack.callback(store.close)
            signer = Signer.load(self._folder / "signing.key" if self.path else None)
            world = World(store, signer, self.behaviour, self.faults, Meter(self.limits), self._now)
            stack.callback(setattr, self, "_world", None)
            self._world = world
            self.directory.seed(self._secret)
            self._serve(stack, world, files)
            self._closing = stack.pop_all()
        return self

    def _prepare_folder(self, stack: ExitStack) -> Path:
        if self.path is None:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tipline-sandbox-")))
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def _file(self) -> str:
        return str(self._folder / "sandbox.db") if self.path else ":memory:"

    def _read_secret(self) -> str:
        file = self.secret_file
        if self._given_secret is None and file.exists():
            return file.read_text()
        secret = self._given_secret or randomness.token_urlsafe(24)
        tls.write_private(file, secret.encode())
        return secret

    def _serve(self, stack: ExitStack, world: World, files: tls.TlsFiles | None) -> None:
        # asyncio turns Nagle's algorithm off only on sockets that name TCP; with it every answer takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        stack.callback(listener.close)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self.port))
        except OSError as error:
            raise TiplineError(
                f"cannot listen: {error.strerror}", where=f"{HOST}:{self.port}", fix="choose another port"
            ) from error
        self.port = listener.getsockname()[1]
        connections = _Connections()
        config = uvicorn.Config(
            Application(world, connections.cut, routes(self)), http=connections.protocol,
            ws="none", lifespan="off",
            loop="asyncio", proxy_headers=False, server_header=False, access_log=False, log_config=None,
            timeout_graceful_shutdown=1, timeout_keep_alive=60,
            ssl_certfile=files.certificate if files else None, ssl_keyfile=files.key if files else None,
        )  # fmt: skip
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="tipline-sandbox", daemon=True)
        thread.start()
        stack.callback(thread.join, _STOP_SECONDS)
        stack.callback(setattr, server, "should_exit", True)
        end = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise TiplineError("the sandbox did not come up", where=f"{HOST}:{self.port}", fix="see the log")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop serving and close the state; harmless when it does not run."""
        self._closing.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # ---- where -----------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        """The running state.

        Raises:
            TiplineError: it does not run.
        """
        if not self._world:
            raise TiplineError("the sandbox does not run", where="sandbox", fix="call start() or use it in a with")
        return self._world

    @property
    def url(self) -> str:
        """The root that every API below hangs off."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    @property
    def login_url(self) -> str:
        """Authority host; the authority is `<login_url>/<tenant_id>`."""
        return self.url

    @property
    def defender_url(self) -> str:
        """Stands for https://api.securitycenter.microsoft.com."""
        return self.url

    @property
    def sentinel_url(self) -> str:
        """Stands for https://api.ti.sentinel.azure.com."""
        return self.url

    @property
    def arm_url(self) -> str:
        """Stands for https://management.azure.com."""
        return self.url

    @property
    def ca_file(self) -> Path:
        """The CA that clients must trust."""
        return self._folder / "ca.pem"

    @property
    def secret_file(self) -> Path:
        """Holds the default app's secret, readable by its owner only."""
        return self._folder / "client-secret"

    @property
    def client_secret(self) -> str:
        """The default app's secret."""
        return self._secret

    def addresses(self) -> dict[str, str]:
        """Addresses, ids and files for people and for `GET /`; no secret."""
        return {
            "login": self.login_url, "defender": self.defender_url, "sentinel": self.sentinel_url,
            "arm": self.arm_url,
            "tenant_id": self.tenant_id, "client_id": self.client_id, "workspace_id": self.workspace_id,
            "subscription_id": self.subscription_id, "resource_group": self.resource_group,
            "workspace_name": self.workspace_name, "ca_file": str(self.ca_file) if self._tls else "",
            "client_secret_file": str(self.secret_file),
        }  # fmt: skip

    # ---- time ------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the stand-in's present ahead of its clock: tokens age, windows open, indicators lapse."""
        self._ahead += timedelta(seconds=seconds)

    # ---- content ---------------------------------------------------------------------------------------

    @property
    def directory(self) -> Directory:
        """Tenants, apps, secrets, roles."""
        return Directory(self.world)

    def add_tenant(self, tenant_id: str | None = None, name: str = "") -> str:
        """Register a tenant; its id."""
        return self.directory.add_tenant(tenant_id, name)

    def add_app(self, name: str, *, tenant_id: str | None = None, **settings: Any) -> App:
        """Register an app; see `Directory.add_app` for the settings."""
        return self.directory.add_app(name, tenant_id or self.tenant_id, **settings)

    def add_workspace(self, name: str, *, tenant_id: str | None = None, **settings: Any) -> objects.Workspace:
        """Register a workspace; see `Directory.add_workspace`."""
        return self.directory.add_workspace(name, tenant_id or self.tenant_id, **settings)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """One SELECT over Microsoft's tables (`tables.VIEWS`), with SQLite's syntax.

        Raises:
            QueryError: anything else.
        """
        with self.world.store.transaction():
            objects.republish(self.world, due_only=True)
        return self.world.store.query(sql)

    def republish(self) -> int:
        """Append every unexpired object's rows again, as Sentinel does each 7 days; how many objects.

        The rows bear SourceSystem LogARepublisher. ThreatIntelligenceIndicator leaves them out unless
        the behaviour `republish_legacy` is `included`, so that its count is that of the uploads.
        """
        with self.world.store.transaction():
            return objects.republish(self.world)

    def portal_add(self, value: str, kind: str, action: str = "Audit", **fields: Any) -> str:
        """Add an indicator as a person at the portal (foreign to every app); its id."""
        return portal.add(self.world, fields.pop("tenant_id", self.tenant_id), value, kind, action, **fields)

    def portal_edit(self, number: str, **changes: Any) -> None:
        """Change an indicator as a person at the portal."""
        portal.edit(self.world, number, **changes)

    def portal_delete(self, number: str) -> None:
        """Delete an indicator as a person at the portal."""
        portal.delete(self.world, number)

    def defender_indicators(self) -> list[dict[str, Any]]:
        """Every active indicator of every tenant, as the API shows it."""
        shown: list[dict[str, Any]] = self.state(contents=True)["defender"]["indicators"]
        return shown

    def sentinel_objects(self) -> list[dict[str, Any]]:
        """Every object that is not deleted: id, source, workspace_id, active, data."""
        shown: list[dict[str, Any]] = self.state(contents=True)["sentinel"]["objects"]
        return shown

    def state(self, *, contents: bool = False) -> dict[str, Any]:
        """Calls by operation and result, faults, counts; with `contents` the indicators and objects too."""
        with self.world.store.transaction():
            return summary(self.world, contents=contents)


def _say(line: str) -> None:
    print(line, flush=True)  # somebody may wait for it behind a pipe


def serve(path: Path | None = None, port: int = 8443, *, say: Callable[[str], None] = _say, **settings: Any) -> None:
    """Run a sandbox in the foreground until SIGTERM or Ctrl-C; prints where it is.

    Args:
        path: directory that keeps the state.
        port: port on 127.0.0.1.
        say: writes one line.
        settings: further settings of `Sandbox`.
    """
    done = threading.Event()
    before = {each: signal.signal(each, lambda *_: done.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        with Sandbox(path, port=port, **settings) as sandbox:
            for name, value in sandbox.addresses().items():
                say(f"{name:20} {value}")
            with suppress(KeyboardInterrupt):
                done.wait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
