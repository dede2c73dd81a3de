"""Lists over HTTP."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from api.listening import listening
from outputs.publishing import engine_of, list_output, publish, row
from tipline.api import feeds
from tipline.api.feedquery import BadQueryError, negotiate, parse_query
from tipline.engine import listfiles
from tipline.engine.core import Engine
from tipline.engine.listfiles import write_files
from tipline.engine.served import dialects
from tipline.outputs.render import SPECS
from tipline.outputs.render.dialect import dialect

KEY, OTHER = "correct-horse-battery", "second-horse-battery"
ROWS = [
    row("ipv4", "1.1.1.0-1.1.1.32", tags=["a", "b"]),
    row("domain", "b.example"),
    row("domain", "a.example"),
]
PLAIN = {"accept-encoding": "identity"}


@contextmanager
def engine_in(directory: Path) -> Iterator[Engine]:
    outputs = [
        list_output("x"),
        list_output("empty"),
        list_output("raw", formulas="keep"),
        list_output("secret", access="key", keys=[KEY, OTHER]),
    ]
    with engine_of(directory, *outputs) as made:
        for name in ("x", "secret", "raw"):
            publish(made, name, ROWS)
            write_files(made, name)
        yield made


@contextmanager
def served(engine: Engine) -> Iterator[httpx.Client]:
    with (
        listening(feeds.router(engine)) as address,
        httpx.Client(base_url=address, headers=PLAIN, trust_env=False, timeout=30) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Lists that stay as they are."""
    with engine_in(tmp_path_factory.mktemp("lists")) as made, served(made) as client:
        yield client


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Lists that a test may change."""
    with engine_in(tmp_path) as made:
        yield made


@pytest.fixture
def live(engine: Engine) -> Iterator[httpx.Client]:
    """A client of the engine that the test has."""
    with served(engine) as client:
        yield client


def test_a_list_in_each_format(client: httpx.Client) -> None:
    plain = client.get("/feeds/x")
    assert (plain.status_code, plain.text) == (200, "a.example\nb.example\n1.1.1.0-1.1.1.32\n")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert plain.headers["cache-control"] == "no-cache"
    assert (plain.headers["x-feed-version"], plain.headers["x-feed-count"]) == ("1", "3")
    assert client.get("/feeds/x?tr=1").text == "a.example\nb.example\n1.1.1.0/27\n1.1.1.32\n"
    table = client.get("/feeds/x", params=[("v", "csv"), ("f", "indicator|clientip"), ("f", "tags"), ("tr", "1")])
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.text.split("\r\n")[:4] == ["clientip,tags", "a.example,", "b.example,", '1.1.1.0/27,"a,b"']
    assert client.get("/feeds/x?v=csv&h=0").text.startswith("a.example\r\n")
    found = client.get("/feeds/x?v=json")
    assert found.headers["content-type"] == "application/json"
    assert [element["indicator"] for element in found.json()] == [
        "a.example",
        "b.example",
        "1.1.1.0-1.1.1.32",
    ]


@pytest.mark.parametrize("address", ["/feeds/x", "/feeds/x?v=csv", "/feeds/x?v=json&tr=1", "/feeds/x?s=1&n=1"])
def test_head_answers_as_get_without_a_body(client: httpx.Client, address: str) -> None:
    got, head = client.get(address), client.head(address)
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}
    assert int(head.headers["content-length"]) == len(got.content)


def test_a_list_that_was_never_evaluated_is_no_empty_list(live: httpx.Client, engine: Engine) -> None:
    answer = live.get("/feeds/empty")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    publish(engine, "empty", [])
    write_files(engine, "empty")
    assert (live.get("/feeds/empty").status_code, live.get("/feeds/empty").content) == (200, b"")


def test_the_tag_holds_until_the_list_changes(live: httpx.Client, engine: Engine) -> None:
    tag = live.get("/feeds/x").headers["etag"]
    for shown in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = live.get("/feeds/x", headers={"if-none-match": shown})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert live.get("/feeds/x", headers={"if-none-match": '"other"'}).status_code == 200
    assert live.head("/feeds/x", headers={"if-none-match": tag}).status_code == 304
    publish(engine, "x", ROWS[:1])
    write_files(engine, "x")
    assert live.get("/feeds/x", headers={"if-none-match": tag}).status_code == 200


def test_each_representation_has_its_own_tag(client: httpx.Client) -> None:
    addresses = ["", "?v=csv", "?v=csv&h=0", "?v=json", "?tr=1", "?s=1", "?n=1", "?s=1&n=1"]
    tags = {client.get(f"/feeds/x{address}").headers["etag"] for address in addresses}
    tags |= {client.get("/feeds/x", headers={"accept-encoding": e}).headers["etag"] for e in ("gzip", "zstd")}
    assert len(tags) == len(addresses) + 2
    same = {client.get(f"/feeds/x?v=csv{more}").headers["etag"] for more in ("", "&f=indicator", "&h=1", "&sp=1")}
    assert len(same) == 1


def test_if_modified_since(client: httpx.Client) -> None:
    moment = client.get("/feeds/x").headers["last-modified"]
    assert moment == "Thu, 01 Jan 2026 12:01:00 GMT"
    assert client.get("/feeds/x", headers={"if-modified-since": moment}).status_code == 304
    earlier = "Thu, 01 Jan 2026 12:00:59 GMT"
    assert client.get("/feeds/x", headers={"if-modified-since": earlier}).status_code == 200
    assert client.get("/feeds/x", headers={"if-modified-since": "yesterday"}).status_code == 200
    both = {"if-modified-since": moment, "if-none-match": '"other"'}
    assert client.get("/feeds/x", headers=both).status_code == 200


def test_bodies_come_compressed_from_prepared_files(live: httpx.Client, engine: Engine) -> None:
    whole = live.get("/feeds/x?v=json").content
    readers = {"gzip": gzip.decompress, "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data)}
    for encoding, read in readers.items():
        with live.stream("GET", "/feeds/x?v=json", headers={"accept-encoding": encoding}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == encoding
        assert "Accept-Encoding" in answer.headers["vary"]
        assert len(raw) == int(answer.headers["content-length"])
        assert read(raw) == whole
    assert {file.suffix for file in (engine.data / "feeds" / "x").iterdir()} == {
        ".txt",
        ".json",
        ".gz",
        ".zst",
        ".meta",
    }


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("*", "zstd"),
        ("identity, gzip;q=0.5", "identity"),
        ("gzip;q=x", "identity"),
        ("GZIP", "gzip"),
        ("br", "identity"),
        ("gzip;q=0", "identity"),
        (",;,q=1", "identity"),
    ],
)
def test_negotiation(accepted: str, encoding: str) -> None:
    assert negotiate(accepted) == encoding


def test_ranges_of_bytes(client: httpx.Client) -> None:
    whole = client.get("/feeds/x").content
    size = len(whole)
    for asked, start, end in [
        ("0-3", 0, 4),
        ("4-", 4, size),
        ("-5", size - 5, size),
        ("2-999", 2, size),
        ("-999", 0, size),
    ]:
        answer = client.get("/feeds/x", headers={"range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, whole[start:end])
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    past = client.get("/feeds/x", headers={"range": "bytes=999-"})
    assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{size}")
    for nonsense in ("bytes=-", "bytes=3-1", "lines=0-1", "bytes=0-1,3-4", "bytes=" + "9" * 30 + "-"):
        assert client.get("/feeds/x", headers={"range": nonsense}).content == whole
    tag = client.get("/feeds/x").headers["etag"]
    assert client.get("/feeds/x", headers={"range": "bytes=0-3", "if-range": tag}).status_code == 206
    assert client.get("/feeds/x", headers={"range": "bytes=0-3", "if-range": '"old"'}).status_code == 200


def test_pages(client: httpx.Client) -> None:
    assert client.get("/feeds/x?n=1").text == "a.example\n"
    assert client.get("/feeds/x?s=1&n=1").text == "b.example\n"
    assert client.get("/feeds/x?s=2&tr=1").text == "1.1.1.0/27\n1.1.1.32\n"
    assert client.get("/feeds/x?s=1&n=1&v=csv").text == "indicator\r\nb.example\r\n"
    for address, count in (
        ("?v=json&s=1&n=1", 1),
        ("?v=json&s=1", 2),
        ("?v=json&s=7", 0),
        ("?v=json&n=2", 2),
    ):
        answer = client.get(f"/feeds/x{address}", headers={"accept-encoding": "gzip"})
        assert len(answer.json()) == count
        assert "content-encoding" not in answer.headers
        assert answer.headers["x-feed-version"] == "1"
    huge = "9" * 400
    assert client.get(f"/feeds/x?s={huge}").text == ""
    assert client.get(f"/feeds/x?n={huge}").text == client.get("/feeds/x").text


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("v=xml", "unknown format 'xml'; v= is one of: plain, csv"),
        ("v=<script>", "unknown format '<script>'"),
        ("s=-1", "s must be"),
        ("s=x", "s must be"),
        ("s=%D9%A1", "s must be"),
        ("s=", "s must be"),
        ("n=0", "n must be"),
        ("n=-1", "n must be"),
        ("tr=yes", "tr must be"),
        ("d=yes", "d must be"),
        ("compat=yes", "compat must be minemeld or none"),
        ("v=nftables&n=5", "a part of v=nftables is of no use"),
        ("v=fortigate&t=mac", "t='mac' cannot be with v=fortigate; it must match ip|domain|url|hash"),
        ("v=edl-ip&most=0", "most='0' cannot be with v=edl-ip; it must be a whole number"),
        ("v=panosurl&sp=x", "it must be 0 or 1"),
        ("v=bluecoat&cd=a%0Ab", "cannot be with v=bluecoat"),
        ("tl=1", "no parameter 'tl'"),
        ("v=csv&f=a%20b", "no field"),
        ("v=csv&f=indicator%7Ca%0Ab", "cannot name a column"),
        ("v=csv&" + "&".join(["f=tags"] * 33), "more than 32 fields"),
        ("&".join(["f=tags"] * 101), "more than 100 parameters"),
    ],
)
def test_what_cannot_be_asked_for_is_said(client: httpx.Client, query: str, why: str) -> None:
    answer = client.get(f"/feeds/x?{query}")
    assert answer.status_code == 400
    assert why in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_minemeld_knew_is_taken_without_a_word() -> None:
    usual = parse_query("", "escape")
    assert parse_query("sp=1&nsl=1&di=1&t=ip&rt=x&rs=1&ca=a&cd=b", "escape") == usual
    assert parse_query("n=1&n=2", "escape").count == 1
    with pytest.raises(BadQueryError, match="there are: ca, cd, compat, d, di, f, h, key, most, n, "):
        parse_query("limit=5", "escape")


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "..",
        "../x",
        "..%2fx",
        "%2e%2e%2f%2e%2e%2ftipline.duckdb",
        "x/",
        "x%00",
        "X",
        "x.txt",
        "defender",
    ],
)
def test_only_lists_are_served(client: httpx.Client, name: str) -> None:
    assert client.get(f"/feeds/{name}", follow_redirects=False).status_code in {404, 307}


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer nonsense-nonsense"},
        {"authorization": KEY},
        {"authorization": f"Digest {KEY}"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic " + base64.b64encode(KEY.encode()).decode()},
        basic(KEY, ""),
        basic("u", KEY + "x"),
        basic("u", KEY[:-1]),
        basic("u", ""),
        {"authorization": "Bearer " + "x" * 5000},
        {"authorization": "Bearer \xe9"},
    ],
)
def test_a_list_behind_a_key_stays_shut(client: httpx.Client, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = client.get("/feeds/secret", headers=raw)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert "example" not in answer.text
    assert client.get("/feeds/secret?key=", headers=raw).status_code == 401


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"authorization": f"Bearer {KEY}"}),
        ("", {"authorization": f"bearer {OTHER}"}),
        ("", basic("any", KEY)),
        ("", basic("", OTHER)),
        (f"?key={KEY}", {}),
        (f"?key=wrong&key={OTHER}", {}),
    ],
)
def test_each_of_its_keys_opens_it(client: httpx.Client, query: str, headers: dict[str, str]) -> None:
    answer = client.get(f"/feeds/secret{query}", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in answer.headers["vary"]
    # A key is no part of what is asked for, and gets into no tag.
    assert answer.headers["etag"] == client.get(f"/feeds/secret?key={KEY}").headers["etag"]


def test_a_tag_does_not_open_a_list(client: httpx.Client) -> None:
    tag = client.get(f"/feeds/secret?key={KEY}").headers["etag"]
    assert client.get("/feeds/secret", headers={"if-none-match": tag}).status_code == 401


def test_the_index_names_what_the_asker_may_read(client: httpx.Client) -> None:
    found = {entry["name"]: entry for entry in client.get("/feeds").json()}
    assert sorted(found) == ["empty", "raw", "x"]
    assert found["x"] == {
        "name": "x",
        "count": 3,
        "version": 1,
        "updated": "2026-01-01T12:01:00Z",
        "left_out": 0,
        "access": "public",
        "addresses": {form: "/feeds/x" if form == "plain" else f"/feeds/x?v={form}" for form in SPECS},
    }
    assert found["empty"]["count"] is None
    assert "not been evaluated" in found["empty"]["message"]
    with_key = client.get("/feeds", headers={"authorization": f"Bearer {KEY}"}).json()
    assert "secret" in {entry["name"] for entry in with_key}


def test_what_is_left_out_is_told(live: httpx.Client, engine: Engine) -> None:
    publish(engine, "x", [*ROWS, row("file-name", "a\nb.exe"), row("file-name", "c\0d")])
    write_files(engine, "x")
    answer = live.get("/feeds/x")
    assert (answer.headers["x-feed-left-out"], answer.headers["x-feed-count"]) == ("2", "3")
    assert b"\0" not in answer.content
    assert len(live.get("/feeds/x?v=json").json()) == 5


def test_formulas_are_the_lists_own_setting(live: httpx.Client, engine: Engine) -> None:
    for name, cell in (("x", "'=1"), ("raw", "=1")):
        publish(engine, name, [row("domain", "a.example", description="=1")])
        write_files(engine, name)
        assert live.get(f"/feeds/{name}?v=csv&f=description&h=0").text == f"{cell}\r\n"


def test_while_it_cannot_be_prepared_the_last_version_is_served_with_a_warning(
    live: httpx.Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = live.get("/feeds/x")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device: /secret/place")

    monkeypatch.setattr(listfiles, "render", full)
    publish(engine, "x", [])
    assert not write_files(engine, "x")
    answer = live.get("/feeds/x")
    assert (answer.status_code, answer.text, answer.headers["etag"]) == (
        200,
        before.text,
        before.headers["etag"],
    )
    assert answer.headers["warning"].startswith("110 ")
    assert "secret" not in answer.headers["warning"]
    refused = live.get("/feeds/x?v=json")
    assert refused.status_code == 503
    assert "secret" not in refused.text


def test_a_dead_database_does_not_stop_a_prepared_list(live: httpx.Client, engine: Engine) -> None:
    before = live.get("/feeds/x").text
    engine.lake.close()
    assert live.get("/feeds/x").text == before
    assert not write_files(engine, "x")
    assert live.get("/feeds/x").text == before


def test_every_answer_is_of_one_version_while_versions_change(live: httpx.Client, engine: Engine) -> None:
    sizes = {1: 3}
    stop = threading.Event()

    def change() -> None:
        for size in range(4, 24):
            rows = [row("domain", f"d{number}.example") for number in range(size)]
            sizes[publish(engine, "x", rows)] = size
            write_files(engine, "x")
        stop.set()

    def read(how: str) -> int:
        answers = 0
        while not stop.is_set() or not answers:
            answer = live.get(f"/feeds/x?v={how}")
            assert answer.status_code == 200
            count = len(answer.json()) if how == "json" else len(answer.text.splitlines()) - 1
            assert count == sizes[int(answer.headers["x-feed-version"])] == int(answer.headers["x-feed-count"])
            answers += 1
        return answers

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, how) for how in ("csv", "json")]
        pool.submit(change).result()
        assert all(reader.result() for reader in readers)
    assert json.loads(live.get("/feeds/x?v=json").text)[-1]["indicator"] == "d9.example"


def test_every_dialect_is_served_with_its_media_type(client: httpx.Client) -> None:
    for name, spec in SPECS.items():
        answer = client.get("/feeds/x", params={"v": name})
        assert answer.status_code == 200, name
        assert answer.headers["content-type"] == spec.media
        assert answer.headers["x-feed-version"] == "1"
        left_out = int(answer.headers.get("x-feed-left-out", "0"))
        carried = spec.carried(dialect(name))
        assert left_out >= sum(carried is not None and each["type"] not in carried for each in ROWS)


@pytest.mark.parametrize("name", SPECS)
def test_every_dialect_is_served_in_every_way(client: httpx.Client, name: str) -> None:
    """HEAD, ranges of bytes, gzip and zstd, and 304 for each of them by its own tag."""
    address = f"/feeds/x?v={name}"
    whole = client.get(address)
    head = client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}
    if size := len(whole.content):
        part = client.get(address, headers={"range": f"bytes={size // 2}-", "if-range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[size // 2 :])
        assert part.headers["content-range"] == f"bytes {size // 2}-{size - 1}/{size}"
    tags = set()
    for encoding, unpack in (
        ("identity", bytes),
        ("gzip", gzip.decompress),
        ("zstd", zstandard.ZstdDecompressor().decompress),
    ):
        asked = {"accept-encoding": encoding}
        with client.stream("GET", address, headers=asked) as answer:
            assert unpack(b"".join(answer.iter_raw())) == whole.content
        assert answer.headers.get("content-encoding", "identity") == encoding
        assert answer.headers["last-modified"] == whole.headers["last-modified"]
        tag = answer.headers["etag"]
        assert tag.startswith('"')
        again = client.get(address, headers={**asked, "if-none-match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        tags.add(tag)
    assert len(tags) == 3


def test_a_zone_tells_its_lists_version(live: httpx.Client, engine: Engine) -> None:
    for version in (2, 3):
        publish(engine, "x", [*ROWS, row("domain", f"v{version}.example")])
        write_files(engine, "x")
        assert f"hostmaster.localhost. {version} " in live.get("/feeds/x?v=rpz").text


def test_minemelds_ways_are_the_lists_own_setting(tmp_path: Path) -> None:
    with engine_of(tmp_path, list_output("old", compat="minemeld")) as engine:
        publish(engine, "old", [row("ipv4", "10.0.0.1")])
        write_files(engine, "old")
        with served(engine) as client:
            assert client.get("/feeds/old").text == "10.0.0.1-10.0.0.1\n"
            assert client.get("/feeds/old?compat=none").text == "10.0.0.1\n"
            assert client.get("/feeds/old?d&sum").text == "10.0.0.1/32\n"


def test_minemelds_whole_formats_take_no_parts(client: httpx.Client) -> None:
    whole = client.get("/feeds/x?v=carbonblack")
    assert client.get("/feeds/x?v=carbonblack&s=1&n=1").content == whole.content
    assert len(whole.json()["reports"][0]["iocs"]["ipv4"]) == 33


def test_the_index_names_only_dialects_that_carry_something() -> None:
    hashes = dialects("h", {"sha256"})
    assert {"plain", "csv", "checkpoint", "wazuh"} <= set(hashes)
    assert not {"edl-ip", "edl-url", "nftables", "hosts", "rpz"} & set(hashes)
    assert hashes["wazuh"] == "/feeds/h?v=wazuh"
