"""`check` finds every problem at once, each with its file and line, and what to do."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from tipline.config.check import check, check_text, load, suggest
from tipline.errors import ConfigError
from tipline.kinds import kinds

FILE = Path("tipline.yml")
GOOD = """\
instance: lab
sources:
  feed: {kind: lines, url: https://feeds.example.org/a.txt}
  wl: {kind: lines, url: wl.txt}
processors:
  all: {kind: aggregate, inputs: [feed], allow: [wl]}
outputs:
  listed: {kind: list, inputs: all, where: confidence >= 75}
"""


def problems(text: str) -> list[str]:
    return [str(problem) for problem in check_text(text, FILE).problems]


def one(text: str) -> str:
    (found,) = problems(text)
    return found


def test_a_good_configuration_has_no_problem() -> None:
    checked = check_text(GOOD, FILE)
    assert checked.problems == []
    configuration = checked.usable()
    assert set(configuration.nodes()) >= {"feed", "wl", "all", "listed", "allowed", "never-block"}
    assert configuration.allow_lists >= {"wl", "allowed", "never-block"}
    assert configuration.path.is_absolute()
    assert configuration.data == configuration.path.parent / "data"


def test_an_empty_file_is_a_configuration() -> None:
    assert check_text("", FILE).usable().outputs == {}


def test_every_problem_is_told_at_once_with_its_line() -> None:
    text = """\
instanc: lab
sources:
  feed: {kind: cvs, url: a}
  other:
    kind: lines
    urll: b
    every: soon
outputs:
  listed:
    kind: list
    inputs: [fead]
    where: confidance > 3
    max_tlp: purple
"""
    found = problems(text)
    for place, words in [
        ("tipline.yml:1:", "did you mean instance?"),
        ("tipline.yml:3:", "no source kind 'cvs' (did you mean csv?)"),
        ("tipline.yml:6:", "other.urll: there is no such setting (did you mean url?)"),
        ("tipline.yml:7:", "other.every"),
        ("tipline.yml:4:", "other.url is missing"),
        ("tipline.yml:13:", "listed.max_tlp: 'purple' is no TLP"),
    ]:
        assert any(line.startswith(place) and words in line for line in found), (place, words, found)


def test_expressions_are_checked() -> None:
    found = one(GOOD.replace("confidence >= 75", "confidance >= 75"))
    assert found.startswith("tipline.yml:8: error: listed")
    assert "confidence" in found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("all: {kind: aggregate", "'a b': {kind: aggregate"), "'a b' is no name for a node"),
        (
            ("feed: {kind: lines, url: https://feeds.example.org/a.txt}", "feed: lines"),
            "feed has no settings",
        ),
        (("kind: lines, url: wl.txt", "url: wl.txt"), "wl has no kind"),
        (("instance: lab", "instance: The Lab!"), "instance: String should match pattern"),
    ],
)
def test_other_mistakes(change: tuple[str, str], words: str) -> None:
    assert any(words in line for line in problems(GOOD.replace(*change)))


def test_names_of_built_in_sources_are_taken() -> None:
    text = GOOD.replace("feed:", "allowed:").replace("[feed]", "[allowed]")
    assert any("allowed is the name of a built-in source (rename it)" in line for line in problems(text))


def test_a_section_must_be_a_mapping() -> None:
    assert any("outputs must map names to nodes" in line for line in problems("outputs: [a]\n"))


def test_what_cannot_be_used_says_all_its_errors() -> None:
    with pytest.raises(ConfigError) as found:
        check_text("instanc: lab\nsourcs: {}\n", FILE).usable()
    assert "instanc" in str(found.value)
    assert "sourcs" in str(found.value)


@pytest.mark.parametrize("body", [None, b"\xff\xfe\x00", b"a: [\n", b"- a\n", b"a: 1\na: 2\n", b"a: \tb\n\tc: d\n"])
def test_files_that_cannot_be_read(tmp_path: Path, body: bytes | None) -> None:
    path = tmp_path / "tipline.yml"
    if body is not None:
        path.write_bytes(body)
    (problem,) = check(path).problems
    assert (problem.severity, problem.where.startswith(str(path))) == ("error", True)
    with pytest.raises(ConfigError, match=r"tipline\.yml"):
        load(path)


def test_suggestions() -> None:
    assert suggest("agregate", ["aggregate", "filter"]) == "did you mean aggregate?"
    assert suggest("xyz", ["b", "a"]) == "there are: a, b"


def test_a_retired_kind_is_a_warning_that_names_what_replaced_it() -> None:
    example = indent(kinds("output")["microsoft-graph"].example.replace("${env:GRAPH_SECRET}", "secret"), "    ")
    text = f"sources:\n  inbound: {{kind: local}}\noutputs:\n  old:\n{example}"
    found = check_text(text, FILE)
    (told,) = [problem for problem in found.problems if "retired" in problem.what]
    assert (told.severity, told.where) == ("warning", "tipline.yml:5")
    assert "microsoft-sentinel and microsoft-defender" in told.what
    assert found.configuration is not None
    assert found.errors == []
