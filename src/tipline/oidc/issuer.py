"""One issuer: what it says of itself, its keys, and the calls that a sign-in makes to it."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from tipline import __version__
from tipline.config.sign_on import IssuerSettings, is_safe
from tipline.errors import FarSideError
from tipline.oidc.tokens import Checked, Keys, RefusedError, logout_claims, sign_in_claims

_DISCOVERY = "/.well-known/openid-configuration"
_KEPT = 3600.0  # seconds that what an issuer says of itself is believed
_TIMEOUT = 10.0
_MOST_BYTES = 1 << 20
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Issuer:
    """An issuer, as its settings name it. Threads may share it.

    Args:
        name: as the configuration calls it.
        settings: where it is, and what it calls this server.
    """

    def __init__(self, name: str, settings: IssuerSettings) -> None:
        self.name = name
        self.settings = settings
        self._lock = threading.Lock()
        self._document: dict[str, Any] = {}
        self._until = 0.0
        self._keys: Keys | None = None
        self._asked = 0.0

    def document(self) -> dict[str, Any]:
        """What it says of itself: its discovery document, of the last hour.

        Raises:
            FarSideError: it does not answer, is another issuer, or leaves out what a sign-in needs.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._document = self._discover()
                self._until = time.monotonic() + _KEPT
            return self._document

    def keys(self, *, oldest: float | None = None) -> Keys:
        """The keys it signs with.

        Args:
            oldest: ask for them again if they are older, in seconds; None: those that are known will do.

        Raises:
            FarSideError: it does not answer.
        """
        where, now = str(self.document()["jwks_uri"]), time.monotonic()
        if self._keys is None or (oldest is not None and now - self._asked >= oldest):
            self._keys, self._asked = Keys(self._get(where)), now
        return self._keys

    def address(self, *, back: str, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent to sign in.

        Args:
            back: the address that it comes back to.
            state: comes back with it.
            nonce: stands in the token.
            verifier: proves later that the code was asked for here (PKCE).
        """
        where = str(self.document()["authorization_endpoint"])
        wanted = {
            "response_type": "code", "client_id": self.settings.client_id, "redirect_uri": back,
            "scope": " ".join(self.settings.scopes), "state": state, "nonce": nonce,
            "code_challenge": challenge_of(verifier), "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{where}{'&' if '?' in where else '?'}{urlencode(wanted)}"

    def came_from(self, shown: str | None) -> None:
        """Check the `iss` that came with a code (RFC 9207): it must be this issuer's, if it sends one.

        Raises:
            RefusedError: another issuer answered.
        """
        promised = self.document().get("authorization_response_iss_parameter_supported") is True
        if (shown is not None or promised) and shown != self.settings.issuer:
            raise RefusedError("the answer comes from another issuer", where=self.name, fix="sign in again from here")

    def redeem(self, code: str, *, back: str, nonce: str, verifier: str) -> Checked:
        """Exchange a code for who somebody is.

        Raises:
            RefusedError: the issuer refuses the code, or its token does not hold.
            FarSideError: it does not answer.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
        answer = self._post(str(self.document()["token_endpoint"]), form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise RefusedError("the issuer gave no id_token", where=self.name, fix="let its scopes have openid")
        found = sign_in_claims(self, token, nonce)
        return self._completed(found, answer.get("access_token"))

    def logged_out(self, token: str) -> Checked:
        """Whose session a logout token ends (Back-Channel Logout 1.0): subject, or the session `sid`.

        Raises:
            RefusedError: the token does not hold.
            FarSideError: the issuer does not answer.
        """
        return logout_claims(self, token)

    def sign_out_address(self, back: str) -> str | None:
        """Where a browser ends its session at the issuer; None: the issuer has no such place."""
        where = self.document().get("end_session_endpoint")
        if not isinstance(where, str) or not is_safe(where):
            return None
        wanted = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return f"{where}{'&' if '?' in where else '?'}{urlencode(wanted)}"

    def _completed(self, found: Checked, access: Any) -> Checked:
        """The claims, with those of the user-info endpoint where the token leaves out what grants look at."""
        where = self.document().get("userinfo_endpoint")
        missing = found.values(self.settings.claim) is None
        if not missing or not isinstance(where, str) or not is_safe(where) or not isinstance(access, str):
            return found
        more = self._get(where, {"Authorization": f"Bearer {access}"})
        if more.get("sub") != found.subject:
            raise RefusedError("the issuer tells of somebody else", where=self.name, fix="sign in again")
        return Checked({**more, **found.claims})

    def _discover(self) -> dict[str, Any]:
        found = self._get(self.settings.issuer.rstrip("/") + _DISCOVERY)
        if found.get("issuer") != self.settings.issuer:
            fix = f"write issuer as it does: {str(found.get('issuer'))[:240]}"
            raise FarSideError("it calls itself otherwise", where=f"issuer {self.name}", fix=fix)
        for word in _NEEDED:
            if not is_safe(str(found.get(word, ""))):
                raise FarSideError(f"it has no {word} by https", where=f"issuer {self.name}", fix="check the address")
        return found

    def _get(self, where: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        answer = self._ask("GET", where, headers=headers)
        if answer.status_code != 200:
            what = f"it answers {answer.status_code} at {where[:200]}"
            raise FarSideError(what, where=f"issuer {self.name}", fix="check its address, and whether it runs")
        return self._object(answer)

    def _post(self, where: str, form: dict[str, str]) -> dict[str, Any]:
        secret, headers = self.settings.client_secret, {}
        taken = self.document().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if secret is not None and "client_secret_basic" in taken:
            pair = f"{quote(self.settings.client_id, safe='')}:{quote(secret.get_secret_value(), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form = {**form, "client_id": self.settings.client_id}
            form |= {"client_secret": secret.get_secret_value()} if secret is not None else {}
        answer = self._ask("POST", where, form=form, headers=headers)
        if answer.status_code != 200:
            raise self._refused(answer)
        return self._object(answer)

    def _refused(self, answer: httpx.Response) -> RefusedError | FarSideError:
        """The issuer's own word for why a code was not taken; never a secret, since it has only seen ours."""
        where = f"issuer {self.name}"
        if answer.status_code >= 500:
            return FarSideError(f"it answers {answer.status_code}", where=where, fix="try again")
        try:
            found = answer.json()
        except ValueError:
            found = {}
        word = str(found.get("error", ""))[:60] if isinstance(found, dict) else ""
        if word in {"invalid_client", "unauthorized_client"}:
            fix = "check client_id and client_secret; a secret may have expired"
            return FarSideError(f"it refuses this server ({word})", where=where, fix=fix)
        return RefusedError(f"it refuses the code ({word or answer.status_code})", where=where, fix="sign in again")

    def _ask(
        self, method: str, where: str, *, form: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        ours = {"Accept": "application/json", "User-Agent": f"tipline/{__version__}"}
        trust = _trust(self.settings.ca_file)
        try:
            with (
                httpx.Client(verify=trust, timeout=_TIMEOUT, follow_redirects=False) as client,
                client.stream(method, where, data=form, headers={**ours, **(headers or {})}) as answer,
            ):
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise FarSideError("its answer is too long", where=f"issuer {self.name}", fix="check it")
                return httpx.Response(answer.status_code, content=body)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            what = f"it does not answer ({type(exc).__name__})"
            fix = "check the network, the proxy settings, ca_file, and whether it runs; passwords still work"
            raise FarSideError(what, where=f"issuer {self.name}", fix=fix, retryable=True) from exc

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise FarSideError("its answer is no JSON object", where=f"issuer {self.name}", fix="check its address")
        return found


def challenge_of(verifier: str) -> str:
    """What an issuer is shown of a verifier (PKCE, S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    try:
        return ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
    except (OSError, ssl.SSLError) as exc:
        fix = "give a PEM file of authorities"
        raise FarSideError(f"ca_file cannot be used: {exc}", where=str(ca_file), fix=fix) from exc
