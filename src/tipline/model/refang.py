r"""Undo what people do to make indicators harmless, and trim what editors leave around them.

Two grades of cleaning:

* `trim` for text that may hold anything (command lines, paths): white space, control and format characters
  (U+00A0, zero-width, BOM, direction marks) and U+FFFD at both ends.
* `refang` for addresses, hosts, URLs, e-mail addresses and hashes: `trim`, quotes or angle brackets around
  the whole, stray commas and semicolons, format characters inside, and the defanging: `hxxp`, `hXXps`,
  `h**p`, `meow`, `fxp`, `[.]`, `(.)`, `{.}`, `<.>`, `[dot]`, `(dot)`, `[.com]`, `\.`, `[:]`, `[::]`, `[://]`,
  `[/]`, `[@]`, `[at]`, `(at)`, `http:\\`, `http:/host`, `hxxp//host`, `[hxxp://]`, `http[s]://`,
  `hxxps[]://`, and the dots that look like one (U+2024, U+FF0E).

Refanging reaches into a URL's path too (people defang whole lines), so `a[.]php` there becomes `a.php`; a
path is otherwise left as it is. Zero-width joiners (U+200C, U+200D) inside a text stay: IDNA gives them a
meaning.

Cleaning one thing can uncover another (a comma after a closing quote), so `refang` repeats until nothing
changes; a hostile text that still changes after ten rounds comes back as null.
"""

from __future__ import annotations

import unicodedata

import polars as pl

_ROUNDS = 10
_CUT = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_EDGE = r"[\s\p{Cc}\p{Cf}\p{Z}\x{FFFD}]"
_EDGES = rf"\A{_EDGE}+|{_EDGE}+\z"

#: Format characters that carry no meaning inside an indicator: zero-width space, word joiner, BOM,
#: direction marks.
INVISIBLE = r"[\x{200B}\x{2060}\x{FEFF}\x{200E}\x{200F}\x{061C}\x{202A}-\x{202E}\x{2066}-\x{2069}]"

_OPEN, _CLOSE = r"[\[({<]+\s*", r"\s*[\])}>]+"

#: Pattern and replacement, in order. Everything they match is also matched by `DIRTY`.
_STEPS: tuple[tuple[str, str], ...] = (
    (_EDGES, ""),
    (INVISIBLE, ""),
    (r'\A"+([^"]*)"+\z', "$1"),
    (r"\A'+([^']*)'+\z", "$1"),
    (r"\A`+([^`]*)`+\z", "$1"),
    (r"\A[“”„]+([^“”]*)[“”]+\z", "$1"),
    (r"\A[‘’]+([^‘’]*)[‘’]+\z", "$1"),
    (r"\A<+([^<>]*)>+\z", "$1"),
    (r"\A\(+([^()]*)\)+\z", "$1"),
    (r"\A[,;\s]+|[,;\s]+\z", ""),
    (rf"(?i){_OPEN}(?:\.|dot){_CLOSE}", "."),
    (rf"(?i){_OPEN}(?:@|at){_CLOSE}", "@"),
    (r"[․．]", "."),
    (r"(?i)\A([a-z*_]{3,5})\[s\]", "${1}s"),
    (r"(?i)\A([a-z*_]{3,6})[\[(]\s*[\])]:?//", "$1://"),
    (r"[\[(]+\s*(://|:/|//|::|:|/)\s*[\])]+", "$1"),
    (r"(\w)\[\.([\w-]+)\]", "$1.$2"),
    (r"(\w)\[\.(\w)", "$1.$2"),
    (r"(\w)\.\](\w)", "$1.$2"),
    (r"(\w)\\\.(\w)", "$1.$2"),
    (r"(?i)([a-z0-9])\s+dot\s+([a-z0-9])", "$1.$2"),
    (r"(?i)\A\[((?:h|f|m)[a-z*]{2,4}s?(?:://)?)\]", "$1"),
    (r"(?i)\A(?:h(?:xx|xt|tx|\*\*|__|--|x|t|\[tt\]|\[xx\])p|meow)(s?):", "http$1:"),
    (r"(?i)\Afxp(s?):", "ftp$1:"),
    (r"(?i)\A([a-z]{2,5}):\\\\", "$1://"),
    (r"(?i)\A(https?):/([^/\\])", "$1://$2"),
    (r"(?i)\A(?:http|h(?:xx|xt|tx|\*\*|__|--)p)(s?)//", "http$1://"),
)

#: Texts that this does not match are clean already: the one test that the common case pays for.
DIRTY = (
    r"""[^!-~]|[\[\](){}<>\\"'`]|\A[,;]|[,;]\z"""
    r"""|(?i:\A(?:h(?:xx|xt|tx|\*\*|__|--|x|t)ps?:|meows?:|fxps?:|https?:/[^/]|(?:http|h(?:xx|xt|tx|\*\*|__|--)p)s?//))"""
)


def is_dirty(text: pl.Expr) -> pl.Expr:
    """True where `refang` may change the text; everything else is clean as it is."""
    return text.str.contains(DIRTY)


def trim(text: pl.Expr) -> pl.Expr:
    """Cut white space, control and format characters and U+FFFD from both ends."""
    return text.str.replace_all(_EDGES, "")


def strip_edges(text: str, also: str = "") -> str:
    """`trim` for one text, cutting the characters of `also` too."""

    def cut(char: str) -> bool:
        return char in also or char.isspace() or char == "\ufffd" or unicodedata.category(char) in _CUT

    first = next((place for place, char in enumerate(text) if not cut(char)), len(text))
    last = next((place for place in range(len(text), first, -1) if not cut(text[place - 1])), first)
    return text[first:last]


def refang(texts: pl.Series) -> pl.Series:
    """Clean texts of one of the network types; null for null and for what never settles.

    Args:
        texts: Strings.

    Returns:
        As many Strings in the same order.
    """
    out = texts
    todo = _dirty_rows(texts)
    for _ in range(_ROUNDS):
        if todo.is_empty():
            return out
        before = out.gather(todo)
        after = _one_round(before)
        out = _put(out, todo, after)
        todo = todo.filter((after != before).fill_null(value=False) & _matches(after))
    return _put(out, todo, pl.repeat(None, len(todo), dtype=pl.String, eager=True))


def _matches(texts: pl.Series) -> pl.Series:
    return texts.str.contains(DIRTY).fill_null(value=False)


def _dirty_rows(texts: pl.Series) -> pl.Series:
    return _matches(texts).arg_true()


def _one_round(texts: pl.Series) -> pl.Series:
    expr = pl.col("text")
    for pattern, replacement in _STEPS:
        expr = expr.str.replace_all(pattern, replacement)
    return pl.DataFrame({"text": texts}).select(expr)["text"]


def _put(texts: pl.Series, rows: pl.Series, values: pl.Series) -> pl.Series:
    """A copy of `texts` with `values` at the given rows."""
    return texts if rows.is_empty() else texts.clone().scatter(rows, values)
