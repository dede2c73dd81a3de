"""TAXII 2.0 and 2.1: finding a collection, paging, going on where the last poll stopped."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from pydantic import ValidationError

from engine.support import NO_GUARD, START, Time, configuration, plain, published
from sources.taxii_stage import HIGH_VALUE, TAXII_21, WRITABLE, StandIn, medallion
from sources.test_fetch_tls import certificate, pem
from tipline.engine.core import Engine
from tipline.errors import FetchError, FormatError
from tipline.sources.base import Poll, PollContext
from tipline.sources.taxii2 import Taxii2, Taxii2Settings

SIGN_IN = {"username": "user", "password": "pass"}


def source(url: str, **options: Any) -> Taxii2:
    given = {"kind": "taxii2", "url": url, "allow_private": True, "retries": 0, "guard": NO_GUARD, **options}
    return Taxii2("feed", Taxii2Settings.model_validate(given))


def polled(node: Taxii2, spool: Path, cursor: dict[str, Any] | None = None) -> tuple[list[dict[str, Any]], Poll]:
    """The rows of one poll, and the poll."""
    poll = node.poll(PollContext(spool=spool, cursor=cursor or {}, as_of=START, feed="feed"))
    frames: list[pl.DataFrame] = list(poll.frames)
    return [row for frame in frames for row in frame.to_dicts()], poll


def indicator(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": "2024-01-01T00:00:00.000Z",
        "modified": "2024-01-01T00:00:00.000Z",
        "pattern": f"[domain-name:value = 'host{number}.com']",
        "pattern_type": "stix",
        "valid_from": "2024-01-01T00:00:00Z",
        **more,
    }


def moment(number: int) -> str:
    return f"2024-01-01T00:00:{number:02d}.000000Z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Medallion with pages of two objects."""
    with medallion(tmp_path, page=2) as url:
        yield url


@pytest.fixture
def stand_in(web: Any) -> StandIn:
    """A 2.1 server with five indicators and pages of two."""
    made = StandIn(web, "2.1")
    for number in range(5):
        made.add(moment(number), indicator(number))
    made.most = 2
    return made


def push(server: str, *objects: dict[str, Any]) -> None:
    answer = httpx.post(
        f"{server}/trustgroup1/collections/{WRITABLE}/objects/",
        json={"objects": list(objects)},
        headers={"Content-Type": TAXII_21, "Accept": TAXII_21},
        auth=("user", "pass"),
        trust_env=False,
    )
    assert answer.status_code == 202
    assert answer.json()["failure_count"] == 0


@pytest.mark.parametrize("path", ["/taxii2/", "/trustgroup1/", f"/trustgroup1/collections/{HIGH_VALUE}/"])
@pytest.mark.parametrize("collection", [HIGH_VALUE, "high value indicator collection"])
def test_medallion_from_every_address(server: str, tmp_path: Path, path: str, collection: str) -> None:
    found, poll = polled(source(server + path, collection=collection, basic=SIGN_IN), tmp_path)
    assert {(row["type"], row["value"], row["drop"]) for row in found} == {
        ("sha256", "ef537f25c895bfa782526529a9b63d97aa631564d5d789c2b765448c8635fb6c", None),
        ("url", "http://x4z9arb.cn/4712", None),
    }
    assert {tuple(row["tags"] or ()) for row in found} == {("Poison Ivy",), ()}
    assert poll.cursor == {"added_after": "2017-12-31T13:49:53.935000Z"}
    again, second = polled(source(server + path, collection=collection, basic=SIGN_IN), tmp_path, poll.cursor)
    assert (again, second.unchanged, second.cursor) == ([], True, poll.cursor)


def test_medallion_follows_what_is_pushed_and_revoked(server: str, tmp_path: Path) -> None:
    """The whole way: claims come, change and go by versions of their objects."""
    node = source(f"{server}/taxii2/", collection=WRITABLE, basic=SIGN_IN, expire="never", tlp="clear")
    engine = Engine(configuration(tmp_path, node, plain("out", "feed")), in_memory=True, clock=Time())
    try:
        push(server, *[indicator(number) for number in range(5)])
        assert (engine.poll("feed").added, engine.poll("feed").state) == (5, "unchanged")
        push(server, indicator(0, modified="2024-02-01T00:00:00.000Z", revoked=True))
        changed = "[domain-name:value = 'other.com']"
        push(server, indicator(1, modified="2024-02-01T00:00:00.000Z", pattern=changed), indicator(7))
        result = engine.poll("feed")
        assert (result.added, result.removed, result.ledger.dropped) == (2, 2, {"revoked": 1})
        engine.evaluate()
        assert set(published(engine, "out")) == {
            "host2.com",
            "host3.com",
            "host4.com",
            "host7.com",
            "other.com",
        }
    finally:
        engine.close()


