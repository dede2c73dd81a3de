"""Lines seen before are not judged again, and that changes nothing but the work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.support import Given, Time, aggregate, configuration, plain, source

from tipline.engine import poll as polling
from tipline.engine.core import Engine
from tipline.store.schema import claims_table

_VALUES = [
    "1.2.3.4",
    "1[.]2.3.4",
    "evil.example.com",
    "EVIL.example.com",
    "http://evil.com/x",
    "nonsense",
    "",
]
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "value": st.sampled_from(_VALUES),
            "confidence": st.sampled_from([None, "10", "90", "high"]),
            "record": st.sampled_from([None, "r1", "r2"]),
            "tags": st.sampled_from([["a"], ["b", "a"], []]),
        }
    ),
    max_size=8,
)


def _engine(directory: Path, feed: Given) -> Engine:
    nodes = (feed, aggregate("all", ["feed"]), plain("out", "all"))
    return Engine(configuration(directory, *nodes), in_memory=True, clock=Time())


def _claims(engine: Engine) -> list[Any]:
    with engine.lake.reading() as con:
        return con.execute(
            "SELECT type, value, record, confidence, tags, digest, left_at IS NULL"
            f" FROM {claims_table(engine.graph.ids['feed'])} ORDER BY value, record"
        ).fetchall()


@settings(max_examples=25)
@given(polls=st.lists(_ROWS, min_size=2, max_size=5))
def test_claims_and_accounts_are_those_of_judging_every_line(
    polls: list[list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    feeds = [source("feed"), source("feed")]
    directory = tmp_path_factory.mktemp("lines")
    with _engine(directory, feeds[0]) as by_line, _engine(directory, feeds[1]) as in_full:
        for rows in polls:
            for feed in feeds:
                feed.rows = rows
            with in_full.lake.writing() as con:  # a claim that knows no line is judged again
                con.execute(f"UPDATE {claims_table(in_full.graph.ids['feed'])} SET line = NULL")
            done, expected = by_line.poll("feed"), in_full.poll("feed")
            assert _claims(by_line) == _claims(in_full)
            assert done.ledger.as_dict() == expected.ledger.as_dict()
            assert (done.added, done.changed, done.removed) == (
                expected.added,
                expected.changed,
                expected.removed,
            )


def test_only_new_lines_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    unseen = polling.Lines.unseen

    def spy(self: Any, frame: Any) -> Any:
        new, line = unseen(self, frame)
        seen.update(new["value"].to_list())
        return new, line

    monkeypatch.setattr(polling.Lines, "unseen", spy)
    feed = source("feed")
    with _engine(tmp_path, feed) as engine:
        feed.rows = [{"value": "1.2.3.4"}, {"value": "evil.com"}]
        engine.poll("feed")
        seen.clear()
        feed.rows = [{"value": "1.2.3.4"}, {"value": "evil.com"}, {"value": "5.6.7.8"}]
        assert engine.poll("feed").added == 1
        assert seen == Counter(["5.6.7.8"])


def test_another_policy_judges_every_line_again(tmp_path: Path) -> None:
    feed = source("feed", confidence_map={"word": 10})
    with _engine(tmp_path, feed) as engine:
        feed.rows = [{"value": "1.2.3.4", "confidence": "word"}]
        engine.poll("feed")
        feed.settings = feed.settings.model_copy(update={"confidence_map": {"word": 90}})
        assert engine.poll("feed").changed == 1
        assert engine.poll("feed").changed == 0
        assert [row[3] for row in _claims(engine)] == [90]
