"""Hashes: length and alphabet decide; nothing is ever cut or padded.

Also read: an algorithm in front (`sha256:...`), MISP's `file name|hash`, and a hash used as a file name
(`<sha256>.one`), each with what was left out in `extra`. A 64- or 128-digit label is longer than DNS allows,
so those are hashes even where no type is given. Fuzzy hashes (ssdeep) keep their case.
"""

from __future__ import annotations

import json
import re

import polars as pl

from tipline.model.policy import Policy
from tipline.model.verdict import Normaliser, Rule, Verdict, by_part, by_rule, complete, refuse

#: Type to number of hex digits.
LENGTHS: dict[str, int] = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_BY_LENGTH = {length: kind for kind, length in LENGTHS.items()}

#: Any of the four.
ANY_HASH = r"\A(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})\z"

#: Several hashes in one cell.
SEVERAL = r"\A[0-9A-Fa-f]{31,128}(?:[\s,;|]+[0-9A-Fa-f]{31,128})+\z"

SSDEEP = r"\A[0-9]{1,10}:[0-9A-Za-z/+]{3,}:[0-9A-Za-z/+]+\z"

_HEX = re.compile(r"[0-9A-Fa-f]+")
_LABELLED = re.compile(r"(?:md5|sha-?1|sha-?256|sha-?512)\s*[:=]\s*([0-9A-Fa-f]+)", re.IGNORECASE)
_SUFFIXED = re.compile(r"([0-9A-Fa-f]{32,128})(\.[A-Za-z0-9]{1,8})")
_SEVERAL = re.compile(SEVERAL.removeprefix(r"\A").removesuffix(r"\z"))
_SSDEEP = re.compile(SSDEEP.removeprefix(r"\A").removesuffix(r"\z"))


def _unwrap(text: str) -> tuple[str, dict[str, str]]:
    """The digits in a text, and what stood around them."""
    name, bar, last = text.rpartition("|")
    if bar and name and not _HEX.fullmatch(name):
        return last.strip(), {"file_name": name.strip()}
    labelled, suffixed = _LABELLED.fullmatch(text), _SUFFIXED.fullmatch(text)
    if labelled:
        return labelled[1], {}
    return (suffixed[1], {"suffix": suffixed[2]}) if suffixed else (text, {})


def hash_rule(kind: str | None) -> Rule:
    """Rule for one hash type, or for any of them (None), told by length."""

    def rule(text: str, _policy: Policy) -> Verdict:
        if _SEVERAL.fullmatch(text):
            return refuse(kind, "several-values")
        digits, extra = _unwrap(text)
        found = _BY_LENGTH.get(len(digits)) if _HEX.fullmatch(digits) else None
        if found is None or kind not in {None, found}:
            return refuse(kind, "bad-hash")
        return Verdict(found, digits.lower(), extra=json.dumps(extra) if extra else None)

    return rule


def hash_normaliser(kind: str | None) -> Normaliser:
    """Normaliser of one hash type, or of the word `hash` (None)."""
    lengths = {LENGTHS[kind]: kind} if kind else _BY_LENGTH
    rule = hash_rule(kind)

    size = pl.col("text").str.len_bytes()

    def on_digits(frame: pl.DataFrame, _policy: Policy) -> pl.DataFrame:
        kinds = size.replace_strict(lengths, default=None, return_dtype=pl.String)
        return complete(frame.select("row", type=kinds, value=pl.col("text").str.to_lowercase()))

    def normalise(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
        digits = pl.col("text").str.contains(ANY_HASH) & size.is_in(list(lengths))
        return by_part([(frame.filter(digits), on_digits), (frame.filter(~digits), by_rule(rule))], policy)

    return normalise


def ssdeep(text: str, _policy: Policy) -> Verdict:
    """Judge an ssdeep hash: block size, colon, two base64 parts."""
    return Verdict("ssdeep", text) if _SSDEEP.fullmatch(text) else refuse("ssdeep", "bad-hash")


def _bare_digest(kind: str, length: int) -> Rule:
    def rule(text: str, _policy: Policy) -> Verdict:
        digits = text.replace(":", "").replace(" ", "").lower()
        return Verdict(kind, digits) if len(digits) == length and _HEX.fullmatch(digits) else refuse(kind, "bad-hash")

    return rule


#: JA3 fingerprint: an MD5.
ja3 = _bare_digest("ja3", 32)

#: Certificate thumbprint: a SHA-1, often written with colons or blanks.
certificate_sha1 = _bare_digest("certificate-sha1", 40)
