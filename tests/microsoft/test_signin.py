from __future__ import annotations

import threading
from typing import NamedTuple

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from tipline.errors import SignInError
from tipline.microsoft.signin import Identity, SignIn

ME = Identity("tenant t, app a", ("hunter2",))


class Token(NamedTuple):
    token: str
    expires_on: int


class Entra:
    """Hands out numbered tokens of a life, or fails."""

    def __init__(self, clock, life=3600):
        self.clock, self.life, self.made, self.closed, self.error = clock, life, 0, 0, None

    def __call__(self):
        return self

    def get_token(self, *scopes):
        if self.error:
            raise self.error
        self.made += 1
        return Token(f"{scopes[0]}-{self.made}", int(self.clock.now + self.life))

    def close(self):
        self.closed += 1


@pytest.fixture
def entra(clock):
    return Entra(clock)


@pytest.fixture
def sign_in(entra, clock):
    return SignIn(entra, lambda: ME, clock.wall)


def test_a_token_is_kept_per_scope_and_the_credential_closed(sign_in, entra):
    assert [sign_in.token("a"), sign_in.token("a"), sign_in.token("b")] == ["a-1", "a-1", "b-2"]
    assert entra.closed == 2


@pytest.mark.parametrize(("life", "kept"), [(3600, 3299), (600, 539), (5, 4.4)])
def test_a_token_is_renewed_before_it_ends(sign_in, entra, clock, life, kept):
    entra.life = life
    sign_in.token("a")
    clock.now += kept
    assert sign_in.token("a") == "a-1"
    clock.now += max(life * 0.01, 0.2)
    assert sign_in.token("a") == "a-2"


def test_a_rejected_token_is_never_handed_out_again(sign_in, entra):
    first = sign_in.token("a")
    second = sign_in.token("a", rejected=first)
    assert second != first
    assert sign_in.token("a", rejected=first) == second
    assert entra.made == 2


def test_while_sign_in_is_unreachable_the_token_at_hand_serves_to_its_end(sign_in, entra, clock):
    sign_in.token("a")
    entra.error = ServiceRequestError("no route")
    clock.now += 3400
    assert sign_in.token("a") == "a-1"
    clock.now += 201
    with pytest.raises(SignInError) as caught:
        sign_in.token("a")
    assert caught.value.retryable


def test_a_refusal_is_told_at_once_even_with_a_token_at_hand(sign_in, entra, clock):
    sign_in.token("a")
    entra.error = ClientAuthenticationError("Authentication failed: AADSTS7000222: expired")
    clock.now += 3400
    with pytest.raises(SignInError, match="expired"):
        sign_in.token("a")


def test_threads_sign_in_once(sign_in, entra):
    threads = [threading.Thread(target=sign_in.token, args=("a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entra.made == 1


def wrapped(cause):
    error = ClientAuthenticationError(f"Authentication failed: {cause}")
    error.__cause__ = cause
    return error


def http_error(status):
    error = HttpResponseError("busy")
    error.status_code = status
    return error


@pytest.mark.parametrize(
    ("error", "words", "retryable"),
    [
        (ClientAuthenticationError("Authentication failed: AADSTS7000215: no"), "secret is wrong", False),
        (wrapped(ServiceRequestError("no route to host")), "cannot be reached", True),
        (wrapped(ServiceRequestError("CERTIFICATE_VERIFY_FAILED")), "not trusted", False),
        (wrapped(http_error(503)), "busy", True),
        (wrapped(ValueError("Unable to get authority configuration for x")), "no such tenant", False),
        (CredentialUnavailableError("no IMDS"), "no identity is offered", False),
        (ValueError("Could not deserialize key data"), "credential cannot be used", False),
        (FileNotFoundError("cert.pem"), "credential cannot be used", False),
    ],
)
def test_each_failure_says_what_it_is(sign_in, entra, error, words, retryable):
    entra.error = error
    with pytest.raises(SignInError, match=words) as caught:
        sign_in.token("a")
    assert caught.value.retryable is retryable
    assert caught.value.where == "tenant t, app a"


def test_a_secret_never_reaches_a_message(sign_in, entra):
    entra.error = ClientAuthenticationError("odd: client_secret=hunter2 refused")
    with pytest.raises(SignInError) as caught:
        sign_in.token("a")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
