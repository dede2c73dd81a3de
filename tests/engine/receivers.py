"""Small receivers on loopback for what alerts are told over: HTTP, UDP, TCP and SMTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def _listening(kind: socket.SocketKind, serve: Callable[[socket.socket], bool], port: int = 0) -> Iterator[int]:
    """A socket whose thread calls `serve` until it returns False; gives the port."""
    listener = socket.socket(socket.AF_INET, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    if kind == socket.SOCK_STREAM:
        listener.listen()
    listener.settimeout(0.05)
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                serve(listener)
            except TimeoutError:
                continue

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        thread.join()
        listener.close()


@contextmanager
def udp(got: list[bytes]) -> Iterator[int]:
    """Keeps datagrams."""

    def serve(listener: socket.socket) -> bool:
        got.append(listener.recv(65_536))
        return True

    with _listening(socket.SOCK_DGRAM, serve) as port:
        yield port


@contextmanager
def tcp(got: list[bytes], port: int = 0) -> Iterator[int]:
    """Keeps what each connection sends."""

    def serve(listener: socket.socket) -> bool:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            data = b""
            while part := connection.recv(65_536):
                data += part
            got.append(data)
        return True

    with _listening(socket.SOCK_STREAM, serve, port) as found:
        yield found


@contextmanager
def smtp(got: list[dict[str, Any]]) -> Iterator[int]:
    """Keeps mails: sender, recipients, and the text with its headers."""

    def serve(listener: socket.socket) -> bool:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            connection.settimeout(10)

            def say(line: str) -> None:
                stream.write(line.encode() + b"\r\n")
                stream.flush()

            mail: dict[str, Any] = {"to": []}
            say("220 test")
            for raw in stream:
                line = raw.decode().strip()
                word = line[:4].upper()
                if word == "MAIL":
                    mail["from"] = line.partition("<")[2].partition(">")[0]
                elif word == "RCPT":
                    mail["to"].append(line.partition("<")[2].partition(">")[0])
                elif word == "DATA":
                    say("354 go on")
                    mail["text"] = b"".join(iter(stream.readline, b".\r\n")).decode()
                    got.append(mail)
                elif word == "QUIT":
                    say("221 bye")
                    break
                say("250 ok")
        return True

    with _listening(socket.SOCK_STREAM, serve) as port:
        yield port


class Hook:
    """A webhook; `status` is what it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200


@contextmanager
def webhook(hook: Hook) -> Iterator[str]:
    """Serves a webhook; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.paths.append(self.path)
            if hook.status == 200:
                hook.got.append(body)
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
