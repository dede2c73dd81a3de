"""Commands on the library, and `try`."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Command


def test_search_and_show(tipline_: Command) -> None:
    found = tipline_("library", "search", "known", "exploited", "--json")
    assert [entry["name"] for entry in found.json] == ["cisa-kev"]
    shown = tipline_("library", "show", "dshield-block")
    assert shown.code == 0
    assert "CC BY-NC-SA" in shown.out
    assert "https://feeds.dshield.org/block.txt" in shown.out


def test_add_writes_the_source_and_nothing_else(place: Path, tipline_: Command) -> None:
    file = place / "tipline.yml"
    file.write_text("# mine\n" + file.read_text())
    file.chmod(0o600)
    before = file.read_text()
    done = tipline_("library", "add", "spamhaus-drop", "--as", "drop", "--set", "confidence=60", "--set", "every=1d")
    assert done.code == 0, done.err
    after = file.read_text()
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    assert "  drop:\n    kind: lines\n" in after
    assert "    confidence: 60\n" in after
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tipline_("check").code == 0


def test_add_is_a_version_and_takes_effect_in_a_running_server(place: Path, tipline_: Command, serving: Any) -> None:
    with serving("serve"):
        before = tipline_("history", "--json").json["versions"][0]["version"]
        done = tipline_("library", "add", "spamhaus-drop", "--as", "drop", "--set", "enabled=false", "--json")
        assert done.json["version"] == before + 1
        assert "drop" in tipline_("status").out.split()
        assert tipline_("revert", str(before)).code == 0
    assert "drop:" not in (place / "tipline.yml").read_text()


def test_an_entry_that_needs_a_key_says_so(place: Path, tipline_: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTX_API_KEY", raising=False)
    before = (place / "tipline.yml").read_bytes()
    done = tipline_("library", "add", "otx-subscribed")
    assert done.code == 1
    assert "OTX_API_KEY" in done.err
    assert (place / "tipline.yml").read_bytes() == before
    monkeypatch.setenv("OTX_API_KEY", "k" * 64)
    assert tipline_("library", "add", "otx-subscribed").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "dshield-bock"), "did you mean dshield-block?"),
        (("add", "dshield-block", "--as", "feed"), "there is a node feed already"),
        (("add", "dshield-block", "--set", "confidence=high"), "confidence"),
        (("add", "dshield-block", "--set", "confidence"), "no setting"),
        (("add", "dshield-block", "--as", "a b"), "no name for a node"),
        (("show",), "needs one name"),
    ],
)
def test_refusals_change_nothing(arguments: tuple[str, ...], message: str, place: Path, tipline_: Command) -> None:
    before = (place / "tipline.yml").read_bytes()
    done = tipline_("library", *arguments)
    assert done.code == 1
    assert message in done.err
    assert (place / "tipline.yml").read_bytes() == before


def test_try_prints_a_source_to_paste(place: Path, tipline_: Command) -> None:
    (place / "new.csv").write_text("ioc;type;seen\nevil.example.com;domain;2026-01-02\n10.0.0.1;ip;2026-01-02\n")
    shown = tipline_("try", "new.csv")
    assert shown.code == 0, shown.err
    assert "1 accepted: 1 domain" in shown.out
    assert "not-routable" in shown.out
    assert "    columns: {value: ioc, type: type}\n" in shown.out
    assert tipline_("try", "new.csv", "--set", "confidence=70", "--json").json["settings"]["confidence"] == 70
    assert tipline_("try", "none.csv").code == 1


def test_try_prints_no_secret(place: Path, tipline_: Command) -> None:
    (place / "new.csv").write_text("ioc,type\nevil.example.com,domain\n")
    secrets = ("--set", "api_key={header: X-Key, value: s3cret}", "--set", "basic={username: me, password: s3cret}",
               "--set", "headers.X-Token=s3cret", "--set", "bearer=${env:TOKEN}")  # fmt: skip
    for given in (secrets[:6], secrets[6:]):
        shown = tipline_("try", "new.csv", *given).out + tipline_("try", "new.csv", *given, "--json").out
        assert "s3cret" not in shown
    assert "${env:TOKEN}" in shown
    shown = tipline_("try", "new.csv", *secrets[:6]).out
    assert "api_key: {header: X-Key, value: '${env:NEW_API_KEY_VALUE}'}" in shown
    assert "username: me" in shown
