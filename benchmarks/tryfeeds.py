"""`python -m benchmarks.tryfeeds [DIRECTORY]`: how often `tipline try` is right at its first guess, and where not.

The directory holds the fixtures (tests/data unless given); try_truth.yml beside this file says what is right. They are
tried as they are, and in variants that are made of them from a seed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.tryvariants import variants
from tipline.config.guess import Guess, guess
from tipline.errors import TiplineError

_COMPARED = ("value", "type", "tlp", "first_seen")
_DEFAULTS = {"header": True, "delimiter": ",", "dialect": "plain", "split": None}


def main() -> None:
    """Print the misses, then the scores."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "tests" / "data"
    for what, (right, misses) in (("fixtures", score(root)), ("variants", score_variants(root))):
        for name, why in misses:
            print(f"miss  {name}: {why}")
        total = right + len(misses)
        print(f"{what}: right at the first guess: {right} of {total} ({right / max(total, 1):.1%})")


def score(root: Path) -> tuple[int, list[tuple[str, str]]]:
    """How many fixtures are read rightly, and the others with what was wrong."""
    return _judged(_fixtures(root))


def score_variants(root: Path, among: int = 1) -> tuple[int, list[tuple[str, str]]]:
    """The same for variants of the fixtures; of `among` of them one is tried."""
    with tempfile.TemporaryDirectory(prefix="tipline-try-") as folder:

        def made() -> Iterator[tuple[str, Path, Any]]:
            number = 0
            for name, path, rule in _fixtures(root):
                for variant in variants(path.read_text(encoding="utf-8-sig", errors="replace"), rule, name):
                    number += 1
                    if number % among == 0:
                        body = Path(folder) / f"feed{path.suffix}"
                        body.write_bytes(variant.body)
                        yield f"{name}, {variant.change}", body, variant.rule

        return _judged(made())


def _fixtures(root: Path) -> Iterator[tuple[str, Path, Any]]:
    """Names and paths of those that have a rule, which is the last whose pattern matches."""
    truth = YAML(typ="safe").load(Path(__file__).with_name("try_truth.yml").read_text())
    for path in sorted(each for each in root.rglob("*") if each.is_file() and each.stat().st_size):
        name = path.relative_to(root).as_posix()
        rules = [rule for pattern, rule in truth.items() if fnmatchcase(name, pattern)]
        if rules and path.name != "NOTICE":
            yield name, path, rules[-1]


def _judged(feeds: Iterable[tuple[str, Path, Any]]) -> tuple[int, list[tuple[str, str]]]:
    right, misses = 0, []
    for name, path, rule in feeds:
        try:
            why = _wrong(guess(str(path)), rule)
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
