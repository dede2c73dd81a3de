"""Single sign-on over HTTP: a browser is sent to an issuer with a sealed cookie, and has to bring both back."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tipline.api.identity import Identity
from tipline.config.sign_on import IssuerSettings
from tipline.engine.people import RequestError
from tipline.engine.sign_on import SignOn
from tipline.oidc.issuer import Issuer
from tipline.oidc.tokens import RefusedError

PATH = "/ui/sign-on"
_COOKIE, _SECURE_COOKIE = "tipline-on-", "__Host-tipline-on-"
_LASTS = 600  # seconds from being sent away to coming back
_MOST_USED = 10_000
_MOST_WAY = 2000  # characters of the page that somebody was on their way to


class UnknownIssuerError(RequestError):
    """There is no such issuer."""

    code = "missing"


@dataclass(frozen=True)
class Journey:
    """What a browser was sent away with."""

    issuer: str
    state: str
    nonce: str
    verifier: str
    back: str
    way: str
    until: float


class SignOns:
    """Sign-ins by the configuration's issuers.

    Args:
        identity: who asks, and the sessions that begin.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._people = SignOn(identity.accounts)
        # Of this process alone: a restart asks whoever is away to begin again.
        self._cipher = AESGCM(os.urandom(32))
        self._lock = threading.Lock()
        self._issuers: dict[str, Issuer] = {}
        self._used: OrderedDict[str, float] = OrderedDict()

    def ways(self) -> list[tuple[str, str]]:
        """Issuers to sign in by: (label, address)."""
        issuers = self.identity.sign_on.issuers
        return [(f"Sign in with {each.title or name}", f"{PATH}/{name}") for name, each in issuers.items()]

    def send(self, request: Request, name: str, way: str) -> Response:
        """Send a browser to an issuer.

        Args:
            request: what came.
            name: the issuer's.
            way: the page that somebody is on their way to.

        Raises:
            UnknownIssuerError: there is no such issuer.
            FarSideError: it does not answer.
        """
        issuer = self.issuer(name)
        journey = Journey(
            name, secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48),
            self.address(request, name, "back"), way[:_MOST_WAY], time.time() + _LASTS,
        )  # fmt: skip
        address = issuer.address(back=journey.back, state=journey.state, nonce=journey.nonce, verifier=journey.verifier)
        answer = RedirectResponse(address, 303)
        secure = self.identity.is_https(request)
        answer.set_cookie(
            _cookie_name(journey.state, secure=secure), self._seal(journey), max_age=_LASTS, path="/", secure=secure,
            httponly=True, samesite="lax",
        )  # fmt: skip
        return answer

    def arrive(self, request: Request, name: str) -> tuple[str, str]:
        """Begin the session of somebody who comes back from an issuer.

        Returns:
            the page that they are on their way to, and the session's secret for `set_cookie`.

        Raises:
            UnknownIssuerError: there is no such issuer.
            RefusedError: what they bring does not hold.
            NotGrantedError: nothing lets them in.
            FarSideError: the issuer does not answer.
        """
        issuer, query = self.issuer(name), request.query_params
        journey = self._opened(request, name, query.get("state", ""))
        issuer.came_from(query.get("iss"))
        if "error" in query:
            raise RefusedError(_told(query["error"], query.get("error_description", "")), where=f"issuer {name}")
        self._use(journey.state)
        found = issuer.redeem(query.get("code", ""), back=journey.back, nonce=journey.nonce, verifier=journey.verifier)
        user = self._people.arrive(name, issuer.settings, found, self.identity.address(request))
        _, secret = self.identity.begin(request, user, issuer=name, sid=found.session)
        return journey.way, secret

    def forget(self, request: Request, response: Response) -> None:
        """Take the cookie of a journey that has ended."""
        secure, state = self.identity.is_https(request), request.query_params.get("state", "")
        response.delete_cookie(_cookie_name(state, secure=secure), path="/", secure=secure, httponly=True)

    def end(self, request: Request, name: str, token: str) -> int:
        """End the sessions that an issuer's logout token names; returns how many.

        Raises:
            UnknownIssuerError: there is no such issuer.
            RefusedError: the token does not hold.
            FarSideError: the issuer does not answer.
        """
        issuer = self.issuer(name)
        address = self.identity.address(request)
        return self._people.left(name, issuer.settings, issuer.logged_out(token), address)

    def leaving(self, request: Request, name: str) -> str | None:
        """Where somebody ends their session at an issuer, too; None: there is no such place, or it is not known."""
        if name not in self.identity.sign_on.issuers:
            return None
        return self.issuer(name).sign_out_address(f"{self.identity.base(request)}/ui/sign-in")

    def issuer(self, name: str) -> Issuer:
        """An issuer as it is configured now.

        Raises:
            UnknownIssuerError: there is none of this name.
        """
        settings = self.identity.sign_on.issuers.get(name)
        if settings is None:
            raise UnknownIssuerError("there is no such issuer", fix="sign in in another way")
        with self._lock:
            known = self._issuers.get(name)
            if known is None or known.settings != settings:
                known = self._issuers[name] = Issuer(name, settings)
            return known

    def address(self, request: Request, name: str, what: str) -> str:
        """An address that an issuer has to know: `back` for browsers, `logout` for itself."""
        return f"{self.identity.base(request)}{PATH}/{name}/{what}"

    def _seal(self, journey: Journey) -> str:
        nonce = os.urandom(12)
        sealed = nonce + self._cipher.encrypt(nonce, json.dumps(vars(journey)).encode(), None)
        return base64.urlsafe_b64encode(sealed).decode()

    def _opened(self, request: Request, name: str, state: str) -> Journey:
        """The journey that a browser was sent on, if it is this one and has not ended."""
        sealed = request.cookies.get(_cookie_name(state, secure=self.identity.is_https(request)), "")
        again = "begin at the sign-in page again, in this browser and within ten minutes"
        try:
            raw = base64.urlsafe_b64decode(sealed)
            journey = Journey(**json.loads(self._cipher.decrypt(raw[:12], raw[12:], None)))
        except (binascii.Error, InvalidTag, ValueError):
            raise RefusedError("this browser was not sent to sign in", where=f"issuer {name}", fix=again) from None
        right = secrets.compare_digest(journey.state.encode(), state.encode()) and journey.issuer == name
        if not right or journey.until < time.time():
            raise RefusedError("this sign-in has ended, or is another's", where=f"issuer {name}", fix=again)
        return journey

    def _use(self, state: str) -> None:
        """Let a journey come back once."""
        with self._lock:
            now = time.time()
            if state in self._used:
                raise RefusedError("this sign-in was used already", fix="begin at the sign-in page again")
            self._used[state] = now + _LASTS
            while self._used and (len(self._used) > _MOST_USED or next(iter(self._used.values())) < now):
                self._used.popitem(last=False)


def listed(issuers: dict[str, IssuerSettings], base: str) -> list[dict[str, Any]]:
    """Issuers as an admin sees them, without their secrets.

    Args:
        issuers: by name.
        base: where browsers reach this server.
    """
    return [
        {
            "name": name, "title": each.title or name, "issuer": each.issuer, "client_id": each.client_id,
            "claim": each.claim, "scopes": each.scopes, "back": f"{base}{PATH}/{name}/back",
            "logout": f"{base}{PATH}/{name}/logout",
            "grants": [grant.model_dump() for grant in each.grants],
        }
        for name, each in issuers.items()
    ]  # fmt: skip


def _cookie_name(state: str, *, secure: bool) -> str:
    """A name of its own for each journey, so that two tabs do not take each other's."""
    part = "".join(each for each in state[:12] if each.isalnum() and each.isascii())
    return (_SECURE_COOKIE if secure else _COOKIE) + part


def _told(error: str, description: str) -> str:
    words = "".join(each for each in f"{error[:60]} {description[:300]}" if each.isprintable()).strip()
    return f"it let nobody in: {words}"
