"""`python -m benchmarks.tryfeeds [DIRECTORY]`: how often `tipline try` is right at its first guess, and where not.

The directory holds the fixtures (tests/data unless given); try_truth.yml beside this file says what is right.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tipline.config.guess import Guess, guess
from tipline.errors import TiplineError

_COMPARED = ("value", "type", "tlp", "first_seen")
_DEFAULTS = {"header": True, "delimiter": ",", "dialect": "plain", "split": None}


def main() -> None:
    """Print the misses, then the score."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "tests" / "data"
    right, misses = score(root)
    for name, why in misses:
        print(f"miss  {name}: {why}")
    total = right + len(misses)
    print(f"right at the first guess: {right} of {total} ({right / max(total, 1):.1%})")


def score(root: Path) -> tuple[int, list[tuple[str, str]]]:
    """How many fixtures are read rightly, and the others with what was wrong."""
    truth = YAML(typ="safe").load(Path(__file__).with_name("try_truth.yml").read_text())
    right, misses = 0, []
    for path in sorted(each for each in root.rglob("*") if each.is_file() and each.stat().st_size):
        name = path.relative_to(root).as_posix()
        rules = [rule for pattern, rule in truth.items() if fnmatchcase(name, pattern)]
        if not rules or path.name == "NOTICE":
            continue
        try:
            why = _wrong(guess(str(path)), rules[-1])
        except TiplineError as exc:
            why = exc.what
        if why:
            misses.append((name, why))
        else:
            right += 1
    return right, misses


def _wrong(found: Guess, rule: Any) -> str:
    """What is not as it should be; empty if all is."""
    if rule == "none":
        return f"{found.preview.accepted} accepted" if found.preview.accepted else ""
    for key, expected in rule.items():
        if key != "columns" and found.settings.get(key, _DEFAULTS.get(key)) != expected:
            return f"{key} is {found.settings.get(key)!r}, not {expected!r}"
    if rule["kind"] == "lines" and "dialect" not in rule and "dialect" in found.settings:
        return f"dialect is {found.settings['dialect']!r}"
    if rule["kind"] == "csv" and "header" not in rule and found.settings.get("header") is False:
        return "it has a header"
    columns = found.settings.get("columns", {})
    for name in _COMPARED:
        if "columns" in rule and columns.get(name) != rule["columns"].get(name):
            return f"{name} is {columns.get(name)!r}, not {rule['columns'].get(name)!r}"
    return ""


if __name__ == "__main__":
    main()
