"""Lines of text to words that may be indicators, each with what stands before it.

Everything works on columns: one pass of a regular expression over the lines that can hold anything of interest,
and shapes only for the words that come of it. Nothing is taken out of the middle of a word, so paths, versions with
letters, file names with unknown endings and user agents never come this far.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tipline.model.refang import INVISIBLE

#: In front of the target of a Markdown link, where it is no text for readers.
TARGET = "\ue000"
_DOT = r"(?:\.|\[\.\]?|\.\]|\\\.)"
_COLON = r"(?:\[::?\]:?|::?)"
_SCHEME = (
    r"(?:h(?:tt|xx|xt|tx|\*\*|__|--|x|t|\[tt\]|\[xx\])p|fxp|s?ftp|meow|tcp|udp|ws|ldap|ssh|smb|rmi|tftp|telnet|irc)"
    r"(?:s|\[s\])?|socks[45]"
)
_SLASHES = r"(?:\[\])?[\[(]?:[\])]?[\[(]?(?://?|\\\\)[\])]*|//"
_START = rf"(?:(?:\[(?:{_SCHEME})\]|{_SCHEME})(?:{_SLASHES})|\[(?:{_SCHEME})://\])"
# What ends a word in any script: white space, quotes, and the punctuation of Chinese and Japanese.
_ENDS = r"\s<>\"`|“”‘’«»，。、；）】》」』（【《「\x{E000}"
_URL = rf"\x{{E000}}?{_START}[^{_ENDS}\\^]+"
_HIVE = r"(?i:\b(?:HKEY_[A-Z_]+|HKLM|HKCU|HKCR|HKU|HKCC):?\\)"
# A part of a key may have blanks between capitalised words, the last part at the end of a line only.
_REGISTRY = (
    rf"{_HIVE}\\*(?:[\w.{{}}()$%-]+(?: [A-Z{{(][\w.{{}}()-]*)*\\+)*"
    r"(?:[\w.{}()$%*-]+(?: [A-Z][\w()]*)*$|[\w{}$%*-]+(?:[.()]+[\w{}$%*-]+)*)"
)
_SIX = rf"(?:[0-9A-Fa-f]{{1,4}}{_COLON}){{2,8}}[0-9A-Fa-f:.\[\]]*(?:/[0-9]{{1,3}})?"
_LABEL = r"[A-Za-z][A-Za-z0-9_.-]*=|[A-Za-z][A-Za-z0-9_-]*:"
_WORD = rf"[^{_ENDS},;'(\[{{*=:+]"
TOKEN = rf"(?i:{_URL})|{_SIX}|{_LABEL}|(?:\*\.)?{_WORD}[^{_ENDS},;']*|[(\[{{*=:+]+"

_CHAR = r"[A-Za-z0-9_\x{80}-\x{10FFFF}-]"
_HOST = rf"(?:{_CHAR}+{_DOT})+(?:[A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]+|[\x{{80}}-\x{{10FFFF}}]{{2,}})\]?"
_QUAD = rf"[0-9]{{1,3}}(?:{_DOT}[0-9]{{1,3}}){{3}}"
_PORT = r"(?:\[:\]|:)[0-9]{1,5}"
#: Type words, with the shape of a word that is of it; the first that fits counts.
SHAPES: tuple[tuple[str, str], ...] = (
    ("url", rf"\A\x{{E000}}?(?i:{_START})"),
    ("ip", rf"\A{_QUAD}(?:/[0-9]{{1,3}}|{_PORT}|-{_QUAD})?\z"),
    ("hash", r"\A(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})(?:\.[A-Za-z0-9]{1,8})?\z"),
    ("domain", rf"\A(?:\*\.)?{_HOST}(?:{_PORT})?\z"),
    ("url", rf"\A(?:{_HOST}|{_QUAD})(?:{_PORT})?(?:[/?]|\[/\])"),
    ("email", rf"\A[A-Za-z0-9][A-Za-z0-9._%+'-]*(?:@|\[@\]){_HOST}\z"),
    ("ipv6", rf"\A{_SIX}\z"),
    ("cve", r"\A(?i:CVE)-[0-9]{4}-[0-9]{4,19}\z"),
    ("asn", r"\AAS[0-9]{4,10}\z"),
    ("ssdeep", r"\A[0-9]{1,10}:[0-9A-Za-z/+]{8,}:[0-9A-Za-z/+]{8,}\z"),
)
#: A word that its writer made harmless, and so named as an indicator.
DEFANGED = r"\[(?:\.|@|::?|/|:?//|s\]|\]|tt|xx)|\.\]|\\\.|(?i:\A\x{E000}?\[?(?:h(?:xx|xt|tx|\*\*|__|--|x|t)p|meow|fxp))"
#: What a line must hold to be looked at; and what a word must hold.
_HINT = (
    r"[A-Za-z0-9_\]\x{80}-\x{10FFFF}-][.\[\\][.\]A-Za-z0-9_*\x{80}-\x{10FFFF}-]|[0-9A-Fa-f]{32}|(?i:CVE-[0-9])"
    r"|:[0-9A-Fa-f\[\]]{0,7}:|AS[0-9]{4}|//|[0-9]:[0-9A-Za-z/+]{8}"
)

_BOTH = r"(?:\s([\[({<]+\s*(?:\.|(?i:dot))\s*[\])}>]+)\s|[\[({<]+\s*(?:\.|(?i:dot))\s*[\])}>]+)"
# A harmless dot in any other form than `[.]` without anything beside it, which is how it should be in the end.
_ODD_DOT = (
    r"[({<]\s*(?:\.|(?i:dot))\s*[\])}>]|\[\s*(?i:dot)\s*[\])}>]|\[\s+\.\s*[\])}>]|\[\.\s+[\])}>]|\[\.[)}>]"
    r"|[\[({<\s]\[\.\]|\[\.\][\])}>]"
)
#: Pattern, replacement and the cheap test that says which lines need it, in order. Those of other scripts come first.
_TIDY_SCRIPTS: tuple[tuple[str, str, str], ...] = (
    (r"[^\x00-\x7F]", rf"\x{{AD}}|{INVISIBLE}", ""),
    (r"[\x{200C}\x{200D}]", r"([!-~])[\x{200C}\x{200D}]+", "$1"),
    (r"[․．：／∕⁄＠]", r"[․．]", "."),
    (r"[：／∕⁄＠]", r"：", ":"),
    (r"[／∕⁄]", r"[／∕⁄]", "/"),
    (r"＠", r"＠", "@"),
)
_TIDY: tuple[tuple[str, str, str], ...] = (
    (r"\\[\[\]()/_.@:-]", r"\\([\[\]()@])", "$1"),
    (r":\\/\\/", r"\\/", "/"),
    (r"\]\(", r"\]\(\s*<?", f"] {TARGET}"),
    (_ODD_DOT, rf"([\w\]]){_BOTH}(\w)", "$1[.]$3"),
    (_ODD_DOT, rf"([\w\]]){_BOTH}(\w)", "$1[.]$3"),
    (r"[\[({<]\s*(?:@|(?i:at))\s*[\])}>]", r"(\w)\s?[\[({<]+\s*(?:@|(?i:at))\s*[\])}>]+\s?(\w)", "$1[@]$2"),
    (r"\w DOT \w", r"(\w) DOT (\w)", "$1[.]$2"),
    (r"\w DOT \w", r"(\w) DOT (\w)", "$1[.]$2"),
    (r"\w AT \w", r"(\w) AT (\w+\[\.\])", "$1[@]$2"),
    (r"//\s", r"(?i)(h(?:tt|xx)ps?[\[(]?:[\])]?//)\s+(\w)", "$1$2"),
    (r",\S*(?://|\[\.\])", rf",((?i:{_START})|[\w-]+(?:\.[\w-]+)*\[\.\]|[0-9A-Fa-f]{{32}})", ", $1"),
)
_ANY_TIDY = "|".join(dict.fromkeys(test for test, _, _ in _TIDY))


def tidied(texts: pl.Series) -> pl.Series:
    """Lines without invisible characters and with the ways to write a harmless dot, colon or at made one."""
    texts = _replaced(texts, r"[^\x00-\x7F]", _TIDY_SCRIPTS)
    return _replaced(texts, _ANY_TIDY, _TIDY)


def _replaced(texts: pl.Series, which: str, rules: tuple[tuple[str, str, str], ...]) -> pl.Series:
    """The texts with the rules applied to those in which a pattern is found, as it is in all that a rule tests for."""
    rows = texts.str.contains(which).arg_true()
    if rows.is_empty():
        return texts
    some = texts.gather(rows)
    for test, pattern, replacement in rules:
        hit = some.str.contains(test).arg_true()
        if not hit.is_empty():
            some = some.scatter(hit, some.gather(hit).str.replace_all(pattern, replacement))
    return texts.clone().scatter(rows, some)


def words(lines: pl.DataFrame) -> pl.DataFrame:
    """The words of tidied lines that have the shape of an indicator.

    Args:
        lines: `line` (number) and `text`.

    Returns:
        `line`, `text`, `word` as written (without what surrounds it), `kind` (a type word), `before` (up to three
        words before it in its line; only where `kind` is a digest or a live address), `defanged`, `target` (of a
        Markdown link).
    """
    likely = lines.filter(pl.col("text").str.contains(_HINT))
    tokens = likely["text"].str.extract_all(TOKEN)
    owner = np.repeat(np.arange(likely.height), tokens.list.len().to_numpy())
    flat = tokens.explode(empty_as_null=False, keep_nulls=False)
    hit = flat.str.contains(_HINT).arg_true()
    word = _stripped(flat.gather(hit))
    kind = _kinds(word)
    made = pl.DataFrame({"token": hit, "word": word, "kind": kind}).drop_nulls("kind")
    at = made["token"].to_numpy().astype(np.int64)
    lines_of = likely.select(pl.all().gather(owner[at]))
    word, kind = made["word"], made["kind"]
    defanged = word.str.contains(DEFANGED)
    told = ((kind == "hash") | (kind.is_in(["ip", "ipv6"]) & ~defanged)).arg_true()
    before = pl.repeat("", made.height, dtype=pl.String, eager=True)
    before = before.scatter(told, _before(flat, owner, at[told.to_numpy()]))
    return lines_of.with_columns(
        word.str.strip_prefix(TARGET).alias("word"),
        kind.alias("kind"),
        before.alias("before"),
        word.str.starts_with(TARGET).alias("target"),
        defanged.alias("defanged"),
    )


def _before(tokens: pl.Series, owner: NDArray[np.int64], at: NDArray[np.int64]) -> pl.Series:
    """The three words before some, each with its line's number in `owner`."""
    earlier = []
    for n in (3, 2, 1):
        place = np.maximum(at - n, 0)
        same = pl.Series(owner[place] == owner[at]) & pl.Series(at >= n)
        earlier.append(pl.when(same).then(tokens.gather(place)).otherwise(pl.lit("")))
    return pl.select(before=pl.concat_str(earlier, separator=" "))["before"]


