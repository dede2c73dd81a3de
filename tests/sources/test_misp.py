"""A MISP server: what is asked, what comes of it, and that whatever is gone there is withdrawn here."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.support import Time, configuration, plain, published
from sources.misp_server import KEY, MispServer
from sources.test_fetch_tls import certificate, pem
from tipline.engine.core import Engine
from tipline.engine.poll import PollResult
from tipline.sources.misp import Misp
from tipline.sources.misp_settings import MispServerSettings

A, B, C = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abc")


class Desk:
    """The source in an engine."""

    def __init__(self, folder: Path, server: MispServer, **settings: Any) -> None:
        given = {
            "kind": "misp",
            "url": server.url,
            "key": KEY,
            "allow_private": True,
            "retries": 0,
            "timeout": 5,
            "tlp": "clear",
            "page_size": 2,
        }
        self.time = Time(datetime.fromtimestamp(server.clock, UTC).replace(tzinfo=None))
        self.source = Misp("misp", MispServerSettings.model_validate({**given, **settings}))
        self.engine = Engine(configuration(folder, self.source, plain("out", "misp")), in_memory=True, clock=self.time)
        self.server = server

    def poll(self, **later: float) -> PollResult:
        self.time.forward(**(later or {"minutes": 15}))
        self.server.log.clear()
        return self.engine.poll("misp")

    def seen(self) -> set[str]:
        self.engine.tick()
        self.engine.evaluate()
        return set(published(self.engine, "out"))


@pytest.fixture
def server() -> Iterator[MispServer]:
    with MispServer() as made:
        made.add(A, ("domain", "a1.com"), ("ip-dst|port", "45.1.2.3|443"), tags=("tlp:green",))
        made.add(B, ("domain", "b1.com"), ("url", "http://b2.com/x"))
        made.add(C, ("domain", "c1.com"), published=False)
        yield made


@pytest.fixture(params=["events", "attributes"])
def desk(request: pytest.FixtureRequest, server: MispServer, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, server, scope=request.param)
    yield made
    made.engine.close()


ALL = {"a1.com", "45.1.2.3", "b1.com", "http://b2.com/x"}


@pytest.mark.parametrize("bare", [False, True])
def test_everything_published_comes(bare: bool, server: MispServer, desk: Desk) -> None:
    server.bare = bare
    result = desk.poll()
    assert (result.state, result.added, result.ledger.balanced) == ("ok", 4, True)
    assert desk.seen() == ALL
    rows = published(desk.engine, "out")
    assert (rows["a1.com"]["tlp"], rows["b1.com"]["tlp"]) == (1, 0)


def test_what_changed_comes_and_what_left_goes(server: MispServer, desk: Desk) -> None:
    desk.poll()
    server.attribute(A, "domain", "a9.com")
    server.publish(A)
    server.delete(B, 0)
    server.publish(B)
    assert desk.poll().state == "ok"
    assert desk.seen() == ALL - {"b1.com"} | {"a9.com"}


def test_a_changed_value_replaces_the_old_one(server: MispServer, desk: Desk) -> None:
    desk.poll()
    server.events[A]["Attribute"][0].update(value="a2.com", timestamp=server.touch(A))
    server.publish(A)
    desk.poll()
    assert desk.seen() == ALL - {"a1.com"} | {"a2.com"}


def test_unpublishing_withdraws_and_publishing_brings_back(server: MispServer, desk: Desk) -> None:
    desk.poll()
    server.publish(A, published=False)
    desk.poll()
    assert desk.seen() == {"b1.com", "http://b2.com/x"}
    server.publish(A)
    server.publish(C)
    desk.poll()
    assert desk.seen() == ALL | {"c1.com"}


def test_what_goes_without_trace_goes_with_the_next_full_listing(server: MispServer, desk: Desk) -> None:
    desk.poll()
    del server.events[B]
    desk.poll()
    assert desk.seen() == ALL
    assert desk.poll(hours=25).removed == 2
    assert desk.seen() == {"a1.com", "45.1.2.3"}


def test_only_what_changed_is_read(server: MispServer, tmp_path: Path) -> None:
    desk = Desk(tmp_path, server)
    desk.poll()
    desk.poll()
    assert [body for _, body in server.log if not body.get("metadata")] == []
    server.attribute(B, "domain", "b3.com")
    server.publish(B)
    desk.poll()
    assert [body["uuid"] for _, body in server.log if not body.get("metadata")] == [[B]]
    assert all("timestamp" in body or "publish_timestamp" in body for _, body in server.log if body.get("metadata"))
    desk.engine.close()


@pytest.mark.parametrize(
    "answer", [(500, {"name": "An Internal Error Has Occurred."}), (200, {"name": "x", "message": "broken"})]
)
def test_a_server_that_fails_midway_changes_nothing(answer: tuple[int, Any], server: MispServer, desk: Desk) -> None:
    desk.poll()
    server.attribute(A, "domain", "a9.com")
    server.publish(A)
    server.fail = lambda scope, body: answer if body.get("page") != 1 or scope == "attributes" else None
    result = desk.poll(hours=25)
    assert result.state == "failed"
    assert desk.seen() == ALL
    server.fail = lambda scope, body: None
    desk.poll()
    assert desk.seen() == ALL | {"a9.com"}


def test_an_empty_answer_withdraws_nothing(server: MispServer, desk: Desk) -> None:
    desk.poll()
    server.events.clear()
    result = desk.poll(hours=25)
    assert (result.state, "lists no" in result.message) == ("failed", True)
    assert desk.seen() == ALL


def test_what_is_too_old_goes_and_is_not_asked_for_again(server: MispServer, tmp_path: Path) -> None:
    desk = Desk(tmp_path, server, max_age="2d", full_every="1d")
    desk.poll()
    server.clock += 3 * 86400
    server.add(C.replace("c", "d"), ("domain", "d1.com"))
    desk.time.now = datetime.fromtimestamp(server.clock, UTC).replace(tzinfo=None)
    assert desk.poll().state == "ok"
    assert desk.seen() == {"d1.com"}
    assert desk.poll().state == "ok"
    assert [body for _, body in server.log if not body.get("metadata")] == []
    desk.engine.close()


def test_a_server_that_ignores_paging_is_not_asked_for_ever(server: MispServer, desk: Desk) -> None:
    server.stuck = True
    desk.poll()
    assert desk.seen() == ALL
    assert len(server.log) <= 4


def test_a_wrong_key_is_said_in_words_and_never_shown(server: MispServer, tmp_path: Path) -> None:
    desk = Desk(tmp_path, server, key="hunter2")
    result = desk.poll()
    assert result.state == "failed"
    assert "is the key right" in result.message
    assert "hunter2" not in result.message
    assert "hunter2" not in repr(desk.source.settings)
    desk.engine.close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"event_tags": {"any": "tlp:green"}}, {"a1.com", "45.1.2.3"}),
        ({"event_tags": {"none": ["tlp:green"]}}, {"b1.com", "http://b2.com/x"}),
        ({"published": False}, ALL | {"c1.com"}),
        ({"types": ["url"]}, {"http://b2.com/x"}),
        ({"scope": "attributes", "attribute_types": ["domain"]}, {"a1.com", "b1.com"}),
        ({"to_ids": True}, ALL - {"b1.com"}),
        ({"scope": "attributes", "to_ids": False}, {"b1.com"}),
    ],
)
def test_filters(settings: dict[str, Any], expected: set[str], server: MispServer, tmp_path: Path) -> None:
    server.events[B]["Attribute"][0]["to_ids"] = False
    desk = Desk(tmp_path, server, **settings)
    desk.engine.graph.outputs["out"].settings = desk.engine.graph.outputs["out"].settings.model_copy(
        update={"actionable_only": False}
    )
    desk.poll()
    assert desk.seen() == expected
    desk.engine.close()


@pytest.fixture(params=["events", "attributes"])
def scope(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("rules", [{"any": "tlp:green"}, {"none": ["secret"]}])
def test_an_event_whose_tags_change_leaves_and_comes_back(
    rules: dict[str, Any], scope: str, server: MispServer, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, server, scope=scope, event_tags=rules)
    desk.poll()
    before = desk.seen()
    server.tag(A, "tlp:red", "secret")
    server.publish(A)
    result = desk.poll()
    assert (result.state, result.ledger.balanced) == ("ok", True)
    assert desk.seen() == before - {"a1.com", "45.1.2.3"}
    server.tag(A, "tlp:green")
    server.publish(A)
    desk.poll()
    assert desk.seen() == before
    desk.engine.close()


@pytest.mark.parametrize(
    ("settings", "change"),
    [({"to_ids": True}, {"to_ids": False}), ({"attribute_types": ["domain", "url"]}, {"type": "comment"})],
)
def test_an_attribute_that_the_filters_leave_out_now_leaves(
    settings: dict[str, Any], change: dict[str, Any], scope: str, server: MispServer, tmp_path: Path
) -> None:
    if scope == "events" and "attribute_types" in settings:
        settings = {"types": settings["attribute_types"]}
    desk = Desk(tmp_path, server, scope=scope, **settings)
    desk.poll()
    assert "b1.com" in desk.seen()
    server.events[B]["Attribute"][0].update(**change, timestamp=server.touch(B))
    server.publish(B)
    result = desk.poll()
    assert (result.state, result.ledger.balanced) == ("ok", True)
    assert "b1.com" not in desk.seen()
    assert "http://b2.com/x" in desk.seen()
    desk.engine.close()


def test_what_a_warning_list_takes_in_leaves(scope: str, server: MispServer, tmp_path: Path) -> None:
    """At once where the event changes, else with the next full listing: the lists change without the events."""
    server.warned = {"b1.com"}
    desk = Desk(tmp_path, server, scope=scope, enforce_warninglists=True)
    desk.poll()
    assert desk.seen() == ALL - {"b1.com"}
    server.warned = {"a1.com"}
    desk.poll()
    assert "a1.com" in desk.seen()
    desk.poll(hours=25)
    assert desk.seen() == ALL - {"a1.com"}
    desk.engine.close()


def test_other_filters_withdraw_what_they_leave_out(server: MispServer, desk: Desk) -> None:
    desk.poll()
    narrowed = MispServerSettings.model_validate(
        {"kind": "misp", "url": "http://x", "key": "k", "event_tags": {"any": "tlp:green"}}
    )
    desk.source.settings = desk.source.settings.model_copy(update={"event_tags": narrowed.event_tags})
    desk.poll()
    assert desk.seen() == {"a1.com", "45.1.2.3"}


def test_every_filter_is_asked_for_in_misps_words() -> None:
    settings = MispServerSettings.model_validate(
        {
            "kind": "misp",
            "url": "https://misp.example.org",
            "key": "k",
            "event_tags": {"any": ["tlp:*"], "all": ["a"], "none": ["b"]},
            "organisations": {"any": ["ACME"], "none": ["Spam"]},
            "max_age": "30d",
            "to_ids": True,
            "enforce_warninglists": True,
            "scope": "attributes",
            "attribute_types": ["ip-dst"],
            "search": {"category": "Network activity"},
        }
    )
    assert settings.filters() == {
        "tags": {"OR": ["tlp:%"], "AND": ["a"], "NOT": ["b"]},
        "org": ["ACME", "!Spam"],
        "timestamp": "2592000s",
        "published": 1,
        "to_ids": 1,
        "type": ["ip-dst"],
        "enforceWarninglist": 1,
        "category": "Network activity",
    }
    assert settings.max_age == timedelta(days=30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": ["http://a.com", "http://b.com"]}, "one MISP server"),
        ({"url": "events.json"}, "one MISP server"),
        ({"mode": "snapshot"}, "leave it out"),
        ({"attribute_types": ["md5"]}, "needs scope: attributes"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MispServerSettings.model_validate({"kind": "misp", "url": "http://a.com", "key": "k", **settings})


def test_a_server_with_its_own_authority_needs_its_certificate(tmp_path: Path) -> None:
    authority = certificate("authority", ca=True)
    pair = pem(tmp_path / "server.pem", certificate("loopback", authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    with MispServer(context) as made:
        made.add(A, ("domain", "a1.com"))
        refused = Desk(tmp_path, made)
        assert "ca_file" in refused.poll().message
        refused.engine.close()
        desk = Desk(tmp_path, made, ca_file=pem(tmp_path / "ca.pem", authority))
        assert desk.poll().added == 1
        desk.engine.close()
