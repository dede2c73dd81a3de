"""The unmodified Microsoft libraries, through our settings, against the stand-in."""

from __future__ import annotations

import logging
import time
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import jwt as pyjwt
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tipline.errors import SignInError
from tipline.microsoft import explain
from tipline.microsoft.defender import DefenderClient

SECRET = "not~the~right~secret~9876"


def certificate(path):
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tipline")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass"),
    )
    path.write_bytes(private + public)
    return public, key


def test_a_secret_gets_a_token_with_the_role(credentials):
    made = credentials()
    token = made.token(made.endpoints.defender_scope)
    assert explain.roles(token) == {"Ti.ReadWrite.All"}
    assert made.token(made.endpoints.defender_scope) == token
    assert explain.claims(made.token(made.endpoints.arm_scope))["aud"].startswith("https://management")


def test_a_certificate_with_a_password_gets_a_token(sandbox, credentials, tmp_path):
    public, _ = certificate(tmp_path / "app.pem")
    app = sandbox.add_app("cert", certificate=public)
    made = credentials(
        client_id=app.client_id,
        client_secret=None,
        certificate_path=tmp_path / "app.pem",
        certificate_password="pass",
    )
    assert explain.roles(made.token(made.endpoints.defender_scope)) == {"Ti.ReadWrite.All"}


def test_a_certificate_of_another_app_is_explained(sandbox, credentials, tmp_path):
    public, _ = certificate(tmp_path / "app.pem")
    app = sandbox.add_app("cert", certificate=public)
    certificate(tmp_path / "other.pem")
    made = credentials(
        client_id=app.client_id,
        client_secret=None,
        certificate_path=tmp_path / "other.pem",
        certificate_password="pass",
    )
    with pytest.raises(SignInError, match="certificate is not the app's"):
        made.token(made.endpoints.defender_scope)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_certificate_file_that_cannot_be_opened_is_explained(credentials, tmp_path, password):
    certificate(tmp_path / "app.pem")
    made = credentials(client_secret=None, certificate_path=tmp_path / "app.pem", certificate_password=password)
    with pytest.raises(SignInError, match="cannot be used") as caught:
        made.token(made.endpoints.defender_scope)
    assert "certificate_password" in caught.value.fix


def test_failures_are_explained(sandbox, credentials):
    disabled = sandbox.add_app("off", enabled=False)
    expired = sandbox.add_app("old", secret_expires=datetime.now(UTC) - timedelta(days=1))
    for changes, words in (
        ({"client_secret": SECRET}, "client secret is wrong"),
        ({"client_id": str(uuid.uuid4())}, "app is not in this tenant"),
        ({"tenant_id": str(uuid.uuid4())}, "no such tenant"),
        ({"client_id": disabled.client_id, "client_secret": disabled.client_secret}, "app is disabled"),
        ({"client_id": expired.client_id, "client_secret": expired.client_secret}, "secret has expired"),
    ):
        made = credentials(**changes)
        with pytest.raises(SignInError, match=words) as caught:
            made.token(made.endpoints.defender_scope)
        assert caught.value.fix
        assert not caught.value.retryable


def test_a_workload_identity_gets_a_token(sandbox, credentials, tmp_path):
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    app = sandbox.add_app("pod", federated=("https://issuer.example", "system:pod", public))
    claims = {
        "iss": "https://issuer.example",
        "sub": "system:pod",
        "aud": "api://AzureADTokenExchange",
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
    }
    file = tmp_path / "token"
    file.write_text(pyjwt.encode(claims, key, algorithm="RS256"))
    made = credentials(client_id=app.client_id, client_secret=None, workload_identity=True, token_file=file)
    assert explain.roles(made.token(made.endpoints.defender_scope)) == {"Ti.ReadWrite.All"}
    claims["exp"] = claims["iat"] - 1000
    file.write_text(pyjwt.encode(claims, key, algorithm="RS256"))
    with pytest.raises(SignInError, match="outside its time range"):
        made.token(made.endpoints.arm_scope)


def test_a_managed_identity_gets_a_token(credentials, monkeypatch, httpserver_of):
    seen, address = httpserver_of({"access_token": "managed", "expires_on": str(int(time.time()) + 3600)})
    monkeypatch.setenv("IDENTITY_ENDPOINT", address)
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    made = credentials(client_secret=None, tenant_id="", client_id="", managed_identity=True)
    assert made.token(made.endpoints.defender_scope) == "managed"
    assert "resource=https://api.securitycenter.microsoft.com" in unquote(seen[0])


def test_missing_consent_is_explained(sandbox, credentials):
    sandbox.behaviour.change(no_consent="AADSTS65001")
    app = sandbox.add_app("new", consented=False)
    made = credentials(client_id=app.client_id, client_secret=app.client_secret)
    with pytest.raises(SignInError, match="consented") as caught:
        made.token(made.endpoints.defender_scope)
    assert "grant admin consent" in caught.value.fix


@pytest.mark.parametrize("fault", [{"error_every": 1}, {"throttle_every": 1}])
def test_a_sign_in_service_in_trouble_is_retryable(sandbox, credentials, fault):
    sandbox.faults.set(only=("login",), retry_after=0, **fault)
    made = credentials()
    with pytest.raises(SignInError) as caught:
        made.token(made.endpoints.defender_scope)
    assert caught.value.retryable


def test_a_service_that_the_tenant_lacks_is_explained(credentials):
    made = credentials()
    with pytest.raises(SignInError, match="does not exist in this tenant"):
        made.token("https://nowhere.example/.default")


def test_an_untrusted_stand_in_is_explained_as_such(credentials):
    made = credentials(ca_file=None)
    with pytest.raises(SignInError, match="not trusted") as caught:
        made.token(made.endpoints.defender_scope)
    assert "ca_file" in caught.value.fix


def test_a_sign_in_service_that_is_away_is_retryable(sandbox, credentials):
    made = credentials(login_url="https://127.0.0.1:9")
    with pytest.raises(SignInError, match="cannot be reached") as caught:
        made.token(made.endpoints.defender_scope)
    assert caught.value.retryable


def test_short_lived_tokens_are_renewed(sandbox, credentials, open_client):
    sandbox.faults.set(token_seconds=1)
    made = credentials()
    scope = made.endpoints.defender_scope
    first = made.token(scope)
    while made.token(scope) == first:
        time.sleep(0.05)
    assert open_client(DefenderClient, made).probe() == {"Ti.ReadWrite.All"}


def test_no_secret_in_any_log_line_or_message(sandbox, credentials, caplog, open_client):
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as events:
        with pytest.raises(SignInError) as caught:
            credentials(client_secret=SECRET).token("https://api.securitycenter.microsoft.com/.default")
        good = credentials()
        sandbox.faults.set(only=("defender",), error_every=2)
        client = open_client(DefenderClient, good)
        client.probe()
        client.probe()
    token = good.token(good.endpoints.defender_scope)
    texts = [caplog.text, str(events), str(caught.value), repr(caught.value), repr(good), repr(client)]
    for text in texts:
        for secret in (SECRET, sandbox.client_secret, token):
            assert secret not in text
