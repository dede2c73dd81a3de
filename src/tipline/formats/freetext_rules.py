"""Which words of a text are meant as indicators: what stands before a word, and how it is written, decide.

A word that is defanged was named as an indicator by its writer, so only its form can refuse it. For all others:

* An address after `version`, `v.`, `build`, `section` and the like is a number (`version`).
* A digest after a label of another sort of digest (`imphash`, `commit`) is none of a file; after `ja3` or
  `thumbprint` it is of that type.
* A host under a top-level domain that is also a file ending (`README.md`, `run.sh`) is a file, unless it stands alone
  on a line among other domains; a name in code (`System.Net`, `this.name`) is code (`file-name`).
* A link to somebody who publishes on security is a link (`reference`). So is a live link in a text that defangs, and
  the target of a Markdown link.
* A URL with an open bracket at its end has a placeholder in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import polars as pl

from tipline.model.suffixes import suffix_list


@dataclass(frozen=True)
class Scope:
    """What is known of the text as a whole.

    Attributes:
        publishers: domains whose live links are no indicators.
        defangs: whether the text makes its indicators harmless, so that a live link is just a link.
    """

    publishers: frozenset[str]
    defangs: bool


@cache
def publishers() -> frozenset[str]:
    """The shipped list of those who publish reports, and of where reports link to."""
    lines = files("tipline.library").joinpath("publishers.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


_NUMBER = (
    r"(?i)(?:^|\s)(?:v|ver|vers|versions?|release|builds?|firmware|kernel|rev|section|sections|chapter|table|figure|fig|"
    r"oid|§)[.:=]*\s*\z"
)
_NUMBERS = r"(?i)\b(?:versions?|releases?|firmware|builds?)\b"
_AND = r"(?i)(?:^|\s)(?:and|or|to|through|before|prior|than|until|-|–)\s*\z"
_OTHER_DIGEST = (
    r"(?i)\b(?:imp-?hash|import hash|pe-?hash|ja3s|jarm|authentihash|rich(?:pe)?(?: header)?(?: hash)?|telfhash|vhash|"
    r"commit|revision|git|serial(?: number)?|guid|uuid|etag|nonce|salt|api[ _-]?key|key|token|session|cookie|iv)"
    r"(?: (?:md5|sha-?1|sha-?256|hash|value|is|of))*\s*[:=#(]*\s*\z"
)
_JA3 = r"(?i)\bja3(?: (?:hash|fingerprint|digest|is|of))*\s*[:=(]*\s*\z"
_THUMBPRINT = r"(?i)\b(?:thumbprint|fingerprint|certificate)(?: (?:sha-?1|is|of|hash))*\s*[:=(]*\s*\z"
_FILE_ENDINGS = (
    "zip", "mov", "sh", "py", "pl", "pm", "rs", "md", "so", "ps", "one", "lib", "cc", "java", "cab", "map", "data",
    "ax", "app",
)  # fmt: skip
_OBJECTS = (
    r"(?i)\A(?:this|self|window|document|console|event|events|system|os|sys|math|string|array|object|java|javax|org|"
    r"process|module|request|response|obj|args|config|item|node|http|xhr|socket|microsoft|e)\."
)
_WORDS_OF_CODE = (
    "name",
    "id",
    "call",
    "open",
    "save",
    "post",
    "run",
    "next",
    "data",
    "map",
    "is",
    "as",
    "do",
    "in",
    "net",
)
_ENDING = r"\.\]?([^.\]\[]+?)\]?(?:\[?:\]?[0-9]+)?\z"
_SUBDOMAIN = r"(?i)\Awww\.|\.(?:com|co|net|org|gov|gob|edu|ac|gouv)\.[a-z]+\z"
_BULLET = r"^[\s\-*•·–>#|+\d).]*"
_PLACEHOLDER = r"\[[A-Za-z0-9'][A-Za-z0-9'_-]*\z"
_LONGEST_NAME = 253
_NAMES = ["domain", "email", "url"]
# Position 0 is that of no reason.
_REASONS = ("", "file-name", "version", "reference", "placeholder", "unsupported-type")
_HOST_OF = r"\A(?:[A-Za-z][A-Za-z0-9+.-]*:/*)?(?:[^/?#\\]*@)?([^/?#:\\]+)"


def judged(found: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Words with `kind` (a type word) and `drop`; those that are plainly no indicators are left out.

    Args:
        found: of `freetext_words.words`.
        scope: of the text.
    """
    rows = _plausible(_typed(found)).with_row_index("row")
    word, kind = pl.col("word"), pl.col("kind")
    live = rows.filter(~pl.col("defanged"))
    names = live.filter(kind.is_in(_NAMES))
    why = np.zeros(rows.height, dtype=np.int64)
    for reason, hit in (
        ("file-name", _files(names.filter(kind == "domain"), rows)),
        ("version", live.filter(kind == "ip").filter(_is_number())),
        ("reference", names.filter(pl.col("target") | _under(names, scope.publishers))),
        ("reference", names.filter((kind == "url") & word.str.contains("//", literal=True) & scope.defangs)),
        ("placeholder", rows.filter(kind == "url").filter(word.str.contains(_PLACEHOLDER))),
        ("unsupported-type", rows.filter(kind == "hash").filter(pl.col("before").str.contains(_OTHER_DIGEST))),
    ):
        why[hit["row"].to_numpy()] = _REASONS.index(reason)
    return rows.drop("row").with_columns(drop=pl.Series([None, *_REASONS[1:]], dtype=pl.String).gather(why))


