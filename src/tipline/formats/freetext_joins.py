"""Values that a text breaks over two lines or more, put together again."""

from __future__ import annotations

import polars as pl

# What is longer than any value is not put together further, else a long list of pieces would be one of all of them.
_LONGEST = 4096
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
_BRACKET = r"\A\s*\["
_BEGINS = r"\A\s*\[?(?:\.|dot)\]"


def joined(texts: pl.Series) -> pl.Series:
    """Lines of which each broken value stands in the one where it begins.

    Joined are a digest whose halves have the length of one together and not apart; a defanged dot at a line's end or
    beginning; a URL that ends in a hyphen or another sign that it goes on, if what follows stands alone or the sign is
    a hyphen; and one that ends with a line of 60 characters or more, if a line follows that is part of a URL and
    nothing else.
    """
    rows = _broken(texts.str.strip_chars_end(" \t\r")) if len(texts) > 1 else []
    if not rows:
        return texts
    changed: dict[int, str] = {}
    for row in reversed(rows):
        word, rest = _split(changed.get(row + 1, texts[row + 1]))
        if len(word) <= _LONGEST:
            changed[row] = texts[row].rstrip() + word
            changed[row + 1] = rest
    return texts.clone().scatter(list(changed), list(changed.values())) if changed else texts


def _split(text: str) -> tuple[str, str]:
    """The first word of a line, and the rest."""
    stripped = text.lstrip()
    word = stripped.split(maxsplit=1)[0] if stripped else ""
    return word, stripped[len(word) :]


def _broken(ends: pl.Series) -> list[int]:
    """Numbers of the lines whose last value goes on in the next."""
    begins = ends.str.contains(_BRACKET).shift(-1, fill_value=False)
    rows = (ends.str.contains(_MAY_BREAK) | begins).arg_true()
    rows = rows.filter(rows < len(ends) - 1)
    pairs = pl.DataFrame({"row": rows, "text": ends.gather(rows), "following": ends.gather(rows + 1)})
    text, following = pl.col("text"), pl.col("following")
    digests = pairs.filter(
        text.str.contains(r"[0-9A-Fa-f]{8}\z") & following.str.contains(r"\A\s*[0-9A-Fa-f]{2}")
    ).filter(_halves())
    others = pairs.filter(text.str.contains(r"//|\[") | following.str.contains(_BRACKET)).filter(_goes_on())
    return pl.concat([digests["row"], others["row"]]).unique().sort().to_list()


def _halves() -> pl.Expr:
    text, following = pl.col("text"), pl.col("following")
    tail = text.str.extract(r"(?:^|[^0-9A-Za-z/.=_-])([0-9A-Fa-f]+)$").str.len_bytes().fill_null(0)
    head = following.str.extract(r"^\s*([0-9A-Fa-f]+)(?:$|[^0-9A-Za-z/.=_-])").str.len_bytes().fill_null(0)
    whole = (tail + head).is_in(_DIGESTS) & ~tail.is_in(_DIGESTS) & ~head.is_in(_DIGESTS)
    return whole & (tail >= 8) & (head >= 2)


def _goes_on() -> pl.Expr:
    text, following = pl.col("text"), pl.col("following")
    fresh = ~following.str.contains(_NEW)
    hyphen = text.str.contains(r"(?i)(?:xxps?\S{0,4}//|\[\.\])\S*-\z") & following.str.contains(r"\A\s*[a-z0-9]")
    sign = text.str.contains(_OPEN_URL) & ~text.str.ends_with("/") & following.str.contains(_PATH)
    dot = text.str.contains(r"\w\[\.\]?\z|\w\[dot\]\z") & following.str.contains(r"\A\s*\]?[a-z0-9-]")
    dotted = following.str.contains(_BEGINS) & text.str.contains(r"\w\z")
    full = (text.str.len_chars() >= _FULL) & text.str.contains(_LONG_URL) & following.str.contains(_MORE)
    return ((hyphen | sign | full) & fresh) | dot | dotted
