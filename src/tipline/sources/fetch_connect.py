"""Connections: a hop's checked address, TLS, proxies, a deadline for all of it, and errors in words."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import httpx

from tipline.errors import FetchError
from tipline.sources.fetch_settings import FetchSettings
from tipline.sources.guardrails import mask_url, resolve

# httpx logs whole URLs, and with them keys in queries.
logging.getLogger("httpx").setLevel(logging.WARNING)

_MAX_ADDRESSES = 4
_slots: Counter[str] = Counter()
_slots_change = threading.Condition()


@contextmanager
def host_slot(host: str, limit: int) -> Iterator[None]:
    """Hold one of a host's transfers; waits while `limit` of them are running."""
    with _slots_change:
        _slots_change.wait_for(lambda: _slots[host] < limit)
        _slots[host] += 1
    try:
        yield
    finally:
        with _slots_change:
            _slots[host] -= 1
            if not _slots[host]:
                del _slots[host]
            _slots_change.notify_all()


class Deadline:
    """An end to the transfers inside it: shuts their sockets, since a timeout bounds single reads only."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._timer.join()

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self._end

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """Trace hook of httpcore: keep each socket as it is made."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            made = info["return_value"].get_extra_info("socket")
            if isinstance(made, socket.socket):
                self._sockets.append(made)

    def _shut(self) -> None:
        for made in self._sockets:
            try:
                made.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@dataclass(frozen=True)
class Hop:
    """One address on the way: the configured one, or one that a redirect leads to.

    Attributes:
        url: without user part and fragment.
        shown: the URL without secrets.
        trusted: whether it is the configured origin, and gets the sign-in and the client certificate.
        headers: the sign-in and the configured headers.
    """

    url: httpx.URL
    shown: str
    trusted: bool
    headers: dict[str, str] = field(repr=False, default_factory=dict)

    @classmethod
    def of(cls, url: str, settings: FetchSettings, *, trusted: bool) -> Hop:
        """Read a URL.

        Raises:
            FetchError: it is not one.
        """
        shown = mask_url(url)
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"not an address: {error}", where=shown, fix="check its spelling") from error
        if not parsed.host:
            raise FetchError("the address has no host", where=shown, fix="check its spelling")
        headers = _signed(settings, parsed) if trusted else {}
        return cls(parsed.copy_with(userinfo=b"", fragment=None), shown, trusted, headers)

    @property
    def host(self) -> str:
        """Name or address, as ASCII."""
        return self.url.raw_host.decode("ascii").strip("[]")

    @property
    def port(self) -> int:
        """The port, also if the URL does not say it."""
        return self.url.port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether over TLS."""
        return self.url.scheme == "https"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are for."""
        return (self.url.scheme, self.host, self.port)


def _signed(settings: FetchSettings, url: httpx.URL) -> dict[str, str]:
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.bearer is not None:
        headers["Authorization"] = f"Bearer {settings.bearer.get_secret_value()}"
    if settings.api_key is not None:
        headers[settings.api_key.header] = settings.api_key.value.get_secret_value()
    user = None
    if settings.basic is not None:
        user = f"{settings.basic.username}:{settings.basic.password.get_secret_value()}"
    elif url.userinfo and settings.bearer is None:
        user = unquote(url.userinfo.decode())
    if user is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return headers


@dataclass(frozen=True)
class Body:
    """What a request brings along; with a body it is a POST.

    Attributes:
        content: the bytes.
        kind: their media type.
    """

    content: bytes = field(repr=False)
    kind: str = "application/json"


@contextmanager
def connected(
    settings: FetchSettings,
    hop: Hop,
    conditions: dict[str, str],
    deadline: Deadline,
    body: Body | None = None,
) -> Iterator[httpx.Response]:
    """Send one request to the hop's checked address (or through a proxy), and give the streaming response.

    Raises:
        FetchError: the address is refused, or the TLS files cannot be used.
        httpx.HTTPError: see `explain`.
    """
    proxy = _proxy(settings, hop)
    context = _context(settings, hop)
    headers = {
        "User-Agent": settings.user_agent,
        "Accept": "*/*",
        "Accept-Encoding": "gzip",
        **({"Content-Type": body.kind} if body else {}),
        **hop.headers,
        **conditions,
        "Host": hop.url.netloc.decode("ascii"),
    }
    urls = [hop.url] if proxy else _pinned(settings, hop)
    method, content = ("POST", body.content) if body else ("GET", None)
    extensions = {"trace": deadline.watch, **({} if proxy else {"sni_hostname": hop.host})}
    with ExitStack() as stack:
        client = stack.enter_context(
            httpx.Client(verify=context, proxy=proxy, trust_env=False, timeout=settings.timeout, follow_redirects=False)
        )
        for number, url in enumerate(urls, 1):
            try:
                response = stack.enter_context(
                    client.stream(method, url, content=content, headers=headers, extensions=extensions)
                )
                break
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(urls) or deadline.passed:
                    raise
        yield response


