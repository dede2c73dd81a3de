"""Tokens: one cached per scope, renewed before it ends, obtained through azure-identity.

azure-identity is imported where it is used: it takes 19 MiB, which programs without a Microsoft output are spared.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tipline.errors import SignInError
from tipline.microsoft.explain import redact, sign_in_error

RENEW_BEFORE = 300.0  # seconds before its end that a token is renewed ...
RENEW_SHARE = 0.1  # ... or this share of its life, whichever is shorter
# MSAL keeps the status of some failures in their text only.
_PASSING = re.compile(r"HTTP (?:Error|status): (?:5\d\d|408|429)|temporarily_unavailable", re.IGNORECASE)


class AccessToken(Protocol):
    """What azure-identity returns: the token and the second (epoch) it ends."""

    @property
    def token(self) -> str:
        """The bearer token."""

    @property
    def expires_on(self) -> int:
        """When it ends, in seconds since the epoch."""


class Credential(Protocol):
    """The part of an azure-identity credential that is used here."""

    def get_token(self, *scopes: str) -> AccessToken:
        """Sign in for a scope."""

    def close(self) -> None:
        """Close its connections."""


class TokenSource(Protocol):
    """Whatever can give the clients a bearer token."""

    def token(self, scope: str, rejected: str | None = None) -> str:
        """A token for the scope; never again the `rejected` one, which the far side refused with 401."""


class _Held(NamedTuple):
    token: str
    renew_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs in, for messages.

    Args:
        where: tenant and app.
        secrets: values that must never appear in a message.
    """

    where: str
    secrets: tuple[str, ...] = ()


class SignIn:
    """A thread-safe cache of tokens, one for each scope.

    Args:
        open_credential: makes a fresh credential. It is called for every sign-in, so that no cache further
            down hands out a token that was just refused, and a renewed certificate or federated token file
            is seen.
        identity: tells who signs in.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        open_credential: Callable[[], Credential],
        identity: Callable[[], Identity],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open = open_credential
        self._identity = identity
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def token(self, scope: str, rejected: str | None = None) -> str:
        """A token for the scope that has not ended.

        Raises:
            SignInError: Microsoft refused, or could not be reached and no usable token is held.
        """
        with self._lock:
            held = self._held.get(scope)
            now = self._clock()
            if held and held.token != rejected and now < held.renew_at:
                return held.token
            try:
                held = self._held[scope] = self._sign_in(scope)
            except SignInError as error:
                if held and held.token != rejected and now < held.ends_at and error.retryable:
                    return held.token
                raise
            return held.token

    def _sign_in(self, scope: str) -> _Held:
        from azure.core.exceptions import AzureError

        asked = self._clock()
        try:
            with contextlib.closing(self._open()) as credential:
                got = credential.get_token(scope)
        # TypeError is what an encrypted key without a password raises.
        except (AzureError, ValueError, TypeError, OSError) as error:
            failure = explained(error, self._identity())
            _forget(error)
            got = None
        if got is None:
            raise failure  # out here, so that it does not carry the cause along
        life = max(got.expires_on - asked, 0.0)
        return _Held(got.token, asked + life - min(RENEW_BEFORE, life * RENEW_SHARE), asked + life)


def explained(error: Exception, identity: Identity) -> SignInError:
    """An azure-identity failure as one that says what to do."""
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError
    from azure.identity import CredentialUnavailableError

    causes = list(_chain(error))
    text = redact(str(error), identity.secrets)
    if any(isinstance(cause, (ServiceRequestError, ServiceResponseError)) for cause in causes):
        return _unreachable(text, identity)
    if any(_passing(cause) for cause in causes):
        return SignInError(f"Microsoft's sign-in is busy: {text}", where=identity.where, retryable=True)
    if "Unable to get authority configuration" in text:
        # MSAL says this instead of AADSTS90002 when the tenant's discovery page is refused.
        return sign_in_error("AADSTS90002", where=identity.where)
    if isinstance(error, CredentialUnavailableError):
        return SignInError(
            f"no identity is offered to this process: {text}",
            where=identity.where,
            fix="assign a managed identity to the machine, or set up workload identity for the pod",
        )
    if isinstance(error, ClientAuthenticationError):
        return sign_in_error(text, where=identity.where, secrets=identity.secrets)
    return SignInError(
        f"the credential cannot be used: {text}",
        where=identity.where,
        fix="check certificate_path (PEM or PKCS12 with the private key) and certificate_password",
    )


def _passing(cause: BaseException) -> bool:
    status = getattr(cause, "status_code", None)
    if isinstance(status, int):
        return status >= 500 or status in {408, 429}
    return bool(_PASSING.search(str(cause)))


def _unreachable(text: str, identity: Identity) -> SignInError:
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return SignInError(
            f"the sign-in service's certificate is not trusted: {text}",
            where=identity.where,
            fix="set ca_file to the authority that your proxy or emulator signs with",
        )
    return SignInError(
        f"the sign-in service cannot be reached: {text}",
        where=identity.where,
        fix="check the network, the proxy settings and login_url",
        retryable=True,
    )


def _forget(error: BaseException) -> None:
    """Empty the frames of a failure: they hold the request, and with it the secret and the connections."""
    for each in list(_chain(error)):
        traceback.clear_frames(each.__traceback__)


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
