"""rsyslog, as Debian packages it, on loopback: what it has understood of each message, as JSON."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from programs import free_port

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
_PATIENCE = 20.0


class Rsyslog:
    """One server with one input: udp, tcp or tls (with a client certificate asked for)."""

    def __init__(self, folder: Path, transport: str, tls: dict[str, Path] | None = None) -> None:
        self.folder, self.transport, self.tls = folder, transport, tls or {}
        self.log = folder / "messages.json"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Run it, on the port it had if it ran before."""
        (self.folder / "rsyslog.conf").write_text(self._configuration())
        found = self.folder / "port"
        found.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [RSYSLOGD, "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + _PATIENCE
        while not self._listens(found):
            assert self._process.poll() is None, "rsyslogd ended"
            assert time.monotonic() < end, "rsyslogd does not listen"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE)
            self._process = None

    def messages(self, count: int) -> list[dict[str, Any]]:
        """So many messages, in the order in which they came."""
        end = time.monotonic() + _PATIENCE
        while True:
            text = self.log.read_text() if self.log.exists() else ""
            lines = text.split("\n")[:-1]  # the last one may be half
            if len(lines) >= count or time.monotonic() > end:
                return [json.loads(line) for line in lines]
            time.sleep(0.01)

    def _listens(self, found: Path) -> bool:
        if self.transport == "udp":
            return self._udp_port()
        if self.port:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        if not found.exists() or not found.read_text().strip():
            return False
        self.port = int(found.read_text())
        return True

    def _udp_port(self) -> bool:
        """The port of the process's UDP socket; imudp has no way to write it down."""
        assert self._process is not None
        links = Path(f"/proc/{self._process.pid}/fd")
        inodes = set()
        for link in links.iterdir():
            try:
                inodes.add(str(link.readlink()).removeprefix("socket:[").rstrip("]"))
            except OSError:
                continue
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[9] in inodes:
                self.port = int(cells[1].split(":")[1], 16)
                return True
        return False

    def _configuration(self) -> str:
        port = self.port or (free_port(socket.SOCK_DGRAM) if self.transport == "udp" else 0)
        listens = {
            "udp": f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{port}" ruleset="keep")',
            "tcp": 'module(load="imtcp")\n' + self._tcp(port),
            "tls": 'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1"'
            ' StreamDriver.AuthMode="x509/certvalid")\n' + self._tcp(port),
        }[self.transport]
        files = ""
        if self.tls:
            files = (f' defaultNetstreamDriverCAFile="{self.tls["ca"]}" defaultNetstreamDriverCertFile='
                     f'"{self.tls["cert"]}" defaultNetstreamDriverKeyFile="{self.tls["key"]}"')  # fmt: skip
        return f"""global(workDirectory="{self.folder}" maxMessageSize="64k"{files})
template(name="all" type="list") {{ property(name="jsonmesg") constant(value="\\n") }}
ruleset(name="keep") {{ action(type="omfile" file="{self.log}" template="all") }}
{listens}
"""

    def _tcp(self, port: int) -> str:
        return (f'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="keep"'
                f' listenPortFileName="{self.folder / "port"}")')  # fmt: skip
