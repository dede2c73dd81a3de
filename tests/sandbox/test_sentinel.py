"""Rows 21 to 30, 32 and 33: uploads and the tables."""

from __future__ import annotations

import json
import re
import uuid

import pytest

from tipline.sandbox import Limits, QueryError, Sandbox

ARM_SCOPE = "https://management.azure.com/.default"
NEW = [
    "TimeGenerated",
    "Id",
    "SourceSystem",
    "Created",
    "Modified",
    "ValidFrom",
    "ValidUntil",
    "Confidence",
    "IsActive",
    "IsDeleted",
    "Revoked",
    "Pattern",
    "ObservableKey",
    "ObservableValue",
    "Tags",
    "LastUpdateMethod",
    "Data",
    "AdditionalFields",
    "AzureTenantId",
    "WorkspaceId",
    "TenantId",
    "Type",
    "_ResourceId",
    "_SubscriptionId",
    "_BilledSize",
    "_IsBillable",
]
OBJECTS = [
    "TimeGenerated",
    "Id",
    "StixType",
    "Data",
    "AdditionalFields",
    "IsDeleted",
    "LastUpdateMethod",
    "SourceSystem",
    "AzureTenantId",
    "WorkspaceId",
    "TenantId",
    "Type",
    "_ResourceId",
    "_SubscriptionId",
    "_BilledSize",
    "_IsBillable",
]


def rows(sandbox, columns="*", table="ThreatIntelIndicators"):
    return sandbox.query(f"SELECT {columns} FROM {table}")


def count(sandbox, table="ThreatIntelIndicators"):
    return rows(sandbox, "count(*) AS n", table)[0]["n"]


# ---- rows 21, 22: answers --------------------------------------------------------------------------------


def test_all_valid_is_200_and_empty(sentinel, new_stix):
    answer = sentinel.upload([new_stix("a.example.com"), new_stix("b.example.com")])
    assert (answer.status_code, answer.content) == (200, b"")


def test_some_invalid_is_200_with_errors_by_index(sandbox, sentinel, new_stix):
    bad = new_stix("b.example.com")
    del bad["id"]
    answer = sentinel.upload([new_stix("a.example.com"), bad, new_stix("c.example.com"), "text"])
    message = "Error for Property=id: Required property is missing. Actual value: NULL."
    assert answer.status_code == 200
    assert answer.json()["errors"][0] == {"recordIndex": 1, "errorMessages": [message]}
    assert [each["recordIndex"] for each in answer.json()["errors"]] == [1, 3]
    assert len(sandbox.sentinel_objects()) == 2


def test_none_valid_switch(sandbox, sentinel, new_stix):
    bad = [new_stix(confidence=101)]
    assert sentinel.upload(bad).status_code == 400
    sandbox.behaviour.change(none_valid="accepted")
    answer = sentinel.upload(bad)
    assert (answer.status_code, len(answer.json()["errors"])) == (200, 1)


def test_over_100_objects(sandbox, sentinel, new_stix):
    many = [new_stix(f"a{n}.example.com") for n in range(101)]
    assert sentinel.upload(many[:100]).status_code == 200
    assert sentinel.upload(many).status_code == 400
    sandbox.behaviour.change(too_many_objects="413")
    assert sentinel.upload(many).status_code == 413
    assert count(sandbox) == 100


# ---- row 23: rate ----------------------------------------------------------------------------------------


def test_100_uploads_a_minute_with_and_without_retry_after(sandbox, sentinel, clock, new_stix):
    for _ in range(100):
        assert sentinel.upload([]).status_code == 400
    clock.move(seconds=23)
    refused = sentinel.upload([new_stix()])
    assert refused.json() == {
        "statusCode": 429,
        "message": "Rate limit is exceeded. Try again in 37 seconds.",
    }
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)
    sandbox.behaviour.change(retry_after="present")
    assert sentinel.upload([new_stix()]).headers["Retry-After"] == "37"
    clock.move(seconds=37)
    assert sentinel.upload([new_stix()]).status_code == 200


# ---- rows 24, 25: refusals -------------------------------------------------------------------------------


