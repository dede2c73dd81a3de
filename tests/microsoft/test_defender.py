from __future__ import annotations

import httpx
import pytest

from tipline.errors import ConfigError
from tipline.microsoft.clouds import endpoints
from tipline.microsoft.defender import CONFIRM_UP_TO, DefenderClient, fault_of, matched, odata_quote
from tipline.microsoft.results import Fault
from tipline.microsoft.transport import ApiError


@pytest.fixture
def client(clock, tokens, connect, jwt):
    opened = []

    def build(side, *roles, **patience):
        if roles:
            tokens.tokens = [jwt(*roles)]
        made = DefenderClient(endpoints(), tokens, connect(side, **patience))
        opened.append(made)
        return made

    yield build
    for each in opened:
        each.close()


def items(count):
    return [{"indicatorValue": f"{n}.example", "indicatorType": "DomainName"} for n in range(count)]


class Tenant:
    """Just enough of Defender: import, list, delete, batch delete."""

    def __init__(self, ids=(), *, bad=(), atomic=True, page=10_000, links=True):
        self.ids, self.bad, self.atomic, self.page, self.links = list(ids), set(bad), atomic, page, links
        self.calls: list[str] = []
        self.imported: list[str] = []

    def __call__(self, request):
        path, method = request.url.path.removeprefix("/api/indicators"), request.method
        self.calls.append(f"{method} {path}")
        if method == "DELETE":
            return self.delete_one(path.removeprefix("/"))
        if method == "GET":
            return self.listed(request)
        body = request_json(request)
        return self.batch_delete(body) if path == "/BatchDelete" else self.imports(body)

    def imports(self, body):
        values = [item["indicatorValue"] for item in body["Indicators"]]
        if self.bad & set(values):
            return error(400, "InvalidInput", "bad value among them")
        self.imported += values
        rows = [{"id": f"i-{v}", "indicator": v, "isFailed": False, "failureReason": None} for v in values]
        return httpx.Response(200, json={"value": rows})

    def listed(self, request):
        skip = int(request.url.params.get("$skip", 0))
        rows = [{"id": each} for each in self.ids[skip : skip + self.page]]
        body = {"value": rows}
        if self.links and skip + self.page < len(self.ids):
            body["@odata.nextLink"] = f"https://global.test/api/indicators?$skip={skip + self.page}"
        return httpx.Response(200, json=body)

    def batch_delete(self, body):
        ids = body["IndicatorIds"]
        if any(each in self.bad for each in ids):
            return error(400, "InvalidInput", "not an id")
        unknown = [each for each in ids if each not in self.ids]
        if unknown and self.atomic:
            return error(404, "NotFound", "unknown")
        self.ids = [each for each in self.ids if each not in ids]
        return error(404, "NotFound", "unknown") if unknown else httpx.Response(204)

    def delete_one(self, identifier):
        if identifier not in self.ids:
            return error(404, "NotFound", "unknown")
        self.ids.remove(identifier)
        return httpx.Response(204)


def request_json(request):
    return httpx.Response(200, content=request.content).json()


def error(status, code, message):
    return httpx.Response(status, json={"error": {"code": code, "message": message, "target": "x"}})


def test_imports_wrap_as_documented_and_results_keep_the_order(client, far_side):
    rows = [
        {"id": "7", "indicator": "0.example", "isFailed": False, "failureReason": None},
        {"id": None, "indicator": "1.example", "isFailed": True, "failureReason": "InvalidDomainName: no"},
    ]
    side = far_side(httpx.Response(200, json={"value": rows}))
    results = client(side).import_indicators(items(2))
    assert side.bodies() == [{"Indicators": items(2)}]
    assert [(r.ok, r.id, r.fault) for r in results] == [(True, "7", None), (False, None, Fault.INVALID)]
    assert results[1].reason == "InvalidDomainName: no"


def test_an_import_refused_as_a_whole_loses_only_the_bad_items(client):
    tenant = Tenant(bad={"17.example", "400.example"})
    results = client(tenant).import_indicators(items(500))
    assert [n for n, r in enumerate(results) if not r.ok] == [17, 400]
    assert results[17].fault is Fault.INVALID
    assert len(tenant.imported) == len(set(tenant.imported)) == 498


def test_an_import_that_is_too_big_is_sent_in_parts(client):
    def side(request):
        body = request_json(request)
        if len(body["Indicators"]) > 100:
            return httpx.Response(413)
        return Tenant().imports(body)

    assert all(r.ok for r in client(side).import_indicators(items(500)))


def test_a_full_tenant_is_reported_as_such_without_many_calls(client):
    tenant_calls = []

    def side(request):
        tenant_calls.append(1)
        return error(400, "InvalidInput", "The maximum number of indicators for this tenant has been reached.")

    results = client(side).import_indicators(items(500))
    assert {r.fault for r in results} == {Fault.QUOTA}
    assert len(results) == 500
    assert len(tenant_calls) <= 21


def test_an_item_the_answer_does_not_mention_is_not_taken_for_accepted(client, far_side):
    side = far_side(httpx.Response(200, json={"value": [{"id": "1", "indicator": "0.example"}]}))
    results = client(side).import_indicators(items(2))
    assert [r.ok for r in results] == [True, False]
    assert results[1].retryable


