"""init, check and plan: what people do to a configuration before it is put to work."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tipline.passwords import verify

BAD = """\
instance: test
sources:
  feed:
    kind: lins
    url: file:///nowhere/feed.txt
  cert:
    kind: csv
    urll: file:///nowhere/cert.csv
    every: 1 fortnight
processors:
  inbound: {kind: aggregate, inputs: [feeed]}
  sure: {kind: filter, inputs: inbound, where: confidnce >= 75}
"""


def test_init_writes_a_configuration_that_passes_check(tmp_path: Path, monkeypatch: Any, tipline_: Any) -> None:
    monkeypatch.chdir(tmp_path)

    assert tipline_("init").code == 0

    assert tipline_("check", "--json").json["ok"]


def test_init_leaves_an_existing_file_alone(place: Path, tipline_: Any) -> None:
    before = (place / "tipline.yml").read_text()

    answer = tipline_("init")

    assert answer.code == 1
    assert "exists already" in answer.err
    assert (place / "tipline.yml").read_text() == before


def test_check_reports_every_problem_at_once_with_its_line_and_a_suggestion(place: Path, tipline_: Any) -> None:
    (place / "tipline.yml").write_text(BAD)

    answer = tipline_("check", "--json")

    assert answer.code == 1
    errors = {p["where"].rpartition(":")[2]: p for p in answer.json["problems"] if p["severity"] == "error"}
    assert errors["4"]["fix"] == "did you mean lines?"
    assert errors["8"]["fix"] == "did you mean url?"
    assert "1 fortnight" in errors["9"]["what"]
    assert "feeed" in errors["11"]["what"]
    assert "did you mean confidence?" in errors["12"]["what"]
    assert [p["where"] for p in answer.json["problems"]] == sorted(
        (p["where"] for p in answer.json["problems"]), key=lambda where: int(where.rpartition(":")[2])
    )


def test_check_says_which_outputs_need_credentials_and_still_passes(place: Path, tipline_: Any) -> None:
    answer = tipline_("check", "--json")

    assert answer.code == 0
    assert "credentials.tenant_id" in answer.json["needs_credentials"]["defender"]


def test_a_missing_configuration_is_one_clear_line(tmp_path: Path, monkeypatch: Any, tipline_: Any) -> None:
    monkeypatch.chdir(tmp_path)

    answer = tipline_("status")

    assert answer.code == 1
    assert answer.err.splitlines() == [
        "error: there is no such file (tipline.yml)",
        "fix: make one with `tipline init`",
    ]


def test_the_configuration_may_be_named_by_the_environment(place: Path, monkeypatch: Any, tipline_: Any) -> None:
    (place / "tipline.yml").rename(place / "other.yml")
    monkeypatch.setenv("TIPLINE_CONFIG", "other.yml")

    assert tipline_("check").code == 0


def test_plan_shows_what_would_change_and_changes_nothing(place: Path, tipline_: Any) -> None:
    tipline_("run", "--once")
    changed = (place / "tipline.yml").read_text().replace("confidence >= 75", "confidence >= 95")
    (place / "new.yml").write_text(changed)

    found = tipline_("plan", "new.yml", "--json").json

    high = next(output for output in found["outputs"] if output["output"] == "high")
    assert (high["state"], high["removed"], high["added"]) == ("changed", high["published"], 0)
    assert {sample["op"] for sample in high["samples"]} == {"removed"}
    assert "1.2.3.4" in tipline_("list", "high").out.splitlines()


def test_an_approved_plan_is_let_through_by_the_guards(place: Path, tipline_: Any) -> None:
    (place / "feed.txt").write_text("".join(f"1.2.3.{n}\n" for n in range(100)))
    tipline_("run", "--once")
    text = (place / "tipline.yml").read_text().replace("confidence >= 75", "confidence >= 95")

    (place / "tipline.yml").write_text(text)
    held = tipline_("run", "--once", "--json").json
    tipline_("plan", "--approve")
    done = tipline_("run", "--once", "--json").json

    assert next(o for o in held["outputs"] if o["output"] == "high")["held"] == 100
    assert next(o for o in done["outputs"] if o["output"] == "high")["removed"] == 100


def test_plan_refuses_a_configuration_with_errors(place: Path, tipline_: Any) -> None:
    (place / "new.yml").write_text(BAD)

    answer = tipline_("plan", "new.yml", "--json")

    assert answer.code == 1
    assert "new.yml:4" in answer.json["error"]["where"]


def test_a_node_that_changes_its_kind_is_refused(place: Path, tipline_: Any) -> None:
    tipline_("run", "--once")
    text = (place / "tipline.yml").read_text()
    (place / "tipline.yml").write_text(text.replace("by-hand: {kind: local", "by-hand: {kind: lines, url: file:///x"))

    answer = tipline_("status")

    assert answer.code == 1
    assert "by-hand was a local source and is now lines" in answer.err


@pytest.mark.parametrize("arguments", [["bogus"], ["add"], ["list"], ["run", "--bogus"], ["holds", "approve"]])
def test_wrong_usage_ends_with_2(place: Path, tipline_: Any, arguments: list[str]) -> None:
    answer = tipline_(*arguments)

    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert json.loads(tipline_(*arguments, "--json").out)["error"]["code"] == "usage"


def test_a_readers_hash_is_made_of_standard_input(place: Path, tipline_: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret pass\n"))
    answer = tipline_("reader-hash", "--json")
    assert verify(b"secret pass", answer.json["hash"])
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert tipline_("reader-hash").code == 1
