"""The web application: health, metrics, and operations for this machine alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from tipline.api.app import create_app
from tipline.api.metrics import METRICS
from tipline.config.check import check_text
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

TOKEN = "t0ken"
OPERATIONS = "/api/v1/operations"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
CONFIG = """\
sources:
  feed: {{kind: lines, url: 'file://{folder}/feed.txt', confidence: 80, tlp: clear}}
  by-hand: {{kind: local, tlp: clear}}
outputs:
  all: {{kind: list, inputs: [feed, by-hand]}}
  defender: {{kind: microsoft-defender, inputs: feed}}
"""


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    """Operations on a small engine."""
    (tmp_path / "feed.txt").write_text("1.2.3.4\n5.6.7.8\n10.0.0.1\n")
    text = CONFIG.format(folder=tmp_path)
    configuration = check_text(text, tmp_path / "tipline.yml").usable()
    with Engine(configuration) as engine, closing(Operations(engine)) as found:
        yield found


@pytest.fixture
def alive(operations: Operations, monkeypatch: Any) -> None:
    """The engine's thread seems to run."""
    monkeypatch.setattr(type(operations.scheduler), "alive", True)


class Client:
    """Asks an application without a network, from an address of one's choice."""

    def __init__(self, app: FastAPI, host: str) -> None:
        self.transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(host, 50000))

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request."""

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://tipline") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(ask())

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **arguments)


def asker(app: FastAPI, host: str = "127.0.0.1") -> Client:
    return Client(app, host)


@pytest.fixture
def client(operations: Operations) -> Client:
    """Asks from this machine."""
    return asker(create_app(operations, TOKEN))


def test_operations_ask_for_the_token(client: Client) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer é"},
    ):
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = client.post(f"{OPERATIONS}/status", json={}, headers=raw)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"

    assert client.post(f"{OPERATIONS}/status", json={}, headers=RIGHT).json()["instance"] == "tipline"


def test_operations_are_for_this_machine_alone(operations: Operations) -> None:
    app = create_app(operations, TOKEN)

    assert asker(app, "192.0.2.1").post(f"{OPERATIONS}/status", json={}, headers=RIGHT).status_code == 403
    spoofed = {**RIGHT, "X-Forwarded-For": "127.0.0.1"}
    assert asker(app, "192.0.2.1").post(f"{OPERATIONS}/status", json={}, headers=spoofed).status_code == 403
    assert asker(app, "::1").post(f"{OPERATIONS}/status", json={}, headers=RIGHT).status_code == 200


def test_the_operations_are_listed(client: Client) -> None:
    assert client.get(OPERATIONS).status_code == 401
    assert "allow" in client.get(OPERATIONS, headers=RIGHT).json()


def test_a_body_may_be_left_out(client: Client) -> None:
    assert client.post(f"{OPERATIONS}/holds", headers=RIGHT).json() == {"holds": []}


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("nothing", {}, 404, "request"),
        ("list", {"node": "al"}, 400, "request"),
        ("list", {"node": 7}, 400, "request"),
        ("list", [], 400, "request"),
        ("why", {"value": "no indicator"}, 400, "request"),
        ("plan", {"text": "sources: {feed: {kind: lins}}", "path": "x.yml"}, 422, "config"),
    ],
)
def test_errors_are_problem_documents(client: Client, name: str, body: Any, status: int, code: str) -> None:
    answer = client.post(f"{OPERATIONS}/{name}", json=body, headers=RIGHT)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["code"] == code
    assert answer.json()["what"] == answer.json()["detail"]
    assert answer.json()["fix"]


def test_an_unforeseen_error_tells_nothing_of_the_program(operations: Operations, monkeypatch: Any) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("s3cr3t in /some/path")

    monkeypatch.setattr(operations, "call", fail)
    answer = asker(create_app(operations, TOKEN)).post(f"{OPERATIONS}/status", json={}, headers=RIGHT)

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "s3cr3t" not in answer.text
    assert "Traceback" not in answer.text


def test_unknown_pages_and_methods_are_problem_documents_too(client: Client) -> None:
    assert client.get("/nothing").json()["status"] == 404
    assert client.get(f"{OPERATIONS}/status", headers=RIGHT).json()["status"] == 405
    for page in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(page).status_code == 404


def test_health_is_503_when_the_engine_has_stopped(client: Client) -> None:
    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["status"] == "dead"


@pytest.mark.usefixtures("alive")
def test_health_names_what_is_wrong(client: Client, operations: Operations, tmp_path: Path) -> None:
    operations.call("poll", {"source": "feed"})
    assert client.get("/health").json() == {"status": "ok", "problems": []}

    (tmp_path / "feed.txt").unlink()
    operations.call("poll", {"source": "feed"})
    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert [problem["node"] for problem in answer.json()["problems"]] == ["feed"]


def samples(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metric(found: Any, name: str, **labels: str) -> float | None:
    value: float | None = found.get((name, frozenset(labels.items())))
    return value


def test_metrics_tell_what_nodes_hold_and_what_runs_did(client: Client, operations: Operations) -> None:
    operations.call("poll", {"source": "feed"})
    operations.call("poll", {"source": "feed"})
    found = samples(client)

    assert metric(found, "tipline_indicators", node="feed", sort="source", kind="lines") == 2
    assert metric(found, "tipline_indicators", node="all", sort="output", kind="list") == 2
    assert metric(found, "tipline_runs_total", node="feed", state="ok") == 1
    assert metric(found, "tipline_runs_total", node="feed", state="unchanged") == 1
    assert metric(found, "tipline_records_read_total", node="feed") == 3
    assert metric(found, "tipline_records_accepted_total", node="feed") == 2
    assert metric(found, "tipline_records_dropped_total", node="feed", reason="not-routable") == 1
    assert metric(found, "tipline_delivery_state", output="defender", state="needs credentials") == 1
    age = metric(found, "tipline_last_success_age_seconds", node="feed")
    assert age is not None
    assert age >= 0


def test_counters_never_go_back(client: Client, operations: Operations) -> None:
    operations.call("poll", {"source": "feed"})
    before = samples(client)
    operations.call("poll", {"source": "feed"})
    after = samples(client)

    counters = [key for key in before if key[0].endswith("_total")]
    assert counters
    assert all(after[key] >= before[key] for key in counters)


def test_held_indicators_are_counted(client: Client, operations: Operations, tmp_path: Path) -> None:
    (tmp_path / "feed.txt").write_text("".join(f"1.2.3.{n}\n" for n in range(100)))
    operations.call("poll", {"source": "feed"})
    (tmp_path / "feed.txt").write_text("1.2.3.1\n")
    operations.call("poll", {"source": "feed"})

    assert metric(samples(client), "tipline_held", node="feed", what="withdrawals") == 99


def test_every_metric_has_help_and_its_documented_labels(client: Client, operations: Operations) -> None:
    operations.call("poll", {"source": "feed"})
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}

    assert set(families) == set(METRICS)
    for name, family in families.items():
        assert family.documentation
        assert all(set(sample.labels) == set(METRICS[name][2]) for sample in family.samples)


def test_without_lists_only_health_and_operations_are_served(operations: Operations) -> None:
    client = asker(create_app(operations, TOKEN, lists=False))

    assert client.get("/feeds/all").status_code == 404
    assert client.get("/metrics").status_code == 404
    assert client.post(f"{OPERATIONS}/holds", json={}, headers=RIGHT).status_code == 200
