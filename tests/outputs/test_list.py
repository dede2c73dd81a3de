"""Settings of lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from outputs.publishing import list_output
from tipline.config.check import check_text
from tipline.model.tlp import AMBER, CLEAR, GREEN

KEY = "0123456789abcdef"


def test_public_lists_are_clear_and_lists_behind_a_key_green() -> None:
    assert list_output("a").settings.max_tlp == CLEAR
    assert list_output("a", access="key", keys=[KEY]).settings.max_tlp == GREEN
    assert list_output("a", access="key", keys=[KEY], max_tlp="clear").settings.max_tlp == CLEAR
    assert list_output("a", max_tlp="amber").settings.max_tlp == AMBER


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"access": "key"}, "needs at least one key"),
        ({"access": "key", "keys": ["short"]}, "shorter than 16"),
        ({"keys": [KEY]}, "access is public"),
        ({"access": "everyone"}, "public"),
        ({"formulas": "maybe"}, "escape"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        list_output("a", **settings)


def test_a_key_is_never_shown() -> None:
    output = list_output("a", access="key", keys=[KEY])
    assert KEY not in repr(output.settings)
    assert KEY not in output.settings.model_dump_json()


def test_examples_are_configurations(tmp_path: Path) -> None:
    from tipline.outputs.file import FileKind
    from tipline.outputs.list import ListKind

    for kind in (ListKind, FileKind):
        node = kind.example.replace("inputs: inbound", "inputs: local").replace("\n", "\n    ")
        text = f"sources:\n  local: {{kind: local}}\noutputs:\n  x:\n    {node}\n"
        assert check_text(text, tmp_path / "tipline.yml").errors == []
