"""Commands in this process, where no server runs."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tipline.cli import base
from tipline.store.lock import DirectoryLock

JSON_COMMANDS = [
    ["status"],
    ["why", "1.2.3.4"],
    ["lookup", "5.6.7.8"],
    ["list", "high"],
    ["list", "inbound"],
    ["list", "feed"],
    ["runs", "feed"],
    ["deliveries"],
    ["holds"],
    ["verify"],
    ["plan"],
    ["check"],
    ["doctor"],
    ["version"],
    ["run", "--once"],
    ["add", "9.9.9.20"],
    ["reconcile"],
]


def node(status: Any, name: str) -> Any:
    return next(entry for entry in status["nodes"] if entry["name"] == name)


def test_one_round_fills_the_lists_and_accounts_for_every_line(place: Path, tipline_: Any) -> None:
    answer = tipline_("run", "--once", "--json")

    poll = next(poll for poll in answer.json["polls"] if poll["source"] == "feed")
    ledger = poll["ledger"]
    assert answer.code == 0
    assert (ledger["read"], ledger["accepted"], ledger["dropped"]) == (5, 4, {"not-routable": 1})
    assert tipline_("list", "all").out.split() == [
        "evil.example.com", "evil2.example.com", "1.2.3.4", "5.6.7.0/24", "9.9.9.10", "https://bad.example.net/x.exe",
    ]  # fmt: skip


def test_a_round_with_a_failing_feed_ends_with_1_and_keeps_what_was(filled: Path, tipline_: Any) -> None:
    (filled / "feed.txt").unlink()

    answer = tipline_("run", "--once")

    assert answer.code == 1
    assert "1.2.3.4" in tipline_("list", "high").out
    assert node(tipline_("status", "--json").json, "feed")["state"] == "failing"


@pytest.mark.parametrize("arguments", JSON_COMMANDS, ids=" ".join)
def test_every_command_prints_one_json_document(filled: Path, tipline_: Any, arguments: list[str]) -> None:
    answer = tipline_(*arguments, "--json")

    assert answer.json is not None
    assert answer.out.count("\n") == 1


@pytest.mark.parametrize("arguments", JSON_COMMANDS, ids=" ".join)
def test_every_command_has_something_for_people(filled: Path, tipline_: Any, arguments: list[str]) -> None:
    answer = tipline_(*arguments)

    assert answer.code == 0, answer.err
    assert answer.out.strip()


def test_json_results_are_stable(filled: Path, tipline_: Any) -> None:
    for arguments in (["list", "all"], ["lookup", "1.2.3.4"], ["why", "1.2.3.4"], ["deliveries"], ["holds"]):
        assert tipline_(*arguments, "--json").out == tipline_(*arguments, "--json").out


def test_what_is_added_is_published_at_once_with_what_was_said_of_it(filled: Path, tipline_: Any) -> None:
    answer = tipline_(
        "add", "hxxp://evil[.]example[.]org/a", "--comment", "seen", "--ttl", "30d", "--tag", "phish",
        "--tag", "mail", "--confidence", "90", "--json",
    )  # fmt: skip

    row = next(r for r in tipline_("list", "high", "--json").json["rows"] if r["type"] == "url" and "org" in r["value"])
    assert answer.json["added"] == 1
    assert (row["value"], row["confidence"], row["tags"], row["description"]) == (
        "http://evil.example.org/a", 90, ["mail", "phish"], "seen",
    )  # fmt: skip
    assert row["valid_until"]


def test_values_may_come_from_standard_input(filled: Path, tipline_: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("9.9.9.21\n\n9.9.9.22\n"))

    answer = tipline_("add", "-", "--json")

    assert answer.code == 0, answer.out
    assert answer.json["added"] == 2


def test_refused_values_come_with_their_reason(filled: Path, tipline_: Any) -> None:
    answer = tipline_("add", "10.0.0.1")

    assert answer.code == 1
    assert "10.0.0.1: private, loopback" in answer.out


def test_a_wrong_duration_is_explained(filled: Path, tipline_: Any) -> None:
    answer = tipline_("add", "9.9.9.23", "--ttl", "soon", "--json")

    assert answer.code == 1
    assert "30d" in answer.json["error"]["what"]


def test_removing_takes_out_mine(filled: Path, tipline_: Any) -> None:
    tipline_("add", "9.9.9.24")

    assert tipline_("remove", "9.9.9.24", "--json").json["removed"] == 1
    assert "9.9.9.24" not in tipline_("list", "all").out
    assert tipline_("remove", "9.9.9.24").code == 1


def test_allow_tells_what_it_takes_out_and_no_poll_brings_it_back(filled: Path, tipline_: Any) -> None:
    found = tipline_("allow", "evil.example.com", "--reason", "ours", "--json").json

    assert {change["output"] for change in found["outputs"]} == {"high", "all", "defender"}
    assert [s["value"] for s in found["outputs"][0]["samples"]] == ["evil.example.com"]
    with (filled / "feed.txt").open("a") as feed:
        feed.write("9.9.9.30\n")
    tipline_("run", "--once")
    assert "evil.example.com" not in tipline_("list", "all").out.split()
    tipline_("disallow", "evil.example.com")
    assert "evil.example.com" in tipline_("list", "all").out.split()


def test_allow_takes_out_a_large_share_without_tripping_the_guard(place: Path, tipline_: Any) -> None:
    (place / "feed.txt").write_text("".join(f"1.2.3.{n}\n" for n in range(100)))
    tipline_("run", "--once")

    answer = tipline_("allow", "1.2.3.0/24", "--reason", "ours", "--json")

    assert answer.code == 0
    assert next(o for o in answer.json["outputs"] if o["output"] == "high")["removed"] == 100


def test_allow_needs_a_reason(filled: Path, tipline_: Any) -> None:
    assert tipline_("allow", "1.2.3.4").code == 2


def test_why_tells_claims_decisions_and_holders(filled: Path, tipline_: Any) -> None:
    text = tipline_("why", "1.2.3.4").out

    assert "feed: 1.2.3.4" in text
    assert "high" in text
    assert tipline_("why", "8.7.6.5").code == 1
    assert tipline_("why", "not an indicator").code == 1


def test_lookup_finds_networks_and_reads_files(filled: Path, tipline_: Any) -> None:
    (filled / "asked.txt").write_text("5.6.7.8\n8.7.6.5\nx\n")

    found = tipline_("lookup", "asked.txt", "--json").json

    assert [len(entry["hits"]) > 0 for entry in found] == [True, False, False]
    assert found[0]["hits"][0]["how"] == "network"
    assert tipline_("lookup", "8.7.6.5").code == 1
    assert tipline_("lookup", "5.6.7.8", "--output", "hig", "--json").json["error"]["fix"] == "did you mean high?"


def test_lists_come_as_csv_and_json_too(filled: Path, tipline_: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(tipline_("list", "high", "--format", "csv").out)))

    assert "1.2.3.4" in {row["value"] for row in rows}
    assert len(tipline_("list", "high", "--limit", "2").out.splitlines()) == 2


def test_a_held_withdrawal_is_shown_and_released(place: Path, tipline_: Any) -> None:
    (place / "feed.txt").write_text("".join(f"1.2.3.{n}\n" for n in range(100)))
    tipline_("run", "--once")
    (place / "feed.txt").write_text("1.2.3.1\n")
    tipline_("run", "--once")

    (hold,) = tipline_("holds", "--json").json["holds"]
    assert (hold["node"], hold["what"], hold["count"]) == ("feed", "withdrawals", 99)
    assert tipline_("holds", "approve", "feed", "--json").json["removed"] == 99
    assert len([v for v in tipline_("list", "high").out.split() if v.startswith("1.2.3.")]) == 1
    assert tipline_("holds").out.strip() == "nothing is held"


def test_verify_proves_equality(filled: Path, tipline_: Any) -> None:
    assert tipline_("verify", "--json").json["equal"]


def test_a_data_directory_that_does_not_exist_is_not_made_by_looking(place: Path, tipline_: Any) -> None:
    answer = tipline_("status", "--data", "nowhere")

    assert answer.code == 1
    assert "there is no such data directory" in answer.err
    assert not (place / "nowhere").exists()


def test_a_data_directory_that_cannot_be_used_is_one_clear_line(place: Path, tipline_: Any) -> None:
    (place / "file").write_text("")

    answer = tipline_("run", "--once", "--data", "file")

    assert answer.code == 1
    assert answer.err.startswith("error: the data directory cannot be used")


def test_the_data_directory_may_be_given(place: Path, tipline_: Any) -> None:
    tipline_("run", "--once", "--data", "elsewhere")

    assert (place / "elsewhere").is_dir()
    assert not (place / "data").exists()


def test_an_unforeseen_error_is_one_line_unless_debugging(place: Path, tipline_: Any, monkeypatch: Any) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(base.Session, "call", fail)

    answer = tipline_("status")

    assert answer.code == 1
    assert answer.err.splitlines()[0] == "error: tipline failed: RuntimeError: boom"
    monkeypatch.setenv("TIPLINE_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boom"):
        tipline_("status")


def test_no_secret_is_printed(filled: Path, tipline_: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("DEFENDER_SECRET", "s3cr3t-value")
    text = (
        (filled / "tipline.yml")
        .read_text()
        .replace(
            "defender: {kind: microsoft-defender, inputs: inbound}",
            "defender:\n    kind: microsoft-defender\n    inputs: inbound\n    credentials:\n"
            "      client_secret: ${env:DEFENDER_SECRET}",
        )
    )
    (filled / "tipline.yml").write_text(text)

    for arguments in (["check"], ["status"], ["deliveries"], ["doctor"], ["plan"]):
        for form in ([], ["--json"]):
            answer = tipline_(*arguments, *form)
            assert answer.code == 0, answer.err
            assert "s3cr3t-value" not in answer.out + answer.err


def test_a_command_waits_for_another_short_one(filled: Path, tipline_: Any) -> None:
    lock = DirectoryLock(filled / "data")
    ending = threading.Timer(0.5, lock.release)
    ending.start()
    try:
        assert tipline_("status").code == 0
    finally:
        ending.join()


def test_a_reader_that_goes_away_is_no_error(filled: Path, spawn_environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from tipline.cli import main; main()",
            "list",
            "never-block",
            "--limit",
            "9000",
        ],
        env=spawn_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
