"""Rules for IPv4 and IPv6 addresses, networks and ranges, one value at a time.

Canonical forms: an address (`1.2.3.4`, `2001:db8::1` as in RFC 5952), a network (`1.2.3.0/24`, host bits
cleared), or a range `first-last`. A range that is exactly one network is written as that network; a network
or range of one address as that address. `::ffff:a.b.c.d` is the IPv4 address. Refused: fewer than four
octets (`118.0/24`), leading zeros (`010.0.0.1`, which some readers take for octal), scope ids
(`fe80::1%eth0`).

Accepted beside these: `1.2.3.4:443` and `[2001:db8::1]:443`, the port going to `extra`; a netmask after the
slash (`1.2.3.0/255.255.255.0`).

Not routable is decided by overlap: a network that holds any special-purpose address is refused, even if
most of it is public, because blocking `172.0.0.0/8` would block the networks of its reader. Width is looked
at first, so `0.0.0.0/0` is `too-wide`. Special-purpose blocks: the IANA IPv4 and IPv6 Special-Purpose
Address Registries, multicast and reserved space, and everything in IPv6 outside 2000::/3.

Sorting form: `lo` and `up` are 32 hex digits of a half-open 128-bit interval, with IPv4 at ::ffff:0:0/96.
"""

from __future__ import annotations

import ipaddress
import json
import re
from bisect import bisect_left
from typing import NamedTuple

from tipline.model.policy import Policy
from tipline.model.verdict import Verdict, refuse

#: Where IPv4 lies in the 128-bit space.
MAPPED = 0xFFFF << 32
_MAPPED_END = MAPPED + (1 << 32) - 1
_LAST = (1 << 128) - 1

_WIDEST = {4: 1 << 24, 6: 1 << 112}

_SPECIAL_4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
)
_SPECIAL_6 = ("::/3", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "3fff::/20", "4000::/2", "8000::/1")


class Interval(NamedTuple):
    """Addresses `first` to `last`, both included, as plain integers of their family (4 or 6)."""

    family: int
    first: int
    last: int


def _blocks(networks: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    nets = [ipaddress.ip_network(text) for text in networks]
    return tuple(int(net[0]) for net in nets), tuple(int(net[-1]) for net in nets)


#: By family: first and last addresses of the special-purpose blocks, sorted and disjoint.
SPECIAL: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {4: _blocks(_SPECIAL_4), 6: _blocks(_SPECIAL_6)}

_QUAD = re.compile(r"(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})")
_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}")
_PORT_4 = re.compile(r"([0-9.]+)[:|]([0-9]{1,5})")
_PORT_6 = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?")
_SIX = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def parse_ipv4(text: str) -> int | None:
    """Number of a dotted quad without leading zeros; None if it is not one."""
    found = _QUAD.fullmatch(text)
    if found is None:
        return None
    octets = [int(part) for part in found.groups()]
    return int.from_bytes(bytes(octets)) if max(octets) <= 255 else None


def parse_address(text: str) -> tuple[int, int] | None:
    """Family and number of an address in any spelling; an IPv4-mapped IPv6 address is IPv4."""
    four = parse_ipv4(text)
    if four is not None:
        return 4, four
    if ":" not in text or _SIX.fullmatch(text) is None:
        return None
    try:
        six = int(ipaddress.IPv6Address(text))
    except ipaddress.AddressValueError:
        return None
    return (4, six - MAPPED) if MAPPED <= six <= _MAPPED_END else (6, six)


def _prefix_length(text: str, bits: int) -> int | None:
    if _PREFIX.fullmatch(text):
        return int(text) if int(text) <= bits else None
    mask = parse_ipv4(text) if bits == 32 else None
    if mask is None:
        return None
    length = mask.bit_count()
    return length if mask == ((1 << length) - 1) << (32 - length) else None


def _network(base: str, suffix: str) -> Interval | None:
    found = parse_address(base)
    if found is None:
        return None
    family, number = found
    bits = 32 if family == 4 and ":" not in base else 128
    length = _prefix_length(suffix, bits)
    if length is None:
        return None
    if family == 4 and bits == 128:
        if length < 96:
            return _aligned(6, MAPPED + number, 128 - length)
        bits, length = 32, length - 96
    return _aligned(family, number, bits - length)


def _aligned(family: int, number: int, host_bits: int) -> Interval:
    first = number >> host_bits << host_bits
    return Interval(family, first, first + (1 << host_bits) - 1)


def _range(first: str, last: str) -> Interval | None:
    one, two = parse_address(first.strip()), parse_address(last.strip())
    if one is None or two is None or one[0] != two[0] or one[1] > two[1]:
        return None
    return Interval(one[0], one[1], two[1])


def interval(text: str) -> Interval | str:
    """Read an address, network or range.

    Returns:
        The interval, or the reason why the text is none.
    """
    if "/" in text:
        return _network(*text.split("/", 1)) or "bad-cidr"
    if "-" in text:
        return _range(*text.split("-", 1)) or "bad-range"
    found = parse_address(text)
    if found is None:
        return "bad-ipv6" if ":" in text and not _QUAD.match(text) else "bad-ipv4"
    return Interval(found[0], found[1], found[1])


def _spell(family: int, number: int) -> str:
    return str(ipaddress.IPv4Address(number) if family == 4 else ipaddress.IPv6Address(number))


def spell(span: Interval) -> str:
    """Canonical text of an interval."""
    family, first, last = span
    if first == last:
        return _spell(family, first)
    size = last - first + 1
    if size & (size - 1) == 0 and first % size == 0:
        bits = 32 if family == 4 else 128
        return f"{_spell(family, first)}/{bits - size.bit_length() + 1}"
    return f"{_spell(family, first)}-{_spell(family, last)}"


def bounds(span: Interval) -> tuple[str, str]:
    """`lo` and `up` of an interval; `up` saturates at 32 f's."""
    shift = MAPPED if span.family == 4 else 0
    return f"{span.first + shift:032x}", f"{min(span.last + shift + 1, _LAST):032x}"


def objection(span: Interval, policy: Policy) -> str | None:
    """Why the policy refuses the interval, or None."""
    family, first, last = span
    if not policy.allow_wide and last - first >= _WIDEST[family]:
        return "too-wide"
    if policy.allow_non_routable:
        return None
    firsts, lasts = SPECIAL[family]
    block = bisect_left(lasts, first)
    return "not-routable" if block < len(firsts) and firsts[block] <= last else None


def _split_port(text: str) -> tuple[str, str | None]:
    four = _PORT_4.fullmatch(text)
    if four:
        return four[1], four[2]
    six = _PORT_6.fullmatch(text)
    return (six[1], six[2]) if six else (text, None)


def address(text: str, policy: Policy) -> Verdict:
    """Judge a text that should be an address, network or range."""
    base, port = _split_port(text)
    if port is not None and not 0 < int(port) < 65536:
        return refuse(None, "bad-ipv4" if "." in base else "bad-ipv6")
    span = interval(base)
    if isinstance(span, str):
        return refuse(None, span)
    kind = f"ipv{span.family}"
    reason = objection(span, policy)
    if reason:
        return refuse(kind, reason)
    extra = None if port is None else json.dumps({"port": int(port)})
    return Verdict(kind, spell(span), *bounds(span), None, extra)
