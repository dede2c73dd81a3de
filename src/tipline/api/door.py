"""Lets people into the pages: the accounts as `tipline.web` asks for them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.access import gate
from tipline.api.identity import Identity
from tipline.api.sign_on import SignOns, listed
from tipline.engine.served import served
from tipline.web.session import Person


class AccountsDoor:
    """`tipline.web.session.Door` over the accounts."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._sign_ons = SignOns(identity)

    def person(self, request: Request) -> Person | None:
        """Who asks; None: nobody that is known."""
        found = self.identity.who(request)
        if found is None:
            return None
        return Person(
            found.name, found.role, found.team, found.csrf, found.everywhere, found.asker.address, found.issuer
        )

    def is_new(self) -> bool:
        """Whether there is no account yet, and a password may make the first."""
        return self.identity.accounts.is_new() and self.passwords()

    def passwords(self) -> bool:
        """Whether passwords let people in."""
        return not self.identity.sign_on.only

    def begin(self, request: Request, response: Response, *, token: str, name: str, password: str) -> None:
        """Make the first admin with the one-time token, and sign them in.

        Raises:
            TiplineError: the token, name or password is refused.
        """
        user = self.identity.make_first(request, token, name, password)
        self._let_in(request, response, user)

    def enter(self, request: Request, response: Response, *, name: str, password: str) -> None:
        """Sign somebody in.

        Raises:
            TiplineError: name or password is wrong, or there were too many tries.
        """
        _, secret = self.identity.sign_in(request, name, password)
        self.identity.set_cookie(request, response, secret)

    def leave(self, request: Request, response: Response) -> None:
        """Sign out."""
        self.identity.sign_out(request)
        self.identity.drop_cookie(response)

    def reads(self, request: Request, output: str) -> bool:
        """Whether whoever asks may read a served output as they are, without a key of its own."""
        engine = self.identity.engine
        settings = served(engine).get(output)
        return settings is not None and gate(engine).admits(settings, request)

    def ways(self) -> list[tuple[str, str]]:
        """Other ways to sign in: (label, address)."""
        return self._sign_ons.ways()

    def send(self, request: Request, issuer: str, way: str) -> Response:
        """Send a browser to an issuer that vouches for people.

        Raises:
            TiplineError: there is no such issuer, or it does not answer.
        """
        return self._sign_ons.send(request, issuer, way)

    def arrive(self, request: Request, response: Response, issuer: str) -> str:
        """Sign somebody in who comes back from an issuer; returns the page that they are on their way to.

        Raises:
            TiplineError: what they bring does not hold, or nothing lets them in.
        """
        self._sign_ons.forget(request, response)
        way, secret = self._sign_ons.arrive(request, issuer)
        self.identity.set_cookie(request, response, secret)
        return way

    def end(self, request: Request, issuer: str, token: str) -> int:
        """End the sessions that an issuer says have ended; returns how many.

        Raises:
            TiplineError: its token does not hold.
        """
        return self._sign_ons.end(request, issuer, token)

    def leaving(self, request: Request, issuer: str) -> str | None:
        """Where a browser ends its session at an issuer; None: there is no such place.

        Raises:
            TiplineError: the issuer does not answer.
        """
        return self._sign_ons.leaving(request, issuer)

    def issuers(self, request: Request) -> list[dict[str, Any]]:
        """The issuers as an admin sees them, with the addresses that they have to know."""
        return listed(self.identity.sign_on.issuers, self.identity.base(request))

    def check(self, issuer: str) -> dict[str, Any]:
        """Ask an issuer for what it says of itself, and for its keys: name, and how many keys there are.

        Raises:
            TiplineError: it does not answer, or not as it has to.
        """
        found = self._sign_ons.issuer(issuer)
        return {"name": issuer, "keys": len(found.keys(oldest=0))}

    def _let_in(self, request: Request, response: Response, user: dict[str, object]) -> None:
        _, secret = self.identity.begin(request, user)
        self.identity.set_cookie(request, response, secret)


def door(identity: Identity) -> AccountsDoor:
    """The pages' door."""
    return AccountsDoor(identity)