def test_unknown_workspace_and_body_shapes(sandbox, sentinel, new_stix):
    path = "/workspaces/{}/threat-intelligence-stix-objects:upload?api-version=2024-02-01-preview"
    body = {"sourcesystem": "x", "stixobjects": [new_stix()]}
    for workspace in (str(uuid.uuid4()), sandbox.workspace_name):
        answer = sentinel.call("POST", path.format(workspace), json=body)
        assert (answer.status_code, answer.json()["statusCode"]) == (404, 404)
    sandbox.behaviour.change(sentinel_refusal_body="arm")
    assert sentinel.call("POST", path.format("x"), json=body).json()["error"]["code"] == "NotFound"
    sandbox.behaviour.change(sentinel_refusal_body="empty")
    assert sentinel.call("POST", path.format("x"), json=body).content == b""


def test_a_workspace_of_another_tenant_is_unknown(sandbox, sentinel, new_stix):
    other = sandbox.add_workspace("other", tenant_id=sandbox.add_tenant())
    path = f"/workspaces/{other.workspace_id}/threat-intelligence-stix-objects:upload?api-version=1"
    assert sentinel.call("POST", path, json={"sourcesystem": "x", "stixobjects": [new_stix()]}).status_code == 404


def test_restricted_source_and_missing_parts(sandbox, sentinel, new_stix):
    assert sentinel.upload([new_stix()], source="Microsoft Sentinel").status_code == 400
    assert sentinel.upload([new_stix()], source="").status_code == 400
    sandbox.behaviour.change(restricted_source="accepted")
    assert sentinel.upload([new_stix()], source="Microsoft Sentinel").status_code == 200
    path = f"/workspaces/{sandbox.workspace_id}/threat-intelligence-stix-objects:upload"
    body = {"sourcesystem": "x", "stixobjects": [new_stix()]}
    assert sentinel.call("POST", path, json=body).status_code == 400
    sandbox.behaviour.change(api_version="optional")
    assert sentinel.call("POST", path, json=body).status_code == 200
    for wrong in (
        {"sourcesystem": "x"},
        {"sourcesystem": "x", "stixobjects": {}},
        [],
        {"stixobjects": [new_stix()]},
    ):
        assert sentinel.call("POST", path, json=wrong).status_code == 400
    assert sentinel.call("POST", path, content=b"{").status_code == 400


def test_government_spelling_of_the_path(sandbox, sentinel, new_stix):
    path = f"/workspaces/{sandbox.workspace_id}/threatintelligence-stix-objects:upload?api-version=1"
    body = {"sourcesystem": "x", "stixobjects": [new_stix()]}
    assert sentinel.call("POST", path, json=body).status_code == 200


def test_500_shape(sandbox, sentinel, new_stix):
    sandbox.faults.set(error_every=1, only=("sentinel",))
    answer = sentinel.upload([new_stix()])
    assert answer.status_code == 500
    assert answer.json() | {"activityId": ""} == {
        "statusCode": 500,
        "message": "Internal server error",
        "activityId": "",
    }
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.json()["activityId"])


# ---- row 26: validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["id", "type", "created", "modified", "pattern", "pattern_type", "valid_from"])
def test_required_properties(sentinel, new_stix, name):
    bad = new_stix()
    del bad[name]
    messages = sentinel.upload([bad]).json()["errors"][0]["errorMessages"]
    assert f"Error for Property={name}: Required property is missing. Actual value: NULL." in messages


@pytest.mark.parametrize(
    "change",
    [
        {"valid_until": "2026-03-01T00:00:00Z"},
        {"valid_until": "2026-02-01T00:00:00Z"},
        {"valid_until": "soon"},
        {"valid_from": "2026-03-01"},
        {"created": "2026-13-01T00:00:00Z"},
        {"confidence": -1},
        {"confidence": "50"},
        {"confidence": True},
        {"revoked": "no"},
        {"labels": "one"},
        {"labels": [1]},
        {"id": "indicator--1"},
        {"id": f"identity--{uuid.uuid4()}"},
        {"type": "malware", "id": f"malware--{uuid.uuid4()}"},
        {"pattern": ""},
        {"spec_version": "1.2"},
        {"name": 5},
        {"type": ["indicator"]},
    ],
)
def test_invalid_properties(sentinel, new_stix, change):
    answer = sentinel.upload([new_stix(**change)])
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["errorMessages"][0].startswith("Error for Property=")


def test_unknown_properties_are_kept_in_data(sandbox, sentinel, new_stix):
    assert sentinel.upload([new_stix(x_mine="kept", confidence=0)]).status_code == 200
    assert json.loads(rows(sandbox, "Data")[0]["Data"])["x_mine"] == "kept"


# ---- row 27: identity of objects -------------------------------------------------------------------------


