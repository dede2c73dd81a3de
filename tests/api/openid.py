"""Canaille, an OpenID provider, as a peer: from an environment of its own, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from programs import free_port
from sources.opentaxii import program

CLIENT, SECRET = "tipline-here", "s3cret of the client"
PASSWORD = "correct horse battery"
# Who there is, and in which groups.
PEOPLE = {"ida": ["soc-leads", "everyone"], "vera": ["soc"], "nobody": ["everyone"]}


@dataclass
class Canaille:
    """A running provider."""

    port: int

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    def turn_keys(self) -> None:
        """Have it sign with another key from now on."""
        httpx.get(f"{self.issuer}/test/turn-keys", trust_env=False).raise_for_status()


@contextmanager
def canaille(folder: Path, back: str) -> Iterator[Canaille]:
    """Run it, with one client that comes back to an address."""
    port = free_port()
    wanted = {"port": port, "client": CLIENT, "secret": SECRET, "back": back, "people": PEOPLE, "password": PASSWORD}
    (folder / "wanted.json").write_text(json.dumps(wanted))
    with (folder / "canaille.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program("python")), str(Path(__file__).with_name("canaille_peer.py")), str(folder / "wanted.json")],
            stdout=log, stderr=log, cwd=folder, env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        )  # fmt: skip
        try:
            _wait(port, process, folder / "canaille.log")
            yield Canaille(port)
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            where = f"http://localhost:{port}/.well-known/openid-configuration"
            if httpx.get(where, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