def _kinds(words: pl.Series) -> pl.Series:
    """The first type word whose shape a word has, or null."""
    found = np.full(len(words), len(SHAPES), dtype=np.int64)
    left = np.arange(len(words))
    for number, (_, pattern) in enumerate(SHAPES):
        fits = words.str.contains(pattern)
        found[left[fits.to_numpy()]] = number
        left, words = left[~fits.to_numpy()], words.filter(~fits)
    return pl.Series([*(name for name, _ in SHAPES), None]).gather(found)


def _stripped(words: pl.Series) -> pl.Series:
    """Without the punctuation that follows a word, and brackets that were opened before it."""
    rows = words.str.contains(r"[.,;:!?'*+)\]}]\z").arg_true()
    some = pl.DataFrame({"word": words.gather(rows)})
    word = pl.col("word")
    for _ in range(2):
        # A word that its source cut says so, and must go on saying it.
        cut = pl.when(~word.str.ends_with("...")).then(word.str.replace(r"[.,;:!?'*+]+\z", "")).otherwise(word)
        some = some.with_columns(cut.alias("word"))
        for opener, closer in ("()", "[]", "{}"):
            more = word.str.count_matches(closer, literal=True) > word.str.count_matches(opener, literal=True)
            closed = word.str.ends_with(closer) & more
            some = some.with_columns(
                pl.when(closed).then(word.str.strip_chars_end(closer)).otherwise(word).alias("word")
            )
    return words.clone().scatter(rows, some["word"]) if len(rows) else words


def registry_keys(lines: pl.DataFrame) -> pl.DataFrame:
    """`line`, `text` and `word` of the registry keys in tidied lines; a key may hold blanks."""
    likely = lines.filter(pl.col("text").str.contains("\\", literal=True)).filter(pl.col("text").str.contains(_HIVE))
    keys = likely.select("line", "text", pl.col("text").str.extract_all(_REGISTRY).alias("word"))
    return keys.explode("word", empty_as_null=False, keep_nulls=False)
