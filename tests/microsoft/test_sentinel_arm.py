from __future__ import annotations

import httpx
import pytest

from tipline.microsoft.clouds import endpoints
from tipline.microsoft.sentinel_arm import ArmClient, Workspace, resource_name, source_of
from tipline.microsoft.transport import ApiError

BASE = (
    "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/ws"
    "/providers/Microsoft.SecurityInsights/threatIntelligence/main"
)


@pytest.fixture
def client(tokens, connect):
    opened = []

    def build(side):
        made = ArmClient(endpoints(), tokens, Workspace("sub", "rg", "ws"), connect(side))
        opened.append(made)
        return made

    yield build
    for each in opened:
        each.close()


def page(*names, link=None):
    return httpx.Response(200, json={"value": [{"name": n} for n in names], "nextLink": link})


def test_a_resource_name_holds_the_source_and_the_id():
    name = resource_name("tipline ü", "indicator--1")
    assert source_of(name) == ("tipline ü", "indicator--1")
    assert source_of("no-dashes") is None
    assert source_of("!!---x") is None


def test_get_and_delete_take_an_unknown_indicator_for_gone(client, far_side):
    side = far_side(404)
    name = "a/b=---indicator--1"
    assert client(side).get(name) is None
    assert client(side).delete(name) is False
    assert side.requests[0].url.raw_path.decode() == (
        f"{BASE}/indicators/a%2Fb%3D---indicator--1?api-version=2025-07-01-preview"
    )
    assert client(far_side(200)).delete(name) is True
    assert client(far_side(204)).delete(name) is False
    assert client(far_side(httpx.Response(200, json={"name": "x"}))).get(name) == {"name": "x"}


def test_a_query_asks_for_exact_ids_a_hundred_at_a_time(client, far_side):
    side = far_side(page("a"), page("b"))
    ids = [f"indicator--{n}" for n in range(101)]
    assert [row["name"] for row in client(side).query(ids)] == ["a", "b"]
    clauses = [body["condition"]["clauses"][0] for body in side.bodies()]
    assert [len(clause["values"]) for clause in clauses] == [100, 1]
    assert clauses[1] == {"field": "id", "operator": "Equals", "values": ["indicator--100"]}


def test_pages_are_followed_on_our_host_to_the_end(client, far_side):
    link = f"https://management.azure.com{BASE}/query?api-version=x&$skipToken=1"
    side = far_side(page("a", link=link), page("b"))
    assert [row["name"] for row in client(side).list_by_source("tipline")] == ["a", "b"]
    assert side.requests[1].url.params["$skipToken"] == "1"
    assert side.bodies()[0] == side.bodies()[1]


def test_pages_that_want_get_are_followed_too(client, far_side):
    link = f"https://management.azure.com{BASE}/query?api-version=x&$skipToken=1"
    side = far_side(page("a", link=link), 405, page("b"))
    assert [row["name"] for row in client(side).list_by_source("tipline")] == ["a", "b"]
    assert [r.method for r in side.requests] == ["POST", "POST", "GET"]


def test_a_link_that_leads_back_to_itself_ends(client, far_side):
    link = f"https://management.azure.com{BASE}/query?again=1"
    side = far_side(page("a", link=link))
    assert len(list(client(side).list_by_source("tipline"))) == 2


def test_a_service_without_the_new_query_is_asked_the_old_way(client, far_side):
    side = far_side(404, page("a"))
    assert [row["name"] for row in client(side).list_by_source("tipline")] == ["a"]
    assert side.requests[1].url.path == f"{BASE}/queryIndicators"
    assert side.bodies()[1]["sources"] == ["tipline"]


def test_a_list_that_fails_is_a_failure_not_an_empty_workspace(client, far_side):
    with pytest.raises(ApiError, match="Microsoft Sentinel Contributor"):
        list(client(far_side(403)).list_by_source("tipline"))
    with pytest.raises(ApiError, match="value"):
        list(client(far_side(httpx.Response(200, json={}))).list_by_source("tipline"))


@pytest.mark.parametrize("body", [{"count": 7}, {"value": 7}, 7])
def test_a_count_is_read(client, far_side, body):
    assert client(far_side(httpx.Response(200, json=body))).count("tipline") == 7


def test_an_answer_without_a_count_is_a_failure(client, far_side):
    with pytest.raises(ApiError, match="no number"):
        client(far_side(httpx.Response(200, json={}))).count("tipline")
