"""One poll: what it writes, what it accounts for, what the guard keeps back, and until when."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from engine.support import START, Given, Time, configuration, plain, published, source
from tipline.config.check import load
from tipline.engine import poll as poll_module
from tipline.engine.core import Engine
from tipline.engine.people import People, RequestError
from tipline.engine.poll import PollResult
from tipline.errors import FetchError
from tipline.sources.base import GuardSettings, Poll, PollContext
from tipline.store.records import runs_of
from tipline.store.schema import claims_table

GUARD = GuardSettings(min_withdrawn=3, min_growth=3)
MANY = [f"host{number}.com" for number in range(10)]


class Remembering(Given):
    """Says `unchanged` when it yields the same again, as a 304 does."""

    def poll(self, context: PollContext) -> Poll:
        found = super().poll(context)
        cursor = {"rows": str(self.rows)}
        return Poll(found.frames, cursor, unchanged=context.cursor == cursor)


class Revalidating(Given):
    """Brings the same bytes again, with a validator that is new each time."""

    validator = 0
    seen: dict[str, Any]

    def poll(self, context: PollContext) -> Poll:
        self.seen = context.cursor
        self.validator += 1
        found = super().poll(context)
        cursor = {"rows": str(self.rows), "etag": self.validator}
        return Poll(found.frames, cursor, unchanged=context.cursor.get("rows") == cursor["rows"])


class Desk:
    """One source and one output, at a time that the test moves."""

    def __init__(self, folder: Path, kind: type[Given] = Given, **settings: Any) -> None:
        self.time = Time()
        node = source("feed", **{"guard": GUARD, **settings})
        self.feed = kind("feed", node.settings)
        made = configuration(folder, self.feed, plain("out", "feed"))
        self.engine = Engine(made, in_memory=True, clock=self.time)
        self.people = People(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    def poll(self, *values: str | dict[str, Any]) -> PollResult:
        self.feed.rows = [value if isinstance(value, dict) else {"value": value} for value in values]
        return self.engine.poll("feed")

    def seen(self) -> set[str]:
        self.engine.tick()
        self.engine.evaluate()
        return set(published(self.engine, "out"))

    def claims(self) -> int:
        with self.engine.lake.reading() as con:
            row = con.execute(f"SELECT count(*) FROM {claims_table(self.engine.graph.ids['feed'])}").fetchone()
        return int(row[0]) if row else 0


def test_only_the_difference_is_written(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        first = desk.poll("a.com", "b.com", "c.com")
        assert (first.added, first.changed, first.removed, first.committed) == (3, 0, 0, True)
        again = desk.poll("c.com", "b.com", "a.com")
        assert (again.state, again.committed) == ("ok", False)
        third = desk.poll("a.com", {"value": "b.com", "description": "x"}, "d.com")
        assert (third.added, third.changed, third.removed) == (1, 1, 1)
        assert desk.seen() == {"a.com", "b.com", "d.com"}


def test_the_ledger_balances_and_names_what_was_dropped(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        result = desk.poll("a.com", "A.com", "a[.]com", "10.0.0.1", "118.0/24", "b.com")
        ledger = result.ledger
        assert (ledger.read, ledger.accepted, ledger.duplicate) == (6, 2, 2)
        assert sum(ledger.dropped.values()) == 2
        run = runs_of(desk.engine.control, "feed")[0]
        assert run["read"] == run["accepted"] + run["duplicate"] + sum(run["dropped"].values())
        assert {sample["value"] for sample in run["samples"]} == {"10.0.0.1", "118.0/24"}


def test_what_is_told_of_a_poll_is_plain_and_without_what_the_engine_does_next(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        told = desk.poll("a.com", "not an indicator").as_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["ledger"]["accepted"] == told["added"] == 1
    assert not {"more", "settled"} & set(told)


class Stuck(Given):
    """Cannot put away what was read."""

    def poll(self, context: PollContext) -> Poll:
        def refused() -> None:
            raise FetchError("the store refuses", where="bucket")

        return replace(super().poll(context), settled=refused)


def test_what_cannot_be_put_away_does_not_undo_a_poll(tmp_path: Path) -> None:
    with Desk(tmp_path, Stuck) as desk:
        result = desk.poll("a.com")
        assert (result.state, result.added) == ("ok", 1)
        assert desk.seen() == {"a.com"}


def test_two_records_claim_one_indicator_and_it_leaves_with_the_last(tmp_path: Path) -> None:
    one, two = ({"value": "a.com", "record": record} for record in ("1", "2"))
    with Desk(tmp_path) as desk:
        assert desk.poll(one, two).added == 2
        assert desk.poll(two).removed == 1
        assert desk.seen() == {"a.com"}
        desk.poll()
        assert desk.engine.poll("feed").state == "held"


def test_absence_means_nothing_in_append_mode(tmp_path: Path) -> None:
    with Desk(tmp_path, mode="append", expire="last_seen + 30d") as desk:
        desk.poll("a.com", "b.com")
        assert desk.poll("c.com").removed == 0
        assert desk.poll().state == "ok"
        assert desk.seen() == {"a.com", "b.com", "c.com"}


def test_the_same_bytes_under_new_validators_are_remembered_by_these(tmp_path: Path) -> None:
    """Otherwise a feed that was touched and not changed would be fetched whole for ever after."""
    with Desk(tmp_path, Revalidating) as desk:
        assert [desk.poll("a.com").state for _ in range(3)] == ["ok", "unchanged", "unchanged"]
        assert isinstance(desk.feed, Revalidating)
        assert desk.feed.seen["etag"] == 2


def test_a_failure_changes_nothing_and_is_remembered_until_a_success(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.poll("a.com")
        desk.feed.rows = None
        result = desk.engine.poll("feed")
        assert (result.state, result.message) == ("failed", "feed: the server is gone")
        assert desk.seen() == {"a.com"}
        with desk.engine.lake.reading() as con:
            assert con.execute("SELECT failing_since FROM source_state").fetchall()[0] == (START,)
        desk.poll("a.com")
        with desk.engine.lake.reading() as con:
            assert con.execute("SELECT failing_since, message FROM source_state").fetchall()[0] == (None, "")


def test_withdrawals_are_held_while_additions_and_changes_flow(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.poll(*MANY)
        result = desk.poll("new.com", {"value": MANY[0], "description": "x"})
        assert (result.state, result.held, result.added, result.changed, result.removed) == (
            "held",
            9,
            1,
            1,
            0,
        )
        assert result.message == "9 of 10 indicators would go at once"
        assert desk.seen() == {*MANY, "new.com"}
        (hold,) = desk.people.holds()
        assert (hold["node"], hold["what"], hold["count"], len(hold["samples"])) == (
            "feed",
            "withdrawals",
            9,
            5,
        )


def test_additions_are_held_when_the_feed_grows_tenfold(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.poll("a.com", "b.com", "c.com")
        many = [f"host{number}.com" for number in range(40)]
        result = desk.poll("a.com", {"value": "b.com", "description": "x"}, *many)
        assert (result.state, result.held, result.added, result.changed, result.removed) == (
            "held",
            40,
            0,
            1,
            1,
        )
        assert desk.seen() == {"a.com", "b.com"}
        answer = desk.people.approve("feed", user="u")
        assert answer["added"] == 40
        assert desk.seen() == {"a.com", "b.com", *many}
        assert desk.people.holds() == []


@pytest.mark.parametrize("body", [[], ["no indicator at all"]])
def test_an_empty_or_useless_body_is_held_however_small_the_feed(tmp_path: Path, body: list[str]) -> None:
    with Desk(tmp_path) as desk:
        desk.poll("a.com")
        assert desk.poll(*body).state == "held"
        assert desk.seen() == {"a.com"}


def test_a_collapse_of_the_accepted_share_is_held(tmp_path: Path) -> None:
    with Desk(tmp_path, guard=GuardSettings(min_withdrawn=3, max_withdrawn=0.9)) as desk:
        desk.poll(*MANY)
        result = desk.poll(*MANY[:5], *["no indicator at all"] * 15)
        assert result.state == "held"
        assert "only 25% of its lines could be used, where it was 100%" in result.message


def test_a_hold_ends_when_the_feed_recovers(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.poll(*MANY)
        assert desk.poll(MANY[0]).hold_started
        assert not desk.poll(MANY[0]).hold_started
        assert desk.poll(*MANY[:8]).removed == 2
        assert desk.people.holds() == []
        assert desk.seen() == set(MANY[:8])


@pytest.mark.parametrize("kind", [Given, Remembering])
def test_a_hold_ends_after_a_day_in_which_the_candidates_agree(tmp_path: Path, kind: type[Given]) -> None:
    with Desk(tmp_path, kind) as desk:
        desk.poll(*MANY)
        for hours in (0, 10, 10):
            desk.time.forward(hours=hours)
            assert desk.poll(MANY[0]).state == "held"
        desk.time.forward(hours=4)
        assert desk.poll(MANY[0]).removed == 9
        assert desk.seen() == {MANY[0]}
        assert desk.people.holds() == []


def test_time_starts_again_when_the_candidates_change(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.poll(*MANY)
        desk.poll(MANY[0])
        desk.time.forward(hours=23)
        assert desk.poll(*MANY[6:]).state == "held"
        desk.time.forward(hours=2)
        assert desk.poll(*MANY[6:]).state == "held"
        desk.time.forward(hours=23)
        assert desk.poll(*MANY[6:]).removed == 6


def test_an_approval_lets_go_what_was_seen_and_no_more(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.poll(*MANY)
        desk.poll(*MANY[7:])
        assert desk.people.approve("feed", user="u")["removed"] == 7
        assert desk.seen() == set(MANY[7:])
        assert desk.poll().state == "held"
        with pytest.raises(RequestError, match="nothing is held on other"):
            desk.people.approve("other", user="u")


def test_what_is_let_go_ages_as_the_source_says(tmp_path: Path) -> None:
    """A release is a late withdrawal, not a deletion."""
    with Desk(tmp_path, expire="left + 2d") as desk:
        desk.poll(*MANY)
        desk.poll(MANY[0])
        assert desk.people.approve("feed", user="u")["removed"] == 9
        assert desk.seen() == set(MANY)
        desk.time.forward(days=2)
        assert desk.seen() == {MANY[0]}


def test_append_sources_are_not_guarded(tmp_path: Path) -> None:
    with Desk(tmp_path, mode="append", expire="last_seen + 1d") as desk:
        desk.poll("a.com", "b.com", "c.com")
        assert desk.poll(*(f"host{number}.com" for number in range(100))).added == 100


class Died(BaseException):
    """The process dies here."""


def dies(*_: Any, **__: Any) -> Any:
    raise Died


@pytest.mark.parametrize("what", ["set_hold", "record_run"])
def test_died_before_the_hold_was_noted(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claims are committed, and the hold is not: the next poll finds it, though the feed is unchanged."""
    with Desk(tmp_path, Remembering) as desk:
        desk.poll(*MANY)
        died_in(desk, what, monkeypatch, lambda: desk.poll("new.com", MANY[0]))
        assert desk.poll("new.com", MANY[0]).state == "held"
        assert [hold["count"] for hold in desk.people.holds()] == [9]
        assert desk.seen() == {*MANY, "new.com"}
        desk.people.approve("feed", user="u")
        assert desk.seen() == {MANY[0], "new.com"}


