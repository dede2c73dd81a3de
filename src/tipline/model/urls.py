"""URLs: canonical form and validity.

Canonical: scheme and host in lower case, host as `hosts` or `addresses` write it, default port dropped,
everything else byte for byte: user information, path, query, fragment, even an empty path. The host is what
follows the last `@` of the authority, and the authority ends at `/`, `?`, `#` or a backslash (as browsers
read it). A missing scheme is taken for http and noted in `extra` as {"scheme_assumed": true}.

Refused: white space or control characters inside; schemes not in `SCHEMES`; a text that ends in an ellipsis
(`truncated`); a placeholder in brackets such as `[targeted email address]`, a bracketed path segment or
parameter value (`placeholder`: a template never matches anything; PHP's `a[]=1` and `a[b]=1` are none).
A URL on a public suffix (`http://gov.uk/x`) is accepted, since it names one page.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import polars as pl

from tipline.model import addresses, hosts
from tipline.model.intervals import IPV4_ONLY, mapped_bounds, numbers, quads, refusals
from tipline.model.policy import Policy
from tipline.model.verdict import Verdict, by_part, by_rule, complete, refuse

#: Schemes accepted, with their default ports.
SCHEMES: dict[str, int | None] = {
    "http": 80,
    "https": 443,
    "ftp": 21,
    "ftps": 990,
    "sftp": 22,
    "ssh": 22,
    "ws": 80,
    "wss": 443,
    "ldap": 389,
    "ldaps": 636,
    "rmi": 1099,
    "tftp": 69,
    "telnet": 23,
    "smb": 445,
    "dns": 53,
    "tcp": None,
    "udp": None,
    "socks4": 1080,
    "socks5": 1080,
    "irc": 6667,
}

_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?([^/?#\\]*)(.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:]*)(?::([0-9]*))?", re.DOTALL)
_PLACEHOLDER = re.compile(r"\[[^\[\]]{0,80} [^\[\]]{0,80}\]|<[^<>]*>")
_PLACEHOLDER_PART = re.compile(r"[/=](?:\[[^\[\]/]*\]|\{[^{}/]*\})(?:$|[/?&#])")
_ELLIPSIS = re.compile(r"(?:…|\.\.\.|\[…\]|\(…\))$")

#: Common shape: known scheme, plain host, perhaps a port, a rest without white space.
_COMMON = r"\A(?i:(https?|ftp))://([A-Za-z0-9._-]+)(?::(0|[1-9][0-9]{0,4}))?([/?#][^\s\p{Cc}\[<{…]*)?\z"


class Host(NamedTuple):
    """A URL's host: its canonical text, and interval or reversed form."""

    text: str
    lo: str | None = None
    up: str | None = None
    rhost: str | None = None


def _address_host(text: str, policy: Policy) -> Host | str | None:
    """Host from an IP literal; a reason if refused; None if the text is none."""
    bracketed = text.startswith("[")
    found = addresses.parse_address(text[1:-1] if bracketed else text)
    if found is None or (":" in text and not bracketed):
        return "bad-url" if bracketed else None
    span = addresses.Interval(found[0], found[1], found[1])
    reason = addresses.objection(span, policy)
    if reason:
        return reason
    spelt = addresses.spell(span)
    return Host(spelt if span.family == 4 else f"[{spelt}]", *addresses.bounds(span))


def parse_host(text: str, policy: Policy) -> Host | str:
    """Host of a URL, or the reason why it is none."""
    address = _address_host(text, policy)
    if address is not None:
        return address
    host = hosts.canonical_host(text)
    if host is None:
        reason = hosts.why_bad(text)
        return "bad-url" if reason == "bad-domain" else reason
    return hosts.objection(host, policy, suffix_allowed=True) or Host(host, rhost=hosts.reverse_host(host))


