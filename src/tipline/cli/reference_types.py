"""The reference page of indicator types, with the names that other systems have for them."""

from __future__ import annotations

from textwrap import dedent

from tipline.cli.reference_settings import table
from tipline.model.types import TYPES, IndicatorType

_INTRO = """
An indicator is a type and a value in canonical form. A source takes the type from a column, from
its `type` setting, or finds it by looking at the value.
"""
_SPELLING = """
Case, blanks and punctuation do not matter: `FileHash-SHA256` and `filehash_sha-256` are one word.
The names above are understood too. `ip` and the like leave IPv4 or IPv6 to the value, `hash` and
the like leave the sort of hash to its length.
"""


def types_page() -> str:
    """Every type, its names elsewhere, and the words that sources may use for it."""
    names = ((f"`{name}`", row.title, _codes(row.misp), _code(row.minemeld)) for name, row in TYPES.items())
    elsewhere = (
        (f"`{name}`", _code(row.stix2), _cybox(row), _code(row.defender), _hashed(row.graph, row.graph_hash),
         _hashed(row.sentinel, row.sentinel_hash))
        for name, row in TYPES.items()
    )  # fmt: skip
    words = ((f"`{name}`", _codes(row.words)) for name, row in TYPES.items())
    return "\n\n".join(
        [
            "# Indicator types",
            dedent(_INTRO).strip(),
            table(("Type", "What it is", "MISP attribute types", "MineMeld"), names),
            "## In other systems",
            "A dash: the other system has no such thing.",
            table(("Type", "STIX 2", "STIX 1 (CybOX)", "Defender", "Graph", "Sentinel column"), elsewhere),
            "## Words that sources use",
            dedent(_SPELLING).strip(),
            table(("Type", "Also written"), words),
        ]
    )


def _code(word: str | None) -> str:
    return f"`{word}`" if word else "–"


def _codes(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "–"


def _hashed(word: str | None, hash_type: str | None) -> str:
    return f"`{word}` ({hash_type})" if word and hash_type else _code(word)


def _cybox(row: IndicatorType) -> str:
    if row.stix1 is None:
        return "–"
    kind = f" ({row.stix1.category})" if row.stix1.category else ""
    return f"`{row.stix1.object.partition(':')[0]}` `{row.stix1.path}`{kind}"
