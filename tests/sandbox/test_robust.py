"""No body makes the stand-in stumble: whatever comes gets an answer below 500."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ARM_SCOPE = "https://management.azure.com/.default"
DEFENDER_SCOPE = "https://api.securitycenter.microsoft.com/.default"
JUNK = st.recursive(
    st.sampled_from([None, True, 5, -1, 10**30, 1.5, "", "x", "\ud800", "2026-03-01T00:00:00Z", "indicator"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "name", "field"]), inner),
    max_leaves=4,
)
INDICATOR = {
    "indicatorValue": "a.example.com",
    "indicatorType": "DomainName",
    "action": "Audit",
    "title": "t",
    "description": "d",
    "generateAlert": True,
    "rbacGroupNames": [],
    "rbacGroupIds": [],
    "mitreTechniques": [],
    "expirationTime": None,
    "severity": "Low",
    "externalId": "x",
    "educateUrl": None,
}
PROPERTIES = {
    "pattern": "[url:value = 'x']",
    "source": "s",
    "threatIntelligenceTags": ["a"],
    "labels": ["b"],
    "killChainPhases": [],
    "externalReferences": [],
    "confidence": 5,
    "extensions": {},
    "threatTypes": ["x"],
    "objectMarkingRefs": [],
    "revoked": False,
    "validUntil": "2026-04-01T00:00:00Z",
}
CRITERIA = {
    "pageSize": 5,
    "minConfidence": 1,
    "maxValidUntil": "2026-05-01T00:00:00Z",
    "includeDisabled": True,
    "sources": ["tipline"],
    "keywords": ["a"],
    "threatTypes": [],
    "patternTypes": ["url"],
    "ids": [],
    "skipToken": None,
    "sortBy": [{"itemKey": "confidence", "sortOrder": "ascending"}],
}
CLAUSE = {"field": "confidence", "operator": "GreaterThan", "values": [3]}


@pytest.fixture
def routes(defender, caller, new_stix):
    """Name -> the sender of one body, the valid body, and the wrapping of a part of it."""
    arm = caller(ARM_SCOPE)
    thing = new_stix(confidence=5, labels=["a"], object_marking_refs=[], extensions={}, revoked=False)
    arm.upload([thing, new_stix("b.example.com")])
    arm.arm("PUT", "/indicators/x", json={"properties": PROPERTIES})

    def to(client, method, path):
        return lambda body: client(method, path, content=json.dumps(body))

    upload = f"/workspaces/{arm.sandbox.workspace_id}/threat-intelligence-stix-objects:upload?api-version=1"
    return {
        "post": (to(defender.call, "POST", "/api/indicators"), INDICATOR, lambda part: part),
        "import": (
            to(defender.call, "POST", "/api/indicators/import"),
            INDICATOR,
            lambda part: {"Indicators": [part]},
        ),
        "batch": (to(defender.call, "POST", "/api/indicators/BatchDelete"), {"IndicatorIds": ["1"]}, dict),
        "upload": (
            to(arm.call, "POST", upload),
            thing,
            lambda part: {"sourcesystem": "s", "stixobjects": [part]},
        ),
        "source": (to(arm.call, "POST", upload), {"sourcesystem": "s", "stixobjects": [thing]}, dict),
        "create": (to(arm.arm, "POST", "/createIndicator"), PROPERTIES, lambda part: {"properties": part}),
        "put": (to(arm.arm, "PUT", "/indicators/x"), PROPERTIES, lambda part: {"properties": part}),
        "replace": (
            to(arm.arm, "POST", "/indicators/x/replaceTags"),
            PROPERTIES,
            lambda part: {"properties": part},
        ),
        "append": (to(arm.arm, "POST", "/indicators/x/appendTags"), {"threatIntelligenceTags": ["a"]}, dict),
        "criteria": (to(arm.arm, "POST", "/queryIndicators"), CRITERIA, dict),
        "clause": (to(arm.arm, "POST", "/query"), CLAUSE, lambda part: {"condition": {"clauses": [part]}}),
        "query": (to(arm.arm, "POST", "/query"), {"condition": None, "sortBy": None, "maxPageSize": 5}, dict),
        "count": (to(arm.arm, "POST", "/count"), {"condition": {"clauses": [CLAUSE]}}, dict),
    }


@pytest.mark.parametrize(
    "name",
    [
        "post", "import", "batch", "upload", "source", "create", "put", "replace", "append", "criteria",
        "clause", "query", "count",
    ],
)  # fmt: skip
def test_a_spoilt_field_gets_an_answer(sandbox, routes, name):
    sandbox.limits.enabled = False
    send, valid, wrap = routes[name]
    assert send(wrap(valid)).status_code < 500

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(valid)), JUNK)
    def run(field, junk):
        assert send(wrap(valid | {field: junk})).status_code < 500

    run()
