"""TLS: certificates that are not right, and what the message says to do."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tipline.errors import FetchError
from tipline.sources.fetch import FetchResult, FetchSettings, FetchState, fetch

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def certificate(name: str, issuer: Pair | None = None, *, days: tuple[int, int] = (-1, 1), ca: bool = False) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "loopback":
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    signer = issuer[1] if issuer else key
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(authority, critical=False).sign(signer, hashes.SHA256()), key


def pem(path: Path, pair: Pair) -> Path:
    key = pair[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pair[0].public_bytes(serialization.Encoding.PEM) + key)
    return path


@pytest.fixture
def authority() -> Pair:
    return certificate("Test CA", ca=True)


def context(tmp_path: Path, pair: Pair) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(pem(tmp_path / "server.pem", pair))
    return found


def get(tmp_path: Path, url: str, **options: Any) -> FetchResult:
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    settings = FetchSettings(**{"url": url, "allow_private": True, "retries": 0, **options})
    return fetch(settings, FetchState(), spool)


@pytest.mark.parametrize(
    ("name", "days", "words"),
    [
        ("loopback", (-9, -1), "certificate of 127.0.0.1 has expired"),
        ("loopback", (1, 9), "is not valid yet.*clock"),
        ("other.example", (-1, 1), "is for another"),
    ],
)
def test_wrong_certificates(
    tmp_path: Path, serve: Callable[..., Any], authority: Pair, name: str, days: tuple[int, int], words: str
) -> None:
    web = serve(context(tmp_path, certificate(name, authority, days=days)))
    with pytest.raises(FetchError, match=words) as caught:
        get(tmp_path, web.url(), ca_file=pem(tmp_path / "ca.pem", authority))
    assert not caught.value.retryable


def test_authority_is_trusted_only_if_named(tmp_path: Path, serve: Callable[..., Any], authority: Pair) -> None:
    web = serve(context(tmp_path, certificate("loopback", authority)))
    with pytest.raises(FetchError, match=r"not trusted.*ca_file"):
        get(tmp_path, web.url())
    assert get(tmp_path, web.url(), ca_file=pem(tmp_path / "ca.pem", authority)).files
    assert get(tmp_path, web.url(), verify=False).files


def test_self_signed_certificate(tmp_path: Path, serve: Callable[..., Any]) -> None:
    web = serve(context(tmp_path, certificate("loopback")))
    with pytest.raises(FetchError, match=r"self-signed.*ca_file"):
        get(tmp_path, web.url())


def test_pinned_address_keeps_the_name_for_tls(
    tmp_path: Path, serve: Callable[..., Any], authority: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = context(tmp_path, certificate("feed.example", authority))
    asked: list[str] = []
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    web = serve(server)
    real = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", lambda _host, *args, **options: real("127.0.0.1", *args, **options))
    assert get(tmp_path, web.url(host="feed.example"), ca_file=pem(tmp_path / "ca.pem", authority)).files
    assert asked == ["feed.example"]


def test_redirect_from_https_to_http_is_refused(tmp_path: Path, serve: Callable[..., Any], authority: Pair) -> None:
    web, plain = serve(context(tmp_path, certificate("loopback", authority))), serve()
    web.answer = lambda _: (302, {"Location": plain.url()}, b"")
    with pytest.raises(FetchError, match="redirected from https to http"):
        get(tmp_path, web.url(), ca_file=pem(tmp_path / "ca.pem", authority))
    assert plain.requests == []


def test_client_certificate(tmp_path: Path, serve: Callable[..., Any], authority: Pair) -> None:
    ca_file = pem(tmp_path / "ca.pem", authority)
    server = context(tmp_path, certificate("loopback", authority))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(ca_file)
    web = serve(server)
    client = pem(tmp_path / "client.pem", certificate("client.example", authority))
    assert get(tmp_path, web.url(), ca_file=ca_file, client_cert=client).files
    with pytest.raises(FetchError, match=r"wants a client certificate|connection broke"):
        get(tmp_path, web.url(), ca_file=ca_file)


def test_files_that_hold_no_certificate(tmp_path: Path, serve: Callable[..., Any], authority: Pair) -> None:
    web = serve(context(tmp_path, certificate("loopback", authority)))
    for file in (tmp_path / "none.pem", Path(__file__)):
        with pytest.raises(FetchError, match=rf"certificate files cannot be used.*{file.name}"):
            get(tmp_path, web.url(), ca_file=file)


def test_tls_to_a_server_without_it(tmp_path: Path, web: Any) -> None:
    with pytest.raises(FetchError, match="no TLS connection"):
        get(tmp_path, web.url().replace("http:", "https:"))


def test_dripping_over_tls_is_stopped(tmp_path: Path, serve: Callable[..., Any], authority: Pair) -> None:
    web = serve(context(tmp_path, certificate("loopback", authority)))

    def script(handler: Any) -> None:
        while not web.stop.wait(0.02):
            handler.wfile.write(b"x")

    web.script = script
    with pytest.raises(FetchError, match=r"took longer than 0\.3 s"):
        get(tmp_path, web.url(), ca_file=pem(tmp_path / "ca.pem", authority), max_time=0.3)
