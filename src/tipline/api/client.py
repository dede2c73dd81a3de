"""Where a request comes from, and how: through proxies that are trusted, or else as the connection says."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.requests import Request


def address_of(request: Request, trusted: Sequence[str] = ()) -> str:
    """The address of whoever asks: the last one of X-Forwarded-For that no trusted proxy has.

    Args:
        request: what came.
        trusted: networks of proxies whose headers count.
    """
    address = request.client.host if request.client else ""
    hops = [hop.strip() for each in request.headers.getlist("x-forwarded-for") for hop in each.split(",")]
    while hops and in_networks(address, trusted):
        address = hops.pop()
    return address[:60]


def is_https(request: Request, trusted: Sequence[str] = ()) -> bool:
    """Whether whoever asks speaks HTTPS, with us or with a trusted proxy."""
    if request.url.scheme == "https":
        return True
    proxied = request.client is not None and in_networks(request.client.host, trusted)
    return proxied and request.headers.get("x-forwarded-proto", "").strip().lower() == "https"


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def in_networks(address: str, networks: Sequence[str]) -> bool:
    """Whether an address lies in one of some networks."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)
