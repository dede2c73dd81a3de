"""A TAXII collection of the whole feed: page times at its beginning, in its middle and at its end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from benchmarks.measure import forget_peak, peak_mib, percentiles, spent
from benchmarks.setting import FEED, NEXT, configuration, quiet, serve, web_server
from tipline.api import taxii as server
from tipline.api.taxii.query import Cursor, Filters
from tipline.config.check import check
from tipline.engine.core import Engine
from tipline.outputs.taxii import TaxiiKind
from tipline.store.schema import objects_table

_PAGE, _REPEATS = 1_000, 30
_V21 = {"accept": "application/taxii+json;version=2.1"}
_V20 = {"accept": "application/vnd.oasis.stix+json; version=2.0"}


def taxii(n: int, directory: Path) -> dict[str, Any]:
    """Pages of 1,000 objects over loopback: when all are new, after 1 % changed, and all in one go."""
    quiet()
    serve(directory, FEED)
    with web_server(directory), Engine(check(_configured(directory)).usable()) as made:
        made.poll("feed")
        forget_peak()
        with spent() as publishing:
            made.evaluate()
        published = publishing.figures(n, "objects")
        forget_peak()
        with _served(made) as client:
            fresh = _pages(made, client, n)
            served = {"serving_peak_mib": peak_mib()}
            serve(directory, NEXT)
            made.poll("feed")
            with spent() as changing:
                made.evaluate()
            return {
                "publishing": published,
                "publishing_1_percent": changing.figures(),
                "fresh": fresh,
                "after_1_percent": _pages(made, client, n),
                **_others(made, client, n),
                **served,
            }


def _configured(directory: Path) -> Path:
    place = directory / "taxii"
    place.mkdir(exist_ok=True)
    text = configuration(directory).read_text(encoding="utf-8")
    before, _, _ = text.partition("outputs:")
    path = place / "tipline.yml"
    path.write_text(before + "outputs:\n  objects: {kind: taxii, inputs: inbound}\n", encoding="utf-8")
    return path


@contextmanager
def _served(made: Engine) -> Iterator[httpx.Client]:
    app = FastAPI()
    app.include_router(server.router(made, made.poll))
    web = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
    output = _output(made)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=web.run, args=([listener],))
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        path = f"/taxii2/api/collections/{output.collection_id(_instance(made))}/"
        try:
            with httpx.Client(base_url=address + path, trust_env=False, timeout=120, headers=_V21) as client:
                yield client
        finally:
            web.should_exit = True
            thread.join()


def _pages(made: Engine, client: httpx.Client, n: int) -> dict[str, Any]:
    """Time of a page at three places; `next` is made as the server makes it."""
    with made.lake.reading() as con:
        table = objects_table(made.graph.ids["objects"])
        (last,) = con.execute(f"SELECT max(seq) FROM {table}").fetchone() or (0,)
        (created,) = con.execute("SELECT created FROM nodes WHERE name = 'objects'").fetchone() or (None,)
    cursor = Cursor(f"{_output(made).collection_id(_instance(made))} {created.isoformat()}", Filters())
    places = {"first": 0, "middle": n // 2, "end": last - _PAGE - 1}
    return {name: _timed(client, {"limit": _PAGE, "next": cursor.write(at)}) for name, at in places.items()}


def _others(made: Engine, client: httpx.Client, n: int) -> dict[str, Any]:
    """Everything in one go, what came since, one object, and a page by numbers (2.0)."""
    with spent() as walk:
        count, slowest, last = _walk(client)
    since = (made.clock() - timedelta(hours=1)).isoformat() + "Z"
    middle = {**_V20, "range": f"items {n // 2}-{n // 2 + _PAGE - 1}"}
    return {
        "everything": {**walk.figures(count, "objects"), "slowest_page_ms": slowest},
        "added_after": _timed(client, {"limit": _PAGE, "added_after": since}),
        "one_object": _timed(client, {}, f"objects/{last}/"),
        "by_numbers_2_0": _timed(client, {}, headers=middle),
    }


def _walk(client: httpx.Client) -> tuple[int, float, str]:
    query: dict[str, Any] = {"limit": _PAGE}
    count, slowest = 0, 0.0
    while True:
        begin = time.perf_counter()
        answer = client.get("objects/", params=query)
        slowest = max(slowest, time.perf_counter() - begin)
        page = answer.json()
        count += len(page["objects"])
        if not page["more"]:
            return count, round(slowest * 1000, 1), page["objects"][-1]["id"]
        query["next"] = page["next"]


def _timed(
    client: httpx.Client, query: dict[str, Any], path: str = "objects/", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    taken = []
    with spent() as all_of_them:
        for _ in range(_REPEATS):
            begin = time.perf_counter()
            answer = client.get(path, params=query, headers=headers)
            taken.append(time.perf_counter() - begin)
            answer.raise_for_status()
    # The client's share is in it: asking and reading, not parsing.
    cpu = round(all_of_them.cpu / _REPEATS * 1000, 1)
    return {"cpu_ms": cpu, **percentiles(taken), "bytes": len(answer.content)}


def _output(made: Engine) -> TaxiiKind:
    output = made.graph.outputs["objects"]
    assert isinstance(output, TaxiiKind)
    return output


def _instance(made: Engine) -> str:
    return made.configuration.settings.instance
