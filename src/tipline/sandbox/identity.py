"""Sign-in (Entra): secrets and keys of apps, discovery, and the token endpoint."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import uuid
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization

from .times import stamp
from .tokens import ARM, DEFENDER, GRAPH
from .world import Answer, Call, RefusalError, Route, World, guid, route

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_EXCHANGE = "api://AzureADTokenExchange"
TOKEN_SECONDS = 3599

_ROLES = {
    "defender": ("Ti.ReadWrite", "Ti.ReadWrite.All"),
    "graph": ("ThreatIndicators.ReadWrite.OwnedBy",),
    "arm": (),
}


# ---- directory -------------------------------------------------------------------------------------------


def digest(secret: str, salt: bytes) -> bytes:
    """What is kept of a secret."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**10, r=8, p=1)


def store_secret(db: sqlite3.Connection, tenant: str, client: str, secret: str, expires: datetime | None) -> None:
    """Register one more secret of an app."""
    salt = secrets.token_bytes(16)
    end = stamp(expires) if expires else None
    db.execute("INSERT INTO secrets VALUES (?, ?, ?, ?, ?)", (tenant, client, salt, digest(secret, salt), end))


def public_pem(material: str | bytes) -> str:
    """The public key of a PEM certificate or public key, as PEM."""
    from cryptography import x509

    data = material.encode() if isinstance(material, str) else material
    if b"BEGIN CERTIFICATE" in data:
        start = data.index(b"-----BEGIN CERTIFICATE")
        key: Any = x509.load_pem_x509_certificate(data[start:]).public_key()
    else:
        key = serialization.load_pem_public_key(data)
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


# ---- token endpoint --------------------------------------------------------------------------------------

#: AADSTS code -> (OAuth error, text); E1
_ERRORS = {
    7000215: (
        "invalid_client",
        "Invalid client secret provided. Send the value, not the id, of a secret of '{app}'.",
    ),
    7000222: ("invalid_client", "The provided client secret keys for app '{app}' are expired."),
    7000218: ("invalid_client", "The request body must contain 'client_assertion' or 'client_secret'."),
    700027: (
        "invalid_client",
        "The certificate that signed the client assertion is not registered on the app.",
    ),
    700024: ("invalid_client", "Client assertion is not within its valid time range."),
    700016: ("unauthorized_client", "Application '{app}' was not found in the directory '{tenant}'."),
    7000112: ("unauthorized_client", "Application '{app}' is disabled."),
    500011: ("invalid_resource", "The resource principal {resource} was not found in the tenant {tenant}."),
    70011: (
        "invalid_scope",
        "The provided value for 'scope' is not valid. The scope {resource} is not valid.",
    ),
    700022: ("invalid_request", "The provided value for 'scope' contains more than one resource."),
    90002: ("invalid_request", "Tenant '{tenant}' not found. Check that you have the correct tenant ID."),
    65001: ("invalid_grant", "The administrator has not consented to use the application '{app}'."),
    70003: ("unsupported_grant_type", "The app returned an unsupported grant type."),
    900144: ("invalid_request", "The request body must contain the following parameter: '{resource}'."),
    90033: ("temporarily_unavailable", "A transient error has occurred. Please try again."),
}


