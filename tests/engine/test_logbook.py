"""The log that is kept for searching: bounded, whole after a crash, without secrets, and each team sees its own."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog

from engine.support import aggregate, configuration, plain, source
from tipline.cli.logs import configure
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.logbook import LogBook, Wanted, search
from tipline.engine.operations import Operations


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level


def test_it_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    book = LogBook(tmp_path / "logs", most=2000)
    for number in range(500):
        book.write({"event": "x" * 50, "number": number})
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    assert len(sizes) == 5
    assert max(sizes) <= 2000
    found = search(tmp_path / "logs", Wanted(), 1000)
    numbers = [event["number"] for event in found]
    assert numbers == list(range(499, 499 - len(numbers), -1))
    assert len(numbers) > 60


def test_pages_meet_and_threads_lose_nothing(tmp_path: Path) -> None:
    book = LogBook(tmp_path)
    threads = [threading.Thread(target=lambda: [book.write({"event": "e"}) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen: list[int] = []
    before = None
    while page := search(tmp_path, Wanted(before=before), 37):
        seen += [event["id"] for event in page]
        before = seen[-1]
    assert len(seen) == len(set(seen)) == 400
    assert seen == sorted(seen, reverse=True)


def test_a_line_that_was_cut_off_and_one_that_is_none_cost_nothing(tmp_path: Path) -> None:
    book = LogBook(tmp_path)
    book.write({"event": "first"})
    with (tmp_path / "tipline.jsonl").open("ab") as file:
        file.write(b'{"id": 1, "event": "cut\n[1]\n"x"\n\xff\xfe\n{"event": "no id"}\n' + b"[" * 5000 + b"\n")
    book.write({"event": "last"})
    assert [event["event"] for event in search(tmp_path, Wanted(), 10)] == ["last", "first"]


def test_secrets_are_not_in_it_and_exceptions_are(tmp_path: Path) -> None:
    configure(logging.INFO, tmp_path / "logs")
    log = structlog.get_logger()
    log.info("fetching", source="feed", url="https://u:hunter2@example.org/x?apikey=hunter2&n=1", api_key="hunter2")
    try:
        float("Bearer hunter2hunter2 at https://u:hunter2@example.org/?token=hunter2")
    except ValueError as exc:
        log.error("broke", exc_info=exc)
    log.debug("too little")
    text = (tmp_path / "logs" / "tipline.jsonl").read_text()
    assert "hunter2" not in text
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["fetching", "broke"]
    assert "Traceback" in json.loads(text.splitlines()[1])["exception"]
    assert "n=1" in text
    assert (tmp_path / "logs" / "tipline.jsonl").stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    folder = tmp_path_factory.mktemp("logs")
    nodes = [source("mine"), source("theirs", team="red"), aggregate("agg", ["mine"]), plain("out", "agg")]
    with Engine(configuration(folder, *nodes)) as engine:
        book = LogBook(engine.file("logs"))
        start = datetime.fromisoformat("2026-01-01")
        for number, (level, about) in enumerate(
            [
                ("info", {"source": "mine"}),
                ("warning", {"source": "theirs"}),
                ("error", {"output": "out"}),
                ("info", {}),
            ]
        ):
            stamp = (start + timedelta(hours=number)).isoformat() + "Z"
            book.write({"timestamp": stamp, "level": level, "event": f"Event {number}", **about})
        yield Operations(engine)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [3, 2, 1, 0]),
        ({"level": "warning"}, [2, 1]),
        ({"node": "out"}, [2]),
        ({"text": "event MINE"}, [0]),
        ({"since": "2026-01-01T01:00:00Z", "until": "2026-01-01T03:00:00Z"}, [2, 1]),
        ({"text": "nothing"}, []),
    ],
)
def test_found_by_level_node_text_and_time(operations: Operations, wanted: dict[str, str], numbers: list[int]) -> None:
    found = operations.call("logs", wanted)
    assert [event["event"] for event in found["events"]] == [f"Event {number}" for number in numbers]


def test_each_team_sees_what_concerns_its_own_nodes(operations: Operations) -> None:
    for team, events in (("red", ["Event 1"]), ("default", ["Event 2", "Event 0"])):
        found = operations.asked_by(Asker("x", team)).call("logs", {})["events"]
        assert [event["event"] for event in found] == events
        assert operations.asked_by(Asker("x", "none")).call("logs", {})["events"] == []
