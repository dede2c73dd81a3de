"""A MISP feed: only what changed is fetched, one broken event stops nothing, what vanishes is withdrawn."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.support import Time, configuration, plain, published
from tipline.engine.core import Engine
from tipline.engine.poll import PollResult
from tipline.errors import FormatError
from tipline.sources.misp_feed import MispFeed, MispFeedSettings
from tipline.sources.misp_feed_state import digests, heads_of

DATA = Path(__file__).parents[1] / "data" / "misp-feed"
A, B, C = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abc")
ORG = {"name": "ACME", "uuid": "0000"}


class Publisher:
    """A feed whose events the test sets: uuid -> values, with a timestamp for each."""

    def __init__(self, web: Any) -> None:
        self.web, self.events = web, {}
        self.stamps: Counter[str] = Counter()
        self.bodies: dict[str, bytes | int] = {}
        self.tags: dict[str, list[str]] = {}
        self.hashes: bytes | None = None
        web.answer = self.answer

    def set(self, uuid: str, *values: str, changed: bool = True, **more: Any) -> None:
        self.stamps[uuid] += changed
        attributes = [{"uuid": f"u-{value}", "type": "domain", "value": value, "to_ids": True} for value in values]
        self.events[uuid] = {"uuid": uuid, "info": uuid[:4], "Orgc": ORG, "Attribute": attributes, **more}

    def manifest(self) -> dict[str, Any]:
        return {
            uuid: {
                "info": "x",
                "timestamp": str(1_700_000_000 + self.stamps[uuid]),
                "Orgc": ORG,
                "Tag": [{"name": name} for name in self.tags.get(uuid, [])],
            }
            for uuid in self.events
        }

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        name = path.partition("?")[0].rsplit("/", 1)[1]
        if name == "hashes.csv":
            return (200, {}, self.hashes) if self.hashes is not None else (404, {}, b"")
        body = self.bodies.get(name)
        if isinstance(body, int):
            return body, {}, b""
        if body is None:
            found = self.manifest() if name == "manifest.json" else {"Event": self.events[name.removesuffix(".json")]}
            body = json.dumps(found).encode()
        return 200, {}, body

    def asked(self) -> list[str]:
        """Names of the files fetched since the last call, without the two lists."""
        names = [path.partition("?")[0].rsplit("/", 1)[1] for path, _ in self.web.requests]
        self.web.requests.clear()
        return sorted(name for name in names if name not in ("manifest.json", "hashes.csv"))


class Desk:
    """The feed in an engine."""

    def __init__(self, folder: Path, url: str, **settings: Any) -> None:
        given = {
            "kind": "misp-feed",
            "url": url,
            "allow_private": True,
            "retries": 0,
            "timeout": 5,
            "tlp": "clear",
        }
        self.time = Time(datetime.fromisoformat("2026-01-01"))
        self.feed = MispFeed("feed", MispFeedSettings.model_validate({**given, **settings}))
        self.engine = Engine(configuration(folder, self.feed, plain("out", "feed")), in_memory=True, clock=self.time)

    def poll(self) -> PollResult:
        return self.engine.poll("feed")

    def seen(self) -> set[str]:
        self.engine.tick()
        self.engine.evaluate()
        return set(published(self.engine, "out"))


@pytest.fixture
def publisher(web: Any) -> Publisher:
    made = Publisher(web)
    made.set(A, "a1.com", "a2.com")
    made.set(B, "b1.com", "shared.com")
    return made


@pytest.fixture
def desk(publisher: Publisher, tmp_path: Path) -> Any:
    made = Desk(tmp_path, publisher.web.url("/feed/"))
    yield made
    made.engine.close()


def test_only_new_and_changed_events_are_fetched(publisher: Publisher, desk: Desk) -> None:
    assert desk.poll().added == 4
    assert publisher.asked() == [f"{A}.json", f"{B}.json"]
    assert desk.poll().state == "unchanged"
    assert publisher.asked() == []
    publisher.set(B, "b1.com", "b2.com", "shared.com")
    publisher.set(C, "c1.com")
    second = desk.poll()
    assert (second.state, second.added, second.removed) == ("ok", 2, 0)
    assert publisher.asked() == [f"{B}.json", f"{C}.json"]
    assert desk.seen() == {"a1.com", "a2.com", "b1.com", "b2.com", "c1.com", "shared.com"}


def test_attributes_and_events_that_vanish_are_withdrawn(publisher: Publisher, desk: Desk) -> None:
    publisher.set(C, "c1.com", "shared.com")
    desk.poll()
    publisher.set(A, "a2.com")
    del publisher.events[B]
    assert desk.poll().removed == 3
    assert desk.seen() == {"a2.com", "c1.com", "shared.com"}


def test_a_deleted_attribute_is_withdrawn(publisher: Publisher, desk: Desk) -> None:
    desk.poll()
    publisher.set(A, "a1.com", "a2.com")
    publisher.events[A]["Attribute"][0]["deleted"] = True
    result = desk.poll()
    assert (result.removed, result.ledger.dropped["deleted"]) == (1, 1)
    assert "a1.com" not in desk.seen()


@pytest.mark.parametrize(
    "broken",
    [
        (DATA / "broken" / "malicious_pypi_packages.misp-event.cut.json").read_bytes(),
        b"[]",
        json.dumps({"Event": {"uuid": C, "info": "another"}}).encode(),
        404,
        500,
    ],
)
def test_an_event_that_cannot_be_read_keeps_what_it_said(broken: bytes | int, publisher: Publisher, desk: Desk) -> None:
    desk.poll()
    publisher.set(A, "a3.com")
    publisher.set(B, "b3.com")
    publisher.bodies[f"{A}.json"] = broken
    assert desk.poll().state == "ok"
    assert desk.seen() == {"a1.com", "a2.com", "b3.com"}
    publisher.asked()
    del publisher.bodies[f"{A}.json"]
    desk.poll()
    assert publisher.asked() == [f"{A}.json"]
    assert desk.seen() == {"a3.com", "b3.com"}


def test_a_broken_event_also_stays_when_the_settings_change(publisher: Publisher, desk: Desk, tmp_path: Path) -> None:
    desk.poll()
    publisher.bodies[f"{A}.json"] = b"{"
    publisher.set(B, "b9.com")
    desk.feed.settings = desk.feed.settings.model_copy(update={"description": "other"})
    desk.poll()
    assert desk.seen() == {"a1.com", "a2.com", "b9.com"}


def test_other_rules_withdraw_what_they_leave_out(publisher: Publisher, desk: Desk) -> None:
    publisher.tags = {A: ["tlp:red"]}
    desk.poll()
    rules = MispFeedSettings.model_validate(
        {"kind": "x", "url": "http://x", "event_tags": {"none": "tlp:*"}}
    ).event_tags
    desk.feed.settings = desk.feed.settings.model_copy(update={"event_tags": rules})
    desk.poll()
    assert desk.seen() == {"b1.com", "shared.com"}


def test_a_server_that_is_down_fails_the_poll_and_keeps_everything(publisher: Publisher, desk: Desk) -> None:
    desk.poll()
    publisher.set(A, "a3.com")
    publisher.set(B, "b3.com")
    publisher.bodies = {f"{A}.json": 503, f"{B}.json": 503}
    result = desk.poll()
    assert (result.state, "503" in result.message) == ("failed", True)
    assert desk.seen() == {"a1.com", "a2.com", "b1.com", "shared.com"}


def test_a_server_that_goes_down_midway_is_not_asked_for_the_rest(publisher: Publisher, desk: Desk) -> None:
    many = [f"{n:08}-0000-4000-8000-000000000000" for n in range(40)]
    for uuid in many:
        publisher.set(uuid, f"e{uuid[:8]}.com")
        publisher.bodies[f"{uuid}.json"] = 503
    assert desk.poll().added == 4
    assert len(publisher.asked()) < 25
    publisher.bodies.clear()
    desk.poll()
    assert len(publisher.asked()) == 40
    assert len(desk.seen()) == 44


@pytest.mark.parametrize("manifest", [b"{}", b"[]", b"not json", b'["x"]', b'{"x": 1}'])
def test_a_manifest_that_is_none_withdraws_nothing(manifest: bytes, publisher: Publisher, desk: Desk) -> None:
    desk.poll()
    publisher.bodies["manifest.json"] = manifest
    assert desk.poll().state == "failed"
    assert len(desk.seen()) == 4


def test_keys_that_are_no_uuids_are_never_fetched(publisher: Publisher, desk: Desk) -> None:
    listed = publisher.manifest()
    publisher.bodies["manifest.json"] = json.dumps({**listed, "../../etc/passwd": listed[A]}).encode()
    assert desk.poll().added == 4
    assert publisher.asked() == [f"{A}.json", f"{B}.json"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"event_tags": {"any": ["tlp:clear", "x"]}}, {"a1.com", "a2.com"}),
        ({"event_tags": {"all": ["TLP:*", "osint"]}}, {"a1.com", "a2.com"}),
        ({"event_tags": {"none": "osint"}}, {"b1.com", "shared.com"}),
        ({"event_tags": {"any": "%clear"}}, {"a1.com", "a2.com"}),
        ({"organisations": {"any": "acme"}}, {"a1.com", "a2.com", "b1.com", "shared.com"}),
        ({"organisations": {"none": "0000"}}, set()),
        ({"published": True}, {"a1.com", "a2.com"}),
    ],
)
def test_rules(rules: dict[str, Any], expected: set[str], publisher: Publisher, tmp_path: Path) -> None:
    publisher.tags = {A: ["tlp:clear", "osint"], B: ["tlp:red"]}
    publisher.set(B, "b1.com", "shared.com", published=False)
    desk = Desk(tmp_path, publisher.web.url("/feed"), **rules)
    desk.poll()
    assert desk.seen() == expected
    desk.engine.close()


def test_an_event_that_ages_is_withdrawn_without_a_change(publisher: Publisher, tmp_path: Path) -> None:
    desk = Desk(tmp_path, publisher.web.url("/feed"), max_age="30d")
    desk.time.now = datetime.fromisoformat("2023-11-20")
    desk.poll()
    assert len(desk.seen()) == 4
    desk.time.now = datetime.fromisoformat("2024-01-20")
    assert desk.poll().removed == 4
    desk.engine.close()


def test_changed_hashes_bring_an_event_whose_timestamp_stayed(publisher: Publisher, desk: Desk) -> None:
    def lines(uuid: str, *values: str) -> bytes:
        return b"".join(f"{md5(value.encode()).hexdigest()},{uuid}\n".encode() for value in values)

    publisher.hashes = lines(A, "a1.com", "a2.com") + b"nonsense\n,\n"
    desk.poll()
    publisher.asked()
    publisher.hashes = lines(A, "a2.com", "a1.com")
    assert desk.poll().state == "unchanged"
    publisher.set(A, "a1.com", "a9.com", changed=False)
    publisher.hashes = lines(A, "a1.com", "a9.com")
    desk.poll()
    assert publisher.asked() == [f"{A}.json"]
    assert desk.seen() == {"a1.com", "a9.com", "b1.com", "shared.com"}


def test_a_key_in_the_query_goes_with_every_file_and_never_into_messages(publisher: Publisher, tmp_path: Path) -> None:
    desk = Desk(tmp_path, publisher.web.url("/feed?key=hunter2"))
    publisher.bodies[f"{A}.json"] = b"{"
    desk.poll()
    assert all("?key=hunter2" in path for path, _ in publisher.web.requests)
    publisher.bodies["manifest.json"] = 403
    result = desk.poll()
    assert "hunter2" not in result.message
    desk.engine.close()


def test_files_may_be_compressed(publisher: Publisher, desk: Desk) -> None:
    publisher.bodies[f"{A}.json"] = gzip.compress(json.dumps({"Event": publisher.events[A]}).encode())
    assert desk.poll().added == 4


def test_a_real_feed_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("pymisp", "broken"))
    desk = Desk(tmp_path, str(folder))
    result = desk.poll()
    assert (result.state, result.ledger.read, result.ledger.dropped) == ("ok", 160, {"not-an-indicator": 7})
    assert result.ledger.balanced
    assert desk.poll().state == "unchanged"
    desk.engine.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"url": ["http://a.com", "http://b.com"]}, "one folder"), ({"mode": "snapshot"}, "leave it out")],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MispFeedSettings.model_validate({"kind": "misp-feed", "url": "http://a.com", **settings})


def test_many_withdrawals_at_once_are_held_and_released_when_the_feed_insists(
    publisher: Publisher, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, publisher.web.url("/feed"), guard={"min_withdrawn": 2, "release_after": "2h"})
    desk.poll()
    kept = publisher.events.pop(A), publisher.events.pop(B)
    publisher.set(C, "c1.com")
    held = desk.poll()
    assert (held.state, held.held, held.added) == ("held", 4, 1)
    desk.time.forward(hours=1)
    assert desk.poll().state == "held"
    assert desk.seen() == {"a1.com", "a2.com", "b1.com", "shared.com", "c1.com"}
    desk.time.forward(hours=2)
    assert desk.poll().removed == 4
    assert desk.seen() == {"c1.com"}
    publisher.events.update({A: kept[0], B: kept[1]})
    assert desk.poll().added == 4
    desk.engine.close()


def test_a_feed_that_comes_to_its_senses_ends_the_hold(publisher: Publisher, tmp_path: Path) -> None:
    desk = Desk(tmp_path, publisher.web.url("/feed"), guard={"min_withdrawn": 2})
    desk.poll()
    events = dict(publisher.events)
    publisher.events = {C: {"uuid": C, "info": "x"}}
    assert desk.poll().state == "held"
    publisher.events = events
    assert desk.poll().state == "unchanged"
    desk.time.forward(hours=48)
    assert desk.poll().state == "unchanged"
    assert len(desk.seen()) == 4
    desk.engine.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([A, "uuid", "Orgc", "Tag", "name", "timestamp", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_manifest_breaks_its_reader(document: Any) -> None:
    try:
        heads, strange = heads_of(document, "manifest.json")
    except FormatError:
        return
    assert len(heads) + len(strange) == len(document)


def test_hashes_of_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "hashes.csv").write_bytes(bytes(range(256)) * 20 + f"\nzz,{A}\n0A,{A}\n".encode())
    assert digests(tmp_path / "hashes.csv") == {A: f"{10:016x}"}
