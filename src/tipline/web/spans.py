"""The spans of time that pages offer."""

from __future__ import annotations

from datetime import timedelta

SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
USUAL = "24h"


def span(word: str) -> tuple[str, timedelta]:
    """The span that an address asks for, or the usual one."""
    return (word, SPANS[word]) if word in SPANS else (USUAL, SPANS[USUAL])
