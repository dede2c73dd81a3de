"""Fetching over HTTP: conditions, limits, tries, redirects, secrets."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

import pytest
import structlog
from pydantic import ValidationError

from tipline.errors import FetchError
from tipline.formats.decode import decode
from tipline.sources import fetch_http
from tipline.sources.fetch import FetchResult, FetchSettings, FetchState, fetch
from tipline.sources.fetch_connect import host_slot


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between tries, which are not slept."""
    found: list[float] = []
    monkeypatch.setattr(fetch_http, "sleep", found.append)
    return found


def get(tmp_path: Path, url: Any, state: FetchState | None = None, **options: Any) -> FetchResult:
    settings = FetchSettings(**{"url": url, "allow_private": True, "retries": 0, "timeout": 5, **options})
    return fetch(settings, state or FetchState(), tmp_path)


def bodies(result: FetchResult) -> list[bytes]:
    return [path.read_bytes() for path in result.files]


def test_body_charset_and_name(tmp_path: Path, web: Any) -> None:
    web.answer = lambda _: (200, {"Content-Type": "text/csv; charset=windows-1252"}, b"a.com\n")
    result = get(tmp_path, web.url("/feed?api_key=hunter2"))
    assert bodies(result) == [b"a.com\n"]
    assert (result.parts[0].charset, result.bytes) == ("windows-1252", 6)
    assert "hunter2" not in repr(result)


def test_304_and_unchanged_bytes_are_not_modified(tmp_path: Path, web: Any) -> None:
    web.answer = lambda _: (
        200,
        {"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
        b"a.com\n",
    )
    state = get(tmp_path, web.url()).state
    web.answer = lambda _: (304, {}, b"")
    second = get(tmp_path, web.url(), FetchState.from_json(state.to_json()))
    assert (second.not_modified, second.files, second.state) == (True, [], state)
    sent = web.requests[-1][1]
    assert sent["if-none-match"] == '"1"'
    assert sent["if-modified-since"] == "Mon, 01 Jan 2024 00:00:00 GMT"
    web.answer = lambda _: (200, {"ETag": '"2"'}, b"a.com\n")
    third = get(tmp_path, web.url(), second.state)
    assert (third.not_modified, third.files) == (True, [])
    assert len(list(tmp_path.iterdir())) == 1


def test_if_one_of_several_parts_changes_all_are_fetched(tmp_path: Path, web: Any) -> None:
    contents = {"/a": b"a\n", "/b": b"b\n"}

    def script(handler: BaseHTTPRequestHandler) -> None:
        body = contents[handler.path]
        etag = f'"{body.decode().strip()}"'
        same = handler.headers.get("If-None-Match") == etag
        handler.send_response(304 if same else 200)
        handler.send_header("ETag", etag)
        handler.send_header("Content-Length", "0" if same else str(len(body)))
        handler.end_headers()
        handler.wfile.write(b"" if same else body)

    web.script = script
    urls = [web.url("/a"), web.url("/b")]
    state = get(tmp_path, urls).state
    assert get(tmp_path, urls, state).not_modified
    contents["/b"] = b"c\n"
    assert bodies(get(tmp_path, urls, state)) == [b"a\n", b"c\n"]
    assert bodies(get(tmp_path, urls[:1], state)) == [b"a\n"]


@pytest.mark.parametrize("announced", [True, False])
def test_body_larger_than_the_limit(tmp_path: Path, web: Any, announced: bool) -> None:
    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(5 << 30))
        handler.end_headers()
        while not web.stop.is_set():
            handler.wfile.write(bytes(1 << 16))

    web.script = script
    with pytest.raises(FetchError, match=r"larger than 100,000 bytes.*max_bytes"):
        get(tmp_path, web.url(), max_bytes=100_000)
    assert list(tmp_path.iterdir()) == []


def test_body_that_is_cut_off_is_an_error_that_may_pass(tmp_path: Path, web: Any) -> None:
    web.answer = lambda _: (200, {"Content-Length": "100"}, b"half")
    with pytest.raises(FetchError, match="connection broke") as caught:
        get(tmp_path, web.url())
    assert caught.value.retryable
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("headers_first", [True, False])
def test_dripping_server_is_stopped_by_the_total_time(tmp_path: Path, web: Any, headers_first: bool) -> None:
    def script(handler: BaseHTTPRequestHandler) -> None:
        if headers_first:
            handler.send_response(200)
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not web.stop.wait(0.02):
            handler.wfile.write(b"x")

    web.script = script
    with pytest.raises(FetchError, match=r"took longer than 0.3 s.*max_time") as caught:
        get(tmp_path, web.url(), max_time=0.3)
    assert caught.value.retryable