def _typed(found: pl.DataFrame) -> pl.DataFrame:
    """With what is known of a digest by the words before it, and a column for what looks like IPv6."""
    found = found.with_columns(six=pl.col("kind") == "ipv6", kind=pl.col("kind").replace({"ipv6": "ip"}))
    digests = found.with_row_index("row").filter(pl.col("kind") == "hash")
    size, before = pl.col("word").str.len_bytes(), pl.col("before")
    kinds = found["kind"]
    for name, length, label in (("ja3", 32, _JA3), ("certificate-sha1", 40, _THUMBPRINT)):
        rows = digests.filter(size == length).filter(before.str.contains(label))["row"]
        kinds = kinds.scatter(rows, name) if len(rows) else kinds
    return found.with_columns(kinds)


def _plausible(rows: pl.DataFrame) -> pl.DataFrame:
    """Without words that only look a little like indicators: times, sums, names under no top-level domain."""
    word, kind = pl.col("word"), pl.col("kind")
    numbered = rows.with_row_index("row")
    live = numbered.filter(~pl.col("defanged"))
    no = [
        numbered.filter(kind == "hash").filter(word.str.contains(r"\A[0-9]+\z|\A0+\z|\A[fF]+\z")),
        # Global unicast and local addresses; times and hardware addresses begin otherwise.
        live.filter(pl.col("six")).filter(~word.str.contains(r"\A(?:[23]|(?i:f[c-f]))[0-9A-Fa-f]{2,3}:")),
        live.filter(kind.is_in(["domain", "email"])).filter(~_ends_as_name() | ((kind == "domain") & ~_proper())),
        live.filter((kind == "url") & ~word.str.contains("//", literal=True)).filter(~_ends_as_name(_HOST_OF)),
    ]
    keep = np.ones(rows.height, dtype=np.bool_)
    for some in no:
        keep[some["row"].to_numpy()] = False
    return rows.filter(pl.Series(keep))


def _ends_as_name(host: str | None = None) -> pl.Expr:
    """Whether a word, or what a pattern takes out of it, ends as names of hosts do, or is an address."""
    if host is None:
        ending = pl.col("word").str.extract(_ENDING)
    else:
        ending = pl.col("word").str.extract(host).str.strip_chars(".").str.extract(r"\.([^.]+)\z")
    named = ending.str.to_lowercase()
    known = named.is_in(_tlds()) | named.str.contains(r"[^\x00-\x7F]") | named.str.contains(r"\A[0-9]+\z")
    return known.fill_null(value=False)


def _proper() -> pl.Expr:
    """`end.The next` and `ASP.Net` are none: endings are not written with a capital unless all of the name is."""
    word = pl.col("word")
    return ~word.str.extract(_ENDING).str.contains(r"[A-Z]") | ~word.str.contains(r"[a-z]")


@cache
def _tlds() -> pl.Series:
    return pl.Series(sorted(suffix_list().tlds)).implode()


@lru_cache(maxsize=64)
def _domains(domains: frozenset[str]) -> pl.Series:
    return pl.Series(sorted(domains), dtype=pl.String).implode()


def _is_number() -> pl.Expr:
    before = pl.col("before")
    series = pl.col("text").str.contains(_NUMBERS) & before.str.contains(_AND)
    return before.str.contains(_NUMBER) | series


def _under(names: pl.DataFrame, domains: frozenset[str]) -> pl.Series:
    """Whether the host of each name is one of the domains, or below one."""
    email = names["kind"] == "email"
    part = pl.when(email).then(pl.col("word").str.extract(r"@(.+)\z")).otherwise(pl.col("word").str.extract(_HOST_OF))
    host = names.select(part.str.to_lowercase().str.strip_chars(".").fill_null(""))["word"]
    known = _domains(domains)
    found = np.zeros(len(host), dtype=np.bool_)
    more = host.str.len_bytes() <= _LONGEST_NAME
    left = np.arange(len(host))
    while more.any():
        left, host = left[more.to_numpy()], host.filter(more)
        hit = host.is_in(known)
        found[left] = hit.to_numpy()
        more = host.str.contains(".", literal=True) & ~hit
        host = host.str.replace(r"\A[^.]*\.", "")
    return pl.Series(found)


def _files(domains: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The live domains that are rather names of files, or code."""
    word, ending = pl.col("word"), pl.col("ending")
    domains = domains.with_columns(ending=word.str.extract(r"\.([^.:]+)(?::[0-9]+)?\z").str.to_lowercase())
    single = word.str.count_matches(".", literal=True) == 1
    code = domains.filter(ending.is_in(_WORDS_OF_CODE) & single).filter(word.str.contains(_OBJECTS))
    proper = (ending == "app") & ~word.str.contains(r"\A[A-Z]")
    files = domains.filter(ending.is_in(_FILE_ENDINGS)).filter(~word.str.contains(_SUBDOMAIN) & ~proper)
    files = files.filter(~pl.col("line").is_in(_listed(files["line"], rows).implode()))
    return pl.concat([code, files])


def _listed(lines: pl.Series, rows: pl.DataFrame) -> pl.Series:
    """Which lines are next to one that holds a domain and nothing else, of which it is certain."""
    word = pl.col("word")
    near = pl.concat([lines - 1, lines + 1]).unique()
    alone = rows.filter((pl.col("kind") == "domain") & pl.col("line").is_in(near.implode())).filter(
        pl.col("text").str.replace(_BULLET, "").str.strip_chars(" \t,;\"'`|") == word
    )
    ending = word.str.extract(r"\.\]?([^.\]]+)\z").str.to_lowercase()
    certain = alone.filter(~ending.is_in(_FILE_ENDINGS))["line"]
    return pl.concat([certain + 1, certain - 1]).unique()
