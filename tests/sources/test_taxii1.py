"""TAXII 1.1 from OpenTAXII: discovery, parts of results, going on; and a stand-in for what servers do wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.support import NO_GUARD
from sources.opentaxii import OpenTaxii, opentaxii
from tipline.errors import FetchError
from tipline.sources.base import Poll, PollContext
from tipline.sources.taxii1 import Taxii1, Taxii1Settings

STIX = Path(__file__).parents[1] / "data" / "stix"
PACKAGES = [STIX / "minemeld-taxii-ng" / f"stix_package_{number}.xml" for number in (1, 2, 3, 6, 8)]


def source(url: str, **options: Any) -> Taxii1:
    sign_in = {"username": "test", "password": "test"}
    given = {
        "kind": "taxii1", "url": url, "collection": "feed", "allow_private": True, "retries": 0, "guard": NO_GUARD,
        "basic": sign_in, **options,
    }  # fmt: skip
    return Taxii1("feed", Taxii1Settings.model_validate(given))


def polled(node: Taxii1, spool: Path, cursor: dict[str, Any] | None = None) -> tuple[set[str], Poll]:
    now = datetime.now(UTC).replace(tzinfo=None)
    poll = node.poll(PollContext(spool=spool, cursor=cursor or {}, as_of=now, feed="feed"))
    rows = [row for frame in list(poll.frames) for row in frame.to_dicts()]
    return {row["value"] for row in rows if not row["drop"]}, poll


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTaxii]:
    with opentaxii(tmp_path_factory.mktemp("opentaxii"), page=2) as running:
        for path in PACKAGES:
            running.push(path)
        running.push(PACKAGES[0], "set")
        yield running


def test_reads_a_collection_in_parts_and_goes_on(server: OpenTaxii, tmp_path: Path) -> None:
    node = source(f"{server.url}/discovery")
    first, poll = polled(node, tmp_path)
    assert {"http://bit.ly/2sy2lFx", "38.130.218.117", "test@example.com"} <= first
    assert len(first) == 16
    assert not poll.warnings

    again, unchanged = polled(node, tmp_path, poll.cursor)
    assert (again, unchanged.unchanged) == (set(), True)

    server.push(STIX / "stix1" / "STIX_IP_Watchlist.xml")
    added, after = polled(node, tmp_path, unchanged.cursor)
    assert added == {"10.0.0.0", "10.0.0.1", "10.0.0.2"}
    assert after.cursor["end"] > poll.cursor["end"]


def test_content_that_is_no_stix_1_has_a_reason(server: OpenTaxii, tmp_path: Path) -> None:
    node = source(f"{server.url}/discovery")
    _, before = polled(node, tmp_path)
    other = tmp_path / "note.xml"
    other.write_text("<note>evil.com</note>")
    server.push(other, binding="urn:example:note")
    poll = node.poll(PollContext(tmp_path, before.cursor, datetime.now(UTC).replace(tzinfo=None), "feed"))
    found = [(row["value"], row["drop"]) for frame in poll.frames for row in frame.to_dicts()]
    assert (poll.unchanged, found) == (False, [("a content block of urn:example:note", "no-stix1")])


def test_a_data_set_comes_whole(server: OpenTaxii, tmp_path: Path) -> None:
    node = source(f"{server.url}/discovery", collection="set")
    found, poll = polled(node, tmp_path)
    assert found == {"http://bit.ly/2sy2lFx"}
    assert poll.cursor == {}
    assert polled(node, tmp_path, poll.cursor)[0] == found


def test_windows_and_a_poll_service_without_discovery(server: OpenTaxii, tmp_path: Path) -> None:
    node = source(f"{server.url}/discovery", poll_url=f"{server.url}/poll", since="2h", window="50m")
    found, poll = polled(node, tmp_path)
    assert "http://bit.ly/2sy2lFx" in found
    end = datetime.fromisoformat(poll.cursor["end"]).replace(tzinfo=None)
    assert datetime.now(UTC).replace(tzinfo=None) - end < timedelta(minutes=5)


def test_a_subscription_is_polled_by_its_id(server: OpenTaxii, tmp_path: Path) -> None:
    """The results come in parts all the same, and an id that the server does not know is refused in its words."""
    wanted = server.subscribe("feed")["feed"]
    found, poll = polled(source(f"{server.url}/discovery", subscription_id=wanted), tmp_path)
    assert {"http://bit.ly/2sy2lFx", "38.130.218.117", "test@example.com"} <= found
    again, unchanged = polled(source(f"{server.url}/discovery", subscription_id=wanted), tmp_path, poll.cursor)
    assert (again, unchanged.unchanged) == (set(), True)
    with pytest.raises(FetchError, match=r"NOT_FOUND"):
        polled(source(f"{server.url}/discovery", subscription_id="none"), tmp_path)


def test_what_is_refused_is_said(server: OpenTaxii, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"set `collection` to one of: .*feed"):
        polled(source(f"{server.url}/discovery", collection="none"), tmp_path)
    with pytest.raises(FetchError, match=r"NOT_FOUND|DENIED|UNAUTHORIZED"):
        polled(source(f"{server.url}/discovery", collection="none", poll_url=f"{server.url}/poll"), tmp_path)
    wrong = {"username": "test", "password": "wrong"}
    with pytest.raises(FetchError, match=r"UNAUTHORIZED|401"):
        polled(source(f"{server.url}/discovery", basic=wrong), tmp_path)


def test_settings_that_do_not_fit() -> None:
    for bad in ({"url": "feed.xml"}, {"collection": None, "poll_url": "http://a/"}, {"window": "1d"}):
        with pytest.raises(ValidationError):
            source(**{"url": "http://a/", **bad})