def test_silent_server_times_out(tmp_path: Path, web: Any) -> None:
    web.script = lambda _: web.stop.wait(20)
    with pytest.raises(FetchError, match=r"no answer within 0.1 s"):
        get(tmp_path, web.url(), timeout=0.1)


def test_tries_again_after_what_the_server_asks(tmp_path: Path, web: Any, waits: list[float]) -> None:
    answers = [(429, {"Retry-After": "7"}, b""), (503, {"Retry-After": formatdate(0)}, b""), (500, {}, b"")]
    web.answer = lambda _: answers.pop(0) if answers else (200, {}, b"ok\n")
    assert bodies(get(tmp_path, web.url(), retries=3)) == [b"ok\n"]
    assert waits[:2] == [7, 0]
    assert 2 <= waits[2] <= 6


def test_wait_that_is_too_long_ends_the_poll(tmp_path: Path, web: Any, waits: list[float]) -> None:
    web.answer = lambda _: (429, {"Retry-After": "86400"}, b"")
    with pytest.raises(FetchError, match=r"429 .*asks to wait 86400 s.*raise `every`") as caught:
        get(tmp_path, web.url(), retries=3)
    assert (waits, caught.value.retryable, len(web.requests)) == ([], True, 1)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "moved or gone"),
        (401, "sign-in is missing or wrong"),
        (403, "access is refused"),
        (418, "answered 418"),
    ],
)
def test_answers_that_trying_again_does_not_help(
    tmp_path: Path, web: Any, waits: list[float], status: int, words: str
) -> None:
    web.answer = lambda _: (status, {}, b"no")
    with pytest.raises(FetchError, match=words) as caught:
        get(tmp_path, web.url(), retries=3)
    assert (waits, caught.value.retryable) == ([], False)


def test_refused_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchError, match=f"no connection to 127.0.0.1 at port {port}") as caught:
        get(tmp_path, f"http://127.0.0.1:{port}/")
    assert caught.value.retryable


def test_name_that_does_not_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(FetchError, match=r"the name feed.example cannot be resolved: Name or service") as caught:
        get(tmp_path, "http://feed.example/")
    assert caught.value.retryable


def test_loopback_must_be_allowed(tmp_path: Path, web: Any) -> None:
    with pytest.raises(FetchError, match=r"this machine itself \(loopback\).*allow_private: true"):
        get(tmp_path, web.url(), allow_private=False)
    assert web.requests == []
    get(tmp_path, web.url(), allow_private=False, allow_hosts=["127.0.0.0/8"])
    get(tmp_path, web.url(host="localhost"), allow_private=False, allow_hosts=["localhost"])
    assert len(web.requests) == 2


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://2852039166/"],
)
def test_redirect_to_a_metadata_service_is_refused_even_if_private_is_allowed(
    tmp_path: Path, web: Any, target: str
) -> None:
    web.answer = lambda _: (302, {"Location": target}, b"")
    with pytest.raises(FetchError, match="metadata service"):
        get(tmp_path, web.url())


def test_redirect_to_loopback_is_refused(tmp_path: Path, web: Any, serve: Callable[..., Any]) -> None:
    inner = serve()
    web.answer = lambda _: (302, {"Location": inner.url().replace("127.0.0.1", "127.0.0.2")}, b"")
    with pytest.raises(FetchError, match="loopback"):
        get(tmp_path, web.url(), allow_private=False, allow_hosts=["127.0.0.1"])
    assert inner.requests == []


def test_name_is_resolved_once_and_the_checked_address_used(
    tmp_path: Path, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = socket.getaddrinfo, []

    def rebinding(host: str, *args: Any, **options: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr("socket.getaddrinfo", rebinding)
    settings = FetchSettings(url=web.url(host="feed.example"), allow_private=True)
    fetch(settings, FetchState(), tmp_path)
    assert asked.count("feed.example") == 1
    assert web.requests[0][1]["host"] == f"feed.example:{web.server.server_address[1]}"


def test_redirects_are_followed_up_to_a_limit(tmp_path: Path, web: Any) -> None:
    web.answer = lambda path: (301, {"Location": "/b"}, b"") if path == "/a" else (200, {}, b"b\n")
    assert bodies(get(tmp_path, web.url("/a"))) == [b"b\n"]
    web.answer = lambda _: (302, {"Location": "/again"}, b"")
    with pytest.raises(FetchError, match="more than 5 redirects"):
        get(tmp_path, web.url("/a"))


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "ftp://a.example/x"])
def test_redirects_elsewhere_than_http_are_refused(tmp_path: Path, web: Any, location: str) -> None:
    web.answer = lambda _: (302, {"Location": location} if location else {}, b"")
    with pytest.raises(FetchError, match="not followed"):
        get(tmp_path, web.url())