def oauth_error(world: World, code: int, *, status: int | None = None, **words: str) -> Answer:
    """The body of section 1.4 for an AADSTS code."""
    error, text = _ERRORS[code]
    when = world.now.strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = guid(), guid()
    shown = {"app": "", "tenant": "", "resource": ""} | words
    body = {
        "error": error,
        "error_description": f"AADSTS{code}: {text.format(**shown)}\r\nTrace ID: {trace}\r\n"
        f"Correlation ID: {correlation}\r\nTimestamp: {when}",
        "error_codes": [code], "timestamp": when, "trace_id": trace, "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }  # fmt: skip
    usual = int(world.behaviour.invalid_client_status) if error == "invalid_client" else 400
    return Answer(status or usual, body, {"Cache-Control": "no-store"})


def _tenant(world: World, named: str) -> str:
    row = world.store.db.execute(
        "SELECT tenant_id FROM tenants WHERE lower(tenant_id) = lower(?) OR lower(name) = lower(?)",
        (named, named),
    ).fetchone()
    if not row:
        raise RefusalError(oauth_error(world, 90002, tenant=named))
    return str(row[0])


def discovery(world: World, call: Call, tenant: str) -> Answer:
    """The OpenID configuration; with and without `/v2.0`."""
    known = _tenant(world, tenant)
    root = f"{call.base}/{tenant}"
    return Answer(200, {
        "token_endpoint": f"{root}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
        "jwks_uri": f"{root}/discovery/v2.0/keys",
        "issuer": f"{call.base}/{known}/v2.0",
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.com",
    })  # fmt: skip


def token(world: World, call: Call, tenant: str) -> Answer:
    """Client credentials: secret or assertion -> bearer token (section 1.1)."""
    form = {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}
    known = _tenant(world, tenant)
    if form.get("grant_type") != "client_credentials":
        raise RefusalError(oauth_error(world, 70003))
    client = form.get("client_id", "").lower()
    app = world.store.db.execute(
        "SELECT * FROM apps WHERE tenant_id = ? AND lower(client_id) = ?", (known, client)
    ).fetchone()
    if not app:
        raise RefusalError(oauth_error(world, 700016, app=client, tenant=tenant))
    if not app["enabled"]:
        raise RefusalError(oauth_error(world, 7000112, app=client))
    _prove(world, call, app, form)
    resource, kind = _resource(world, form.get("scope", ""), tenant)
    if not app["consented"] and world.behaviour.no_consent == "AADSTS65001":
        raise RefusalError(oauth_error(world, 65001, app=client))
    return _issue(world, call, app, resource, kind)


def _prove(world: World, call: Call, app: sqlite3.Row, form: dict[str, str]) -> None:
    if form.get("client_assertion_type") == ASSERTION and form.get("client_assertion"):
        code = _assertion_fault(world, call, app, form["client_assertion"])
    elif "client_secret" in form:
        code = _secret_fault(world, app, form["client_secret"])
    else:
        code = 7000218
    if code:
        raise RefusalError(oauth_error(world, code, app=app["client_id"]))


def _secret_fault(world: World, app: sqlite3.Row, secret: str) -> int:
    rows = world.store.db.execute(
        "SELECT * FROM secrets WHERE tenant_id = ? AND client_id = ?", (app["tenant_id"], app["client_id"])
    ).fetchall()
    right = [row for row in rows if hmac.compare_digest(row["digest"], digest(secret, row["salt"]))]
    if not right:
        return 7000215
    now = stamp(world.now)
    return 0 if any(row["expires"] is None or row["expires"] > now for row in right) else 7000222


def _assertion_fault(world: World, call: Call, app: sqlite3.Row, assertion: str) -> int:
    """0 when one of the app's keys vouches for the assertion.

    Its times are the client's own, so they are held against the machine's clock, not the stand-in's.
    """
    keys = world.store.db.execute(
        "SELECT * FROM keys WHERE tenant_id = ? AND client_id = ?", (app["tenant_id"], app["client_id"])
    ).fetchall()
    for row in keys:
        audience = _EXCHANGE if row["issuer"] else f"{call.base}{call.path}"
        try:
            jwt.decode(
                assertion, row["public_pem"], algorithms=["RS256", "PS256"], audience=audience, leeway=300,
                issuer=row["issuer"] or app["client_id"], subject=row["subject"] or app["client_id"],
                options={"require": ["exp", "iss", "sub", "aud"]},
            )  # fmt: skip
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
            return 700024
        except jwt.PyJWTError:
            continue
        return 0
    return 700027


def _resource(world: World, scope: str, tenant: str) -> tuple[str, str]:
    """The resource of a `.default` scope and its kind."""
    wanted = [each for each in scope.split() if each not in ("openid", "profile", "offline_access")]
    if not wanted:
        raise RefusalError(oauth_error(world, 900144, resource="scope"))
    if len({each.rpartition("/")[0] for each in wanted}) > 1:
        raise RefusalError(oauth_error(world, 700022))
    if not wanted[0].endswith("/.default"):
        raise RefusalError(oauth_error(world, 70011, resource=wanted[0]))
    resource = wanted[0].removesuffix("/.default")
    for kind, known in (("defender", DEFENDER), ("arm", ARM), ("graph", GRAPH)):
        if resource.rstrip("/").lower() in known:
            return resource, kind
    raise RefusalError(oauth_error(world, 500011, resource=resource, tenant=tenant))


def _issue(world: World, call: Call, app: sqlite3.Row, resource: str, kind: str) -> Answer:
    life = world.faults.token_seconds()
    life = TOKEN_SECONDS if life is None else life
    now, tenant, client = world.now, app["tenant_id"], app["client_id"]
    version = world.behaviour.token_version
    roles = [each for each in json.loads(app["roles"]) if each in _ROLES[kind]] if app["consented"] else []
    claims: dict[str, Any] = {
        "aud": resource, "tid": tenant, "ver": version, "idtyp": "app", "uti": secrets.token_urlsafe(16),
        "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant}/{client}")),
        "iat": int(now.timestamp()), "nbf": int(now.timestamp()),
        "exp": int((now + timedelta(seconds=life)).timestamp()),
    }  # fmt: skip
    if version == "2.0":
        claims |= {"iss": f"{call.base}/{tenant}/v2.0", "azp": client, "azpacr": "1"}
    else:
        claims |= {"iss": f"https://sts.windows.net/{tenant}/", "appid": client, "appidacr": "1"}
        claims["app_displayname"] = app["name"]
    if roles:
        claims["roles"] = roles
    extra = life if world.behaviour.ext_expires_in == "same" else 0
    body = {
        "token_type": "Bearer",
        "expires_in": life,
        "ext_expires_in": extra,
        "access_token": world.signer.sign(claims),
    }
    return Answer(200, body, {"Cache-Control": "no-store"})


ROUTES: list[Route] = [
    route("login.discovery", "GET", "/{tenant}/v2.0/.well-known/openid-configuration", discovery),
    route("login.discovery", "GET", "/{tenant}/.well-known/openid-configuration", discovery),
    route("login.token", "POST", "/{tenant}/oauth2/v2.0/token", token),
]
