"""How nodes are wired: inputs exist and fit, no loops, and no edge crosses teams without leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipline.config.check import check_text

FILE = Path("tipline.yml")


def problems(text: str) -> list[str]:
    return [str(problem) for problem in check_text(text, FILE).problems]


def wired(sources: str = "", processors: str = "", outputs: str = "", top: str = "") -> str:
    first = f"{top}\nsources:\n  a: {{kind: lines, url: a}}\n{sources}\n"
    return f"{first}processors:\n{processors}\noutputs:\n{outputs}\n"


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ("  o: {kind: list, inputs: aa}", "o: there is no node aa"),
        ("  o: {kind: list, inputs: a}\n  p: {kind: list, inputs: [a, o]}", "p: an output cannot be read: o"),
        ("  o: {kind: list, inputs: a, allow: [o]}", "o: only a source can be an allow-list: o"),
        ("  o: {kind: list, inputs: a, allow: [a]}", "a is read both as a feed and as an allow-list"),
        ("  a: {kind: list, inputs: a}", "a is already the name of a node in sources"),
    ],
)
def test_edges_that_do_not_fit(outputs: str, words: str) -> None:
    (found,) = [line for line in problems(wired(outputs=outputs)) if "error" in line]
    assert found.startswith("tipline.yml:")
    assert words in found


def test_a_node_with_errors_of_its_own_is_not_reported_as_missing() -> None:
    found = problems(wired(sources="  b: {kind: nothing}", outputs="  o: {kind: list, inputs: [a, b]}"))
    assert len(found) == 1
    assert "kind 'nothing'" in found[0]


def test_loops_are_named() -> None:
    edges = {"p": "a, q", "q": "r", "r": "p"}
    processors = "\n".join(f"  {name}: {{kind: aggregate, inputs: [{read}]}}" for name, read in edges.items())
    found = problems(wired(processors=processors, outputs="  o: {kind: list, inputs: p}"))
    assert any("the nodes form a loop: p -> q -> r -> p" in line for line in found)


def test_a_source_that_nobody_reads_is_a_warning() -> None:
    checked = check_text(wired(sources="  b: {kind: lines, url: b}", outputs="  o: {kind: list, inputs: a}"), FILE)
    assert [str(problem) for problem in checked.problems] == [
        "tipline.yml:4: warning: no node reads b (add it to the inputs of one)"
    ]
    assert checked.usable().sources.keys() >= {"a", "b"}


TEAMS = "teams: {red: {}, blue: {}}"
SOURCE = "  s: {kind: lines, url: s, team: red, distribution: DISTRIBUTION}"


@pytest.mark.parametrize("distribution", ["team", "server", "all"])
@pytest.mark.parametrize(
    ("processors", "outputs"),
    [
        ("", "  o: {kind: list, inputs: [a, s], team: blue}"),
        ("", "  o: {kind: list, inputs: a, allow: [s], team: blue}"),
        ("  p: {kind: aggregate, inputs: [a, s], team: blue}", "  o: {kind: list, inputs: p, team: blue}"),
        (
            "  p: {kind: aggregate, inputs: [a], allow: [s], team: blue}",
            "  o: {kind: list, inputs: p, team: blue}",
        ),
    ],
    ids=["output", "output-allow", "processor", "processor-allow"],
)
def test_no_edge_crosses_teams_without_distribution(processors: str, outputs: str, distribution: str) -> None:
    text = wired(SOURCE.replace("DISTRIBUTION", distribution), processors, outputs, TEAMS)
    text = text.replace("a: {kind: lines, url: a}", "a: {kind: lines, url: a, team: blue}")
    found = [line for line in problems(text) if "error" in line]
    if distribution != "team":
        assert found == []
        return
    (line,) = found
    assert "of team blue may not read s, which team red keeps to itself" in line
    assert "set distribution: server on s" in line


def test_a_processor_does_not_launder_what_its_team_keeps() -> None:
    """Another team's output may not read a processor that is not distributed either."""
    processors = "  p: {kind: aggregate, inputs: [s], team: red}"
    outputs = "  o: {kind: list, inputs: [a, p], team: blue}"
    text = wired(SOURCE.replace("DISTRIBUTION", "team"), processors, outputs, TEAMS)
    text = text.replace("a: {kind: lines, url: a}", "a: {kind: lines, url: a, team: blue}")
    assert any("o of team blue may not read p" in line for line in problems(text))


def test_a_team_that_does_not_exist() -> None:
    found = problems(
        wired(
            outputs="  o: {kind: list, inputs: a, team: gren}",
            sources="  x: {kind: lines, url: x, team: gren}",
            top=TEAMS,
        )
    )
    assert sum("there is no team gren" in line for line in found) == 2
