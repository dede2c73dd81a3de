"""Sign-in and permission failures in words: what is wrong, and what to do about it in the portal.

Facts: Microsoft Entra's error-code reference, the Defender API's pages on permissions and common errors, and
the Sentinel upload API's page.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from tipline.errors import SignInError

RETIRED_ROLE = "ThreatIndicators.ReadWrite.OwnedBy"
DEFENDER_ROLES = frozenset({"Ti.ReadWrite", "Ti.ReadWrite.All"})


class Advice(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    fix: str


_APP = "Microsoft Entra > App registrations > the app"
_SECRETS_PAGE = f"{_APP} > Certificates & secrets"
_CONSENT = f"in {_APP} > API permissions, grant admin consent"
DEFENDER_GRANT = (
    f"in {_APP} > API permissions, add application permission WindowsDefenderATP > Ti.ReadWrite.All "
    "and grant admin consent; it holds from the next token on"
)
SENTINEL_GRANT = (
    "on the Log Analytics workspace > Access control (IAM), assign the role Microsoft Sentinel "
    "Contributor to the app; role assignments take time to propagate, usually some minutes"
)

SIGN_IN_CODES: dict[int, Advice] = {
    7000215: Advice(
        "the client secret is wrong",
        f"copy the secret's Value, not its Secret ID, from {_SECRETS_PAGE}; a value is shown only once, "
        "so make a new secret if it is lost",
    ),
    7000222: Advice(
        "the client secret has expired",
        f"make a new secret at {_SECRETS_PAGE}, put it into the settings, and set secret_expires to be warned in time",
    ),
    7000218: Advice(
        "no client secret or certificate was sent",
        "set client_secret or certificate_path",
    ),
    700016: Advice(
        "the app is not in this tenant",
        "compare client_id with the Application (client) ID and tenant_id with the Directory (tenant) ID "
        "on the overview page of the app registration",
    ),
    7000112: Advice(
        "the app is disabled",
        "in Microsoft Entra > Enterprise applications > the app > Properties, "
        "set 'Enabled for users to sign-in?' to Yes",
    ),
    500011: Advice(
        "the service asked for does not exist in this tenant",
        "Defender for Endpoint is not provisioned in the tenant (open the Defender portal once with a "
        "licence), or `cloud` or the scope is set to another cloud",
    ),
    70011: Advice(
        "the scope is not valid",
        "leave the scope to the `cloud` setting, or write it as https://host/.default",
    ),
    700022: Advice("the scope names more than one service", "write one scope, https://host/.default"),
    90002: Advice(
        "there is no such tenant",
        "compare tenant_id with the Directory (tenant) ID in Microsoft Entra > Overview, "
        "and `cloud` with the tenant's cloud",
    ),
    65001: Advice("nobody has consented to the app's permissions", _CONSENT),
    700027: Advice(
        "the certificate is not the app's, or its signature did not verify",
        f"upload the public part of the certificate at {_SECRETS_PAGE} and compare the thumbprints",
    ),
    700024: Advice(
        "the sign-in assertion was made outside its time range",
        "set this machine's clock (NTP); for a federated token, renew the token file",
    ),
    700213: Advice(
        "no federated credential of the app matches this workload's token",
        f"add issuer, subject and audience of the workload at {_SECRETS_PAGE} > Federated credentials",
    ),
}

# OAuth's own error words, for codes that Microsoft may add: its reference asks clients to rely on these.
OAUTH_ERRORS: dict[str, Advice] = {
    "invalid_client": Advice("the app's secret or certificate was refused", f"check it at {_SECRETS_PAGE}"),
    "unauthorized_client": Advice("the app may not sign in this way", "check client_id and tenant_id"),
    "invalid_scope": Advice("the scope is not valid", "leave the scope to the `cloud` setting"),
    "invalid_resource": Advice("the service asked for does not exist in this tenant", "check `cloud` and the scope"),
    "invalid_request": Advice("the sign-in request was refused", "check tenant_id and client_id"),
}
_CODE = re.compile(r"AADSTS(\d+)")
_TRAILER = re.compile(r"\s*(Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)


def sign_in_error(text: str, *, where: str, secrets: Iterable[str] = ()) -> SignInError:
    """The failure that Microsoft's sign-in described in `text`, explained.

    Args:
        text: Microsoft's own words (an `error_description`, or the message of an azure-identity error).
        where: tenant and app, for the reader.
        secrets: values that must not appear in the message, whatever Microsoft echoed.
    """
    code = next((int(found) for found in _CODE.findall(text)), None)
    known = SIGN_IN_CODES.get(code) if code else None
    if known is None:
        known = next((words for word, words in OAUTH_ERRORS.items() if word in text), None)
    said = redact(_TRAILER.sub("", text).strip(), secrets)
    if known is None:
        return SignInError(
            f"sign-in failed: {said}",
            where=where,
            fix="look the code up at https://login.microsoftonline.com/error",
        )
    label = f"AADSTS{code}" if code else said
    return SignInError(f"sign-in failed: {known.what} [{label}]", where=where, fix=known.fix)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret in it replaced."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, not verified: they are only shown to the reader; {} when it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        decoded = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def roles(token: str) -> frozenset[str]:
    """The application roles a token carries (its `roles` claim)."""
    held = claims(token).get("roles")
    return frozenset(str(role) for role in held) if isinstance(held, list) else frozenset()


def defender_forbidden(held: Collection[str]) -> Advice:
    """Why Defender answers 403 to a token with these roles."""
    if DEFENDER_ROLES & set(held):
        return Advice(
            f"Defender refused although the token has {_listed(held)}: an indicator may lie outside the "
            "device groups the app may reach, or the feature is switched off",
            "check Defender portal > Settings > Endpoints > Advanced features, and the device groups of the output",
        )
    return Advice(f"the app's token lacks the Defender role Ti.ReadWrite.All; it has {_listed(held)}", DEFENDER_GRANT)


def sentinel_forbidden(held: Collection[str]) -> Advice:
    """Why Sentinel answers 401 or 403 to a token of an app with these roles (in any of its tokens)."""
    if RETIRED_ROLE in held:
        return Advice(
            f"the app has the retired permission {RETIRED_ROLE}, which no longer lets it write to "
            "Sentinel: Sentinel now needs the role Microsoft Sentinel Contributor on the workspace",
            SENTINEL_GRANT,
        )
    return Advice(
        "the app may not write to this Sentinel workspace: it needs the role Microsoft Sentinel Contributor",
        SENTINEL_GRANT,
    )


def sentinel_not_found(workspace_id: str) -> Advice:
    """Why Sentinel does not know the workspace."""
    return Advice(
        f"Sentinel knows no workspace {workspace_id}",
        "workspace_id is the Workspace ID (a GUID) on the Log Analytics workspace's overview page, not its "
        "name; check also that Sentinel is enabled on it and that `cloud` is right",
    )


def _listed(held: Collection[str]) -> str:
    return ", ".join(sorted(held)) if held else "no roles at all"
