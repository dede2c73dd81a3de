"""`python -m fuzz KIND [--seconds 60] [--corpus DIRECTORY]`: hostile bodies for one kind of feed, guided by coverage.

KIND is a kind of feed (csv, stix2, freetext, ...), a dialect of lists (hosts, rpz, ...), `extract` (the extractor
alone) or `pattern` (STIX patterns). The corpus begins with the seeds of the tests and the fixtures. What fails is
written to the corpus directory as `crash-*`; `python -m fuzz KIND --again FILE` runs it once more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tipline"]):
    from tipline.errors import TiplineError
    from tipline.formats.dialects import READERS
    from tipline.formats.freetext import extract
    from tipline.formats.stixpattern import read_pattern
    from tipline.sources.bodies import feed_kinds

    # The kinds' own modules are imported when they are first asked for, and must be instrumented too.
    _KINDS = sorted(feed_kinds())

from formats.hostile import DATA, NASTY, SEEDS, judge

_LARGEST = 20_000
_FIXTURES = {
    "csv": "**/*.csv",
    "lines": "plain/**/*.txt",
    "json": "**/*.json",
    "stix1": "stix/**/*.xml",
    "stix2": "stix/**/*.json",
    "misp-file": "misp-feed/**/*.json",
    "freetext": "freetext/**/*.txt",
    "extract": "freetext/**/*.txt",
    "html": "freetext/**/*.html",
    "zeek": "plain/zeek-intel/**/*",
    "hosts": "plain/hosts/**/*",
}


def _extract(body: bytes) -> None:
    try:
        extract(body)
    except TiplineError:
        return


def _pattern(body: bytes) -> None:
    read_pattern(body.decode("utf-8", "replace"))


def _target(kind: str, spool: Path) -> Callable[[bytes], None]:
    alone = {"extract": _extract, "pattern": _pattern}
    return alone[kind] if kind in alone else lambda body: (judge(kind, body, spool), None)[1]


def _fill(corpus: Path, kind: str) -> None:
    seeds = SEEDS.get(kind, [seed for some in SEEDS.values() for seed in some])
    fixtures = [
        path.read_bytes()
        for path in sorted(DATA.glob(_FIXTURES.get(kind, "none")))
        if path.is_file() and path.stat().st_size < _LARGEST
    ]
    for number, body in enumerate([*seeds, *fixtures, *NASTY]):
        (corpus / f"seed-{number}").write_bytes(body)


def main() -> None:
    """Read the arguments and run until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("kind", choices=[*_KINDS, *READERS, "extract", "pattern"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="kept between runs; a temporary directory unless given")
    parser.add_argument("--again", type=Path, help="run this one body, and end")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tipline-fuzz-") as spool:
        target = _target(arguments.kind, Path(spool))
        if arguments.again:
            target(arguments.again.read_bytes())
            return
        corpus = arguments.corpus or Path(tempfile.mkdtemp(prefix="tipline-corpus-"))
        corpus.mkdir(parents=True, exist_ok=True)
        _fill(corpus, arguments.kind)
        options = [f"-max_total_time={arguments.seconds}", "-timeout=30", f"-max_len={_LARGEST}", "-rss_limit_mb=3000"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", str(corpus)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
