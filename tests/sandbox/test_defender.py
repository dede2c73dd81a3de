"""Rows 6 to 20: the Defender indicators API."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import quote

import pytest

DEFENDER_SCOPE = "https://api.securitycenter.microsoft.com/.default"


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


# ---- rows 6, 7: windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("GET", "/api/indicators", 100),
        ("POST", "/api/indicators", 100),
        ("DELETE", "/api/indicators/9", 100),
        ("POST", "/api/indicators/import", 30),
        ("POST", "/api/indicators/BatchDelete", 30),
    ],
)
def test_calls_a_minute_by_route(sandbox, defender, clock, method, path, most):
    for _ in range(most):
        assert defender.call(method, path).status_code != 429
    refused = defender.call(method, path)
    assert code(refused) == (429, "TooManyRequests")
    assert refused.headers["Retry-After"] == "60"
    assert re.fullmatch(r"[0-9a-f-]{36}", refused.json()["error"]["target"])
    clock.move(seconds=59)
    assert defender.call(method, path).headers["Retry-After"] == "1"
    clock.move(seconds=1)
    assert defender.call(method, path).status_code != 429


def test_calls_an_hour_and_other_apps_have_their_own(sandbox, caller, defender, clock):
    sandbox.limits.windows["defender.list"] = ((10, 60), (25, 3600))
    answers = []
    for _ in range(6):
        answers += [defender.call("GET", "/api/indicators").status_code for _ in range(5)]
        clock.move(seconds=61)
    assert answers == [200] * 25 + [429] * 5
    other = sandbox.add_app("other", secret="x")
    assert caller(DEFENDER_SCOPE, other.client_id, "x").call("GET", "/api/indicators").status_code == 200
    clock.move(hours=1)
    defender.sign_in(DEFENDER_SCOPE)
    assert defender.call("GET", "/api/indicators").status_code == 200


def test_limits_can_be_scaled_counted_strictly_and_switched_off(sandbox, defender, clock):
    sandbox.limits.scale = 0.1
    sandbox.limits.count_refused = True
    seen = [defender.call("GET", "/api/indicators").status_code for _ in range(12)]
    assert seen == [200] * 10 + [429] * 2
    clock.move(seconds=59)
    assert defender.call("GET", "/api/indicators").status_code == 429
    sandbox.limits.enabled = False
    assert defender.call("GET", "/api/indicators").status_code == 200


# ---- rows 8 to 10: import --------------------------------------------------------------------------------


def test_import_over_500_is_refused_as_a_whole(defender, new_indicator):
    refused = defender.bulk([new_indicator(f"a{n}.example.com") for n in range(501)])
    assert code(refused) == (400, "MaximumBatchSizeExceeded")
    assert refused.json()["error"]["message"] == "Maximum batch size exceeded. Received: 501, allowed: 500."
    assert defender.listed() == []


def test_import_answers_item_by_item_in_order(sandbox, defender, new_indicator):
    answer = defender.bulk(
        [
            new_indicator("a.example.com"),
            new_indicator("10.0.0.1", "IpAddress"),
            new_indicator("b.example.com"),
        ]
    )
    assert answer.status_code == 200
    first, bad, last = answer.json()["value"]
    assert first == {"id": "1", "indicator": "a.example.com", "isFailed": False, "failureReason": None}
    assert (bad["id"], bad["indicator"], bad["isFailed"]) == (None, "10.0.0.1", True)
    assert "internal" in bad["failureReason"]
    assert (last["id"], last["isFailed"]) == ("2", False)
    sandbox.behaviour.change(import_failed_id="omitted", failure_reason="code-and-text")
    bad = defender.bulk([new_indicator("10.0.0.1", "IpAddress")]).json()["value"][0]
    assert "id" not in bad
    assert bad["failureReason"].startswith("InvalidIpAddress: ")


def test_import_body_is_case_sensitive_and_may_be_empty(sandbox, defender, new_indicator):
    wrong = defender.call("POST", "/api/indicators/import", json={"indicators": [new_indicator()]})
    assert code(wrong) == (400, "InvalidRequestBody")
    assert code(defender.call("POST", "/api/indicators/import", content=b"not json")) == (
        400,
        "InvalidRequestBody",
    )
    assert defender.bulk([]).json() == {"value": []}
    sandbox.behaviour.change(import_empty="refused")
    assert defender.bulk([]).status_code == 400


def test_capacity_counts_active_indicators_and_updates_need_no_slot(sandbox, defender, clock, new_indicator):
    sandbox.limits.capacity = 2
    soon = (clock.now + timedelta(hours=1)).isoformat()
    defender.bulk([new_indicator("a.example.com"), new_indicator("b.example.com", expirationTime=soon)])
    items = defender.bulk([new_indicator("c.example.com"), new_indicator("a.example.com", title="new")]).json()["value"]
    assert [each["isFailed"] for each in items] == [True, False]
    assert items[0]["failureReason"] == sandbox.behaviour.quota_text
    assert code(defender.post(value="c.example.com")) == (400, "InvalidInput")
    sandbox.behaviour.change(quota_import="whole-call", quota_code="DisallowedOperation")
    assert defender.bulk([new_indicator("c.example.com")]).status_code == 400
    clock.move(hours=2)
    defender.sign_in(DEFENDER_SCOPE)
    assert defender.post(value="c.example.com").status_code == 200


def test_quota_on_demand(sandbox, defender):
    sandbox.faults.set(quota=0)
    assert defender.post().status_code == 400
    sandbox.faults.clear()
    assert defender.post().status_code == 200


# ---- rows 11 to 13: what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("field", ["indicatorValue", "indicatorType", "action", "title", "description"])
def test_required_fields(sandbox, defender, new_indicator, field):
    body = new_indicator()
    value = body.pop(field)
    assert code(defender.call("POST", "/api/indicators", json=body)) == (400, "MissingRequiredParameter")
    wrong_case = body | {field[0].upper() + field[1:]: value}
    assert code(defender.call("POST", "/api/indicators", json=wrong_case)) == (
        400,
        "MissingRequiredParameter",
    )
    sandbox.behaviour.change(field_case="InvalidRequestBody")
    assert code(defender.call("POST", "/api/indicators", json=wrong_case)) == (400, "InvalidRequestBody")


SHA1, SHA256 = "a" * 40, "b" * 64
BAD_VALUES = [
    ("IpAddress", "10.1.2.3", "InvalidIpAddress"),
    ("IpAddress", "8.8.8.0/24", "InvalidIpAddress"),
    ("IpAddress", "8.8.8.8-8.8.8.9", "InvalidIpAddress"),
    ("IpAddress", "8.8.8.*", "InvalidIpAddress"),
    ("IpAddress", "127.0.0.1", "InvalidIpAddress"),
    ("IpAddress", "fe80:0:0:0:0:0:0:1", "InvalidIpAddress"),
    ("IpAddress", "2001:4860:4860::8888", "InvalidIpAddress"),
    ("IpAddress", "08.8.8.8", "InvalidIpAddress"),
    ("DomainName", "*.example.com", "InvalidDomainName"),
    ("DomainName", "_dmarc.example.com", "InvalidDomainName"),
    ("DomainName", "example.com ", "InvalidDomainName"),
    ("DomainName", "example.com.", "InvalidDomainName"),
    ("DomainName", "localhost", "InvalidDomainName"),
    ("DomainName", "1.2.3.4", "InvalidDomainName"),
    ("DomainName", "bücher.example", "InvalidDomainName"),
    ("Url", "example.com/path", "InvalidUrl"),
    ("Url", "http://exa mple.com/", "InvalidUrl"),
    ("Url", "ftp://example.com/", "InvalidUrl"),
    ("Url", "http://*.example.com/", "InvalidUrl"),
    ("Url", "http://[::1/", "InvalidUrl"),
    ("FileSha1", "a" * 39, "InvalidHashValue"),
    ("FileSha256", "g" * 64, "InvalidHashValue"),
    ("FileMd5", "a" * 32, "InvalidInput"),
    ("FileName", "a.exe", "InvalidInput"),
    ("DomainName", "   ", "InvalidInput"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), BAD_VALUES)
def test_values_that_are_refused(defender, kind, value, expected):
    assert code(defender.post(value=value, kind=kind)) == (400, expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("IpAddress", "8.8.8.8"),
        ("IpAddress", "2001:4860:4860:0:0:0:0:8888"),
        ("DomainName", "xn--bcher-kva.example"),
        ("Url", "https://example.com/a?b=c&d='e'"),
        ("Url", "http://8.8.8.8:8080/x"),
        ("FileSha1", SHA1),
        ("FileSha256", SHA256.upper()),
    ],
)
def test_values_that_are_accepted(defender, kind, value):
    assert defender.post(value=value, kind=kind).json()["indicatorValue"] == value


def test_lengths_are_limited_and_configurable(sandbox, defender):
    for field, longest in (("title", 4000), ("description", 100)):
        assert defender.post(**{field: "x" * longest}).status_code == 200
        assert code(defender.post(**{field: "x" * (longest + 1)})) == (400, "InvalidInput")
    assert code(defender.post(value=f"https://example.com/{'x' * 800}", kind="Url")) == (400, "InvalidInput")
    sandbox.limits.description_max = 0
    assert defender.post(description="x" * 5000).status_code == 200


ALLOWED = {
    "FileSha256": {"Allowed", "Audit", "Warn", "Block", "BlockAndRemediate"},
    "IpAddress": {"Allowed", "Audit", "Warn", "Block"},
    "Url": {"Allowed", "Audit", "Warn", "Block"},
    "DomainName": {"Allowed", "Audit", "Warn", "Block"},
    "CertificateThumbprint": {"Allowed", "BlockAndRemediate"},
}
VALUES = {
    "FileSha256": SHA256,
    "IpAddress": "8.8.8.8",
    "Url": "http://example.com/",
    "DomainName": "example.com",
    "CertificateThumbprint": SHA1,
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_action_by_type(sandbox, defender, kind):
    actions = ("Allowed", "Audit", "Warn", "Block", "BlockAndRemediate")
    taken = {each for each in actions if defender.post(value=VALUES[kind], kind=kind, action=each).status_code == 200}
    assert taken == ALLOWED[kind]
    sandbox.behaviour.change(action_by_type="lax")
    assert all(defender.post(value=VALUES[kind], kind=kind, action=each).status_code == 200 for each in actions)


SWITCHES = [
    ("md5", "accepted", {"kind": "FileMd5", "value": "a" * 32}),
    ("ipv6", "any", {"kind": "IpAddress", "value": "2001:4860:4860::8888"}),
    ("retired_actions", "accepted", {"action": "AlertAndBlock"}),
    ("past_expiry", "accepted", {"expirationTime": "2026-02-01T00:00:00Z"}),
    ("audit_without_alert", "accepted", {"generateAlert": False}),
    ("url_scheme", "optional", {"kind": "Url", "value": "example.com/path"}),
    ("unicode_domains", "accepted", {"value": "bücher.example"}),
]


@pytest.mark.parametrize(("switch", "option", "item"), SWITCHES)
def test_guesses_switch_both_ways(sandbox, defender, switch, option, item):
    assert defender.post(**item).status_code == 400
    sandbox.behaviour.change(**{switch: option})
    assert defender.post(**item).status_code == 200


def test_unknown_fields_switch(sandbox, defender):
    assert defender.post(colour="red").status_code == 200
    sandbox.behaviour.change(unknown_fields="refused")
    assert code(defender.post(colour="red")) == (400, "InvalidRequestBody")


@pytest.mark.parametrize(
    "item",
    [
        {"severity": "Fatal"},
        {"action": "Explode"},
        {"title": 5},
        {"rbacGroupNames": [1]},
        {"generateAlert": "yes"},
        {"expirationTime": "tomorrow"},
        {"educateUrl": "https://example.com"},
    ],
)
def test_other_bad_fields(defender, item):
    assert defender.post(**item).status_code == 400


# ---- rows 14, 19: identity and entity --------------------------------------------------------------------


def test_same_key_updates_in_place(defender, clock):
    first = defender.post(value="Bad.Example.com", application="first").json()
    clock.move(seconds=30)
    second = defender.post(value="bad.example.com", application="second", title="new").json()
    assert second["id"] == first["id"] == "1"
    assert (second["title"], second["application"]) == ("new", "first")
    assert second["creationTimeDateTimeUtc"] == first["creationTimeDateTimeUtc"]
    assert second["lastUpdateTime"] > first["lastUpdateTime"]


def test_action_and_device_groups_are_part_of_the_key(defender):
    ids = [
        defender.post(**each).json()["id"]
        for each in ({}, {"action": "Block"}, {"rbacGroupNames": ["a", "b"]}, {"rbacGroupNames": "b, a"}, {})
    ]
    assert ids == ["1", "2", "3", "3", "1"]


def test_ids_increase_and_are_never_used_again(defender):
    defender.post(value="a.example.com")
    defender.call("DELETE", "/api/indicators/1")
    assert defender.post(value="b.example.com").json()["id"] == "2"


def test_entity_has_every_field_and_headers(sandbox, defender):
    answer = defender.post(externalId="tipline:x", expirationTime="2026-05-01T00:00:00+02:00")
    body = answer.json()
    expected = [
        "id",
        "indicatorValue",
        "indicatorType",
        "action",
        "createdBy",
        "severity",
        "category",
        "application",
        "educateUrl",
        "bypassDurationHours",
        "title",
        "description",
        "recommendedActions",
        "creationTimeDateTimeUtc",
        "expirationTime",
        "lastUpdateTime",
        "lastUpdatedBy",
        "rbacGroupNames",
        "rbacGroupIds",
        "notificationId",
        "notificationBody",
        "version",
        "mitreTechniques",
        "historicalDetection",
        "lookBackPeriod",
        "generateAlert",
        "additionalInfo",
        "createdByDisplayName",
        "externalId",
        "createdBySource",
        "certificateInfo",
    ]
    assert list(body)[1:] == expected
    assert answer.headers["OData-Version"] == "4.0"
    assert "odata.metadata=minimal" in answer.headers["Content-Type"]
    assert re.fullmatch(r"2026-03-01T12:00:00\.\d{6,7}Z", body["creationTimeDateTimeUtc"])
    assert (body["createdBy"], body["createdBySource"], body["createdByDisplayName"]) == (
        sandbox.client_id,
        "PublicApi",
        "tipline",
    )
    assert (body["expirationTime"], body["externalId"]) == ("2026-04-30T22:00:00Z", "tipline:x")
    assert defender.listed()[0] == {name: body[name] for name in expected}


# ---- row 15: ownership -----------------------------------------------------------------------------------


def test_ti_readwrite_sees_and_deletes_only_its_own(sandbox, caller, defender):
    foreign = sandbox.portal_add("foreign.example.com", "DomainName")
    own_app = sandbox.add_app("small", secret="x", roles=["Ti.ReadWrite"])
    small = caller(DEFENDER_SCOPE, own_app.client_id, "x")
    own = small.post(value="own.example.com").json()["id"]
    assert [each["id"] for each in small.listed()] == [own]
    assert [each["id"] for each in defender.listed()] == [foreign, own]
    assert small.call("DELETE", f"/api/indicators/{foreign}").status_code == 404
    sandbox.behaviour.change(foreign_delete="forbidden")
    assert small.call("DELETE", f"/api/indicators/{foreign}").status_code == 403
    assert defender.call("DELETE", f"/api/indicators/{foreign}").status_code == 204


def test_foreign_upsert_switch(sandbox, defender):
    foreign = sandbox.portal_add("foreign.example.com", "DomainName")
    updated = defender.post(value="foreign.example.com", title="ours").json()
    assert (updated["id"], updated["createdBySource"], updated["title"]) == (foreign, "Portal", "ours")
    assert updated["lastUpdatedBy"] == sandbox.client_id
    sandbox.behaviour.change(foreign_upsert="refused")
    assert code(defender.post(value="foreign.example.com")) == (400, "InvalidInput")
    sandbox.behaviour.change(foreign_upsert="duplicates")
    assert defender.post(value="foreign.example.com").json()["id"] != foreign


def test_portal_edits_and_deletes(sandbox, defender):
    number = defender.post().json()["id"]
    sandbox.portal_edit(number, severity="High", action="Allowed")
    changed = defender.listed()[0]
    assert (changed["severity"], changed["action"], changed["createdBy"]) == (
        "High",
        "Allowed",
        sandbox.client_id,
    )
    assert "@" in changed["lastUpdatedBy"]
    sandbox.portal_delete(number)
    assert defender.listed() == []


# ---- row 16: OData ---------------------------------------------------------------------------------------


@pytest.fixture
def stocked(sandbox, defender, new_indicator):
    items = [
        new_indicator("a.example.com", title="O'Brien", severity="High", application="alpha"),
        new_indicator(
            "8.8.8.8", "IpAddress", action="Block", generateAlert=False, expirationTime="2026-06-01T00:00:00Z"
        ),
        new_indicator("https://c.example.com/x?y=1&z='2'", "Url", rbacGroupNames=["Servers"]),
    ]
    assert not any(each["isFailed"] for each in defender.bulk(items).json()["value"])
    return defender


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("indicatorType eq 'IpAddress'", "2"),
        ("indicatorType ne 'IpAddress'", "13"),
        ("title eq 'O''Brien'", "1"),
        ("indicatorValue eq 'https://c.example.com/x?y=1&z=''2'''", "3"),
        ("generateAlert eq true", "13"),
        ("expirationTime gt 2026-05-01T00:00:00Z", "2"),
        ("expirationTime eq null", "13"),
        ("creationTimeDateTimeUtc ge 2026-03-01T00:00:00Z", "123"),
        ("creationTimeDateTimeUtc lt 2026-03-01T00:00:00Z", ""),
        ("startswith(indicatorValue, 'https://')", "3"),
        ("contains(indicatorValue,'example')", "13"),
        ("endswith(indicatorValue,'.com') eq true", "1"),
        ("severity eq 'High' or action eq 'Block'", "12"),
        ("(severity eq 'High' or action eq 'Block') and indicatorType eq 'DomainName'", "1"),
        ("not (action eq 'Block')", "13"),
        ("rbacGroupNames eq 'Servers'", "3"),
        ("application eq 'alpha'", "1"),
        ("action le 'Audit'", "13"),
    ],
)
def test_filters(stocked, text, expected):
    assert "".join(each["id"] for each in stocked.listed(filter=text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "title eq 'O'Brien'",
        "title eq 'open",
        "externalId eq 'x'",
        "lastUpdateTime gt 2026-01-01T00:00:00Z",
        "title",
        "title is 'x'",
        "title eq 5",
        "(title eq 'x'",
        "title eq 'x' and",
        "contains(title)",
        "title eq 'x' title eq 'y'",
        "",
        "expirationTime gt 'x'",
        "title gt null",
        "(" * 100 + "title eq 'x'" + ")" * 100,
        "1 eq 1",
        "title eq 'x' ;",
    ],
)
def test_bad_filters(stocked, text):
    answer = stocked.call("GET", "/api/indicators", params={"$filter": text})
    assert code(answer) == (400, "ODataError")


def test_unencoded_ampersand_cuts_the_filter(stocked):
    answer = stocked.call("GET", "/api/indicators?$filter=" + quote("indicatorValue eq 'https://c/x") + "&z='2'")
    assert code(answer) == (400, "ODataError")
    assert "unterminated string literal" in answer.json()["error"]["message"]


def test_top_skip_and_next_link(sandbox, stocked):
    assert [each["id"] for each in stocked.listed(top="1", skip="1")] == ["2"]
    assert "@odata.nextLink" not in stocked.call("GET", "/api/indicators?$top=1").json()
    for bad in ({"$top": "10001"}, {"$top": "-1"}, {"$skip": "x"}, {"$count": "true"}):
        assert code(stocked.call("GET", "/api/indicators", params=bad)) == (400, "ODataError")
    sandbox.limits.list_page = 2
    first = stocked.call("GET", "/api/indicators", params={"$filter": "title ne 'x&y'"}).json()
    second = stocked.call("GET", first["@odata.nextLink"]).json()
    assert [each["id"] for page in (first, second) for each in page["value"]] == ["1", "2", "3"]
    assert "@odata.nextLink" not in second
    assert first["@odata.context"] == f"{sandbox.url}/api/$metadata#Indicators"


# ---- rows 17, 18: delete and expiry ----------------------------------------------------------------------


def test_delete_one(defender):
    number = defender.post().json()["id"]
    gone = defender.call("DELETE", f"/api/indicators/{number}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert code(defender.call("DELETE", f"/api/indicators/{number}")) == (404, "ResourceNotFound")
    assert defender.call("DELETE", "/api/indicators/abc").status_code == 404


def batch(defender, ids):
    return defender.call("POST", "/api/indicators/BatchDelete", json={"IndicatorIds": ids})


def test_batch_delete(sandbox, defender, new_indicator):
    defender.bulk([new_indicator(f"a{n}.example.com") for n in range(4)])
    assert batch(defender, ["1", "2"]).status_code == 204
    assert batch(defender, ["3", "99"]).status_code == 404
    assert len(defender.listed()) == 2
    sandbox.behaviour.change(batch_delete_404="others-deleted")
    assert batch(defender, ["3", "99"]).status_code == 404
    assert [each["id"] for each in defender.listed()] == ["4"]
    assert code(batch(defender, ["1"] * 501)) == (400, "MaximumBatchSizeExceeded")
    for bad in ([], [4], ["x"], ["-1"]):
        assert batch(defender, bad).status_code == 400
    assert defender.call("POST", "/api/indicators/BatchDelete", json={"indicatorIds": ["4"]}).status_code == 400


def test_batch_delete_of_an_unexposed_device_group(sandbox, caller, new_indicator):
    app = sandbox.add_app("scoped", secret="x", device_groups=["Servers"])
    scoped = caller(DEFENDER_SCOPE, app.client_id, "x")
    scoped.bulk([new_indicator(rbacGroupNames=["Servers"]), new_indicator(rbacGroupNames=["Kiosks"]), new_indicator()])
    assert [batch(scoped, [each]).status_code for each in ("1", "2", "3")] == [204, 403, 403]


def test_expired_indicators_are_gone(sandbox, defender, clock):
    number = defender.post(expirationTime="2026-03-01T12:30:00Z").json()["id"]
    clock.move(minutes=31)
    assert defender.listed() == []
    assert defender.call("DELETE", f"/api/indicators/{number}").status_code == 404
    assert defender.post().json()["id"] == "2"


# ---- row 20: trouble -------------------------------------------------------------------------------------


def test_500_has_an_empty_message(sandbox, defender):
    sandbox.faults.set(error_every=2, only=("defender",))
    assert defender.post().status_code == 200
    answer = defender.post()
    assert code(answer) == (500, "InternalServerError")
    assert answer.json()["error"]["message"] == ""
