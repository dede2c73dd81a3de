"""Where a command's work is done: in the server that has the data directory, or else in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from tipline.cli.base import Session
from tipline.config.check import load
from tipline.config.schema import Configuration
from tipline.config.yamlfile import read
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.errors import ConfigError, StoreError, TiplineError
from tipline.store.lock import LOCK, running

_PATH = "/api/v1/operations/"
_PATIENCE = 10.0  # seconds to wait for another short command that has the data directory
_STEP = 0.1


class Client(Protocol):
    """Something that runs operations."""

    def call(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one.

        Raises:
            TiplineError: it failed.
        """


class RemoteError(TiplineError):
    """An error that a server reported."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(
            str(problem.get("what") or problem.get("detail") or "the server failed"),
            where=str(problem.get("where") or ""),
            fix=str(problem.get("fix") or ""),
        )
        self.code = str(problem.get("code") or "error")


class Remote:
    """Asks the server over loopback."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        # An operation may poll and deliver everything, so its answer may take long. The environment's
        # proxies are for the world outside, not for this machine.
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(10, read=None),
            trust_env=False,
        )

    def call(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run an operation there."""
        try:
            answer = self._http.post(_PATH + operation, json=arguments)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as exc:
            raise StoreError(
                f"the server does not answer: {type(exc).__name__}",
                where=self.url,
                fix="look at its log, or restart it",
            ) from None
        if answer.is_success:
            return body
        raise RemoteError(body if isinstance(body, dict) else {})

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


@contextmanager
def connect(session: Session, *, create: bool = False, trial: bool = False) -> Iterator[Client]:
    """The client for a session's data directory.

    Args:
        session: the command's options.
        create: whether a directory named by `--data` may be new.
        trial: whether the configuration is only looked at, and not put to work.

    Raises:
        StoreError: the directory does not exist, or another process keeps it.
        ConfigError: no server runs, and the configuration cannot be used.
    """
    data = data_directory(session)
    if session.data is not None and not create and not data.is_dir():
        raise StoreError("there is no such data directory", where=str(data), fix="check --data")
    end = time.monotonic() + _PATIENCE
    while True:
        found = server(data)
        if found is not None:
            remote = Remote(found["url"], found["token"])
            try:
                yield remote
            finally:
                remote.close()
            return
        try:
            engine = open_engine(session, trial=trial)
        except StoreError as exc:
            if not exc.what.startswith("another tipline") or time.monotonic() > end:
                raise
            time.sleep(_STEP)
            continue
        with engine, closing(Operations(engine)) as operations:
            yield operations
        return


def server(data: Path) -> dict[str, Any] | None:
    """Where the process that has the directory listens; None if there is none, or it left no address."""
    found = running(data)
    if found is None or not {"pid", "url", "token"} <= found.keys():
        return None
    # A killed server leaves its address behind; whoever has the directory now is another process.
    holder = (data / LOCK).read_text().strip()
    return found if holder == str(found["pid"]) else None


def data_directory(session: Session) -> Path:
    """The data directory, found without needing the rest of the configuration to be right.

    Raises:
        ConfigError: the file cannot be read.
    """
    if session.data is not None:
        return session.data.absolute()
    document = read(session.config)
    for place, what, fix in document.missing:
        if place == ("data",):
            raise ConfigError(what, where=document.where(place), fix=fix)
    configured = Path(str(document.data.get("data") or "data")).expanduser()
    return session.config.absolute().parent / configured


def configuration(session: Session) -> Configuration:
    """The checked configuration, with `--data` applied.

    Raises:
        ConfigError: it cannot be used.
    """
    found = load(session.config)
    found.settings = found.settings.model_copy(update={"data": str(data_directory(session))})
    return found


def open_engine(session: Session, *, trial: bool = False) -> Engine:
    """The engine in this process.

    Raises:
        ConfigError: the configuration cannot be used.
        StoreError: the data directory cannot be used.
    """
    return Engine(configuration(session), trial=trial)
