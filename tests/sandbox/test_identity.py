"""Rows 1 to 5: sign-in, with Microsoft's own libraries and by hand."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import jwt
import msal
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tipline.sandbox import Sandbox

DEFENDER_SCOPE = "https://api.securitycenter.microsoft.com/.default"
ARM_SCOPE = "https://management.azure.com/.default"


@pytest.fixture(autouse=True)
def _trust(sandbox, monkeypatch):
    """Both libraries take the CA from here, and it wins over `verify=`."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_file))


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes, str]:
    """Private key PEM, certificate PEM, SHA-1 thumbprint."""
    from datetime import UTC, datetime

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
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
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, made.public_bytes(serialization.Encoding.PEM), made.fingerprint(hashes.SHA1()).hex()


def msal_app(sandbox: Sandbox, credential: Any, client: str = "") -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        client or sandbox.client_id,
        client_credential=credential,
        instance_discovery=False,
        authority=f"{sandbox.login_url}/{sandbox.tenant_id}",
        verify=str(sandbox.ca_file),
    )


def test_msal_signs_in_with_a_secret_and_caches(sandbox):
    app = msal_app(sandbox, sandbox.client_secret)
    first = app.acquire_token_for_client([DEFENDER_SCOPE])
    again = app.acquire_token_for_client([DEFENDER_SCOPE])
    assert first["token_type"] == "Bearer"
    assert (first["token_source"], again["token_source"]) == ("identity_provider", "cache")
    app.http_client.close()


def test_msal_reports_a_wrong_secret(sandbox):
    app = msal_app(sandbox, "wrong")
    answer = app.acquire_token_for_client([DEFENDER_SCOPE])
    assert answer["error"] == "invalid_client"
    assert answer["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")
    assert answer["error_codes"] == [7000215]
    app.http_client.close()


def test_msal_oidc_authority_needs_no_flag(sandbox):
    app = msal.ConfidentialClientApplication(
        sandbox.client_id,
        client_credential=sandbox.client_secret,
        verify=str(sandbox.ca_file),
        oidc_authority=f"{sandbox.login_url}/{sandbox.tenant_id}/v2.0",
    )
    assert "access_token" in app.acquire_token_for_client([ARM_SCOPE])
    app.http_client.close()


def test_azure_identity_signs_in_with_a_secret(sandbox):
    with ClientSecretCredential(
        sandbox.tenant_id,
        sandbox.client_id,
        sandbox.client_secret,
        authority=sandbox.login_url,
        disable_instance_discovery=True,
    ) as credential:
        assert credential.get_token(ARM_SCOPE).token.count(".") == 2


