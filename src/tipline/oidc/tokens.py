"""What an issuer signs: tokens are checked against its keys, and what they claim is read."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from tipline.errors import FarSideError, TiplineError

if TYPE_CHECKING:
    from tipline.oidc.issuer import Issuer

# Only what is signed with a key that the issuer alone has; so neither `none` nor the shared client secret will do.
ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
_LEEWAY = 60  # seconds that clocks may differ
_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
_MOST_VALUES = 10_000
_REST = 60.0  # seconds; whoever sends a logout token is not known, and must not make us ask an issuer all the time


class RefusedError(TiplineError):
    """A sign-in by an issuer does not hold."""

    code = "sign-in-refused"


@dataclass(frozen=True)
class Checked:
    """The claims of a token that holds."""

    claims: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """Who, in the issuer's words."""
        return str(self.claims.get("sub", ""))

    @property
    def session(self) -> str:
        """The issuer's session; empty if it names none."""
        return str(self.claims.get("sid", ""))[:200]

    def text(self, claim: str) -> str:
        """A claim that is text; empty if there is none."""
        found = self.claims.get(claim)
        return found.strip() if isinstance(found, str) else ""

    def values(self, claim: str) -> list[str] | None:
        """The values of a claim, by its name or else by a path with dots; None: the token has no such claim."""
        found: Any = self.claims.get(claim)
        if found is None:
            found = self.claims
            for part in claim.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        if found is None:
            return None
        many = found if isinstance(found, list) else [found]
        return [str(each) for each in many[:_MOST_VALUES] if isinstance(each, (str, int))]

    @property
    def left_out_groups(self) -> bool:
        """Whether the issuer had too many groups to name (Entra ID's overage)."""
        names = self.claims.get("_claim_names")
        return isinstance(names, Mapping) and "groups" in names


class Keys:
    """An issuer's public keys that sign (a JWK set).

    Args:
        document: as the issuer publishes it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        listed = document.get("keys")
        self._keys = [
            each
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, Mapping) and each.get("use", "sig") == "sig" and each.get("kty") in ALGORITHMS.values()
        ]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keys)

    def find(self, ident: str | None, kind: str) -> Any:
        """The key with an id, or the only one of its kind if the token names none; None: there is none."""
        fitting = [each for each in self._keys if each["kty"] == kind]
        if ident is not None:
            fitting = [each for each in fitting if each.get("kid") == ident]
        if len(fitting) != 1:
            return None
        try:
            return jwt.PyJWK.from_dict(dict(fitting[0])).key
        except (jwt.PyJWTError, ValueError, KeyError, TypeError):
            return None


def sign_in_claims(issuer: Issuer, token: str, nonce: str) -> Checked:
    """The claims of an id_token: signed by the issuer, for this server, in time, and asked for by this browser.

    Raises:
        RefusedError: one of these does not hold.
        FarSideError: the issuer's keys cannot be had.
    """
    claims = _verified(issuer, token, ["exp", "iat", "iss", "aud", "sub"])
    audience, party = claims["aud"], claims.get("azp")
    ours = issuer.settings.client_id
    if (isinstance(audience, list) and len(audience) > 1 and party is None) or party not in {None, ours}:
        raise _refused(issuer, "its token is for somebody else")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise _refused(issuer, "its token was asked for by another browser, or before (nonce)")
    return Checked(claims)


def logout_claims(issuer: Issuer, token: str) -> Checked:
    """The claims of a logout token: whose session it ends.

    Raises:
        RefusedError: it is none, or does not hold.
        FarSideError: the issuer's keys cannot be had.
    """
    claims = _verified(issuer, token, ["iat", "iss", "aud"], rest=_REST)
    events = claims.get("events")
    names = isinstance(events, Mapping) and _LOGOUT in events
    if not names or "nonce" in claims or not (claims.get("sub") or claims.get("sid")):
        raise _refused(issuer, "that is no logout token")
    return Checked(claims)


def _verified(issuer: Issuer, token: str, needed: list[str], *, rest: float = 0) -> dict[str, Any]:
    try:
        head = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused(issuer, "its token cannot be read") from None
    algorithm = str(head.get("alg"))
    if algorithm not in ALGORITHMS:
        raise _refused(issuer, f"its token is signed by {algorithm[:20]!r}, which is not taken")
    try:
        found: dict[str, Any] = jwt.decode(
            token, _key(issuer, head.get("kid"), algorithm, rest), algorithms=[algorithm], leeway=_LEEWAY,
            audience=issuer.settings.client_id, issuer=issuer.settings.issuer, options={"require": needed},
        )  # fmt: skip
    except jwt.PyJWTError as exc:
        raise _refused(issuer, f"its token does not hold: {exc}") from None
    return found


def _key(issuer: Issuer, ident: Any, algorithm: str, rest: float) -> Any:
    """The key that a token names; one that is not known yet is asked for, since issuers change their keys."""
    named = ident if isinstance(ident, str) else None
    for oldest in (None, rest):
        found = issuer.keys(oldest=oldest).find(named, ALGORITHMS[algorithm])
        if found is not None:
            return found
    if not len(issuer.keys()):
        raise FarSideError("it publishes no key", where=f"issuer {issuer.name}", fix="check its jwks_uri")
    raise _refused(issuer, "its token is signed by a key that it does not publish")


def _refused(issuer: Issuer, what: str) -> RefusedError:
    return RefusedError(what, where=f"issuer {issuer.name}", fix="sign in again; if it stays so, tell an admin")
