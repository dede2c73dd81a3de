"""Which addresses a fetch may connect to (server-side request forgery), and URLs without their secrets.

A feed's URL, its redirects and its name service are other people's input. Unless a source allows it,
tipline does not connect to addresses that are not public: private and shared networks, loopback, link-local,
multicast and reserved ones, nor to IPv6 forms that carry such an IPv4 address. Metadata services of clouds
hand out credentials: they stay refused even with `allow_private`, and need a name in `allow_hosts`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from tipline.errors import FetchError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# AWS, Azure, GCP and most others; AWS over IPv6; Alibaba; Azure's wire server; Oracle.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    )
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
SECRET_NAME = re.compile(r"key|token|bearer|secret|passw|pwd|auth|sig|credential|session|^sas$|^code$", re.IGNORECASE)
_LONG_WORD = re.compile(r"[A-Za-z0-9_\-~+=]{24,}")
URL_MASK = "***"


def refusal(address: Address, *, allow_private: bool = False) -> str | None:
    """Why an address may not be connected to; None if it may.

    Args:
        address: as resolved.
        allow_private: whether private addresses are all right (metadata services never are).
    """
    inner = _inner(address)
    if inner in _METADATA or address in _METADATA:
        return "the metadata service of a cloud"
    if allow_private:
        return None
    for test, words in (
        ("is_unspecified", "the unspecified address"),
        ("is_loopback", "this machine itself (loopback)"),
        ("is_link_local", "a link-local address"),
        ("is_multicast", "a multicast address"),
        ("is_private", "a private or reserved address"),
    ):
        if getattr(inner, test):
            return words
    return None if inner.is_global else "not a public address"


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 form carries (mapped, 6to4, Teredo, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and address.teredo is not None:
        carried = address.teredo[1]
    if carried is None and (any(address in net for net in _NAT64) or 1 < int(address) < 1 << 32):
        carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return carried or address


def allowed_by_name(host: str, address: Address, allow_hosts: Sequence[str]) -> bool:
    """Whether the user named this host (`intranet.example`, `*.corp.example`) or address (`10.0.0.0/8`)."""
    name = host.lower().rstrip(".")
    for entry in allow_hosts:
        pattern = entry.lower().rstrip(".")
        if pattern == name or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return True
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            continue
        if address in network:
            return True
    return False


def resolve(
    host: str, port: int, *, allow_private: bool, allow_hosts: Sequence[str] = (), where: str = ""
) -> list[str]:
    """Addresses of a host, each checked: connect to these, and never resolve again (DNS rebinding).

    Args:
        host: name or address literal, in any spelling that the resolver understands.
        port: to connect to.
        allow_private: see `refusal`.
        allow_hosts: names, addresses and networks that are always all right.
        where: URL without secrets, for messages.

    Raises:
        FetchError: the name does not resolve (retryable), or any of its addresses is refused.
    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(
            f"the name {host} cannot be resolved: {getattr(error, 'strerror', None) or error}",
            where=where,
            fix="check the spelling of the address, and this machine's name service",
            retryable=True,
        ) from error
    addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    for text in addresses:
        address = ipaddress.ip_address(text.split("%")[0])
        reason = refusal(address, allow_private=allow_private)
        if reason and not allowed_by_name(host, address, allow_hosts):
            raise FetchError(_refused(host, text, reason), where=where, fix=_how_to_allow(host, reason))
    return addresses


def _refused(host: str, address: str, reason: str) -> str:
    leads = "" if host == address else f", which is {address}"
    return f"refused to connect to {host}{leads}: {reason}"


def _how_to_allow(host: str, reason: str) -> str:
    if "metadata" in reason:
        return f"if this is meant, add {host} to allow_hosts"
    return f"if this is meant, set allow_private: true, or add {host} to allow_hosts"


def mask_url(url: str) -> str:
    """A URL for messages and logs: user names, passwords, keys and tokens are masked.

    Masked are the user part, query values whose name sounds secret or that look like keys, and such words in
    the path (some feeds have the key there). The fragment is left out.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")
    except ValueError:
        return URL_MASK
    netloc = f"{URL_MASK}@{host[2]}" if host[1] else parts.netloc
    path = "/".join(URL_MASK if _is_key(segment) else segment for segment in parts.path.split("/"))
    query = "&".join(_masked_pair(pair) for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def _masked_pair(pair: str) -> str:
    """`key=value` of a query; text without `=` may be anything, also a key."""
    key, equals, value = pair.partition("=")
    if not equals:
        return URL_MASK
    return f"{key}={URL_MASK}" if SECRET_NAME.search(unquote(key)) or _is_key(unquote(value)) else pair


def _is_key(word: str) -> bool:
    """Long, with every eighth character a digit: names of files seldom are so, keys nearly always."""
    stem = word.rsplit(".", 1)[0]
    return bool(_LONG_WORD.fullmatch(stem)) and sum(c.isdigit() for c in stem) * 8 >= len(stem)