def test_azure_identity_reports_a_wrong_secret(sandbox):
    with (
        ClientSecretCredential(
            sandbox.tenant_id,
            sandbox.client_id,
            "wrong",
            authority=sandbox.login_url,
            disable_instance_discovery=True,
        ) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        credential.get_token(ARM_SCOPE)


def test_azure_identity_signs_in_with_a_certificate(sandbox, certificate):
    key, pem, _ = certificate
    app = sandbox.add_app("by certificate", certificate=pem)
    with CertificateCredential(
        sandbox.tenant_id,
        app.client_id,
        certificate_data=key + pem,
        authority=sandbox.login_url,
        disable_instance_discovery=True,
    ) as credential:
        assert credential.get_token(DEFENDER_SCOPE).token


def test_msal_signs_in_with_a_certificate_and_a_strange_one_is_refused(sandbox, certificate):
    key, pem, thumbprint = certificate
    known = sandbox.add_app("by certificate", certificate=pem)
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for material, expected in ((key, None), (other, [700027])):
        credential = {"private_key": material.decode(), "thumbprint": thumbprint}
        app = msal_app(sandbox, credential, known.client_id)
        assert app.acquire_token_for_client([DEFENDER_SCOPE]).get("error_codes") == expected
        app.http_client.close()


@pytest.mark.parametrize(
    ("algorithm", "audience", "ends", "expected"),
    [
        ("RS256", "", 300, 200),
        ("PS256", "", 300, 200),
        ("RS256", "https://elsewhere/token", 300, 700027),
        ("RS256", "", -3600, 700024),
        ("HS256", "", 300, 700027),
    ],
)
def test_assertions_are_verified(sandbox, caller, certificate, algorithm, audience, ends, expected):
    app = sandbox.add_app("by certificate", certificate=certificate[1])
    aud = audience or f"{sandbox.url}/{sandbox.tenant_id}/oauth2/v2.0/token"
    claims = {"iss": app.client_id, "sub": app.client_id, "aud": aud, "exp": int(time.time()) + ends}
    key = b"x" * 64 if algorithm == "HS256" else certificate[0]
    answer = caller().token(
        ARM_SCOPE,
        app.client_id,
        client_assertion=jwt.encode(claims, key, algorithm=algorithm),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    assert (answer.json().get("error_codes") or [answer.status_code]) == [expected]


def test_workload_identity_assertion(sandbox, caller, certificate):
    app = sandbox.add_app("pod", federated=("https://issuer.example", "system:pod", certificate[1]))
    claims = {"iss": "https://issuer.example", "sub": "system:pod", "aud": "api://AzureADTokenExchange"}
    for subject, expected in (("system:pod", 200), ("system:other", 401)):
        signed = jwt.encode(claims | {"sub": subject, "exp": int(time.time()) + 60}, certificate[0], algorithm="RS256")
        answer = caller().token(
            ARM_SCOPE,
            app.client_id,
            client_assertion=signed,
            client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )
        assert answer.status_code == expected


@pytest.mark.parametrize("path", ["/v2.0/.well-known/openid-configuration", "/.well-known/openid-configuration"])
def test_discovery_names_its_endpoints(sandbox, caller, path):
    answer = caller().http.get(f"/{sandbox.tenant_id}{path}").json()
    assert answer["token_endpoint"] == f"{sandbox.url}/{sandbox.tenant_id}/oauth2/v2.0/token"
    assert answer["issuer"].startswith(sandbox.url)
    assert answer["authorization_endpoint"].startswith(sandbox.url)


def test_token_claims_and_life(sandbox, caller, clock):
    sandbox.faults.set(token_seconds=5)
    body = caller().token(DEFENDER_SCOPE).json()
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert (body["expires_in"], body["ext_expires_in"]) == (5, 5)
    assert claims["exp"] == int(clock.now.timestamp()) + 5
    assert (claims["aud"], claims["tid"]) == ("https://api.securitycenter.microsoft.com", sandbox.tenant_id)
    assert (claims["appid"], claims["roles"]) == (sandbox.client_id, ["Ti.ReadWrite.All"])
    sandbox.behaviour.change(token_version="2.0", ext_expires_in="zero")
    body = caller().token(DEFENDER_SCOPE).json()
    assert body["ext_expires_in"] == 0
    assert jwt.decode(body["access_token"], options={"verify_signature": False})["azp"] == sandbox.client_id


def test_expired_tokens_get_401_in_each_shape(sandbox, caller, clock, new_stix):
    sandbox.faults.set(token_seconds=5)
    defender, sentinel = caller(DEFENDER_SCOPE), caller(ARM_SCOPE)
    assert defender.call("GET", "/api/indicators").status_code == 200
    clock.move(seconds=6)
    refused = defender.call("GET", "/api/indicators")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "Unauthorized")
    assert sentinel.upload([new_stix()]).json()["statusCode"] == 401
    assert sentinel.arm("GET", "/metrics").json()["error"]["code"] == "ExpiredAuthenticationToken"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"secret": "wrong"}, 401, 7000215),
        ({"client": "11111111-1111-4111-8111-111111111111"}, 400, 700016),
        ({"tenant": "nowhere.example"}, 400, 90002),
        ({"scope": "https://unknown.example/.default"}, 400, 500011),
        ({"scope": "https://management.azure.com/user"}, 400, 70011),
        ({"scope": f"{ARM_SCOPE} {DEFENDER_SCOPE}"}, 400, 700022),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
