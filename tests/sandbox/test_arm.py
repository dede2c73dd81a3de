"""Row 31: ARM's threat-intelligence API."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

PATTERN = "[url:value = 'https://bad.example.com/x']"


def body(**more):
    properties = {
        "source": "lab",
        "displayName": "a name",
        "pattern": PATTERN,
        "patternType": "url",
        "threatTypes": ["compromised"],
        "confidence": 78,
        "validFrom": "2026-03-01T00:00:00Z",
        "validUntil": "2026-04-01T00:00:00Z",
        "threatIntelligenceTags": ["one"],
        "killChainPhases": [{"killChainName": "k", "phaseName": "p"}],
    }
    return {"kind": "indicator", "properties": properties | more}


def latest(sandbox):
    return sandbox.query("SELECT * FROM ThreatIntelIndicators")[-1]


@pytest.fixture
def made(sentinel):
    return sentinel.arm("POST", "/createIndicator", json=body()).json()


def test_create_answers_the_resource(sandbox, sentinel, made):
    properties = made["properties"]
    assert (made["kind"], made["type"]) == ("indicator", "Microsoft.SecurityInsights/threatIntelligence")
    assert made["id"].endswith(f"/{made['name']}")
    assert (properties["source"], properties["patternType"], properties["confidence"]) == ("lab", "url", 78)
    assert properties["parsedPattern"][0]["patternTypeValues"][0]["value"] == "https://bad.example.com/x"
    assert properties["killChainPhases"] == [{"killChainName": "k", "phaseName": "p"}]
    assert latest(sandbox)["Id"] == made["name"]
    assert json.loads(latest(sandbox)["Data"])["kill_chain_phases"] == [{"kill_chain_name": "k", "phase_name": "p"}]
    sandbox.behaviour.change(arm_create_status="200")
    assert sentinel.arm("POST", "/createIndicator", json=body()).status_code == 200


def test_get_put_delete(sandbox, sentinel, made):
    path = f"/indicators/{quote(made['name'], safe='')}"
    assert sentinel.arm("GET", path).json() == made
    changed = sentinel.arm("PUT", path, json=body(confidence=5, source="ignored"))
    assert (changed.status_code, changed.json()["properties"]["confidence"], changed.json()["name"]) == (
        200,
        5,
        made["name"],
    )
    assert changed.json()["properties"]["source"] == "lab"
    assert changed.json()["properties"]["created"] == made["properties"]["created"]
    assert changed.json()["etag"] != made["etag"]
    assert sentinel.arm("DELETE", path).status_code == 200
    assert (latest(sandbox)["IsDeleted"], latest(sandbox)["IsActive"]) == (True, False)
    missing = sentinel.arm("GET", path)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NotFound")
    assert sentinel.arm("DELETE", path).status_code == 204
    sandbox.behaviour.change(arm_delete_missing="404")
    assert sentinel.arm("DELETE", path).status_code == 404


def test_put_of_a_new_name(sandbox, sentinel):
    guid = "d9cd6f0b-96b9-3984-17cd-a779d1e15a93"
    new = sentinel.arm("PUT", f"/indicators/{guid}", json=body())
    assert (new.status_code, new.json()["name"]) == (201, guid)
    assert new.json()["properties"]["externalId"] == f"indicator--{guid}"
    composite = f"bXlzcmM=---indicator--{guid}"
    assert sentinel.arm("PUT", f"/indicators/{composite}", json=body()).json()["properties"]["source"] == "mysrc"
    assert len(sandbox.sentinel_objects()) == 2


def test_an_uploaded_object_is_found_and_deleted_by_its_table_id(sandbox, sentinel, new_stix):
    sentinel.upload([new_stix()])
    name = latest(sandbox)["Id"]
    assert sentinel.arm("GET", f"/indicators/{name}").json()["properties"]["source"] == "tipline"
    assert sentinel.arm("DELETE", f"/indicators/{name}").status_code == 200
    assert sandbox.state()["sentinel"]["objects_count"] == 0
    sentinel.upload([new_stix()])
    assert sandbox.state()["sentinel"]["active"] == 1


def test_tags(sentinel, made):
    path = f"/indicators/{made['name']}"
    assert (
        sentinel.arm("POST", f"{path}/appendTags", json={"threatIntelligenceTags": ["two", "one"]}).status_code == 200
    )
    assert sentinel.arm("GET", path).json()["properties"]["threatIntelligenceTags"] == ["one", "two"]
    replaced = sentinel.arm("POST", f"{path}/replaceTags", json=body(threatIntelligenceTags=["three"]))
    assert replaced.json()["properties"]["threatIntelligenceTags"] == ["three"]
    assert sentinel.arm("POST", f"{path}/appendTags", json={}).status_code == 400


def test_bad_requests_are_cloud_errors(sandbox, sentinel):
    for bad in (body(pattern=None), body(confidence=500), {"kind": "indicator"}, []):
        answer = sentinel.arm("POST", "/createIndicator", json=bad)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    bare = sentinel.arm("GET", "/metrics").request.url.path
    assert sentinel.call("GET", bare).json()["error"]["code"] == "MissingApiVersionParameter"
    wrong = bare.replace(sandbox.workspace_name, "nowhere")
    answer = sentinel.call("GET", wrong, params={"api-version": "1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ResourceNotFound")
    sandbox.directory.withdraw(sandbox.client_id, sandbox.workspace_id)
    answer = sentinel.arm("GET", "/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AuthorizationFailed")
    sentinel.headers = {}
    answer = sentinel.arm("GET", "/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AuthenticationFailed")


@pytest.fixture
def stocked(sentinel, new_stix):
    sentinel.upload([new_stix(f"a{n}.example.com", confidence=n * 10, name=f"n{n}") for n in range(5)])
    sentinel.upload([new_stix("b.example.com", revoked=True), new_stix("c.example.com", name="n9")], source="other")
    return sentinel


def pages(client, method, path, **more):
    answer = client.arm(method, path, **more)
    assert answer.status_code == 200, answer.text
    yield answer.json()
    while link := answer.json().get("nextLink"):
        answer = client.call(method, link, **({"json": more["json"]} if method == "POST" else {}))
        assert answer.status_code == 200, answer.text
        yield answer.json()


def test_list_pages_filters_and_orders(stocked):
    params = {"$top": "3", "$orderby": "confidence desc", "$filter": "source eq 'tipline'"}
    found = list(pages(stocked, "GET", "/indicators", params=params))
    assert [[each["properties"]["confidence"] for each in page["value"]] for page in found] == [
        [40, 30, 20],
        [10, 0],
    ]
    for bad in ({"$filter": "nothing eq 1"}, {"$orderby": "data; drop"}, {"$top": "x"}, {"$skipToken": "%%"}):
        assert stocked.arm("GET", "/indicators", params=bad).status_code == 400


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, 6),
        ({"includeDisabled": True}, 7),
        ({"sources": ["other"], "includeDisabled": True}, 2),
        ({"minConfidence": 20}, 3),
        ({"maxConfidence": 10}, 2),
        ({"keywords": ["A3.EXAMPLE"]}, 1),
        ({"patternTypes": ["url"]}, 0),
        ({"minValidUntil": "2026-05-01T00:00:00Z"}, 0),
        ({"maxValidUntil": "2026-05-01T00:00:00Z"}, 6),
    ],
)
def test_query_indicators(stocked, criteria, expected):
    found = list(pages(stocked, "POST", "/queryIndicators", json=criteria | {"pageSize": 2}))
    assert sum(len(page["value"]) for page in found) == expected


def test_query_indicators_sorts_and_its_link_may_be_fetched(stocked):
    wanted = {"pageSize": 4, "sortBy": [{"itemKey": "displayName", "sortOrder": "descending"}]}
    first = stocked.arm("POST", "/queryIndicators", json=wanted).json()
    assert [each["properties"]["displayName"] for each in first["value"]] == ["n9", "n4", "n3", "n2"]
    rest = stocked.call("GET", first["nextLink"]).json()
    assert [each["properties"]["displayName"] for each in rest["value"]] == ["n1", "n0"]


CLAUSES = [
    ("source", "Equals", ["other"], 2),
    ("source", "NotEquals", ["other"], 5),
    ("confidence", "GreaterThan", ["20"], 2),
    ("confidence", "LessThanEqual", [10], 2),
    ("name", "StringStartsWith", ["N"], 6),
    ("pattern", "StringContains", ["a1."], 1),
    ("revoked", "IsTrue", [], 1),
    ("confidence", "IsNull", [], 2),
    ("validUntil", "OnOrBeforeAbsolute", ["2026-05-01T00:00:00Z"], 7),
    ("lastUpdatedTimeUtc", "OnOrAfterAbsolute", ["2026-03-02T00:00:00.000Z"], 0),
]


@pytest.mark.parametrize(("field", "operator", "values", "expected"), CLAUSES)
def test_query_and_count(stocked, field, operator, values, expected):
    condition = {
        "clauses": [{"field": field, "operator": operator, "values": values}],
        "conditionConnective": None,
    }
    assert stocked.arm("POST", "/count", json={"condition": condition}).json() == {"count": expected}
    assert len(stocked.arm("POST", "/query", json={"condition": condition}).json()["value"]) == expected


def test_query_by_exact_id_and_source(stocked, new_stix):
    thing = new_stix("a1.example.com")
    clauses = [
        {"field": "id", "operator": "Equals", "values": [thing["id"]]},
        {"field": "source", "operator": "Equals", "values": ["tipline"]},
    ]
    wanted = {"condition": {"clauses": clauses, "conditionConnective": "And", "stixObjectType": "indicator"}}
    (found,) = stocked.arm("POST", "/query", json=wanted).json()["value"]
    assert (found["name"], found["kind"]) == (f"dGlwbGluZQ==---{thing['id']}", "Indicator")
    assert found["properties"]["data"]["pattern"] == thing["pattern"]
    assert {"firstIngestedTimeUtc", "lastIngestedTimeUtc", "lastUpdateMethod", "source", "createdBy"} <= set(
        found["properties"]
    )
    wanted["condition"]["stixObjectType"] = "identity"
    assert stocked.arm("POST", "/query", json=wanted).json()["value"] == []


def test_query_pages_and_refuses_what_it_does_not_know(stocked):
    wanted = {"maxPageSize": 3, "sortBy": {"field": "name", "direction": "DESC"}}
    assert [len(page["value"]) for page in pages(stocked, "POST", "/query", json=wanted)] == [3, 3, 1]
    for clause in ({"field": "x", "operator": "Sounds", "values": []}, {"operator": "Equals"}, "text"):
        answer = stocked.arm("POST", "/query", json={"condition": {"clauses": [clause]}})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_metrics(stocked):
    properties = stocked.arm("GET", "/metrics").json()["value"][0]["properties"]
    assert {"metricName": "tipline", "metricValue": 5} in properties["sourceMetrics"]
    assert properties["patternTypeMetrics"] == [{"metricName": "domain-name", "metricValue": 7}]
