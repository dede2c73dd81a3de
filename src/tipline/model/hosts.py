"""Host names: canonical form, validity, and the reversed form that suffix work joins on.

Canonical: lower case, no trailing dot, non-ASCII labels mapped by UTS #46 (non-transitional) and encoded by
IDNA 2008. DNS holds more than IDNA allows, so these pass as they are: underscores, hyphens at positions
three and four (`r4---sn.googlevideo.com`), `xn--` labels that do not decode, and hyphens at a label's end
except in the last two labels. Labels of symbols (emoji), which some registries sell, are encoded as IDNA
2003 did. Anything else that IDNA 2008 forbids is refused: `support¬forum.org` is not `supportforum.org`.

A host must end in a known top-level domain, or one of `suffixes.SPECIAL_TLDS`. A domain that is itself an
ICANN public suffix is refused; suffixes of private registries (`github.io`) are accepted, as a claim on one
is at least possible. A file name such as `invoice.zip` or `run.sh` is a domain, because `zip` and `sh` are
top-level domains; a source that lists file names must say so.

`rhost` is the labels reversed with a trailing dot, `com.example.www.`: every name below `example.com`
starts with `com.example.`, and `com.example-bad.` does not.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache

import idna
import polars as pl

from tipline.model.policy import Policy
from tipline.model.suffixes import is_public_suffix, suffix_list
from tipline.model.verdict import Verdict, by_part, by_rule, complete, refuse

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_LABELS = rf"(?:[a-z0-9_-]+\.)*{_LABEL}"
_TLD = r"(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})"

#: Shape of a canonical host of two labels or more; lengths are looked at apart.
HOST = rf"\A{_LABELS}\.{_TLD}\z"

_HOST = re.compile(rf"(?:{_LABELS}\.)?{_LABEL}")
_PORT = re.compile(r"(.+)[:|]([0-9]{1,5})")
_LONGEST = 253

#: What only a regular expression holds: classes, counted or starred groups, alternatives, escapes.
REGEX = (
    r"\[\^|\[[^\[\]\s]{0,40}[a-z0-9]-[a-z0-9][^\[\]\s]{0,40}\]|\\[dwsDWS][+*{]|\(\?"
    r"|[.\])][*+](?:$|[^/])|\{[0-9]+,?[0-9]*\}|\([^()\s]{0,60}\|[^()\s]{0,60}\)"
)
_REGEX = re.compile(REGEX)


def reverse_host(host: str) -> str:
    """`www.example.com` to `com.example.www.`."""
    return ".".join(reversed(host.split("."))) + "."


def reverse_hosts(host: pl.Expr) -> pl.Expr:
    """`reverse_host` over a column."""
    return pl.concat_str(host.str.split(".").list.reverse().list.join("."), pl.lit("."))


def _encode_label(label: str) -> str:
    """Punycode of one mapped label.

    Raises:
        idna.IDNAError: IDNA 2008 forbids it, and it is not one of symbols.
    """
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError:
        rest = "".join(char for char in label if unicodedata.category(char) != "So" and char != "\ufe0f")
        if rest == label or (rest and not rest.isascii()):
            raise
        return "xn--" + label.encode("punycode").decode("ascii")


def canonical_host(text: str) -> str | None:
    """Canonical host name of a text, whatever its top-level domain; None if DNS cannot hold it."""
    host = text.lower()
    if len(host) > 4 * _LONGEST:
        return None
    if not host.isascii():
        try:
            mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
            host = ".".join(_encode_label(label) for label in mapped.split("."))
        except (idna.IDNAError, UnicodeError):
            return None
    host = host.removesuffix(".")
    if len(host) > _LONGEST or any(len(label) > 63 for label in host.split(".")):
        return None
    return host if _HOST.fullmatch(host) and not host.rpartition(".")[2].isdigit() else None


def objection(host: str, policy: Policy, *, suffix_allowed: bool = False) -> str | None:
    """Why the policy refuses a canonical host, or None.

    Args:
        host: canonical host name.
        policy: the source's.
        suffix_allowed: accept public suffixes whatever the policy says (in URLs, e-mail addresses).
    """
    if not policy.allow_unknown_tld and host.rpartition(".")[2] not in suffix_list().tlds:
        return "unknown-tld"
    if suffix_allowed or policy.allow_public_suffixes:
        return None
    return "public-suffix" if is_public_suffix(host) else None


def why_bad(text: str) -> str:
    """Best reason for a text that is no host name."""
    if text.endswith(("…", "...", "[…]")):
        return "truncated"
    return "regular-expression" if _REGEX.search(text) else "bad-domain"


def domain(text: str, policy: Policy) -> Verdict:
    """Judge a text that should be a domain; a port goes to `extra`."""
    found = _PORT.fullmatch(text)
    name, port = (found[1], found[2]) if found else (text, None)
    extra: dict[str, object] = {} if port is None else {"port": int(port)}
    if name.startswith(("*.", ".")):
        if not policy.allow_wildcards:
            return refuse("domain", "wildcard" if canonical_host(name.lstrip("*.")) else why_bad(name))
        name, extra["wildcard"] = name.removeprefix("*").removeprefix("."), True
    host = canonical_host(name)
    if host is None or (port is not None and not 0 < int(port) < 65536):
        return refuse("domain", why_bad(name))
    reason = objection(host, policy)
    if reason:
        return refuse("domain", reason)
    return Verdict("domain", host, rhost=reverse_host(host), extra=json.dumps(extra) if extra else None)


@cache
def _known() -> tuple[pl.Series, pl.Series]:
    rules = suffix_list()
    return pl.Series(sorted(rules.tlds)).implode(), pl.Series(sorted(rules.icann.plain)).implode()


def is_plain_host(text: pl.Expr) -> pl.Expr:
    """True for lower-case ASCII hosts of two labels or more that need no more than `plain_objection`."""
    size = text.str.len_bytes()
    return (
        text.str.contains(HOST)
        & (size <= _LONGEST)
        & pl.when(size < 64).then(pl.lit(value=True)).otherwise(~text.str.contains(r"[^.]{64}"))
    )


def plain_objection(hosts: pl.Series, policy: Policy, *, suffix_allowed: bool = False) -> pl.Series:
    """`objection` for hosts that pass `is_plain_host`: reason codes, null where accepted."""
    tlds, suffixes = _known()
    frame = pl.DataFrame({"host": hosts})
    reason = pl.lit(None, dtype=pl.String)
    if not (suffix_allowed or policy.allow_public_suffixes):
        wild = pl.Series(_wildcard_suffixes(frame), dtype=pl.String).implode()
        host = pl.col("host")
        reason = pl.when(host.is_in(suffixes) | host.is_in(wild)).then(pl.lit("public-suffix")).otherwise(reason)
    if not policy.allow_unknown_tld:
        known = pl.col("host").str.extract(r"([^.]+)\z").is_in(tlds)
        reason = pl.when(known).then(reason).otherwise(pl.lit("unknown-tld"))
    return frame.with_columns(reason.alias("drop"))["drop"]


def _wildcard_suffixes(frame: pl.DataFrame) -> list[str]:
    """Hosts that are suffixes by a wildcard rule (`anything.ck`): few, so Python decides."""
    parents = pl.Series(sorted(suffix_list().icann.wildcards)).implode()
    parent = pl.col("host").str.replace(r"\A[^.]+\.", "")
    candidates = frame.filter(parent.is_in(parents))["host"].unique()
    return [host for host in candidates if is_public_suffix(host)]


def normalise_domains(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Normaliser of domain."""
    lower = pl.col("text").str.to_lowercase().str.strip_suffix(".")
    hosts = frame.with_columns(lower.alias("host")).with_columns(is_plain_host(pl.col("host")).alias("plain"))
    plain, odd = hosts.filter("plain"), hosts.filter(~pl.col("plain")).select("row", "text")
    return by_part([(plain, _on_plain), (odd, by_rule(domain))], policy)


def _on_plain(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    drop = plain_objection(frame["host"], policy)
    verdicts = frame.select("row", value="host", rhost=reverse_hosts(pl.col("host")), drop=drop)
    return complete(verdicts, type="domain")