def _pinned(settings: FetchSettings, hop: Hop) -> list[httpx.URL]:
    """The hop's URL with each of its checked addresses in place of the name."""
    addresses = resolve(
        hop.host,
        hop.port,
        allow_private=settings.allow_private,
        allow_hosts=settings.allow_hosts,
        where=hop.shown,
    )
    return [hop.url.copy_with(host=address) for address in addresses[:_MAX_ADDRESSES]]


def _proxy(settings: FetchSettings, hop: Hop) -> str | None:
    """The proxy for a hop. Through a proxy, only the proxy resolves names, so they cannot be checked here."""
    if settings.proxy is not None:
        return None if settings.proxy == "none" else settings.proxy
    if proxy_bypass(hop.host):
        return None
    found = getproxies()
    return found.get(hop.url.scheme) or found.get("all")


def _context(settings: FetchSettings, hop: Hop) -> ssl.SSLContext:
    if not hop.secure:
        return _plain_context()
    cert, key = (settings.client_cert, settings.client_key) if hop.trusted else (None, None)
    try:
        return _tls_context(settings.verify, settings.ca_file, cert, key)
    except OSError as error:
        files = ", ".join(str(file) for file in (settings.ca_file, cert, key) if file)
        raise FetchError(
            f"the certificate files cannot be used: {error.strerror or error}",
            where=hop.shown,
            fix=f"check that these are PEM files that can be read: {files}",
        ) from error


@lru_cache(maxsize=1)
def _plain_context() -> ssl.SSLContext:
    """No certificates: reading the system's takes longer than a small feed."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=32)
def _tls_context(verify: bool, ca_file: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(verify=verify)
    if verify:
        context.load_default_certs()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def explain(error: httpx.HTTPError, settings: FetchSettings, hop: Hop, deadline: Deadline) -> FetchError:
    """What went wrong underneath, in words, and whether trying again can help."""
    if deadline.passed:
        return FetchError(
            f"the transfer took longer than {settings.max_time:g} s",
            where=hop.shown,
            fix="the server is slow; raise max_time if the feed is that large",
            retryable=True,
        )
    cause = _cause(error)
    if cause is not None:
        return _tls_trouble(cause, hop)
    what, fix = f"the connection broke: {error or type(error).__name__}", "the next poll tries again"
    if isinstance(error, httpx.TimeoutException):
        what, fix = f"no answer within {settings.timeout:g} s", "raise timeout if the server is slow"
    elif isinstance(error, httpx.ProxyError):
        what, fix = f"the proxy refused: {error}", "check proxy"
    elif isinstance(error, httpx.ConnectError):
        what = f"no connection to {hop.host} at port {hop.port}: {error}"
        fix = "is the server up, and is a firewall between?"
    return FetchError(what, where=hop.shown, fix=fix, retryable=True)


def _tls_trouble(cause: ssl.SSLError, hop: Hop) -> FetchError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        what, fix = _certificate(cause, hop)
        return FetchError(what, where=hop.shown, fix=fix)
    for alert, what in _CLIENT_ALERTS.items():
        if alert in (cause.reason or ""):
            return FetchError(what, where=hop.shown, fix="set client_cert to a PEM file with certificate and key")
    fix = "does the server speak TLS at this port, and does it want a client certificate?"
    return FetchError(f"no TLS connection: {cause.reason or cause}", where=hop.shown, fix=fix, retryable=True)


# What a server says of the certificate of ours, by OpenSSL's name of the alert.
_CLIENT_ALERTS = {
    "ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate",
    "ALERT_UNKNOWN_CA": "the server does not know who issued our client certificate",
    "ALERT_BAD_CERTIFICATE": "the server refuses our client certificate",
    "ALERT_CERTIFICATE_EXPIRED": "our client certificate has expired, as the server says",
    "ALERT_CERTIFICATE_REVOKED": "our client certificate was revoked, as the server says",
}


def _cause(error: BaseException) -> ssl.SSLError | None:
    """The TLS error beneath, if there is one."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    return found


def _certificate(error: ssl.SSLCertVerificationError, hop: Hop) -> tuple[str, str]:
    """What is wrong with a certificate, by OpenSSL's code (`X509_V_ERR_*`), and what to do."""
    known = {
        9: ("is not valid yet", "check this machine's clock"),
        10: ("has expired", "tell the publisher; check this machine's clock"),
        18: ("is self-signed", "if you trust it, save it as PEM and name it in ca_file"),
        19: ("is issued by an authority that is not trusted", "name the authority's PEM file in ca_file"),
        20: ("is issued by an authority that is not trusted", "name the authority's PEM file in ca_file"),
        21: (
            "cannot be verified: an authority between is missing",
            "name the authority's PEM file in ca_file",
        ),
        23: ("has been revoked", "tell the publisher"),
        62: ("is for another host", "check the host in the address"),
        64: ("is for another address", "use the host's name in the address"),
    }
    words, fix = known.get(error.verify_code, (f"was not accepted: {error.verify_message}", "ca_file may help"))
    return f"the certificate of {hop.host} {words}", fix
