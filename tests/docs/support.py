"""Where the documentation is, and the configurations that stand in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tipline.config.check import Checked, check_text

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
_BLOCK = re.compile(r"^```(yaml tipline|python tipline \w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ENVIRONMENT = re.compile(r"\$\{env:([^}]*)\}")
# Long enough for the keys of lists, and a web address, which alerts want.
_VALUE = "https://example.org/0123456789abcdef"


def blocks(page: Path, language: str) -> list[str]:
    """The marked code blocks of a page that begin with a language."""
    text = page.read_text(encoding="utf-8")
    return [body for words, body in _BLOCK.findall(text) if words.startswith(language)]


def checked(text: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """A configuration, checked with every environment variable that it names set."""
    for name in _ENVIRONMENT.findall(text):
        monkeypatch.setenv(name, _VALUE)
    return check_text(text, place / "tipline.yml")
