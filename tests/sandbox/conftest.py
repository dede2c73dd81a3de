from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tipline.sandbox import Sandbox

DEFENDER_SCOPE = "https://api.securitycenter.microsoft.com/.default"
ARM_SCOPE = "https://management.azure.com/.default"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class Caller:
    """An HTTP client that signs in by hand, as the connectors do."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        verify = ssl.create_default_context(cafile=sandbox.ca_file) if sandbox.url.startswith("https") else False
        self.http = httpx.Client(base_url=sandbox.url, verify=verify)
        self.headers: dict[str, str] = {}

    def token(self, scope: str, client: str = "", secret: str = "", tenant: str = "", **form: str) -> httpx.Response:
        sandbox = self.sandbox
        body = {
            "grant_type": "client_credentials",
            "client_id": client or sandbox.client_id,
            "client_secret": secret or sandbox.client_secret,
            "scope": scope,
        } | form
        return self.http.post(f"/{tenant or sandbox.tenant_id}/oauth2/v2.0/token", data=body)

    def sign_in(self, scope: str, client: str = "", secret: str = "") -> Caller:
        answer = self.token(scope, client, secret)
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, path, headers=self.headers, **more)

    # Defender
    def post(self, **item: Any) -> httpx.Response:
        return self.call("POST", "/api/indicators", json=indicator(**item))

    def bulk(self, items: list[Any]) -> httpx.Response:
        return self.call("POST", "/api/indicators/import", json={"Indicators": items})

    def listed(self, **params: str) -> list[dict[str, Any]]:
        answer = self.call("GET", "/api/indicators", params={f"${name}": value for name, value in params.items()})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["value"])

    # Sentinel
    def upload(self, things: list[Any], source: str = "tipline", **params: str) -> httpx.Response:
        path = f"/workspaces/{self.sandbox.workspace_id}/threat-intelligence-stix-objects:upload"
        body = {"sourcesystem": source, "stixobjects": things}
        return self.call("POST", path, params={"api-version": "2024-02-01-preview"} | params, json=body)

    def arm(self, method: str, path: str, **more: Any) -> httpx.Response:
        sandbox = self.sandbox
        base = (
            f"/subscriptions/{sandbox.subscription_id}/resourceGroups/{sandbox.resource_group}/providers/"
            f"Microsoft.OperationalInsights/workspaces/{sandbox.workspace_name}/providers/Microsoft.SecurityInsights/"
            "threatIntelligence/main"
        )
        params = {"api-version": "2025-07-01-preview"} | more.pop("params", {})
        return self.call(method, base + path, params=params, **more)


def indicator(value: str = "bad.example.com", kind: str = "DomainName", **more: Any) -> dict[str, Any]:
    base = {"indicatorValue": value, "indicatorType": kind, "action": "Audit", "title": "a title"}
    return base | {"description": "a description", "generateAlert": True} | more


def stix(value: str = "bad.example.com", *, pattern: str | None = None, **more: Any) -> dict[str, Any]:
    when = "2026-03-01T00:00:00Z"
    name = uuid.uuid5(uuid.NAMESPACE_DNS, pattern or value)
    base = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{name}",
        "created": when,
        "modified": when,
    }
    pattern = f"[domain-name:value = '{value}']" if pattern is None else pattern
    base |= {"pattern": pattern, "pattern_type": "stix", "valid_from": when}
    return base | {"valid_until": "2026-04-01T00:00:00Z"} | more


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        yield running


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[Callable[..., Caller]]:
    made: list[Caller] = []

    def make(scope: str = "", client: str = "", secret: str = "") -> Caller:
        fresh = Caller(sandbox)
        made.append(fresh)
        return fresh.sign_in(scope, client, secret) if scope else fresh

    yield make
    for each in made:
        each.http.close()


@pytest.fixture
def defender(caller: Callable[..., Caller]) -> Caller:
    return caller(DEFENDER_SCOPE)


@pytest.fixture
def sentinel(caller: Callable[..., Caller]) -> Caller:
    return caller(ARM_SCOPE)


@pytest.fixture
def new_indicator() -> Callable[..., dict[str, Any]]:
    return indicator


@pytest.fixture
def new_stix() -> Callable[..., dict[str, Any]]:
    return stix
