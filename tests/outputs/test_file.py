"""Settings of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from outputs.publishing import file_output


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"path": "../x.txt"}, "must not contain"),
        ({"path": "/etc/../x.txt"}, "must not contain"),
        ({"path": "lists/"}, "must name a file"),
        ({"path": ".."}, "must name a file"),
        ({"path": "a\0b"}, "must name a file"),
        ({"path": ""}, "at least 1"),
        ({"path": "x", "mode": "0999"}, "match pattern"),
        ({"path": "x", "mode": "4755"}, "match pattern"),
        ({"path": "x", "fields": ["a b"]}, "is no field"),
        ({"path": "x", "format": "xml"}, "plain"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        file_output("x", **settings)


def test_only_what_the_file_shows_is_a_change() -> None:
    assert file_output("x", path="x").shown() == ["type", "value"]
    shown = file_output("x", path="x", format="csv", fields=["indicator", "tlp|TLP", "references", "asn"]).shown()
    assert shown == ["extra", "refs", "tlp", "type", "value"]
    assert "first_seen" in file_output("x", path="x", format="json").shown()


def test_a_relative_path_is_inside_the_data_directory() -> None:
    assert file_output("x", path="lists/a.txt").path(Path("/data")) == Path("/data/lists/a.txt")
    assert file_output("x", path="/srv/a.txt").path(Path("/data")) == Path("/srv/a.txt")
