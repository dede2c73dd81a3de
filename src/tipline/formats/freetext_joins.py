"""Values that a text breaks over two lines or more, put together again."""

from __future__ import annotations

import polars as pl

_DIGESTS = (32, 40, 64, 128)
# The end of a URL or defanged name that goes on: after a hyphen, a sign that URLs hold, or half of a defanged dot.
_OPEN_URL = r"(?i)(?:(?:tt|xx)ps?\S{0,4}//|\[\.\]\S*/)\S*[-_=&?%+~/]\z|\[\.\]\z|\w\[\.?\z"
_PATH = r"\A\s*[A-Za-z0-9%?&=_~+.-]*[/?&=%_.][A-Za-z0-9%?&=_~+./-]*\s*\z|\A\s*[A-Za-z0-9%?&=_~+-]+\s*\z"
_FULL = 60
_LONG_URL = r"(?i)(?:(?:tt|xx)ps?\S{0,4}//)\S{8,}\z"
_MORE = r"\A\s*[A-Za-z0-9%?&=_~+.-]*[/?&=%][A-Za-z0-9%?&=_~+./-]*\s*\z"
_NEW = r"(?i)//|\[\.|\]\.|\A\s*[-*•]\s"
# One cheap test for all but the last of these.
_MAY_BREAK = r"[0-9A-Fa-f]{8}\z|[-_=&?%+~\]\[]\z|//\S{8,}\z"
_BEGINS = r"\A\s*\[?(?:\.|dot)\]"


def joined(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines of which each broken value stands in the one where it begins.

    Joined are a digest whose halves have the length of one together and not apart; a defanged dot at a line's end or
    beginning; a URL that ends in a hyphen or another sign that it goes on, if what follows stands alone or the sign is
    a hyphen; and one that ends with a line of 60 characters or more, if a line follows that is part of a URL and
    nothing else.
    """
    text = pl.col("text").str.strip_chars_end(" \t\r")
    pairs = lines.select(text.alias("text")).with_columns(following=pl.col("text").shift(-1).fill_null(""))
    likely = pairs.with_row_index("row").filter(
        pl.col("text").str.contains(_MAY_BREAK) | pl.col("following").str.contains(r"\A\s*\[")
    )
    rows = likely.filter(_breaks())["row"].to_list()
    if not rows:
        return lines
    texts = lines["text"].to_list()
    for row in reversed(rows):
        word, rest = _split(texts[row + 1])
        texts[row] = texts[row].rstrip() + word
        texts[row + 1] = rest
    return lines.with_columns(pl.Series("text", texts, dtype=pl.String))


def _split(text: str) -> tuple[str, str]:
    """The first word of a line, and the rest."""
    stripped = text.lstrip()
    word = stripped.split(maxsplit=1)[0] if stripped else ""
    return word, stripped[len(word) :]


def _breaks() -> pl.Expr:
    text, following = pl.col("text"), pl.col("following")
    tail = text.str.extract(r"(?:^|[^0-9A-Za-z/.=_-])([0-9A-Fa-f]+)$").str.len_bytes().fill_null(0)
    head = following.str.extract(r"^\s*([0-9A-Fa-f]+)(?:$|[^0-9A-Za-z/.=_-])").str.len_bytes().fill_null(0)
    halves = (
        (tail + head).is_in(_DIGESTS) & ~tail.is_in(_DIGESTS) & ~head.is_in(_DIGESTS) & (tail >= 8) & (head >= 2)
    )  # fmt: skip
    fresh = ~following.str.contains(_NEW)
    hyphen = text.str.contains(r"(?i)(?:xxps?\S{0,4}//|\[\.\])\S*-\z") & following.str.contains(r"\A\s*[a-z0-9]")
    sign = text.str.contains(_OPEN_URL) & ~text.str.ends_with("/") & following.str.contains(_PATH)
    dot = text.str.contains(r"\w\[\.\]?\z|\w\[dot\]\z") & following.str.contains(r"\A\s*\]?[a-z0-9-]")
    dotted = following.str.contains(_BEGINS) & text.str.contains(r"\w\z")
    full = (text.str.len_chars() >= _FULL) & text.str.contains(_LONG_URL) & following.str.contains(_MORE)
    return halves | ((hyphen | sign | full) & fresh) | dot | dotted