def test_credentials_are_sent_to_their_origin_only(tmp_path: Path, web: Any, serve: Callable[..., Any]) -> None:
    other = serve()
    answers = {"/a": (302, {"Location": "/b"}, b""), "/b": (302, {"Location": other.url("/c")}, b"")}
    web.answer = lambda path: answers[path]
    options = {
        "headers": {"Cookie": "c=1"},
        "bearer": "s3cret",
        "api_key": {"header": "X-Key", "value": "k3y"},
    }
    get(tmp_path, web.url("/a"), **options)
    for _, headers in web.requests:
        assert (headers["authorization"], headers["x-key"], headers["cookie"]) == (
            "Bearer s3cret",
            "k3y",
            "c=1",
        )
    assert not {"authorization", "x-key", "cookie"} & set(other.requests[0][1])


def test_basic_sign_in_by_settings_or_address(tmp_path: Path, web: Any) -> None:
    get(tmp_path, web.url(), basic={"username": "u", "password": "p"})
    get(tmp_path, web.url().replace("127", "u:p@127", 1))
    assert [headers["authorization"] for _, headers in web.requests] == ["Basic dTpw"] * 2
    with pytest.raises(ValidationError, match="exclude each other"):
        FetchSettings(url="x", basic={"username": "u", "password": "p"}, bearer="b")


def test_secrets_are_in_no_message_and_no_log(
    tmp_path: Path, web: Any, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = structlog.testing.LogCapture()
    every_level = structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr(fetch_http, "_log", structlog.wrap_logger(None, processors=[logs], wrapper_class=every_level))
    web.answer = lambda _: (500, {}, b"")
    with pytest.raises(FetchError) as caught:
        get(tmp_path, web.url("/feed?token=hunter2").replace("127", "user:hunter2@127", 1), retries=1)
    assert "hunter2" not in f"{caught.value} {logs.entries}"
    assert "token=***" in str(logs.entries)


def test_content_encoding_is_left_to_decode(tmp_path: Path, web: Any) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    web.answer = lambda _: (200, {"Content-Encoding": "gzip"}, gzip.compress(b"a.com\n"))
    result = get(tmp_path, web.url())
    assert decode(result.files[0], tmp_path).path.read_bytes() == b"a.com\n"
    web.answer = lambda _: (200, {"Content-Encoding": "gzip"}, bomb)
    assert get(tmp_path, web.url()).files[0].stat().st_size == len(bomb)
    web.answer = lambda _: (200, {"Content-Encoding": "br"}, b"x")
    with pytest.raises(FetchError, match="content encoding 'br'"):
        get(tmp_path, web.url())


def test_transfers_of_one_host_are_limited() -> None:
    held, running = threading.Event(), []

    def other() -> None:
        with host_slot("a.example", 1):
            running.append(held.is_set())

    thread = threading.Thread(target=other)
    with host_slot("a.example", 1), host_slot("b.example", 1):
        thread.start()
        held.set()
    thread.join()
    assert running == [True]


def test_proxy_gets_the_request(tmp_path: Path, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    get(tmp_path, "http://feed.example/x", proxy=web.url(""), allow_private=False)
    monkeypatch.setenv("http_proxy", web.url(""))
    get(tmp_path, "http://feed.example/y", allow_private=False)
    assert [path for path, _ in web.requests] == ["http://feed.example/x", "http://feed.example/y"]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    get(tmp_path, web.url("/z"))
    get(tmp_path, web.url("/z"), proxy="none")
    assert [path for path, _ in web.requests[2:]] == ["/z", "/z"]


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_args: object) -> None:
            self.stream.close()

        def write(self, _data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *args: Full(opened(path, *args)))
    with pytest.raises(FetchError, match=r"disk that holds .* is full.*free some space"):
        get(tmp_path, web.url(), retries=3)
    assert (list(tmp_path.iterdir()), len(web.requests)) == ([], 1)


@pytest.mark.parametrize("url", ["http://", "http://a b/", "http://[::1/"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="address"):
        get(tmp_path, url)