def test_medallion_behind_client_certificates(tmp_path: Path) -> None:
    """Who shows the certificate is let in, on every page; who does not is told what is missing."""
    authority = certificate("authority", ca=True)
    ca_file = pem(tmp_path / "ca.pem", authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(tmp_path / "server.pem", certificate("loopback", authority)))
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    client = pem(tmp_path / "client.pem", certificate("client.example", authority))
    tls = {"ca_file": ca_file, "basic": SIGN_IN, "collection": HIGH_VALUE}
    with medallion(tmp_path, page=2, context=context) as url:
        found, poll = polled(source(f"{url}/taxii2/", client_cert=client, **tls), tmp_path)
        assert (len(found), poll.warnings) == (2, [])
        with pytest.raises(FetchError, match=r"wants a client certificate.*client_cert|connection broke"):
            polled(source(f"{url}/taxii2/", **tls), tmp_path)
        other = pem(tmp_path / "other.pem", certificate("client.example", certificate("other", ca=True)))
        with pytest.raises(FetchError, match=r"does not know who issued.*client_cert|connection broke"):
            polled(source(f"{url}/taxii2/", client_cert=other, **tls), tmp_path)


def test_filters_of_the_server(server: str, tmp_path: Path) -> None:
    match = {"type": "indicator", "version": "first"}
    found, _ = polled(source(f"{server}/taxii2/", collection=HIGH_VALUE, basic=SIGN_IN, match=match), tmp_path)
    assert {row["value"] for row in found if row["type"] == "url"} == {"http://z4z10farb.cn/4712"}


def test_collections_that_cannot_be_had_are_told(server: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"there is no collection 'x'.*High Value Indicator Collection"):
        polled(source(f"{server}/taxii2/", collection="x", basic=SIGN_IN), tmp_path)
    with pytest.raises(FetchError, match=r"there are several collections.*set `collection`"):
        polled(source(f"{server}/taxii2/", basic=SIGN_IN), tmp_path)
    with pytest.raises(FetchError, match="'Secret Indicators' may not be read"):
        polled(source(f"{server}/taxii2/", collection="Secret Indicators", basic=SIGN_IN), tmp_path)
    with pytest.raises(FetchError, match=r"401.*sign-in"):
        polled(source(f"{server}/taxii2/", collection=HIGH_VALUE), tmp_path)


@pytest.mark.parametrize("version", ["2.0", "2.1"])
@pytest.mark.parametrize("asked", ["auto", "same"])
def test_both_versions_page_and_go_on(web: Any, tmp_path: Path, version: str, asked: str) -> None:
    server = StandIn(web, version)
    for number in range(5):
        server.add(moment(number), indicator(number))
    node = source(web.url("/taxii2/"), page_size=2, api_version="auto" if asked == "auto" else version)
    found, poll = polled(node, tmp_path)
    assert [row["value"] for row in found] == [f"host{number}.com" for number in range(5)]
    assert (server.pages, poll.cursor) == (3, {"added_after": moment(4)})
    server.add(moment(7), indicator(7))
    found, poll = polled(node, tmp_path, poll.cursor)
    assert ([row["value"] for row in found], poll.cursor) == (["host7.com"], {"added_after": moment(7)})


def test_pages_of_2_0_end_where_the_server_says_so(web: Any, tmp_path: Path) -> None:
    """The server gives fewer than were asked for; an exact end is no reason to ask once more."""
    server = StandIn(web, "2.0")
    for number in range(4):
        server.add(moment(number), indicator(number))
    server.most = 2
    found, _ = polled(source(web.url("/api/"), page_size=10), tmp_path)
    assert (len(found), server.pages) == (4, 2)
    assert [headers["range"] for _, headers in web.requests if "range" in headers] == [
        "items 0-9",
        "items 2-11",
    ]


@pytest.mark.parametrize("media_type", ["application/json", "text/plain; charset=utf-8", ""])
def test_media_types_are_not_insisted_on(stand_in: StandIn, web: Any, tmp_path: Path, media_type: str) -> None:
    stand_in.media_type = media_type
    found, _ = polled(source(web.url("/taxii2/")), tmp_path)
    assert len(found) == 5