def test_one_object_per_source_and_id_and_one_row_a_change(sandbox, sentinel, new_stix):
    first = new_stix(confidence=10)
    sentinel.upload([first])
    sentinel.upload([first | {"confidence": 90, "modified": "2026-03-02T00:00:00Z"}])
    sentinel.upload([first], source="another")
    assert len(sandbox.sentinel_objects()) == 2
    assert [each["Confidence"] for each in rows(sandbox)] == [10, 90, 10]
    assert len({each["Id"] for each in rows(sandbox)}) == 2
    assert rows(sandbox)[0]["Id"] == f"dGlwbGluZQ==---{first['id']}"


def test_identical_stale_and_revoked_switches(sandbox, sentinel, new_stix):
    first = new_stix(modified="2026-03-05T00:00:00Z")
    sentinel.upload([first])
    sentinel.upload([first])
    assert count(sandbox) == 2
    sandbox.behaviour.change(identical_upload="ignored")
    sentinel.upload([first])
    stale = first | {"modified": "2026-03-04T00:00:00Z", "confidence": 1}
    sentinel.upload([stale])
    assert count(sandbox) == 2
    sandbox.behaviour.change(stale_modified="accepted")
    sentinel.upload([stale])
    assert count(sandbox) == 3
    sentinel.upload([first | {"revoked": True, "modified": "2026-03-06T00:00:00Z"}])
    back = first | {"modified": "2026-03-07T00:00:00Z"}
    sentinel.upload([back])
    assert sandbox.state()["sentinel"]["active"] == 0
    sandbox.behaviour.change(after_revocation="accepted")
    sentinel.upload([back])
    assert sandbox.state()["sentinel"]["active"] == 1


def test_rows_become_visible_after_a_delay(sandbox, sentinel, clock, new_stix):
    sandbox.behaviour.change(row_delay_seconds=120)
    sentinel.upload([new_stix()])
    assert (count(sandbox), len(sandbox.sentinel_objects())) == (0, 1)
    clock.move(seconds=120)
    assert count(sandbox) == 1


def test_rows_are_append_only(sandbox, sentinel, new_stix):
    sentinel.upload([new_stix()])
    with pytest.raises(Exception, match="append-only"):
        sandbox.world.store.db.execute("UPDATE sentinel_rows SET revoked = 1")
    with pytest.raises(Exception, match="append-only"):
        sandbox.world.store.db.execute("DELETE FROM sentinel_rows")


# ---- row 28 and section 5: columns -----------------------------------------------------------------------


def test_columns_of_each_table_in_order(sandbox, sentinel, new_stix):
    identity = {
        "type": "identity",
        "id": f"identity--{uuid.uuid4()}",
        "created": "2026-03-01T00:00:00Z",
        "modified": "2026-03-01T00:00:00Z",
        "name": "us",
    }
    assert sentinel.upload([new_stix(), identity]).status_code == 200
    assert (list(rows(sandbox)[0]), len(NEW)) == (NEW, 26)
    assert (list(rows(sandbox, table="ThreatIntelObjects")[0]), len(OBJECTS)) == (OBJECTS, 16)
    legacy = list(rows(sandbox, table="ThreatIntelligenceIndicator")[0])
    assert (len(legacy), legacy[0], legacy[-1]) == (64, "Action", "_IsBillable")


def test_a_row_of_the_new_table(sandbox, sentinel, new_stix):
    sentinel.upload(
        [
            new_stix(
                "evil.example.com",
                confidence=77,
                labels=["a", "b"],
                object_marking_refs=["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"],
            )
        ]
    )
    row = rows(sandbox)[0]
    assert row["TimeGenerated"] == "2026-03-01T12:00:00.1234560Z"
    assert (row["SourceSystem"], row["Confidence"], row["Type"]) == ("tipline", 77, "ThreatIntelIndicators")
    assert (row["ObservableKey"], row["ObservableValue"]) == ("domain-name:value", "evil.example.com")
    assert (row["IsActive"], row["IsDeleted"], row["Revoked"]) == (True, False, False)
    assert json.loads(row["AdditionalFields"]) == {"TLPLevel": "amber"}
    assert json.loads(row["Tags"]) == ["a", "b"]
    assert (row["AzureTenantId"], row["WorkspaceId"]) == (sandbox.tenant_id, sandbox.workspace_id)
    assert row["ValidUntil"] == "2026-04-01T00:00:00.0000000Z"


