"""TAXII 2.0: numbers of a Range header, which hold while others write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.taxii import STIX_20, TAXII_20, Lab, collection, domains, lab, names
from tipline.api.taxii.numbered import _MOST_ORDERS


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path, collection("open")) as made:
        yield made


def asked(live: Lab, numbers: str | None, *, parts: str = "objects", **query: str) -> httpx.Response:
    headers = {**(STIX_20 if parts == "objects" else TAXII_20), **({"range": numbers} if numbers else {})}
    return live.get(live.address("open", parts), headers=headers, **query)


def test_a_range_is_answered_with_its_numbers(live: Lab) -> None:
    live.publish(domains(*range(8)))
    whole = asked(live, None)
    assert (whole.status_code, whole.headers["content-range"]) == (200, "items 0-9/10")
    everything = whole.json()["objects"]
    for numbers, first, last in (("items 0-3", 0, 3), ("items=2-2", 2, 2), ("items 4-99", 4, 9)):
        answer = asked(live, numbers)
        assert (answer.status_code, answer.headers["content-range"]) == (206, f"items {first}-{last}/10")
        assert answer.json()["objects"] == everything[first : last + 1]
        assert answer.headers["accept-ranges"] == "items"
    records = asked(live, "items 8-9", parts="manifest").json()["objects"]
    assert [each["id"] for each in records] == [each["id"] for each in everything[8:]]
    assert records[0]["media_types"] == ["application/vnd.oasis.stix+json; version=2.0"]
    assert records[0]["versions"] == [everything[8]["modified"]]


def test_filters_change_the_numbers(live: Lab) -> None:
    live.publish(domains(1, 2))
    live.publish(domains(1, 2, 3))
    answer = asked(live, "items 0-9", added_after="2026-01-01T00:01:00Z")
    assert answer.headers["content-range"] == "items 0-0/1"
    assert asked(live, "items 0-9", match_type="identity").headers["content-range"] == "items 0-0/1"
    nothing = asked(live, "items 0-9", added_after="2026-01-02T00:00:00Z")
    assert (nothing.status_code, nothing.headers["content-range"]) == (200, "items */0")
    assert "objects" not in nothing.json()


@pytest.mark.parametrize("numbers", ["items 10-19", "items 5-4", "bytes=0-9", "items -5", "items 0-"])
def test_a_range_that_is_none(live: Lab, numbers: str) -> None:
    live.publish(domains(1))
    answer = asked(live, numbers)
    assert (answer.status_code, answer.headers["content-type"]) == (416, TAXII_20["accept"])


def test_numbers_hold_while_others_write(live: Lab) -> None:
    """What changes leaves a hole and comes again at the end: nothing moves to numbers that were read."""
    live.publish(domains(*range(20)))
    start, total, seen = 0, 1, []
    while start < total:
        answer = asked(live, f"items {start}-{start + 3}")
        seen += names(answer.json().get("objects", []))
        total = int(answer.headers["content-range"].rpartition("/")[2])
        start += 4
        if start == 8:
            live.publish([*domains(*range(2, 18), 30), *domains(18, 19, confidence="90")])
    expected = {f"host-{number}.example.com" for number in (*range(20), 30)}
    assert set(seen) == expected
    fresh = asked(live, None).headers["content-range"]
    assert fresh == "items 0-22/23"


def test_an_order_is_remembered_for_a_few_clients_only(live: Lab) -> None:
    live.publish(domains(*range(6)))
    for number in range(_MOST_ORDERS + 3):
        assert asked(live, "items 0-1", match_version=f"2026-01-01T00:0{number % 10}:00Z").status_code in {
            200,
            206,
        }
    assert asked(live, "items 2-9").headers["content-range"] == "items 2-7/8"


def test_only_2_1_has_versions(live: Lab) -> None:
    live.publish(domains(1))
    address = live.address("open", "objects", asked(live, None).json()["objects"][0]["id"], "versions")
    assert live.get(address, headers=TAXII_20).status_code == 406