def test_a_page_that_fails_leaves_what_came_before(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    stand_in.broken = {2}
    node = source(web.url("/taxii2/"))
    found, poll = polled(node, tmp_path)
    assert [row["value"] for row in found] == ["host0.com", "host1.com"]
    assert "page 2 failed" in poll.warnings[0]
    assert poll.cursor == {"token": "2", "last": moment(1)}
    found, poll = polled(node, tmp_path, poll.cursor)
    assert [row["value"] for row in found] == ["host2.com", "host3.com", "host4.com"]
    assert poll.cursor == {"added_after": moment(4)}


def test_a_first_page_that_fails_is_a_failure(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    stand_in.broken = {1}
    with pytest.raises(FetchError, match="500"):
        polled(source(web.url("/taxii2/")), tmp_path)


def test_a_place_that_the_server_forgot_is_read_from_its_beginning(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    stand_in.most, stand_in.tokens = 100, False
    found, poll = polled(
        source(web.url("/taxii2/")), tmp_path, {"added_after": moment(0), "token": "2", "last": moment(2)}
    )
    assert [row["value"] for row in found] == [f"host{number}.com" for number in range(1, 5)]
    assert ("forgotten" in poll.warnings[0], poll.cursor) == (True, {"added_after": moment(4)})


def test_max_pages_stops_and_the_next_poll_goes_on(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    node = source(web.url("/taxii2/"), max_pages=2)
    found, poll = polled(node, tmp_path)
    assert (len(found), poll.cursor) == (4, {"token": "4", "last": moment(3)})
    found, poll = polled(node, tmp_path, poll.cursor)
    assert (len(found), poll.cursor) == (1, {"added_after": moment(4)})


def test_snapshot_mode_reads_everything_or_fails(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    node = source(web.url("/taxii2/"), mode="snapshot")
    found, poll = polled(node, tmp_path, {"added_after": moment(4)})
    assert (len(found), poll.cursor) == (5, {})
    stand_in.pages, stand_in.broken = 0, {2}
    with pytest.raises(FetchError, match="500"):
        polled(node, tmp_path)


def test_times_of_adding_come_from_the_manifest_else_from_the_clock(
    stand_in: StandIn, web: Any, tmp_path: Path
) -> None:
    stand_in.dates = False
    _, poll = polled(source(web.url("/taxii2/")), tmp_path)
    assert (poll.cursor, poll.warnings) == ({"added_after": moment(4)}, [])
    stand_in.manifest = False
    _, poll = polled(source(web.url("/taxii2/")), tmp_path)
    assert poll.cursor["added_after"].endswith(".000Z")
    assert "its clock is used" in poll.warnings[0]


def test_more_without_a_token_goes_on_by_time(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    answer = stand_in.answer

    def without_token(target: str) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = answer(target)
        return status, headers, body.replace(b'"next"', b'"nothing"')

    web.answer = without_token
    found, poll = polled(source(web.url("/taxii2/")), tmp_path)
    assert (len(found), poll.cursor) == (5, {"added_after": moment(4)})


def test_a_server_that_repeats_a_page_fails_the_poll(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    answer = stand_in.answer
    web.answer = lambda target: answer(target.partition("&next")[0].partition("?next")[0])
    with pytest.raises(FetchError, match="a page comes again"):
        polled(source(web.url("/taxii2/")), tmp_path)


def test_a_server_with_one_token_for_all_pages_is_read_anew(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    """It remembers what it has sent: what was sent and not received would never come again."""
    answer, sent = stand_in.answer, iter([2, 4])

    def with_one_token(target: str) -> tuple[int, dict[str, str], bytes]:
        if "next=" in target:
            target = target.partition("&next=")[0] + f"&next={next(sent)}"
        status, headers, body = answer(target)
        for number in (b"2", b"4"):
            body = body.replace(b'"next": "' + number + b'"', b'"next": "same"')
        return status, headers, body

    web.answer = with_one_token
    stand_in.broken = {3}
    found, poll = polled(source(web.url("/taxii2/")), tmp_path)
    assert (len(found), poll.cursor) == (4, {})
    assert "page 3 failed" in poll.warnings[0]


def test_the_sign_in_goes_to_the_configured_server_only(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    stand_in.root = web.url("/api/", host="localhost")
    key = {"header": "X-Key", "value": "secret-of-a-test"}
    with pytest.raises(FetchError, match=r"an address on another server.*write that address into url"):
        polled(source(web.url("/taxii2/"), api_key=key), tmp_path)
    assert [headers.get("x-key") for _, headers in web.requests] == ["secret-of-a-test"]


def test_a_key_in_the_address_goes_along_and_is_masked(stand_in: StandIn, web: Any, tmp_path: Path) -> None:
    stand_in.broken = {1}
    with pytest.raises(FetchError) as caught:
        polled(source(web.url("/taxii2/?apikey=hunter2")), tmp_path)
    assert all("apikey=hunter2" in target for target, _ in web.requests)
    assert "hunter2" not in str(caught.value)


def test_what_is_not_taxii_is_refused(web: Any, tmp_path: Path) -> None:
    for body in (b"<html>", b"[]", b'{"a": 1}'):
        web.answer = lambda _, body=body: (200, {}, body)
        with pytest.raises(FormatError, match="TAXII"):
            polled(source(web.url("/taxii2/")), tmp_path)


def test_settings_are_checked() -> None:
    for url in (["https://a.org/", "https://b.org/"], "file:///x", "x.json"):
        with pytest.raises(ValidationError, match="one http"):
            Taxii2Settings(kind="taxii2", url=url)
    with pytest.raises(ValidationError, match="no filter 'tlp'"):
        Taxii2Settings(kind="taxii2", url="https://a.org/", match={"tlp": "x"})