def test_one_row_a_comparison_and_an_empty_one_if_there_is_none(sandbox, sentinel, new_stix):
    pattern = "[ipv4-addr:value = '1.2.3.4' OR file:hashes.'SHA-256' = 'ab']"
    sentinel.upload([new_stix(pattern=pattern), new_stix(pattern="[url:value MATCHES 'x']"), new_stix(pattern="junk")])
    found = rows(sandbox, "ObservableKey AS k, ObservableValue AS v")
    assert [(each["k"], each["v"]) for each in found] == [
        ("ipv4-addr:value", "1.2.3.4"),
        ("file:hashes.'SHA-256'", "ab"),
        ("", ""),
        ("", ""),
    ]
    sentinel.upload([new_stix(pattern="rule x {}", pattern_type="yara")])
    assert rows(sandbox)[-1]["ObservableKey"] == ""


@pytest.mark.parametrize(
    ("marking", "level"),
    [
        ("613f2e26-407d-48c7-9eca-b8e91df99dc9", "white"),
        ("34098fce-860f-48ae-8e50-ebd3cc5e41da", "green"),
        ("089a6ecb-cc15-43cc-9494-767639779123", "green"),
        ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "red"),
        ("94868c89-83c2-464b-929b-a1a8aa3c8487", "white"),
        ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "green"),
        ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", "amber"),
        ("939a9414-2ddd-4d32-a0cd-375ea402b003", "amber"),
        ("e828b379-4e03-4974-9ac4-e53a884c97c1", "red"),
    ],
)
def test_tlp_levels(sandbox, sentinel, new_stix, marking, level):
    refs = ["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", f"marking-definition--{marking}"]
    sentinel.upload([new_stix(object_marking_refs=refs), new_stix("b.example.com")])
    assert [json.loads(each["AdditionalFields"]) for each in rows(sandbox)] == [{"TLPLevel": level}, {}]


# ---- row 29: activity ------------------------------------------------------------------------------------


def test_is_active_follows_the_clock_and_revocation(sandbox, sentinel, clock, new_stix):
    sentinel.upload(
        [
            new_stix("a.example.com", valid_until="2026-03-01T13:00:00Z"),
            new_stix("b.example.com", revoked=True),
            new_stix("c.example.com", valid_until=None),
        ]
    )
    active = "SELECT ObservableValue AS v FROM ThreatIntelIndicators WHERE IsActive ORDER BY v"
    assert [each["v"] for each in sandbox.query(active)] == ["a.example.com", "c.example.com"]
    clock.move(hours=1)
    assert [each["v"] for each in sandbox.query(active)] == ["c.example.com"]


# ---- legacy table, row 30 --------------------------------------------------------------------------------


def test_295_indicators_count_295_in_the_legacy_table(sandbox, sentinel, new_stix):
    things = [new_stix(f"a{n}.example.com") for n in range(295)]
    for start in range(0, 295, 100):
        assert sentinel.upload(things[start : start + 100]).content == b""
    assert count(sandbox, "ThreatIntelligenceIndicator") == 295
    assert sandbox.republish() == 295
    assert count(sandbox, "ThreatIntelligenceIndicator") == 295
    sandbox.behaviour.change(republish_legacy="included")
    assert count(sandbox, "ThreatIntelligenceIndicator") == 590
    sandbox.behaviour.change(legacy_table="stopped")
    assert count(sandbox, "ThreatIntelligenceIndicator") == 0


def test_legacy_columns_are_filled(sandbox, sentinel, new_stix):
    pattern = (
        "[file:hashes.'SHA-256' = 'ab' AND ipv4-addr:value = '1.2.3.4' AND network-traffic:dst_ref.value = '5.6.7.8']"
    )
    sentinel.upload(
        [
            new_stix(
                pattern=pattern,
                description="d",
                confidence=80,
                indicator_types=["malicious-activity"],
                extensions={"sentinel-ext": {"severity": 3}},
            )
        ]
    )
    row = rows(sandbox, table="ThreatIntelligenceIndicator")[0]
    shown = {
        name: row[name]
        for name in (
            "FileHashType",
            "FileHashValue",
            "NetworkIP",
            "NetworkDestinationIP",
            "Description",
            "ThreatType",
            "ThreatSeverity",
            "ConfidenceScore",
            "Active",
            "DomainName",
        )
    }
    assert list(shown.values()) == [
        "SHA256",
        "ab",
        "1.2.3.4",
        "5.6.7.8",
        "d",
        "malicious-activity",
        3,
        80.0,
        True,
        None,
    ]


