from __future__ import annotations

import httpx
import pytest

from tipline.errors import ConfigError
from tipline.microsoft.clouds import LEGACY_UPLOAD_V2, endpoints
from tipline.microsoft.results import Fault
from tipline.microsoft.sentinel import SentinelClient, item_errors
from tipline.microsoft.transport import ApiError


@pytest.fixture
def client(clock, tokens, connect):
    opened = []

    def build(side, target=None, **patience):
        made = SentinelClient(target or endpoints(), tokens, "guid", connect(side, **patience))
        opened.append(made)
        return made

    yield build
    for each in opened:
        each.close()


def objects(count):
    return [{"type": "indicator", "id": f"indicator--{n}"} for n in range(count)]


def refused(*indexes):
    return [{"recordIndex": n, "errorMessages": [f"Error {n}."]} for n in indexes]


def test_an_upload_is_the_documented_request_and_an_empty_answer_means_all_taken(client, far_side):
    side = far_side(200)
    results = client(side).upload(objects(2), "tipline")
    assert [(r.ok, r.id) for r in results] == [(True, "indicator--0"), (True, "indicator--1")]
    assert str(side.requests[0].url) == (
        "https://api.ti.sentinel.azure.com/workspaces/guid/threat-intelligence-stix-objects:upload"
        "?api-version=2024-02-01-preview"
    )
    assert side.bodies() == [{"sourcesystem": "tipline", "stixobjects": objects(2)}]


def test_a_200_with_errors_fails_exactly_the_named_objects(client, far_side):
    side = far_side(httpx.Response(200, json={"errors": refused(3, 97)}))
    results = client(side).upload(objects(100), "tipline")
    assert [n for n, r in enumerate(results) if not r.ok] == [3, 97]
    assert (results[3].reason, results[3].fault, results[3].id) == ("Error 3.", Fault.INVALID, "indicator--3")


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (None, {}),
        ({}, {}),
        ({"errors": []}, {}),
        ({"errors": None}, {}),
        ({"errors": [{"recordIndex": 1, "errorMessages": ["a", "b"]}]}, {1: "a; b"}),
        ({"Errors": [{"RecordIndex": "0", "ErrorMessages": "a"}]}, {0: "a"}),
        ({"errors": [{"recordIndex": 0, "message": "a"}, {"recordIndex": 0, "message": "b"}]}, {0: "a; b"}),
        ({"errors": [{"id": "indicator--2", "errorMessage": "a"}]}, {2: "a"}),
        ({"errors": [{"recordIndex": 2}]}, {2: "no reason given"}),
        ([{"recordIndex": 2, "error": "a"}], {2: "a"}),
        ({"errors": [{"recordIndex": 3, "message": "a"}]}, None),
        ({"errors": [{"recordIndex": None, "message": "a"}]}, None),
        ({"errors": ["a"]}, None),
        ({"errors": {"0": "a"}}, None),
        ("odd", None),
    ],
)
def test_errors_are_read_in_any_shape(body, reasons):
    assert item_errors(body, objects(3)) == reasons


@pytest.mark.parametrize("status", [200, 400])
def test_errors_that_name_no_object_are_found_by_smaller_uploads(client, status):
    taken = set()

    def side(request):
        sent = [each["id"] for each in httpx.Response(200, content=request.content).json()["stixobjects"]]
        if "indicator--42" in sent:
            return httpx.Response(status, json={"errors": ["something is wrong"], "message": "bad"})
        taken.update(sent)
        return httpx.Response(200)

    results = client(side).upload(objects(100), "tipline")
    assert [n for n, r in enumerate(results) if not r.ok] == [42]
    assert len(taken) == 99


@pytest.mark.parametrize("status", [200, 400])
def test_an_upload_without_one_valid_object_fails_each_with_its_reason(client, far_side, status):
    side = far_side(httpx.Response(status, json={"errors": refused(0, 1, 2)}))
    results = client(side).upload(objects(3), "tipline")
    assert [r.reason for r in results] == ["Error 0.", "Error 1.", "Error 2."]
    assert len(side.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(429, headers={"Retry-After": "5"}),
        httpx.Response(429, json={"statusCode": 429, "message": "Rate limit is exceeded. Try again in 5 seconds."}),
    ],
)
def test_429_in_both_shapes_waits_and_sends_the_same_objects(client, far_side, clock, answer):
    side = far_side(answer, httpx.Response(200))
    assert all(r.ok for r in client(side).upload(objects(100), "tipline"))
    assert clock.waits == [5.0]
    assert side.bodies()[0] == side.bodies()[1]


def test_100_uploads_a_minute(client, far_side, clock):
    made = client(far_side(200))
    for _ in range(101):
        made.upload(objects(1), "tipline")
    assert clock.waits == [61.0]


def test_an_unknown_workspace_and_a_missing_role_are_explained(client, far_side):
    with pytest.raises(ApiError, match="no workspace guid") as caught:
        client(far_side(404)).upload(objects(1), "tipline")
    assert "not its name" in caught.value.fix
    with pytest.raises(ApiError, match="Microsoft Sentinel Contributor"):
        client(far_side(403)).upload(objects(1), "tipline")


def test_the_retired_permission_in_the_apps_graph_token_is_told(client, far_side, tokens, jwt):
    tokens.tokens = [jwt("ThreatIndicators.ReadWrite.OwnedBy")]
    with pytest.raises(ApiError, match=r"retired permission ThreatIndicators\.ReadWrite\.OwnedBy"):
        client(far_side(403)).upload(objects(1), "tipline")
    assert tokens.asked[-1] == "https://graph.microsoft.com/.default"


@pytest.mark.parametrize("name", ["", " ", "Microsoft Sentinel", "microsoft sentinel"])
def test_a_restricted_source_system_is_not_sent(client, far_side, name):
    side = far_side(200)
    with pytest.raises(ConfigError, match="source system"):
        client(side).upload(objects(1), name)
    assert side.requests == []


def test_at_most_100_objects_go_in_one_call(client, far_side):
    with pytest.raises(ValueError, match="101"):
        client(far_side(200)).upload(objects(101), "tipline")
    assert client(far_side(500)).upload([], "tipline") == []


def test_the_retired_route_names_its_array_otherwise(client, far_side):
    side = far_side(200)
    client(side, endpoints(**LEGACY_UPLOAD_V2)).upload(objects(1), "tipline")
    assert side.bodies() == [{"sourcesystem": "tipline", "indicators": objects(1)}]
