"""Programs that tests start: on a free port of loopback, asked once they listen, ended with the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

# Debian keeps servers where not everybody's PATH leads.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
T = TypeVar("T")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nothing listens on."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(*command: str) -> Iterator[None]:
    """A program that runs for the time of a block."""
    program = shutil.which(command[0], path=PATH) or command[0]
    process = subprocess.Popen([program, *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def soon(ask: Callable[[], T], *errors: type[Exception]) -> T:
    """What is answered once the program listens."""
    end = time.monotonic() + 60
    while True:
        try:
            return ask()
        except errors:
            assert time.monotonic() < end
            time.sleep(0.05)


@contextmanager
def nginx(folder: Path, http: str, server: str) -> Iterator[str]:
    """The address of nginx with some directives; `folder` is for its own files.

    Args:
        folder: made readable for all.
        http: directives outside of the server.
        server: directives of the server.
    """
    folder.chmod(0o755)
    port, path = free_port(), folder / "nginx.conf"
    paths = "".join(
        f"{each}_temp_path {folder}/t-{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path.write_text(
        f"daemon off; user root; pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off; {paths} {http}\nserver {{ listen 127.0.0.1:{port}; {server} }} }}\n"
    )
    with running("nginx", "-c", str(path), "-e", str(folder / "log")):
        yield f"http://127.0.0.1:{port}"
