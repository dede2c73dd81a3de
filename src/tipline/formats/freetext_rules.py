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
_HOST_OF = r"\A(?:[A-Za-z][A-Za-z0-9+.-]*:/*)?(?:[^/?#\\]*@)?([^/?#:\\]+)"


def judged(found: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Words with `type` and `drop`; those that are plainly no indicators are left out.

    Args:
        found: of `freetext_words.words`.
        scope: of the text.
    """
    rows = _typed(found).with_columns(
        host=pl.col("word").str.extract(_HOST_OF).str.to_lowercase().str.strip_chars("."),
        live=~pl.col("defanged"),
    )
    rows = _plausible(rows)
    name = pl.col("kind").is_in(["domain", "email", "url"])
    reason = (
        pl.when((pl.col("kind") == "url") & pl.col("word").str.contains(r"\[[A-Za-z0-9'][A-Za-z0-9'_-]*\z"))
        .then(pl.lit("placeholder"))
        .when(pl.col("defanged"))
        .then(pl.lit(None, dtype=pl.String))
        .when(name & (pl.col("target") | _under(scope.publishers)))
        .then(pl.lit("reference"))
        .when((pl.col("kind") == "url") & pl.lit(value=scope.defangs) & pl.col("word").str.contains("//", literal=True))
        .then(pl.lit("reference"))
        .when((pl.col("kind") == "ip") & _is_number())
        .then(pl.lit("version"))
        .when((pl.col("kind") == "domain") & _is_file(rows))
        .then(pl.lit("file-name"))
    )
    other = (pl.col("kind") == "hash") & pl.col("before").str.contains(_OTHER_DIGEST)
    return rows.with_columns(drop=pl.when(other).then(pl.lit("unsupported-type")).otherwise(reason))


def _typed(found: pl.DataFrame) -> pl.DataFrame:
    word, before = pl.col("word"), pl.col("before")
    size = word.str.len_bytes()
    kind = (
        pl.when((pl.col("kind") == "hash") & (size == 32) & before.str.contains(_JA3))
        .then(pl.lit("ja3"))
        .when((pl.col("kind") == "hash") & (size == 40) & before.str.contains(_THUMBPRINT))
        .then(pl.lit("certificate-sha1"))
        .when(pl.col("kind") == "ipv6")
        .then(pl.lit("ip"))
        .otherwise(pl.col("kind"))
    )
    return found.with_columns(kind=kind, six=pl.col("kind") == "ipv6")


def _plausible(rows: pl.DataFrame) -> pl.DataFrame:
    """Without words that only look a little like indicators: times, sums, names under no top-level domain."""
    word, kind = pl.col("word"), pl.col("kind")
    doubtful = (pl.col("live") & (kind.is_in(["domain", "email", "url"]) | pl.col("six"))) | (kind == "hash")
    rows = rows.with_row_index("place")
    some, sure = rows.filter(doubtful), rows.filter(~doubtful)
    ending = word.str.extract(_ENDING)
    host_ending = pl.col("host").str.extract(r"\.([^.]+)\z")
    named = pl.when(kind == "url").then(host_ending).otherwise(ending).str.to_lowercase()
    is_name = named.is_in(_tlds()) | named.str.contains(r"[^\x00-\x7F]") | named.str.contains(r"\A[0-9]+\z")
    # `end.The next` and `ASP.Net`: endings are not written with a capital unless all of the name is.
    proper = ~ending.str.contains(r"[A-Z]") | ~word.str.contains(r"[a-z]")
    bare = (kind == "url") & ~word.str.contains("//", literal=True)
    # Global unicast and local addresses; times and hardware addresses begin otherwise.
    six = pl.col("six") & ~word.str.contains(r"\A(?:[23]|(?i:f[c-f]))[0-9A-Fa-f]{2,3}:")
    digits = (kind == "hash") & word.str.contains(r"\A[0-9]+\z|\A0+\z|\A[fF]+\z")
    kept = some.filter(
        ~((kind == "domain") & ~(is_name & proper)), ~((bare | (kind == "email")) & ~is_name), ~six, ~digits
    )
    return pl.concat([sure, kept]).sort("place").drop("place")


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


def _under(domains: frozenset[str]) -> pl.Expr:
    """Whether the host is one of the domains, or below one."""
    known = _domains(domains)
    host = pl.when(pl.col("kind") == "email").then(pl.col("word").str.extract(r"@(.+)\z")).otherwise(pl.col("host"))
    host = host.str.to_lowercase()
    ends = [host, *(host.str.extract(rf"((?:[^.]+\.){{{n}}}[^.]+)\z") for n in (1, 2, 3))]
    return pl.any_horizontal(end.is_in(known) for end in ends).fill_null(value=False)


def _is_file(rows: pl.DataFrame) -> pl.Expr:
    """Whether a live domain is rather the name of a file, or code."""
    word = pl.col("word")
    ending = word.str.extract(r"\.([^.:]+)(?::[0-9]+)?\z").str.to_lowercase()
    code = word.str.contains(_OBJECTS) & ending.is_in(_WORDS_OF_CODE) & (word.str.count_matches(".", literal=True) == 1)
    proper = (ending == "app") & ~word.str.contains(r"\A[A-Z]")
    file = ending.is_in(_FILE_ENDINGS) & ~word.str.contains(_SUBDOMAIN) & ~proper
    return code | (file & ~pl.col("line").is_in(_listed(rows).implode()))


def _listed(rows: pl.DataFrame) -> pl.Series:
    """Numbers of the lines that hold one domain and nothing else, next to another such line of which it is certain."""
    word = pl.col("word")
    alone = rows.filter(
        (pl.col("kind") == "domain") & (pl.col("text").str.replace(_BULLET, "").str.strip_chars(" \t,;\"'`|") == word)
    )
    ending = word.str.extract(r"\.\]?([^.\]]+)\z").str.to_lowercase()
    certain = alone.filter(~ending.is_in(_FILE_ENDINGS))["line"]
    return pl.concat([certain + 1, certain - 1]).unique()