def test_at_most_500_items_go_in_one_call(client, far_side):
    with pytest.raises(ValueError, match="501"):
        client(far_side(200)).import_indicators(items(501))


def test_nothing_to_do_makes_no_call(client, far_side):
    side = far_side(500)
    assert client(side).import_indicators([]) == []
    assert client(side).delete([]) == []
    assert side.requests == []


def test_the_import_limit_of_30_a_minute_is_kept(client, clock):
    made = client(Tenant())
    for _ in range(31):
        made.import_indicators(items(1))
    assert clock.waits == [61.0]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("count", [0, 1, 30, 70])
def test_the_list_is_complete_whichever_way_it_is_paged(client, links, count):
    tenant = Tenant([str(n) for n in range(count)], page=30, links=links)
    assert [row["id"] for row in client(tenant).list_all()] == tenant.ids


def test_a_service_that_ignores_skip_does_not_make_an_endless_list(client, far_side):
    side = far_side(httpx.Response(200, json={"value": [{"id": "1"}]}))
    assert list(client(side).list_all()) == [{"id": "1"}]


def test_a_filter_is_encoded(client, far_side):
    side = far_side(httpx.Response(200, json={"value": []}))
    value = odata_quote("http://x.example/?a=1&b='2'")
    list(client(side).list_all(f"indicatorValue eq {value}"))
    assert side.requests[0].url.params["$filter"] == "indicatorValue eq 'http://x.example/?a=1&b=''2'''"
    assert side.requests[0].url.params["$top"] == "10000"


def test_a_list_without_value_is_a_failure_not_an_empty_tenant(client, far_side):
    with pytest.raises(ApiError, match="value"):
        list(client(far_side(httpx.Response(200, json={}))).list_all())


def test_deletion_is_one_call_when_all_exist(client):
    tenant = Tenant(["1", "2", "3"])
    assert [r.ok for r in client(tenant).delete(["1", "2", "2"])] == [True, True, True]
    assert tenant.calls == ["POST /BatchDelete"]
    assert tenant.ids == ["3"]


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("unknown", [1, CONFIRM_UP_TO + 1])
def test_unknown_ids_count_as_deleted_and_the_others_are_deleted(client, atomic, unknown):
    known = [str(n) for n in range(100)]
    tenant = Tenant([*known, "kept"], atomic=atomic)
    results = client(tenant).delete([*known, *(f"u{n}" for n in range(unknown))])
    assert all(r.ok for r in results)
    assert tenant.ids == ["kept"]
    assert len(tenant.calls) <= 5 + CONFIRM_UP_TO


def test_a_malformed_id_is_isolated_and_unknown_ones_beside_it_still_count(client):
    tenant = Tenant(["1", "2", "3"], bad={"x!"})
    results = client(tenant).delete(["1", "x!", "gone", "2"])
    assert [r.ok for r in results] == [True, False, True, True]
    assert tenant.ids == ["3"]


def test_a_refused_deletion_without_the_role_says_what_to_add(client, far_side):
    made = client(far_side(error(403, "Forbidden", "no")), "Alert.Read.All")
    with pytest.raises(ApiError, match=r"it has Alert.Read.All") as caught:
        made.delete(["1", "2"])
    assert "Ti.ReadWrite.All" in caught.value.fix


def test_an_indicator_outside_our_device_groups_is_isolated(client):
    tenant = Tenant(["1", "2"])

    def side(request):
        if b"hidden" in request.content:
            return error(403, "Forbidden", "not exposed")
        return tenant(request)

    results = client(side, "Ti.ReadWrite.All").delete(["1", "hidden", "2"])
    assert [r.ok for r in results] == [True, False, True]


@pytest.mark.parametrize("status", [200, 202, 400])
def test_the_probe_accepts_either_answer_to_an_empty_import(client, far_side, status):
    side = far_side(httpx.Response(status, json={"value": []}))
    assert client(side, "Ti.ReadWrite").probe() == {"Ti.ReadWrite"}
    assert side.bodies() == [{"Indicators": []}]


def test_the_probe_explains_a_missing_role(client, far_side):
    with pytest.raises(ApiError, match="lacks the Defender role"):
        client(far_side(403), "Other.Role").probe()


def test_a_cloud_without_defender_is_a_setting_to_correct(tokens):
    with pytest.raises(ConfigError):
        DefenderClient(endpoints("china"), tokens)


def test_rows_are_matched_by_name_then_by_order():
    rows = [{"indicator": "B"}, {"indicator": "a"}, {"indicator": "changed"}]
    assert matched(["a", "b", "c"], rows) == [rows[1], rows[0], rows[2]]
    same = [{"indicator": "a", "n": 1}, {"indicator": "a", "n": 2}]
    assert matched(["a", "a"], same) == same
    assert matched(["a", "b", "c"], [{"indicator": "a"}]) == [{"indicator": "a"}, None, None]


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("The maximum number of indicators for this tenant has been reached.", Fault.QUOTA),
        ("InternalServerError", Fault.TRANSIENT),
        ("Indicators can't be created for internal IPs", Fault.INVALID),
        ("Recieved an empty indicator value.", Fault.INVALID),
        ("hm", Fault.UNKNOWN),
    ],
)
def test_microsofts_reasons_are_sorted(reason, fault):
    assert fault_of(reason) is fault
