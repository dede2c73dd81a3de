"""Bad input: the run fails with what, where and what to do; the last good state stays; it recovers."""

from __future__ import annotations

import gzip
import io
import json
import os
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from proof.bench import bench
from sources.test_fetch_tls import certificate, pem
from tipline.errors import ConfigError, StoreError
from tipline.store.records import runs_of

GOOD = b"ioc,note\nevil.com,x\n8.8.4.4,y\n"
BETTER = b"ioc,note\nevil.com,x\n9.9.9.9,y\n"
CSV = """\
store: {threads: 1}
sources:
  feed:
    {kind: csv, url: "URL", allow_hosts: [127.0.0.1], retries: 0, tlp: clear, columns: {value: ioc}, OPTIONS}
outputs:
  listed: {kind: list, inputs: feed}
"""
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><a href='http://evil.com/'>x</a></body></html>"


def configuration(url: str, options: str = "every: 1h") -> str:
    return CSV.replace("URL", url).replace("OPTIONS", options)


def zip_bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feed.csv", b"0" * (96 << 20))
    return made.getvalue()


def fails_and_recovers(folder: Path, web: Any, bad: Any, message: str, *, options: str = "every: 1h") -> None:
    """A good version, a bad answer, and a better version."""
    web.answer = lambda _path: (200, {}, GOOD)
    with bench(folder, configuration(web.url(), options)) as here:
        assert here.round()["feed"].state == "ok"
        assert here.published() == {"evil.com", "8.8.4.4"}
        web.answer = (lambda _path: bad) if isinstance(bad, tuple) else web.answer
        web.script = bad if callable(bad) else None
        poll = here.round()["feed"]
        assert poll.state == "failed"
        assert_says(poll.message, message)
        assert here.published() == {"evil.com", "8.8.4.4"}
        assert runs_of(here.engine.control, "feed")[0]["message"] == poll.message
        assert list(here.engine.spool.glob("*")) == []
        web.script, web.answer = None, lambda _path: (200, {}, BETTER)
        assert here.round()["feed"].state == "ok"
        assert here.published() == {"evil.com", "9.9.9.9"}


def assert_says(message: str, words: str) -> None:
    """What, where and what to do, in one line."""
    for word in words.split(" … "):
        assert word in message
    assert "\n" not in message
    assert message.endswith(")"), "it does not say what to do"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((404, {}, b""), "/feed … 404"),
        ((403, {}, b""), "/feed … 403"),
        ((200, {}, b"indicator,note\nevil.com,x\n"), "feed … 'ioc' … indicator"),
        ((200, {}, b"\x00\x01\x02\xff" * 500), "feed … binary"),
        ((200, {}, HTML), "feed … web page"),
        ((200, {"Content-Type": "text/html"}, HTML), "feed … web page"),
        ((200, {}, gzip.compress(b"0" * (96 << 20))), "feed … more than"),
        ((200, {}, zip_bomb()), "feed … more than"),
        ((200, {}, gzip.compress(GOOD * 100)[:60]), "feed … cut off"),
        ((302, {"Location": "http://10.0.0.1/feed"}, b""), "10.0.0.1 … private … allow_private"),
        ((302, {"Location": "http://169.254.169.254/latest"}, b""), "169.254.169.254 … metadata"),
    ],
    ids=["missing", "forbidden", "wrong-column", "binary", "html", "html-declared", "gzip-bomb", "zip-bomb",
         "cut-off", "private-redirect", "metadata-redirect"],
)  # fmt: skip
def test_bad_answer(tmp_path: Path, web: Any, bad: Any, message: str) -> None:
    fails_and_recovers(tmp_path, web, bad, message)


def test_wrong_encoding(tmp_path: Path, web: Any) -> None:
    """The user says UTF-16, and it is not."""
    web.answer = lambda _path: (200, {}, GOOD.decode().encode("utf-16"))
    with bench(tmp_path, configuration(web.url(), "charset: utf-16")) as here:
        assert here.round()["feed"].state == "ok"
        web.answer = lambda _path: (200, {}, BETTER + b"x")
        poll = here.round()["feed"]
        assert poll.state == "failed"
        assert_says(poll.message, "feed … UTF-16")
        assert here.published() == {"evil.com", "8.8.4.4"}


def test_empty_body_is_held_and_empties_nothing(tmp_path: Path, web: Any) -> None:
    web.answer = lambda _path: (200, {}, GOOD)
    with bench(tmp_path, configuration(web.url())) as here:
        here.round()
        web.answer = lambda _path: (200, {}, b"")
        poll = here.round()["feed"]
        assert (poll.state, poll.held) == ("held", 2)
        assert here.published() == {"evil.com", "8.8.4.4"}
        web.answer = lambda _path: (200, {}, BETTER)
        assert here.round()["feed"].state == "ok"
        assert here.published() == {"evil.com", "9.9.9.9"}


