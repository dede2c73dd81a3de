"""The OASIS client of TAXII, in both versions, reads what is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from requests.exceptions import HTTPError
from stix2validator import ValidationOptions, validate_instance
from taxii2client import v20, v21
from taxii2client.exceptions import AccessError

from api.taxii import KEY, Lab, collection, domains, lab, names
from outputs.test_carries import VALUES
from tipline.outputs.taxii import TaxiiKind

EXPECTED = [f"host-{number}.example.com" for number in range(25)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """25 indicators, behind a key and open."""
    outputs = [collection("open"), collection("shut", access="key", keys=[KEY], max_tlp="amber+strict")]
    with lab(tmp_path_factory.mktemp("taxii"), *outputs) as made:
        made.publish(domains(*range(25), tlp="amber+strict"))
        made.publish([*domains(*range(25)), *domains(99)])
        made.publish(domains(*range(25)))
        yield made


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_2_1_from_discovery_to_the_last_page(served: Lab) -> None:
    with v21.Server(f"{served.url}/taxii2/", user="anyone", password=KEY) as server:
        root = server.default
        assert root.versions == ["application/taxii+json;version=2.1"]
        found = {each.title: each for each in root.collections}
        assert set(found) == {"open", "shut"}
        pages = list(v21.as_pages(found["shut"].get_objects, per_request=7))
        assert [len(page["objects"]) for page in pages] == [7, 7, 7, 7, 3]
        everything = [each for page in pages for each in page["objects"]]
        assert sorted(names(everything)) == sorted([*EXPECTED, "host-99.example.com"])
        manifest = [
            each for page in v21.as_pages(found["shut"].get_manifest, per_request=9) for each in page["objects"]
        ]
        assert [each["id"] for each in manifest] == [each["id"] for each in everything]
        one = everything[-1]
        assert found["shut"].get_object(one["id"])["objects"] == [one]
        assert found["shut"].object_versions(one["id"])["versions"] == [one["modified"]]
        assert found["shut"].get_objects(added_after=manifest[-1]["date_added"]) == {}
        with pytest.raises(AccessError):
            found["shut"].add_objects({"objects": []})
        with pytest.raises(AccessError):
            found["shut"].delete_object(one["id"])


def test_2_0_from_discovery_to_the_last_page(served: Lab) -> None:
    with v20.Server(f"{served.url}/taxii/", user="anyone", password=KEY) as server:
        root = server.default
        assert root.url == f"{served.url}/taxii2/api/"
        found = {each.title: each for each in root.collections}
        pages = list(v20.as_pages(found["shut"].get_objects, per_request=7))
        # STIX 2.0 has no marking for amber+strict.
        assert [len(page["objects"]) for page in pages] == [7, 7, 7, 7, 2]
        everything = [each for page in pages for each in page["objects"]]
        assert sorted(names(everything)) == sorted([*EXPECTED, "host-99.example.com"])
        manifest = [
            each for page in v20.as_pages(found["shut"].get_manifest, per_request=9) for each in page["objects"]
        ]
        assert [each["id"] for each in manifest] == [each["id"] for each in everything]
        one = everything[-1]
        assert found["shut"].get_object(one["id"])["objects"] == [one]
        after = found["shut"].get_objects(added_after=manifest[-1]["date_added"])
        assert "objects" not in after
        with pytest.raises(AccessError):
            found["shut"].add_objects({"objects": []})


def test_a_wrong_key_is_refused(served: Lab) -> None:
    for version in (v20, v21):
        address, wrong = served.address("shut"), "wrong-wrong-wrong"
        with (
            version.Collection(address, user="anyone", password=wrong) as found,
            pytest.raises(HTTPError, match="401"),
        ):
            found.get_objects()


def test_a_client_that_polls_gets_each_change_once(tmp_path: Path) -> None:
    with lab(tmp_path, collection("open")) as made:
        made.publish(domains(1, 2, 3))
        with v21.Collection(made.address("open")) as found:
            first = found.get_manifest()["objects"]
            made.publish(domains(1, 3, 4))
            newer = found.get_objects(added_after=first[-1]["date_added"])["objects"]
            assert {each["name"]: each["revoked"] for each in newer} == {
                "host-2.example.com": True,
                "host-4.example.com": False,
            }


@pytest.mark.parametrize("spec", ["2.1", "2.0"])
def test_every_object_that_a_client_gets_is_valid(tmp_path: Path, spec: str) -> None:
    """Of each type, one that is there and one that is revoked, by the OASIS validator."""
    client = {"2.1": v21, "2.0": v20}[spec]
    rows = [{"value": value, "type": type_, "tags": ["x"], "confidence": 70} for type_, value in VALUES.items()]
    with lab(tmp_path, collection("open", max_tlp="green", access="key", keys=[KEY])) as made:
        made.publish(rows)
        made.publish(rows[::2])
        with client.Collection(made.address("open"), user="any", password=KEY) as found:
            content = [each for page in client.as_pages(found.get_objects, per_request=5) for each in page["objects"]]
    indicators = [each for each in content if each["type"] == "indicator"]
    assert len(indicators) == len(TaxiiKind.types or ())
    assert {each.get("revoked", False) for each in indicators} == {True, False}
    for each in content:
        result = validate_instance(each, ValidationOptions(version=spec, strict=False))
        assert result.is_valid, (each, result.errors)