def test_republication_after_seven_days(sandbox, sentinel, clock, new_stix):
    sentinel.upload([new_stix("a.example.com"), new_stix("b.example.com", valid_until="2026-03-03T00:00:00Z")])
    clock.move(days=6)
    assert count(sandbox) == 2
    clock.move(days=2)
    again = rows(sandbox)[2:]
    assert [(each["SourceSystem"], each["ObservableValue"]) for each in again] == [("LogARepublisher", "a.example.com")]
    assert count(sandbox) == 3
    sandbox.behaviour.change(republish_days=0)
    clock.move(days=8)
    assert count(sandbox) == 3


# ---- rows 31 (legacy routes), 32, 33 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/workspaces/{}/threatintelligenceindicators:upload?api-version=2022-07-01", "indicators"),
        ("/{}/threatintelligence:upload-indicators?api-version=2022-07-01", "value"),
    ],
)
def test_legacy_upload_routes(sandbox, sentinel, new_stix, path, name):
    url = path.format(sandbox.workspace_id)
    identity = new_stix() | {"type": "identity", "id": f"identity--{uuid.uuid4()}", "name": "x"}
    answer = sentinel.call("POST", url, json={"sourcesystem": "x", name: [new_stix(), identity]})
    assert (answer.status_code, [each["recordIndex"] for each in answer.json()["errors"]]) == (200, [1])
    assert sentinel.call("POST", url, json={"sourcesystem": "x", "stixobjects": [new_stix()]}).status_code == 400


def test_other_objects_go_to_their_table(sandbox, sentinel):
    base = {"created": "2026-03-01T00:00:00Z", "modified": "2026-03-01T00:00:00Z"}
    things = [
        base | {"type": kind, "id": f"{kind}--{uuid.uuid4()}", "name": "n"}
        for kind in ("attack-pattern", "threat-actor", "identity")
    ]
    things.append(
        base
        | {
            "type": "relationship",
            "id": f"relationship--{uuid.uuid4()}",
            "relationship_type": "uses",
            "source_ref": things[1]["id"],
            "target_ref": things[0]["id"],
        }
    )
    assert sentinel.upload(things).content == b""
    kinds = [each["StixType"] for each in rows(sandbox, table="ThreatIntelObjects")]
    assert kinds == ["attack-pattern", "threat-actor", "identity", "relationship"]
    assert count(sandbox) == 0
    malware = base | {"type": "malware", "id": f"malware--{uuid.uuid4()}"}
    sandbox.behaviour.change(other_types="accepted")
    assert sentinel.upload([malware]).status_code == 200


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM sentinel_objects",
        "SELECT * FROM secrets",
        "SELECT * FROM apps",
        "SELECT sql FROM sqlite_master",
        "PRAGMA table_info(apps)",
        "ATTACH 'x' AS y",
        "SELECT 1; SELECT 2",
        "SELECT * FROM nowhere",
        "",
        "CREATE TABLE x (y)",
        "SELECT * FROM ThreatIntelIndicators, secrets",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n",
    ],
)
def test_queries_are_read_only_over_the_views(sandbox, sql):
    if sql:
        with pytest.raises(QueryError):
            sandbox.query(sql)
    assert sandbox.query("SELECT 1 AS one") == [{"one": 1}]


def test_query_over_http_with_arg_max(sandbox, sentinel, new_stix):
    sentinel.upload([new_stix(confidence=1)])
    sentinel.upload([new_stix(confidence=2, modified="2026-03-02T00:00:00Z")])
    sql = (
        "SELECT Id, Confidence, max(n) FROM "
        "(SELECT *, row_number() OVER (ORDER BY TimeGenerated) AS n FROM ThreatIntelIndicators) GROUP BY Id"
    )
    answer = sentinel.http.post("/sandbox/query", json={"query": sql})
    assert [each["Confidence"] for each in answer.json()["rows"]] == [2]
    assert sentinel.http.post("/sandbox/query", json={"query": "DROP TABLE apps"}).status_code == 400


def test_limits_of_a_sandbox_are_its_own():
    with Sandbox(limits_scale=2.0, limits=Limits(upload_max=3)) as one, Sandbox(rate_limits=False) as two:
        assert (one.limits.scale, one.limits.upload_max, one.limits.enabled) == (2.0, 3, True)
        assert (two.limits.scale, two.limits.upload_max, two.limits.enabled) == (1.0, 100, False)
