"""Formats that are one template a line: text before and after a value that is known to be harmless there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tipline.outputs.render.dialect import Dialect, Format, Layout
from tipline.outputs.render.fields import literal
from tipline.outputs.render.spec import (
    ADDRESSES,
    HEX,
    NAME,
    NUMBERS,
    RANGE,
    URL,
    Context,
    Spec,
    address,
    whole,
)

_LONGEST_NAME = 253
_HASHES = ("md5", "sha1", "sha256")
_NO_SCHEME = "regexp_replace(value, '^[a-z][a-z0-9+.-]*://', '')"
# A URL whose every character stands for itself in a filter list.
_FILTER_URL = r"https?://[A-Za-z0-9._~:/?&=%+-]+"
_BASE64 = "to_base64(encode(value))"
_ONE = r"[0-9a-f:.]{2,45}"


def _template(pattern: str, before: str = "", after: str = "", value: str = "value") -> str:
    """SQL: the line of a value that matches a pattern."""
    start = f"{literal(before)} || " if before else ""
    end = f"{literal(after)} || " if after else ""
    longest = _LONGEST_NAME if pattern == NAME else 2000
    return whole(pattern, f"{start}{value} || {end}chr(10)", longest)


def _by_type(texts: dict[str, str]) -> Callable[[Dialect, str], str]:
    def line(_: Dialect, type_: str) -> str:
        return texts[type_]

    return line


def _addresses(pattern: str, before: str = "", after: str = "") -> dict[str, str]:
    start, end = (f"{literal(text)} || " if text else "" for text in (before, after))
    return dict.fromkeys(ADDRESSES, address(pattern, f"{start}value || {end}chr(10)"))


def _named(before: str = "", after: str = "") -> dict[str, str]:
    return {"domain": _template(NAME, before, after)}


def _of(
    reader: str, texts: dict[str, str], limits: str, types: Callable[[Dialect], tuple[str, ...]] | None = None
) -> Spec:
    return Spec(reader, _by_type(texts), types or tuple(texts), limits=limits)


def _chosen(choices: dict[str, tuple[str, ...]]) -> Callable[[Dialect], tuple[str, ...]]:
    """The types that `t` chooses; without it the first ones."""

    def types(dialect: Dialect) -> tuple[str, ...]:
        return choices[dialect.option("t", next(iter(choices)))]

    return types


def _unbound(_: Dialect, __: Context) -> Layout:
    return Layout(b"server:\n", b"")


def _adblock(_: Dialect, context: Context) -> Layout:
    title = "".join(c for c in context.name if c.isprintable())
    return Layout(f"[Adblock Plus 2.0]\n! Title: {title}\n! Version: {context.seq}\n".encode(), b"")


_IP, _DOMAIN = _addresses(NUMBERS), _named()
_IP_OR_DOMAIN = _chosen({"ip": ADDRESSES, "domain": ("domain",)})
_EXACT = "a name as it is, nothing below it"
_BELOW = "a name and all below it"

SPECS: dict[Format, Spec] = {
    "edl-ip": replace(
        _of(
            "PAN-OS external dynamic list of addresses",
            _addresses(RANGE),
            "150,000 entries (the largest models; `most=` sets another); ranges stay ranges",
        ),
        most=150_000,
        shows=("confidence", "last_seen"),
    ),
    "edl-domain": replace(
        _of(
            "PAN-OS external dynamic list of domains",
            _DOMAIN,
            f"4,000,000 entries (the largest models; `most=` sets another); {_EXACT}",
        ),
        most=4_000_000,
        shows=("confidence", "last_seen"),
    ),
    "fortigate": replace(
        _of(
            "FortiGate external threat feed",
            {
                **_addresses(RANGE),
                **_DOMAIN,
                "url": _template(URL),
                **dict.fromkeys(_HASHES, _template(HEX)),
            },
            "`t=ip` (usual), `domain`, `url`, `hash`; 131,072 entries (up to 7.4.3; `most=` sets another)",
            _chosen({"ip": ADDRESSES, "domain": ("domain",), "url": ("url",), "hash": _HASHES}),
        ),
        most=131_072,
        shows=("confidence", "last_seen"),
    ),
    "cisco": replace(
        _of(
            "Cisco Secure Firewall, security intelligence feed",
            {**_IP, **_DOMAIN, "url": _template(URL, value=_NO_SCHEME)},
            "`t=ip` (usual), `domain` or `url` (written without its scheme)",
            _chosen({"ip": ADDRESSES, "domain": ("domain",), "url": ("url",)}),
        ),
        cidrs=True,
    ),
    "squid": replace(
        _of(
            "Squid, a file of `acl … dst` or `dstdomain`",
            {**_IP, **_DOMAIN},
            f"`t=ip` (usual, without overlaps) or `domain`; {_EXACT}",
            _IP_OR_DOMAIN,
        ),
        merged=True,
    ),
    "nginx": replace(
        _of(
            "nginx, included in http, server or location",
            _addresses(NUMBERS, "deny ", ";"),
            "addresses of clients",
        ),
        cidrs=True,
        extension="conf",
    ),
    "haproxy": replace(
        _of(
            "HAProxy, a file of `acl … src -f` or `hdr(host) -f`",
            {**_IP, **_DOMAIN},
            f"`t=ip` (usual) or `domain`; {_EXACT}",
            _IP_OR_DOMAIN,
        ),
        cidrs=True,
    ),
    "hosts": _of("a hosts file", _named("0.0.0.0 "), _EXACT),
    "dnsmasq": replace(
        _of("dnsmasq, conf-file", _named("local=/", "/"), f"{_BELOW}, answered as unknown"), extension="conf"
    ),
    "unbound": replace(
        _of(
            "unbound, included",
            _named('local-zone: "', '." always_nxdomain'),
            f"{_BELOW}, answered as unknown",
        ),
        frame=_unbound,
        extension="conf",
    ),
    "adblock": replace(
        _of(
            "AdGuard, Pi-hole, uBlock and other filter lists",
            {**_named("||", "^"), "url": _template(_FILTER_URL, "|", "|")},
            f"{_BELOW}; URLs whose characters all stand for themselves",
        ),
        frame=_adblock,
    ),
    "suricata-dataset": _of(
        "Suricata, a dataset's file",
        {
            **_addresses(_ONE),
            **dict.fromkeys(("md5", "sha256"), _template(HEX)),
            "domain": _template(NAME, value=_BASE64),
            "url": _template(URL, value=_BASE64),
            "ja3": _template(HEX, value=_BASE64),
        },
        "`t=domain` (usual), `url`, `ja3` (type string, base64), `ip` (single addresses), `md5` or `sha256`",
        _chosen(
            {
                "domain": ("domain",),
                "url": ("url",),
                "ja3": ("ja3",),
                "ip": ADDRESSES,
                "md5": ("md5",),
                "sha256": ("sha256",),
            }
        ),
    ),
}
