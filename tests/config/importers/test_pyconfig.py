"""Python configurations are read, never run."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.config.importers.pyconfig import Unknown, Variable, settings_of
from tipline.errors import FormatError


def read(text: str) -> dict[str, object]:
    return settings_of(text, "config.py")


def test_literals_names_and_text_put_together() -> None:
    found = read(
        "a = 'x'\nb: int = -5\nc = [a, (1, 2.5), {'k': True}]\nd = f'{a}-{b}'\ne = a + 'y'\nf = c\n"
        "g = {'k': a}['k']\nh = i = None"
    )
    assert found == {
        "a": "x", "b": -5, "c": ["x", [1, 2.5], {"k": True}], "d": "x--5", "e": "xy",
        "f": ["x", [1, 2.5], {"k": True}], "g": "x", "h": None, "i": None,
    }  # fmt: skip


def test_the_environment_is_named_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of mine")
    found = read("import os\na = os.environ['SECRET']\nb = os.getenv('SECRET', 'd')\nc = os.environ.get('X')")
    assert found == {"a": Variable("SECRET"), "b": Variable("SECRET", "d"), "c": Variable("X")}


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    found = read(f"import evil_module\nopen({str(mark)!r}, 'w')\na = open({str(mark)!r}, 'w')\nb = [x for x in (1,)]")
    assert not mark.exists()
    assert "evil_module" not in sys.modules
    assert all(isinstance(value, Unknown) for value in found.values())
    assert found["a"] == Unknown(3, f"open({str(mark)!r}, 'w')")


def test_what_cannot_be_told_does_not_replace_what_can() -> None:
    found = read(
        "a = ''\nif x:\n    a = vault.get('k').value\nelse:\n    a = 'b'\n"
        "m = {'k': 'v', 'u': f()}\nm['k'] = f()\nm['n'] = 1"
    )
    assert found["a"] == "b"
    assert found["m"] == {"k": "v", "u": Unknown(6, "f()"), "n": 1}


@pytest.mark.parametrize(
    "text",
    [
        "a = 'x' * 10**9",
        "a = 2 ** 10 ** 9",
        "a = " + "[" * 150 + "]" * 150,
        "a = 'x' * 60000\n",
        "a=['x']*9\n",
        "a = ['x', 'y']\n" + "".join("a = [a, a, a, a]\n" for _ in range(30)),
        "a = 'x'\n" + "".join("a = a + a\n" for _ in range(60)),
        "a = b'\\xff'",
        "a = 1j",
        "a = {**{'x': 1}}",
        "a = f'{1!r}'",
        "a = os.environ.get(*['x'])",
    ],
)
def test_bombs_and_other_values_are_not_told(text: str) -> None:
    value = read(text)["a"]
    assert isinstance(value, Unknown) or len(str(value)) < 200_000


@pytest.mark.parametrize("text", ["a = ", "x" * (2 << 20), "a = " + "(" * 100_000, "a = '\0'", "print 'x'"])
def test_what_is_not_python_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        read(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FormatError):
        assert isinstance(read(text), dict)
