"""The way to a syslog server: UDP, TCP and TLS, with the framing of RFC 6587 and RFC 5425.

Nothing in syslog says that a message has arrived. Over TCP and TLS a batch counts as handed over when the
receiving machine has acknowledged its last byte and the connection still stands; a batch for which that is not
so goes again as a whole. Over UDP it counts when it has left.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from tipline.errors import FarSideError
from tipline.microsoft.pace import Clock, SystemClock

if TYPE_CHECKING:
    from tipline.outputs.syslog import SyslogSettings

_LOOK = 0.002  # seconds between looks at what is not acknowledged yet
_GONE = "the server has closed the connection"


class Link:
    """One server, one connection.

    Args:
        settings: of the output.
        stop: set at shutdown; waits end at once.
    """

    def __init__(self, settings: SyslogSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._where = f"{settings.transport}://{settings.host}:{settings.port}"
        self._clock: Clock = SystemClock(stop)
        self._socket: socket.socket | None = None
        self._free_at = 0.0

    def send(self, messages: Sequence[bytes]) -> None:
        """Hand messages over, all of them again if the connection breaks on the way.

        Raises:
            FarSideError: not reached, or broken twice.
            StoppedError: the program is shutting down.
        """
        self._clock.wait(self._free_at - self._clock.monotonic())
        self._free_at = self._clock.monotonic() + len(messages) / self._settings.rate
        again = self._socket is not None
        try:
            self._hand_over(messages)
        except OSError as error:
            self.close()
            if not again:
                raise self._broken(error) from None
            # A connection that stood idle may have been closed long ago.
            try:
                self._hand_over(messages)
            except OSError as second:
                self.close()
                raise self._broken(second) from None

    def reach(self) -> None:
        """See that the server is there, as far as the transport can tell.

        Raises:
            FarSideError: it is not.
        """
        try:
            self._connected()
        except OSError as error:
            raise self._broken(error) from None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None

    def _hand_over(self, messages: Sequence[bytes]) -> None:
        link = self._connected()
        if self._settings.transport == "udp":
            for message in messages:
                link.send(message)
            return
        framed: Callable[[bytes], bytes] = _counted if self._settings.framing == "octet-counting" else _ended
        link.sendall(b"".join(map(framed, messages)))
        self._acknowledged(link)
        if _closed(link):
            raise ConnectionResetError(_GONE)

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._settings.transport != "udp" and _closed(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        s = self._settings
        if s.transport == "udp":
            family, kind, number, _, address = socket.getaddrinfo(s.host, s.port, type=socket.SOCK_DGRAM)[0]
            link = socket.socket(family, kind, number)
            # Connected, so that a port where nobody listens is told by the next message.
            link.connect(address)
            return link
        tls = s.context() if s.transport == "tls" else None
        plain = socket.create_connection((s.host, s.port), timeout=s.timeout)
        if tls is None:
            return plain
        try:
            return tls.wrap_socket(plain, server_hostname=s.host)
        except (OSError, ValueError):
            plain.close()
            raise

    def _acknowledged(self, link: socket.socket) -> None:
        """Wait until the other machine has acknowledged every byte."""
        end = time.monotonic() + self._settings.timeout
        while _unacknowledged(link):
            if _closed(link):
                raise ConnectionResetError(_GONE)
            if time.monotonic() > end:
                raise TimeoutError(f"the server takes nothing for {self._settings.timeout:g} s")
            self._clock.wait(_LOOK)

    def _broken(self, error: OSError) -> FarSideError:
        words = str(error) or type(error).__name__
        fix = "is it up, and is a firewall between?"
        if isinstance(error, ssl.SSLCertVerificationError):
            words, fix = error.verify_message, "set ca_file to the authority that signs there"
        elif isinstance(error, ssl.SSLError):
            fix = "does it speak TLS at this port, and does it want a client certificate?"
        return FarSideError(f"syslog server: {words}", where=self._where, fix=fix, retryable=True)


def _counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


def _ended(message: bytes) -> bytes:
    return message + b"\n"


def _unacknowledged(link: socket.socket) -> int:
    """Bytes that the other machine has not acknowledged."""
    raw = fcntl.ioctl(link.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", raw)[0])


def _closed(link: socket.socket) -> bool:
    """Whether the server has closed; what it says is read and left aside."""
    timeout = link.gettimeout()
    link.settimeout(0)
    try:
        while link.recv(4096):
            continue
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        link.settimeout(timeout)
    return True
