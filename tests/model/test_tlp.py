from __future__ import annotations

import pytest

from tipline.model import tlp


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("clear", 0),
        ("White", 0),
        ("TLP:WHITE", 0),
        ("tlp:green", 1),
        ("gree", 1),
        ("amber", 2),
        ("yellow", 2),
        ("TLP:AMBER+STRICT", 3),
        ("amber strict", 3),
        ("TLP:2.0 red", None),
        ("TLP: RED\xa0", 4),
        ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", 4),
        ("secret", None),
        ("", None),
    ],
)
def test_level(word: str, level: int | None) -> None:
    assert tlp.level(word) == level


def test_every_level_reads_back() -> None:
    for value in range(5):
        assert tlp.level(tlp.name(value)) == value
        assert tlp.level(tlp.MARKINGS[value]) == value


@pytest.mark.parametrize("value", [-1, 5])
def test_no_such_level(value: int) -> None:
    with pytest.raises(IndexError):
        tlp.name(value)
