"""Our clients against the stand-in under faults: nothing lost, nothing doubled."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tipline.microsoft.defender import DefenderClient, odata_quote
from tipline.microsoft.defender_body import IndicatorBody, body_for
from tipline.microsoft.results import Fault
from tipline.microsoft.sentinel import SentinelClient
from tipline.microsoft.sentinel_arm import ArmClient, Workspace, resource_name
from tipline.microsoft.stix import StixIndicator, indicator_object, pattern_for, stix_id
from tipline.microsoft.transport import ApiError
from tipline.sandbox import Sandbox

NOW = datetime.now(UTC)
SAMPLES = [
    ("ipv4", "123.123.123.123"),
    ("ipv6", "2001:4860:4860::8888"),
    ("domain", "evil.example"),
    ("url", "http://evil.example/a?b='c'&d=e"),
    ("sha1", "a" * 40),
    ("sha256", "a" * 64),
    ("email", "bob@evil.example"),
    ("file-name", "it's.exe"),
    ("file-path", "C:\\Temp\\a.exe"),
    ("registry-key", "HKEY_LOCAL_MACHINE\\Software\\x"),
    ("mutex", "Global\\m"),
    ("command-line", "cmd /c 'x'"),
    ("asn", "AS64500"),
    ("certificate-sha1", "b" * 40),
]


def bodies(count, **more):
    made = [
        body_for(
            IndicatorBody(
                type="domain",
                value=f"d{n}.evil.example",
                title="t",
                external_id=f"tipline:lab:defender:{n}",
                expiration=NOW + timedelta(days=30),
                **more,
            )
        )
        for n in range(count)
    ]
    return [each for each in made if isinstance(each, dict)]


def stix(type_, value, **more):
    base = {
        "id": stix_id("lab", "tipline", type_, value),
        "pattern": pattern_for(type_, value) or "",
        "created": NOW,
        "modified": NOW,
        "valid_from": NOW,
        "valid_until": NOW + timedelta(days=30),
    }
    return indicator_object(StixIndicator(**{**base, **more}))


def domains(count, **more):
    return [stix("domain", f"d{n}.evil.example", **more) for n in range(count)]


FAULTS = [
    {"throttle_every": 2},
    {"error_every": 2},
    {"drop_before_every": 2},
    {"drop_after_every": 2},
    {"throttle_rate": 0.2, "error_rate": 0.2, "drop_before_rate": 0.2, "drop_after_rate": 0.2, "seed": 1},
]


@pytest.fixture
def defender(credentials, open_client):
    return open_client(DefenderClient, credentials(), attempts=12)


@pytest.fixture
def sentinel(credentials, open_client, sandbox):
    return open_client(SentinelClient, credentials(), sandbox.workspace_id, attempts=12)


@pytest.fixture
def arm(credentials, open_client, sandbox):
    place = Workspace(sandbox.subscription_id, sandbox.resource_group, sandbox.workspace_name)
    return open_client(ArmClient, credentials(), place, attempts=12)


@pytest.mark.parametrize("fault", FAULTS)
def test_defender_under_faults_holds_each_indicator_once_and_then_none(sandbox, defender, fault):
    sandbox.faults.set(only=("defender",), **fault)
    items = bodies(40)
    results = [r for start in range(0, 40, 5) for r in defender.import_indicators(items[start : start + 5])]
    assert all(r.ok for r in results)
    held = [row["indicatorValue"] for row in defender.list_all()]
    assert Counter(held) == Counter(item["indicatorValue"] for item in items)
    ids = [r.id for r in results]
    assert sorted(ids) == sorted(row["id"] for row in defender.list_all())
    gone = [r for start in range(0, 40, 5) for r in defender.delete(ids[start : start + 5])]
    assert all(r.ok for r in gone)
    assert sandbox.defender_indicators() == []
    assert sum(sandbox.faults.struck.values()) > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_sentinel_under_faults_holds_each_object_once(sandbox, sentinel, fault):
    sandbox.faults.set(only=("sentinel",), **fault)
    objects = domains(40)
    results = [r for start in range(0, 40, 5) for r in sentinel.upload(objects[start : start + 5], "tipline")]
    assert all(r.ok for r in results)
    held = [each["id"] for each in sandbox.sentinel_objects()]
    assert Counter(held) == Counter(resource_name("tipline", each["id"]) for each in objects)
    assert sum(sandbox.faults.struck.values()) > 0


def test_an_import_whose_answer_was_lost_makes_no_second_copy(sandbox, defender):
    sandbox.faults.set(only=("defender.import",), drop_after_every=1, times=1)
    assert all(r.ok for r in defender.import_indicators(bodies(3)))
    assert len(sandbox.defender_indicators()) == 3


def test_a_deletion_whose_answer_was_lost_is_still_a_deletion(sandbox, defender):
    ids = [r.id for r in defender.import_indicators(bodies(3))]
    sandbox.faults.set(only=("defender.batch-delete",), drop_after_every=1, times=1)
    assert all(r.ok for r in defender.delete(ids))
    assert sandbox.faults.struck["drop_after"] == 1
    assert sandbox.defender_indicators() == []


@pytest.mark.parametrize("guess", ["nothing-deleted", "others-deleted"])
def test_unknown_ids_in_a_deletion_under_both_guesses(sandbox, defender, guess):
    sandbox.behaviour.change(batch_delete_404=guess)
    ids = [r.id for r in defender.import_indicators(bodies(6))]
    results = defender.delete([*ids[:3], "987654", *ids[3:5]])
    assert all(r.ok for r in results)
    assert [row["id"] for row in sandbox.defender_indicators()] == [ids[5]]


@pytest.mark.parametrize("shape", ["text", "code-and-text"])
def test_partial_failures_name_the_items_and_keep_the_others(sandbox, defender, shape):
    sandbox.behaviour.change(failure_reason=shape)
    sandbox.faults.set(fail_items_matching=r"^d[37]\.")
    results = defender.import_indicators(bodies(10))
    assert [n for n, r in enumerate(results) if not r.ok] == [3, 7]
    assert "Simulated failure" in (results[3].reason or "")
    assert len(sandbox.defender_indicators()) == 8


@pytest.mark.parametrize("guess", ["per-item", "whole-call"])
def test_a_full_tenant_is_a_matter_of_quota_under_both_guesses(sandbox, defender, guess):
    sandbox.behaviour.change(quota_import=guess)
    sandbox.faults.set(quota=4)
    results = defender.import_indicators(bodies(8))
    assert len(sandbox.defender_indicators()) == sum(r.ok for r in results)
    assert {r.fault for r in results if not r.ok} == {Fault.QUOTA}
    assert sum(r.ok for r in results) == 4


@pytest.mark.parametrize("guess", ["accepted", "refused"])
def test_the_probe_under_both_guesses(sandbox, defender, guess):
    sandbox.behaviour.change(import_empty=guess)
    assert defender.probe() == {"Ti.ReadWrite.All"}


def test_a_token_that_ends_on_the_way_is_renewed(sandbox, defender):
    defender.probe()
    sandbox.advance(7200)
    assert all(r.ok for r in defender.import_indicators(bodies(1)))


def test_every_body_is_accepted_by_defender(defender):
    made = [body_for(IndicatorBody(type=t, value=v, title="t", action="Allowed")) for t, v in SAMPLES]
    sent = [each for each in made if isinstance(each, dict)]
    assert len(sent) == 7
    assert [r.reason for r in defender.import_indicators(sent) if not r.ok] == []


def test_a_filter_with_a_quoted_value_finds_it(defender):
    value = "http://evil.example/a?b='c'&d=e"
    defender.import_indicators([body_for(IndicatorBody(type="url", value=value, title="t"))])
    found = list(defender.list_all(f"indicatorValue eq {odata_quote(value)}"))
    assert [row["indicatorValue"] for row in found] == [value]


def test_a_missing_role_is_explained(sandbox, credentials, open_client):
    app = sandbox.add_app("bare", roles=("ThreatIndicators.ReadWrite.OwnedBy",))
    made = credentials(client_id=app.client_id, client_secret=app.client_secret)
    with pytest.raises(ApiError, match="lacks the Defender role"):
        open_client(DefenderClient, made).probe()
    with pytest.raises(ApiError, match=r"retired permission ThreatIndicators\.ReadWrite\.OwnedBy") as caught:
        open_client(SentinelClient, made, sandbox.workspace_id).upload(domains(1), "tipline")
    assert "take time to propagate" in caught.value.fix


def test_an_unknown_workspace_is_explained(credentials, open_client):
    client = open_client(SentinelClient, credentials(), "7e57ab1e-0000-4000-8000-00000000dead")
    with pytest.raises(ApiError, match="no workspace 7e57ab1e"):
        client.upload(domains(1), "tipline")


def test_every_pattern_gives_rows_with_the_value(sandbox, sentinel):
    objects = [stix(t, v) for t, v in SAMPLES]
    assert [r.reason for r in sentinel.upload(objects, "tipline") if not r.ok] == []
    rows = sandbox.query("SELECT Id, ObservableKey, ObservableValue, IsActive FROM ThreatIntelIndicators")
    by_id = {row["Id"]: row for row in rows}
    for each, (type_, value) in zip(objects, SAMPLES, strict=True):
        row = by_id[resource_name("tipline", each["id"])]
        assert row["ObservableKey"], type_
        if type_ not in {"file-path", "asn"}:
            assert row["ObservableValue"] == value


@pytest.mark.parametrize("retry_after", ["absent", "present"])
def test_sentinels_429_in_both_shapes(sandbox, sentinel, clock, retry_after):
    sandbox.behaviour.change(retry_after=retry_after)
    sandbox.faults.set(only=("sentinel",), throttle_every=1, retry_after=3, times=1)
    assert all(r.ok for r in sentinel.upload(domains(5), "tipline"))
    assert clock.waits == [3.0]


@pytest.mark.parametrize("guess", ["refused", "accepted"])
def test_bad_objects_fail_alone_and_together(sandbox, sentinel, guess):
    sandbox.behaviour.change(none_valid=guess)
    good, bad = domains(3), [{**each, "confidence": 900} for each in domains(6)[3:]]
    results = sentinel.upload([good[0], bad[0], good[1], bad[1], good[2]], "tipline")
    assert [r.ok for r in results] == [True, False, True, False, True]
    assert "confidence" in (results[1].reason or "").lower()
    assert [r.fault for r in sentinel.upload(bad, "tipline")] == [Fault.INVALID] * 3
    assert len(sandbox.sentinel_objects()) == 3


def test_arm_reads_counts_and_deletes_what_was_uploaded(sandbox, sentinel, arm):
    objects = domains(150)
    sentinel.upload(objects[:100], "tipline")
    sentinel.upload(objects[100:], "tipline")
    sentinel.upload(domains(2), "another")
    names = {resource_name("tipline", each["id"]) for each in objects}
    assert {row["name"] for row in arm.list_by_source("tipline")} == names
    assert arm.count("tipline") == 150
    first = objects[0]["id"]
    assert len(arm.query([first, "indicator--00000000-0000-4000-8000-000000000000"])) >= 1
    name = resource_name("tipline", first)
    assert arm.get(name) is not None
    arm.delete(name)
    assert arm.get(name) is None
    assert arm.delete(name) is False
    assert arm.count("tipline") == 149


def test_the_limits_are_kept_and_a_client_that_does_not_know_of_others_waits_them_out(credentials, open_client, clock):
    start, begun = datetime.now(UTC), clock.now

    def present():
        return start + timedelta(seconds=clock.now - begun)

    with Sandbox(clock=present) as strict:
        made = credentials(
            login_url=strict.login_url,
            defender_url=strict.defender_url,
            ca_file=strict.ca_file,
            client_secret=strict.client_secret,
        )
        first, second = open_client(DefenderClient, made), open_client(DefenderClient, made)
        for _ in range(31):
            assert first.import_indicators(bodies(1))[0].ok
        refused = strict.state()["calls"]["defender.import"]["refused"]
        assert refused == 0
        for _ in range(30):
            assert second.import_indicators(bodies(1))[0].ok
        assert strict.state()["calls"]["defender.import"]["refused"] > 0
        assert len(strict.defender_indicators()) == 1
