"""The stream of events: it tells what changed, and does not keep a server from stopping."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.web.events import difference
from web import stage


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "tipline.yml").write_text("sources: {mine: {kind: local}}\n")
    with Engine(load(tmp_path / "tipline.yml")) as found:
        Accounts(found.control, found.clock).add(stage.ADMIN, role="admin", team="default", password=stage.PASSWORD)
        yield found


def signed_in(url: str) -> httpx.Cookies:
    with httpx.Client(base_url=url, trust_env=False, headers={"origin": url}) as client:
        form = {"name": stage.ADMIN, "password": stage.PASSWORD, "next": ""}
        assert client.post("/ui/sign-in", data=form).status_code == 303
        return client.cookies


def test_open_streams_are_ended_whole_when_the_server_stops(engine: Engine) -> None:
    began, ended = threading.Barrier(3), []
    with served(engine, [("127.0.0.1", 0)]) as (urls, _):
        cookies = signed_in(urls[0])

        def listen() -> None:
            # A stream that is cut off, as after uvicorn's patience of seconds, is an error here.
            address = f"{urls[0]}/ui/events"
            with httpx.stream("GET", address, cookies=cookies, trust_env=False, timeout=60) as answer:
                lines = answer.iter_lines()
                next(lines)
                began.wait(60)
                ended.append(len([line for line in lines if line.startswith("retry")]))

        listeners = [threading.Thread(target=listen) for _ in range(2)]
        for each in listeners:
            each.start()
        began.wait(60)
    for each in listeners:
        each.join(60)
    assert ended == [0, 0]


def test_topics_are_what_differs() -> None:
    before = {"node:a": 1, "node:b": 1, "runs": 1, "audit": 1}
    assert difference(before, before) == set()
    assert difference(before, {**before, "node:a": 2, "runs": 2}) == {"node:a", "node", "runs"}
    assert difference(before, {"node:a": 1, "runs": 1, "audit": 1}) == {"node:b", "node"}
