"""Who asks over HTTP: a browser's session, a key, or name and password; and whether a write is really theirs."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tipline.api.client import address_of, is_https, is_loopback
from tipline.api.principal import ForbiddenError, Principal, UnknownError
from tipline.config.sign_on import SignOnSettings
from tipline.engine.accounts import Accounts, first_token
from tipline.engine.core import Engine
from tipline.engine.operation import plain
from tipline.engine.people import RequestError
from tipline.engine.signin import ABSOLUTE, SignInRefusedError, digest_of
from tipline.model.roles import SCOPES, Role, scopes_of
from tipline.store.records import audit

COOKIE, SECURE_COOKIE = "tipline", "__Host-tipline"
SCRIPT_COOKIE = "mm-session"  # of scripts that signed in at /login, as MineMeld named it
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What every answer says, unless it says so itself: nothing here is to be framed, sniffed or told to others.
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_SCOPE, _MEMORY = "tipline.identity", "tipline.principal"


class Identity:
    """Tells who asks.

    Args:
        engine: whose users they are.
        token: what commands of this machine show.
    """

    def __init__(self, engine: Engine, token: str) -> None:
        self.accounts = Accounts(engine.control, engine.clock)
        self.engine = engine
        self._token = token

    def _proxies(self) -> Sequence[str]:
        return self.engine.configuration.settings.http.trusted_proxies

    def address(self, request: Request) -> str:
        """Where a request comes from."""
        return address_of(request, self._proxies())

    def is_https(self, request: Request) -> bool:
        """Whether whoever asks speaks HTTPS."""
        return is_https(request, self._proxies())

    @property
    def sign_on(self) -> SignOnSettings:
        """Who vouches for people, as it is configured now."""
        return self.engine.configuration.settings.single_sign_on

    def base(self, request: Request) -> str:
        """Where browsers reach this server: as it is configured, or else as this one asks."""
        configured = self.engine.configuration.settings.http.url
        scheme = "https" if self.is_https(request) else "http"
        return configured or f"{scheme}://{request.url.netloc}"

    def who(self, request: Request) -> Principal | None:
        """Who asks; None: nobody that is known. Found once for a request.

        Raises:
            SignInRefusedError: there were too many failed sign-ins.
            ForbiddenError: a write comes from another site's page.
        """
        if _MEMORY not in request.scope:
            request.scope[_MEMORY] = self._by_header(request) or self._by_cookie(request)
        found: Principal | None = request.scope[_MEMORY]
        return found

    def forget(self, request: Request) -> None:
        """Have `who` look again: a request that lasts outlives keys and sessions."""
        request.scope.pop(_MEMORY, None)

    def need(self, request: Request, scope: str) -> Principal:
        """Who asks, if they may do something.

        Raises:
            UnknownError: nobody that is known asks.
            ForbiddenError: they may not.
        """
        found = self.who(request)
        if found is None:
            raise UnknownError("this asks for a sign-in", fix="send Authorization: Bearer KEY, or sign in")
        if not found.may(scope):
            fix = f"it takes the role {SCOPES[scope]}, and a key with the scope {scope}"
            raise ForbiddenError(f"{found.name or 'this asker'} may not do this", fix=fix)
        return found

    def sign_in(self, request: Request, name: str, password: str) -> tuple[Principal, str]:
        """Begin a session; returns who it is, and the session's secret for `set_cookie`.

        Raises:
            SignInRefusedError: name or password is wrong, or there were too many tries.
        """
        if self.sign_on.only:
            raise SignInRefusedError("passwords let nobody in here", fix="sign in by single sign-on")
        user = self.accounts.signin.check(name, password, self.address(request))
        return self.begin(request, user)

    def begin(
        self, request: Request, user: dict[str, Any], *, issuer: str = "", sid: str = ""
    ) -> tuple[Principal, str]:
        """Begin a session of a user that has proved to be one; an earlier one of this browser ends.

        Args:
            request: what came.
            user: who it is.
            issuer: who vouched for them, by single sign-on.
            sid: the issuer's word for its own session.
        """
        self.sign_out(request)
        agent = request.headers.get("user-agent", "")
        secret = self.accounts.signin.begin(user["name"], self.address(request), agent, issuer=issuer, sid=sid)
        found = self.accounts.signin.session(secret)
        csrf = found[0].csrf if found else ""
        request.scope[_MEMORY] = self._principal(
            request, user, "session", csrf=csrf, ident=digest_of(secret), issuer=issuer
        )
        return request.scope[_MEMORY], secret

    def make_first(self, request: Request, token: str, name: str, password: str) -> dict[str, Any]:
        """Make the first admin.

        Raises:
            RequestError: the token is wrong, there is a user already, or name or password is refused.
        """
        right = "" if self.sign_on.only else first_token(self.engine)
        if not right or not secrets.compare_digest(right.encode(), token.strip().encode()):
            raise RequestError("the token is wrong, or was used", fix="see what `tipline serve` printed at its start")
        made = self.accounts.add(name, role="admin", team="default", password=password)
        control, now = self.engine.control, self.engine.clock()
        audit(control, now, name, "default", "first admin", name, {"after": plain(made)}, address=self.address(request))
        return made

    def sign_out(self, request: Request) -> None:
        """End the session of a request, if there is one."""
        secret = _cookie(request)
        if secret:
            self.accounts.signin.end(digest_of(secret))
        request.scope[_MEMORY] = None

    def set_cookie(self, request: Request, response: Response, secret: str, *, script: bool = False) -> None:
        """Give a response the session's cookie: for this host alone, out of reach of pages' scripts.

        Args:
            request: what asked for it.
            response: what carries it.
            secret: the session's.
            script: whether it is for a program that knows nothing of forms and their tokens.
        """
        secure = self.is_https(request)
        name = SCRIPT_COOKIE if script else SECURE_COOKIE if secure else COOKIE
        response.set_cookie(
            name, secret, max_age=int(ABSOLUTE.total_seconds()), path="/",
            secure=secure, httponly=True, samesite="strict" if script else "lax",
        )  # fmt: skip

    def drop_cookie(self, response: Response) -> None:
        """Take the session's cookie away."""
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
        response.delete_cookie(SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        response.delete_cookie(SCRIPT_COOKIE, path="/", httponly=True, samesite="strict")

    def _by_header(self, request: Request) -> Principal | None:
        shown = request.headers.get("authorization", "").strip()
        scheme, _, rest = shown.partition(" ")
        if scheme.lower() == "basic":
            return self._by_basic(request, rest.strip())
        # MISP's way is the key alone.
        key = rest.strip() if scheme.lower() == "bearer" else shown
        return self._by_key(request, key) if key else None

    def _by_key(self, request: Request, key: str) -> Principal | None:
        direct = request.client.host if request.client else ""
        if is_loopback(direct) and secrets.compare_digest(key.encode(), self._token.encode()):
            return Principal("", "default", "admin", frozenset(SCOPES), how="local", address=direct)
        found = self.accounts.by_key(key, self.address(request))
        if found is None:
            return None
        row, user = found
        if self._away_too_long(user):
            return None
        principal = self._principal(request, user, "key", ident=row["id"], rate=row["rate"])
        allowed = principal.scopes & frozenset(row["scopes"]) if row["scopes"] else principal.scopes
        return Principal(**{**vars(principal), "scopes": allowed})

    def _by_basic(self, request: Request, encoded: str) -> Principal | None:
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        found = self._by_key(request, password)
        if found is not None:
            return found
        try:
            user = self.accounts.signin.check(name, password, self.address(request))
        except SignInRefusedError as exc:
            if exc.wait:
                raise
            return None
        if self.sign_on.only and user["role"] != "reader":
            return None
        return self._principal(request, user, "password")

    def _away_too_long(self, user: dict[str, Any]) -> bool:
        """Whether somebody whom an issuer vouches for has not signed in for longer than their keys last."""
        for settings in self.sign_on.issuers.values():
            if settings.keys_last and (user["subject"] or "").startswith(f"{settings.issuer} "):
                seen = user["seen"] or user["created"]
                return bool(self.engine.clock() - seen > settings.keys_last)
        return False

    def _by_cookie(self, request: Request) -> Principal | None:
        secret = _cookie(request)
        found = self.accounts.signin.session(secret) if secret else None
        if found is None:
            return None
        session, user = found
        if request.method not in _SAFE and not _own_page(request, session.csrf):
            fix = "send it from tipline's own page, or with the header X-CSRF-Token"
            raise ForbiddenError("this change comes from another site's page", fix=fix)
        return self._principal(request, user, "session", csrf=session.csrf, ident=session.digest, issuer=session.issuer)

    def _principal(self, request: Request, user: dict[str, Any], how: Any, **more: Any) -> Principal:
        role: Role = user["role"]
        return Principal(
            user["name"], user["team"], role, frozenset(scopes_of(role)), tuple(user["tags"]), how,
            address=self.address(request), **more,
        )  # fmt: skip


class Doorkeeper:
    """Middleware that lets every application, mounted ones too, ask who it is; and sets security headers."""

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self.app = app
        self.identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the identity where `identity_of` finds it."""
        scope[_SCOPE] = self.identity

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sending)


def identity_of(request: Request) -> Identity:
    """What tells who sent a request."""
    found: Identity = request.scope[_SCOPE]
    return found


def comes_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page makes a request; programs say nothing of the sort."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site not in {"same-origin", "none"}
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _cookie(request: Request) -> str:
    return _page_cookie(request) or request.cookies.get(SCRIPT_COOKIE) or ""


def _page_cookie(request: Request) -> str:
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE) or ""


def _own_page(request: Request, csrf: str) -> bool:
    """Whether a browser's write comes from a page of ours: by its token, else by what the browser says."""
    shown = request.headers.get("x-csrf-token")
    if shown is not None:
        return secrets.compare_digest(shown.encode(), csrf.encode())
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    if origin is None:
        return not _page_cookie(request)  # every browser names the origin of a write: this is a script's session
    return urlsplit(origin).netloc == request.headers.get("host")