@pytest.mark.parametrize("announced", [True, False])
def test_body_of_5_gb_is_not_read_to_its_end(tmp_path: Path, web: Any, announced: bool) -> None:
    written = [0]

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(5 << 30))
        handler.end_headers()
        block = b"8.8.8.8,x\n" * 10_000
        try:
            while written[0] < 5 << 30:
                handler.wfile.write(block)
                written[0] += len(block)
        except OSError:
            return

    fails_and_recovers(tmp_path, web, endless, "/feed … max_bytes", options="max_bytes: 1000000")
    assert written[0] < 100 << 20


def test_file_that_is_gone_or_no_file(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_bytes(GOOD)
    with bench(tmp_path, configuration("feed.csv")) as here:
        assert here.round()["feed"].state == "ok"
        feed.unlink()
        poll = here.round()["feed"]
        assert poll.state == "failed"
        assert_says(poll.message, "feed.csv")
        assert here.published() == {"evil.com", "8.8.4.4"}


def test_expired_certificate(tmp_path: Path, serve: Callable[..., Any]) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_bytes(GOOD)
    authority = certificate("Test CA", ca=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(tmp_path / "server.pem", certificate("loopback", authority, days=(-9, -1))))
    web = serve(context)
    with bench(tmp_path, configuration("feed.csv")) as here:
        here.round()
    options = f"ca_file: {pem(tmp_path / 'ca.pem', authority)}"
    with bench(tmp_path, configuration(web.url(), options)) as here:
        poll = here.round()["feed"]
        assert poll.state == "failed"
        assert_says(poll.message, "127.0.0.1 … expired")
        assert here.published() == {"evil.com", "8.8.4.4"}


@pytest.mark.parametrize(
    ("most", "rows"), [(2_000, 1_000), (3_500_000, 120_000)], ids=["at-the-commit", "at-the-checkpoint"]
)
def test_full_disk(tmp_path: Path, most: int, rows: int) -> None:
    """The files cannot grow; the same process goes on by itself once there is room, as does the next."""
    tests = Path(__file__).resolve().parents[1]
    paths = [str(tests), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(tests / "proof" / "full_disk.py"), str(tmp_path), str(most), str(rows)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, full, after, restarted = json.loads(done.stdout)
    assert (before["state"], before["published"], before["written"]) == ("ok", 2, 2)
    assert (full["state"], full["published"], full["written"]) == ("failed", 2, 2)
    assert_says(full["message"], "tipline.duckdb … could not be written … free disk space")
    assert (after["state"], after["published"], after["written"]) == ("ok", rows + 2, rows + 2)
    assert (restarted["state"], restarted["published"], restarted["written"]) == (
        "unchanged",
        rows + 2,
        rows + 2,
    )


def test_kind_that_breaks_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a source raises, the round goes on, and the run says so."""
    feed = tmp_path / "feed.csv"
    feed.write_bytes(GOOD)
    with bench(tmp_path, configuration("feed.csv")) as here:
        here.round()
        monkeypatch.setattr(here.engine.graph.sources["feed"], "poll", lambda _context: {}["no such key"])
        poll = here.round()["feed"]
        assert poll.state == "failed"
        assert_says(poll.message, "feed … KeyError … report it")
        assert here.published() == {"evil.com", "8.8.4.4"}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """An installation after a good round."""
    (tmp_path / "feed.csv").write_bytes(GOOD)
    with bench(tmp_path, configuration("feed.csv")) as here:
        here.round()
    return tmp_path


@pytest.mark.parametrize("file", ["tipline.duckdb", "control.sqlite"])
def test_corrupt_database(filled: Path, file: str) -> None:
    path = filled / "data" / file
    damaged = b"\x00not a database\x00" * 4096
    good = path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(StoreError) as found, bench(filled, configuration("feed.csv")):
        pass
    assert_says(str(found.value), file)
    assert path.read_bytes() == damaged, "what is left is evidence: it must not be touched"
    path.write_bytes(good)
    with bench(filled, configuration("feed.csv")) as here:
        assert here.published() == {"evil.com", "8.8.4.4"}


def test_second_server_on_a_data_directory(filled: Path) -> None:
    with bench(filled, configuration("feed.csv")) as here:
        with pytest.raises(StoreError) as found, bench(filled, configuration("feed.csv")):
            pass
        assert_says(str(found.value), "another tipline … data")
        assert here.round()["feed"].state == "unchanged"
        assert here.published() == {"evil.com", "8.8.4.4"}


def test_node_that_changes_its_kind(filled: Path) -> None:
    other = "sources:\n  feed: {kind: lines, url: feed.csv}\noutputs:\n  listed: {kind: list, inputs: feed}\n"
    with pytest.raises(ConfigError) as found, bench(filled, other):
        pass
    assert_says(str(found.value), "feed was a csv source and is now lines … another name")
    with bench(filled, configuration("feed.csv")) as here:
        assert here.published() == {"evil.com", "8.8.4.4"}