def _malformed(text: str, rest: str) -> str | None:
    if _ELLIPSIS.search(text):
        return "truncated"
    if _PLACEHOLDER.search(text) or _PLACEHOLDER_PART.search(rest):
        return "placeholder"
    bad = any(char.isspace() or ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    return "bad-url" if bad else None


def _port(digits: str | None, scheme: str) -> str | None:
    """`:8080`, or nothing for the default port; None for a port that cannot be."""
    if not digits:
        return ""
    port = int(digits) if len(digits) <= 5 else 65536
    if port > 65535:
        return None
    return "" if port == SCHEMES[scheme] else f":{port}"


def url(text: str, policy: Policy) -> Verdict:
    """Judge a text that should be a URL."""
    parts = _PARTS.fullmatch(text)
    reason = _malformed(text, parts[3]) if parts else "bad-url"
    if reason or parts is None:
        return refuse("url", reason or "bad-url")
    scheme = (parts[1] or "http").lower()
    user, at, target = parts[2].rpartition("@")
    authority = _HOST_PORT.fullmatch(target)
    if not parts[2]:
        return refuse("url", "path-only" if parts[1] is None and parts[3].startswith("/") else "bad-url")
    port = _port(authority[2], scheme) if authority and scheme in SCHEMES else None
    if authority is None or port is None:
        return refuse("url", "bad-url")
    host = parse_host(authority[1], policy)
    if isinstance(host, str):
        return refuse("url", host)
    value = f"{scheme}://{user}{at}{host.text}{port}{parts[3]}"
    extra = None if parts[1] else json.dumps({"scheme_assumed": True})
    return Verdict("url", value, host.lo, host.up, host.rhost, extra)


def _common_parts(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with scheme, host, port, rest and `shape`: 0 a name, 1 an IPv4 address, 2 look closer."""
    fields = ["scheme", "host", "port", "rest"]
    groups = pl.col("text").str.extract_groups(_COMMON).struct.rename_fields(fields)
    split = frame.with_columns(groups.alias("parts")).unnest("parts")
    lower = split.with_columns(
        pl.col("scheme", "host").str.to_lowercase(), pl.col("port", "rest").fill_null("")
    ).with_columns(pl.col("host").str.strip_suffix("."))
    odd = (
        pl.col("host").is_null()
        | (pl.col("port").cast(pl.UInt32, strict=False) > 65535)
        | pl.col("text").str.ends_with("...")
    ).fill_null(value=False)
    name = hosts.is_plain_host(pl.col("host"))
    shape = pl.when(odd).then(2).when(name).then(0).when(pl.col("host").str.contains(IPV4_ONLY)).then(1).otherwise(2)
    return lower.with_columns(shape.alias("shape"))


def _joined() -> pl.Expr:
    defaults = {"http": "80", "https": "443", "ftp": "21"}
    default = pl.col("port") == pl.col("scheme").replace_strict(defaults, default="")
    port = pl.when((pl.col("port") == "") | default).then(pl.lit("")).otherwise(":" + pl.col("port"))
    return pl.concat_str("scheme", pl.lit("://"), "host", port, "rest")


def _on_names(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    out = frame.select(
        "row",
        value=_joined(),
        rhost=hosts.reverse_hosts(pl.col("host")),
        drop=hosts.plain_objection(frame["host"], policy, suffix_allowed=True),
    )
    return complete(out, type="url")


def _on_addresses(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    values = quads(numbers(frame["host"], 4))
    lo, up = mapped_bounds(values, values)
    out = frame.select("row", value=_joined(), lo=lo, up=up, drop=refusals(values, values, policy))
    return complete(out, type="url")


def normalise_urls(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Normaliser of url."""
    split = _common_parts(frame)
    names, quad_hosts, rest = (split.filter(pl.col("shape") == shape) for shape in range(3))
    parts = [(names, _on_names), (quad_hosts, _on_addresses), (rest.select("row", "text"), by_rule(url))]
    return by_part(parts, policy)
