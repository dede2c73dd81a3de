"""schemathesis asks everything that the specification says may be asked; no answer is a server error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from api.asking import Client, two_teams
from tipline.api.app import create_app
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

# What runs for as long as somebody listens is tried elsewhere.
_ENDLESS = {"/events"}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: Any) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("specification")
    with Engine(two_teams(folder)) as engine, closing(Operations(engine)) as operations:
        operations.call("user_add", {"name": "ann", "role": "admin"})
        operations.call("poll", {"source": "shared-feed"})
        key = operations.call("key_add", {"user": "ann", "rate": 100_000})["key"]
        yield Client(create_app(operations, "t0ken"), headers={"Authorization": f"Bearer {key}"})


def test_no_request_of_the_specification_makes_the_server_fail(ask: Client) -> None:
    schema = schemathesis.openapi.from_dict(ask("GET", "/api/v1/openapi.json").json())
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in _ENDLESS:
            continue

        @settings(max_examples=8, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
                  suppress_health_check=list(HealthCheck), derandomize=True)  # fmt: skip
        @given(case=operation.as_strategy())
        def tried(case: Any) -> None:
            nonlocal asked
            sent = case.as_transport_kwargs(base_url="http://tipline/api/v1")
            kept = {name: sent[name] for name in ("params", "json", "data") if sent.get(name) is not None}
            headers = {k: v for k, v in dict(sent.get("headers") or {}).items() if v.isascii()}
            answer = ask(sent["method"], sent["url"], headers={**headers, **ask.headers}, **kept)
            assert answer.status_code < 500, (sent["method"], sent["url"], kept, answer.text)
            if answer.status_code >= 400:  # every refusal is a problem document (RFC 9457)
                assert answer.headers["content-type"] == "application/problem+json", (sent["url"], answer.text)
                assert answer.json().keys() >= {"type", "title", "status", "detail"}, answer.text
                assert answer.json()["status"] == answer.status_code
            asked += 1

        tried()
    assert asked > 100
