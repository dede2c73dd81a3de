"""The scripts' configurations: each option translated or explained, nothing blocks unless confirmed."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.config.importers.misp_scripts import import_misp2sentinel, import_misp_graph
from tipline.config.importers.report import Imported
from tipline.errors import FormatError
from tipline.processors.filter import FilterSettings

SHIPPED = sorted((Path(__file__).parents[2] / "data" / "misp-scripts").glob("*.txt"))
AUTH = "ms_auth = {'tenant': 't', 'client_id': 'c', 'client_secret': 's3cret', 'workspace_id': 'w'%s}\n"
MISP = "misp_key = 'k3y'\nmisp_domain = 'https://misp.corp.example/'\nmisp_verifycert = True\n"
GRAPH = "graph_auth = {'tenant': 't', 'client_id': 'c', 'client_secret': 's3cret'}\n" + MISP


def sentinel(text: str, auth: str = "") -> Imported:
    return import_misp2sentinel(AUTH % auth + MISP + text, "config.py")


def graph(text: str, *, keep_blocking: bool = False) -> Imported:
    return import_misp_graph(GRAPH + text, "config.py", keep_blocking=keep_blocking)


def outcomes(made: Imported, setting: str) -> list[str]:
    return [note.outcome for note in made.notes if note.setting == setting]


def passes(made: Imported, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = made.yaml()
    for name in re.findall(r"\$\{env:([^}]+)\}", text):
        monkeypatch.setenv(name, "https://misp.example.org")
    for name in re.findall(r"\$\{file:([^}]+)\}", text):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(made.files.get(name, "given"))
    found = check_text(text, place / "tipline.yml")
    assert [str(problem) for problem in found.problems] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_each_shipped_configuration_passes_check_and_every_option_is_spoken_of(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text()
    read = import_misp_graph if path.stem == "misp-graph" else import_misp2sentinel
    made = read(text, path.name)
    passes(made, tmp_path, monkeypatch)
    options = {
        target.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
        and re.match(r"ms_|misp_|days_|default_|action$|passive|target|graph_", target.id)
    }
    said = {note.setting.partition(".")[0] for note in made.notes}
    assert options - {"misp_event_filters_raw"} <= said
    assert [note for note in made.notes if note.sentence == "no script has such an option"] == []
    assert {output["mode"] for output in made.outputs.values()} == {"shadow"}
    assert made.needed


def test_secrets_are_in_files_and_nowhere_else() -> None:
    made = sentinel("")
    assert made.files == {"secrets/misp-key": "k3y", "secrets/sentinel-client-secret": "s3cret"}
    assert "k3y" not in made.yaml() + repr(made)
    assert "s3cret" not in made.yaml() + repr(made)


def test_filters() -> None:
    made = sentinel(
        "misp_event_filters = {'published': True, 'tags': ['tlp:green', '!type:test%'], 'org': '!Spam', "
        "'type_attribute': 'ip-dst', 'enforce_warninglist': 1, 'publish_timestamp': '14d', 'limit': 5, 'category': ''}"
    )
    source = made.sources["misp"]
    assert source["event_tags"] == {"any": ["tlp:green"], "none": ["type:test*"]}
    assert source["organisations"] == {"none": ["Spam"]}
    assert source["search"] == {"type": "ip-dst"}
    assert (source["published"], source["enforce_warninglists"]) == (True, True)
    assert outcomes(made, "misp_event_filters.publish_timestamp") == ["translated"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("'a&&b'", {"all": ["a", "b"]}),
        ("'a'", {"any": ["a"]}),
        ("{'OR': ['a'], 'AND': 'b', 'NOT': ['c']}", {"any": ["a"], "all": ["b"], "none": ["c"]}),
    ],
)
def test_tags(given: str, expected: dict[str, Any]) -> None:
    made = sentinel(f"misp_event_filters = {{'published': 1, 'tags': {given}}}")
    assert made.sources["misp"]["event_tags"] == expected


def test_unpublished_events_are_taken_where_the_script_took_them() -> None:
    assert sentinel("misp_event_filters = {}").sources["misp"]["published"] is False


@pytest.mark.parametrize(
    ("filters", "setting", "words"),
    [
        ("'tags': ['a', '!A']", "tags", "leaves out as well"),
        ("'tags': {'AND': ['a', 'b'], 'NOT': ['b']}", "tags", "leaves out as well"),
        ("'org': ['ACME', '!acme']", "org", "leaves out as well"),
        ("'type_attribute': ['comment', 'ip-destination']", "type", "comment, ip-destination name no indicators"),
        ("'category': 'Network'", "category", "no category Network"),
        ("'date_from': '2026-02-01', 'date_to': '2026-01-01'", "date_from", "2026-02-01 is after"),
        ("'to_ids': 0", "to_ids", "actionable_only: false"),
        ("'publish_timestamp': '14w'", "publish_timestamp", "cannot read the time"),
    ],
)
def test_filters_that_nothing_can_pass_are_told(filters: str, setting: str, words: str) -> None:
    made = sentinel(f"misp_event_filters = {{'published': 1, {filters}}}")
    told = [note for note in made.notes if note.setting == f"misp_event_filters.{setting}" and words in note.sentence]
    assert [note.outcome for note in told] == ["changed"]


@pytest.mark.parametrize(
    "filters",
    ["'tags': ['a', '!b']", "'type_attribute': ['comment', 'ip-dst']", "'category': 'Network activity'",
     "'publish_timestamp': '14d'", "'timestamp': ['5d', '1d']", "'type_attribute': '!comment'", "'tags': 'tlp:%'",
     "'date_from': '2026-01-01'", "'last': 'Tue Nov 24 03:00:00 UTC 2026'", "'timestamp': 1700000000"],
)  # fmt: skip
def test_of_filters_that_something_can_pass_nothing_such_is_told(filters: str) -> None:
    made = sentinel(f"misp_event_filters = {{'published': 1, {filters}}}")
    told = [note.sentence for note in made.notes if note.setting.startswith("misp_event_filters.")]
    assert not [each for each in told if "nothing" in each]


def test_only_unpublished_events_where_the_script_asked_for_them() -> None:
    source = sentinel("misp_event_filters = {'published': False}").sources["misp"]
    assert (source["published"], source["search"]) == (False, {"published": 0})


def test_a_window_of_the_sample_script_chooses_the_set() -> None:
    source = graph("misp_event_filters = {'publish_timestamp': '30d', 'timestamp': '90d'}").sources["misp"]
    assert (source["search"], source["max_age"]) == ({"publish_timestamp": "30d"}, "90d")


def test_days_to_expire_by_type() -> None:
    made = sentinel(
        "days_to_expire = 50\ndays_to_expire_start = 'valid_from'\n"
        "days_to_expire_mapping = {'ipv4-addr': 180, 'url': 365, 'file:hashes': 20}\n"
    )
    where = made.outputs["sentinel"]["where"]
    assert FilterSettings.model_validate({"kind": "filter", "inputs": "x", "where": where})
    assert "type in ('ipv4') and seen_age < 180d" in where
    assert "seen_age < 50d" in where
    assert (made.sources["misp"]["expire"], made.sources["misp"]["max_age"]) == ("last_seen + 365d", "365d")
    assert (made.outputs["sentinel"]["lifetime"], made.outputs["sentinel"]["refresh"]) == ("20d", "160h")


def test_days_counted_from_the_run_include_its_window() -> None:
    made = sentinel(
        "days_to_expire = 50\ndays_to_expire_start = 'current_date'\nmisp_event_filters = {'publish_timestamp': '14d'}"
    )
    assert made.sources["misp"]["expire"] == "last_seen + 64d"


@pytest.mark.parametrize(
    ("action", "keep", "expected"),
    [("alert", False, "Audit"), ("block", False, "Audit"), ("block", True, "Block"), ("allow", False, "Audit"),
     ("allow", True, "Allowed")],
)  # fmt: skip
def test_blocking_is_confirmed_or_becomes_alerting(
    action: str, keep: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"targetProduct = 'Microsoft Defender ATP'\naction = '{action}'\npassiveOnly = True\n"
    made = graph(text, keep_blocking=keep)
    passes(made, tmp_path, monkeypatch)
    assert made.outputs["defender"]["action"] == expected
    assert outcomes(made, "action") == ["kept" if keep or action == "alert" else "changed"]


def test_another_cloud_is_kept() -> None:
    made = sentinel("", ", 'scope': 'https://management.usgovcloudapi.net/.default'")
    assert made.outputs["sentinel"]["credentials"]["cloud"] == "gcc-high"


def test_an_unknown_option_is_told() -> None:
    assert outcomes(sentinel("my_option = 3"), "my_option") == ["lost"]


@pytest.mark.parametrize("text", ["", "x = 1", MISP, "ms_auth = f()\n" + MISP, "ms_auth = {"])
def test_what_is_no_configuration_of_the_script_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        import_misp2sentinel(text, "config.py")
