"""The public suffix list: which top-level domains exist, and under which suffixes people register names.

Data: `data/public_suffix_list.dat` (publicsuffix.org, MPL-2.0), shipped without comments; `data/NOTICE` says how to
refresh it. Algorithm:
https://github.com/publicsuffix/list/wiki/Format. Host names here are canonical (lower case, punycode).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import idna

#: Names that the list does not hold, because no registry sells them, but that resolve where malware lives.
SPECIAL_TLDS = frozenset({"onion", "i2p", "bit", "bazar", "coin", "emc", "lib", "loki"})


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of one section of the list, split by sort.

    Attributes:
        plain: suffixes.
        wildcards: names all of whose direct children are suffixes.
        exceptions: names that a wildcard does not cover.
    """

    plain: frozenset[str]
    wildcards: frozenset[str]
    exceptions: frozenset[str]

    def is_suffix(self, host: str) -> bool:
        """True if the host is itself a public suffix by one of these rules."""
        if host in self.exceptions:
            return False
        return host in self.plain or host.partition(".")[2] in self.wildcards


@dataclass(frozen=True, slots=True)
class SuffixList:
    """Both sections of the list, and the top-level domains that follow from it."""

    icann: Rules
    private: Rules
    tlds: frozenset[str]


def _punycode(rule: str) -> str:
    if rule.isascii():
        return rule
    return idna.encode(rule, uts46=True).decode("ascii")


def _rules(lines: list[str]) -> Rules:
    names = [_punycode(line) for line in lines if line[0] not in "*!"]
    wildcards = [_punycode(line[2:]) for line in lines if line.startswith("*.")]
    exceptions = [_punycode(line[1:]) for line in lines if line.startswith("!")]
    return Rules(frozenset(names), frozenset(wildcards), frozenset(exceptions))


@cache
def suffix_list() -> SuffixList:
    """The packaged list, read once a process."""
    text = files("tipline.model").joinpath("data/public_suffix_list.dat").read_text(encoding="utf-8")
    sections: dict[str, list[str]] = {"ICANN": [], "PRIVATE": []}
    current = "ICANN"
    for line in text.splitlines():
        if line.startswith("// ===BEGIN "):
            current = line.split()[2]
        elif line and not line.startswith("//"):
            sections[current].append(line.split()[0])
    icann, private = _rules(sections["ICANN"]), _rules(sections["PRIVATE"])
    tlds = {name.rpartition(".")[2] for name in icann.plain | icann.wildcards}
    return SuffixList(icann, private, frozenset(tlds) | SPECIAL_TLDS)


def is_public_suffix(host: str, *, private: bool = False) -> bool:
    """True if the host is itself a public suffix; every top-level domain is one.

    Args:
        host: canonical host name.
        private: look at the section of private registries (`github.io`) too.
    """
    rules = suffix_list()
    by_icann = "." not in host or rules.icann.is_suffix(host)
    return by_icann or (private and rules.private.is_suffix(host))


def public_suffix(host: str, *, private: bool = True) -> str:
    """Longest public suffix of the host; its last label if no rule matches."""
    exceptions = suffix_list().icann.exceptions | (suffix_list().private.exceptions if private else frozenset())
    candidate = host
    while not is_public_suffix(candidate, private=private):
        shorter = candidate.partition(".")[2]
        if candidate in exceptions:
            return shorter
        candidate = shorter
    return candidate


def registrable_domain(host: str, *, private: bool = True) -> str | None:
    """Public suffix plus one label, the part somebody registered; None for a public suffix itself.

    Args:
        host: canonical host name.
        private: honour private registries too.
    """
    suffix = public_suffix(host, private=private)
    if host == suffix:
        return None
    return f"{host.removesuffix(suffix).rstrip('.').rpartition('.')[2]}.{suffix}"
