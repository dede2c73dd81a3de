"""Faults on demand, each proved by the state they leave."""

from __future__ import annotations

import httpx
import pytest

from tipline.errors import ConfigError
from tipline.sandbox import Faults

DEFENDER_SCOPE = "https://api.securitycenter.microsoft.com/.default"


def active(sandbox):
    return sandbox.state()["defender"]["active"]


def test_a_connection_dropped_before_the_work_leaves_nothing(sandbox, defender):
    sandbox.faults.set(drop_before_every=1, only=("defender.post",))
    with pytest.raises(httpx.RemoteProtocolError):
        defender.post()
    assert (active(sandbox), sandbox.faults.struck["drop_before"]) == (0, 1)
    assert sandbox.state()["calls"]["defender.post"]["by_result"] == {"dropped-before": 1}
    assert defender.listed() == []


def test_a_connection_dropped_after_the_work_leaves_it_done(sandbox, defender, new_indicator):
    sandbox.faults.set(drop_after_every=1, only=("defender.import",), times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        defender.bulk([new_indicator("a.example.com"), new_indicator("b.example.com")])
    assert active(sandbox) == 2
    assert sandbox.state()["calls"]["defender.import"]["by_result"] == {"dropped-after-200": 1}
    assert not any(each["isFailed"] for each in defender.bulk([new_indicator("a.example.com")]).json()["value"])
    assert active(sandbox) == 2


def test_sentinel_uploads_drop_alike(sandbox, sentinel, new_stix):
    sandbox.faults.set(drop_after_every=2, only=("sentinel",))
    sentinel.upload([new_stix("a.example.com")])
    with pytest.raises(httpx.RemoteProtocolError):
        sentinel.upload([new_stix("b.example.com")])
    assert len(sandbox.sentinel_objects()) == 2


def test_every_nth_and_the_route_filter(sandbox, defender, sentinel, new_stix):
    sandbox.faults.set(throttle_every=3, retry_after=7, only=("defender",))
    answers = [defender.call("GET", "/api/indicators") for _ in range(6)]
    assert [each.status_code for each in answers] == [200, 200, 429] * 2
    assert answers[2].headers["Retry-After"] == "7"
    assert sentinel.upload([new_stix()]).status_code == 200


def test_each_service_fails_in_its_own_shape(sandbox, defender, sentinel, caller, new_stix):
    for fault, status in (({"throttle_every": 1}, 429), ({"error_every": 1}, 500)):
        sandbox.faults.set(**fault)
        assert "code" in defender.post().json()["error"]
        assert sentinel.upload([new_stix()]).json()["statusCode"] == status
        assert sentinel.arm("GET", "/metrics").status_code == status
        answer = caller().token(DEFENDER_SCOPE)
        assert answer.status_code == {429: 429, 500: 503}[status]
        assert answer.json()["error"] == "temporarily_unavailable"


def test_partial_failures_by_value_and_by_count(sandbox, defender, sentinel, new_indicator, new_stix):
    sandbox.faults.set(fail_items_matching="^b", fail_reason="because")
    names = ["a.example.com", "b.example.com", "c.example.com"]
    items = defender.bulk([new_indicator(each) for each in names]).json()["value"]
    assert [each["failureReason"] for each in items] == [None, "because", None]
    assert defender.post(value="b.example.com").json()["error"]["message"] == "because"
    sandbox.faults.set(fail_items_matching="b.example")
    errors = sentinel.upload([new_stix(each) for each in names]).json()["errors"]
    assert [each["recordIndex"] for each in errors] == [1]
    sandbox.faults.set(fail_items_every=2)
    items = defender.bulk([new_indicator(f"d{n}.example.com") for n in range(4)]).json()["value"]
    assert [each["isFailed"] for each in items] == [False, True, False, True]
    assert active(sandbox) == 4


def test_slow_answers_come_after_the_work(sandbox, defender):
    sandbox.faults.set(slow_ms=60_000, only=("defender.post",))
    with pytest.raises(httpx.ReadTimeout):
        defender.http.post(
            "/api/indicators",
            headers=defender.headers,
            timeout=0.3,
            json={
                "indicatorValue": "a.example.com",
                "indicatorType": "DomainName",
                "action": "Audit",
                "title": "t",
                "description": "d",
                "generateAlert": True,
            },
        )
    assert (active(sandbox), sandbox.faults.struck["slow"]) == (1, 1)


def test_random_faults_repeat_with_their_seed():
    def outcome(seed):
        faults = Faults()
        faults.set(throttle_rate=0.3, drop_after_rate=0.3, seed=seed)
        return [faults.decide("defender.post").kind for _ in range(50)]

    assert outcome(1) == outcome(1) != outcome(2)
    assert set(outcome(1)) == {"", "throttle", "drop_after"}


def test_plans_add_up_and_are_spent():
    faults = Faults()
    faults.set(throttle_every=2, times=1)
    faults.add(drop_before_every=3, only="arm")
    assert [faults.decide("arm.get").kind for _ in range(6)] == [
        "",
        "throttle",
        "drop_before",
        "",
        "",
        "drop_before",
    ]


def test_wrong_names_and_expressions_are_refused(sandbox, caller):
    with pytest.raises(ConfigError, match="trottle"):
        sandbox.faults.set(trottle_every=1)
    with pytest.raises(ConfigError, match="regular expression"):
        sandbox.faults.set(fail_items_matching="(")
    sandbox.faults.set(slow_ms=1)
    answer = caller().http.post("/sandbox/faults", json=[{"error_every": 1}, {"nope": 1}])
    assert (answer.status_code, len(sandbox.faults.plans), sandbox.faults.plans[0].slow_ms) == (400, 1, 1)