def test_sign_in_errors(caller, change, status, code):
    answer = caller().token(change.pop("scope", ARM_SCOPE), **change)
    body = answer.json()
    assert (answer.status_code, body["error_codes"]) == (status, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri", "error"} <= set(body)


def test_no_secret_at_all(sandbox, caller):
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id, "scope": ARM_SCOPE}
    answer = caller().http.post(f"/{sandbox.tenant_id}/oauth2/v2.0/token", data=form)
    assert answer.json()["error_codes"] == [7000218]


def test_secret_expiry_disabled_app_and_consent(sandbox, caller, clock):
    app = sandbox.add_app("other", secret="s3cret", secret_expires=clock.now + timedelta(days=1))
    assert caller().token(ARM_SCOPE, app.client_id, "s3cret").status_code == 200
    clock.move(days=2)
    assert caller().token(ARM_SCOPE, app.client_id, "s3cret").json()["error_codes"] == [7000222]
    sandbox.directory.add_secret(app.client_id, "fresh")
    assert caller().token(ARM_SCOPE, app.client_id, "fresh").status_code == 200
    sandbox.directory.enable(app.client_id, enabled=False)
    assert caller().token(ARM_SCOPE, app.client_id, "fresh").json()["error_codes"] == [7000112]
    loose = sandbox.add_app("loose", secret="x", consented=False)
    assert caller(DEFENDER_SCOPE, loose.client_id, "x").call("GET", "/api/indicators").status_code == 403
    sandbox.behaviour.change(no_consent="AADSTS65001")
    assert caller().token(ARM_SCOPE, loose.client_id, "x").json()["error_codes"] == [65001]


def test_wrong_audience_is_401_and_missing_role_403(sandbox, caller, new_stix):
    assert caller(ARM_SCOPE).call("GET", "/api/indicators").status_code == 401
    assert caller(DEFENDER_SCOPE).upload([new_stix()]).status_code == 401
    assert caller().call("GET", "/api/indicators").json()["error"]["code"] == "Unauthorized"
    graph = sandbox.add_app("lab", secret="x", roles=["ThreatIndicators.ReadWrite.OwnedBy"])
    assert caller("https://graph.microsoft.com/.default", graph.client_id, "x").upload([new_stix()]).status_code == 401
    refused = caller(DEFENDER_SCOPE, graph.client_id, "x").call("GET", "/api/indicators")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "Forbidden")
    refused = caller(ARM_SCOPE, graph.client_id, "x").upload([new_stix()])
    assert (refused.status_code, refused.json()["statusCode"]) == (403, 403)


def test_workspace_role_propagates(sandbox, caller, clock, new_stix):
    sandbox.behaviour.change(rbac_delay_seconds=300)
    app = sandbox.add_app("fresh", secret="x", workspaces=[sandbox.workspace_id])
    client = caller(ARM_SCOPE, app.client_id, "x")
    assert client.upload([new_stix()]).status_code == 403
    clock.move(seconds=301)
    assert client.upload([new_stix()]).status_code == 200
    sandbox.directory.withdraw(app.client_id, sandbox.workspace_id)
    assert client.upload([new_stix()]).status_code == 403


def test_no_secret_is_shown(sandbox, caller):
    client = caller()
    for path in ("/", "/sandbox/state?contents=1", "/sandbox/behaviours", "/sandbox/faults"):
        assert sandbox.client_secret not in client.http.get(path).text
    assert "hidden" not in repr(sandbox.add_app("x", secret="hidden"))
    assert client.http.post("/sandbox/query", json={"query": "SELECT * FROM secrets"}).status_code == 400