def test_died_before_the_hold_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Desk(tmp_path, Remembering) as desk:
        desk.poll(*MANY)
        desk.poll(MANY[0])
        died_in(desk, "end_hold", monkeypatch, lambda: desk.poll(*MANY))
        assert desk.poll(*MANY).state == "ok"
        assert desk.people.holds() == []


def died_in(desk: Desk, what: str, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(poll_module, what, dies)
        with pytest.raises(Died):
            work()


@pytest.mark.parametrize("enough", [96, 1], ids=["enough", "too little"])
def test_a_large_body_is_taken_in_with_little_memory_or_again_with_more(
    enough: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text("".join(f"host{number}.example{number % 7}.com\n" for number in range(30_000)))
    (tmp_path / "tipline.yml").write_text(
        f"data: {tmp_path / 'data'}\nstore: {{memory_limit: 1GiB}}\n"
        "sources:\n  feed: {kind: lines, url: list.txt}\noutputs:\n  out: {kind: list, inputs: feed}\n"
    )
    monkeypatch.setattr(poll_module, "LARGE_BODY", 1)
    monkeypatch.setattr(poll_module, "INTAKE", enough)
    with Engine(load(tmp_path / "tipline.yml")) as engine:
        with capture_logs() as told:
            result = engine.poll("feed")
        assert (result.state, result.ledger.accepted) == ("ok", 30_000), result.message
        again = any(each["event"] == "polled again with more memory" for each in told)
        assert again == (enough < 96)
        with engine.lake.reading() as con:
            row = con.execute("SELECT current_setting('memory_limit')").fetchone()
        assert row == ("1.0 GiB",)
