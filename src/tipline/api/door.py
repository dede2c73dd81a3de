"""Lets people into the pages: the accounts as `tipline.web` asks for them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.identity import Identity
from tipline.web.session import Person


class AccountsDoor:
    """`tipline.web.session.Door` over the accounts."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def person(self, request: Request) -> Person | None:
        """Who asks; None: nobody that is known."""
        found = self.identity.who(request)
        if found is None:
            return None
        return Person(found.name, found.role, found.team, found.csrf, found.everywhere, found.asker.address)

    def is_new(self) -> bool:
        """Whether there is no account yet."""
        return self.identity.accounts.is_new()

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

    def ways(self) -> list[tuple[str, str]]:
        """Other ways to sign in: (label, address)."""
        return []

    def _let_in(self, request: Request, response: Response, user: dict[str, object]) -> None:
        _, secret = self.identity.begin(request, user)
        self.identity.set_cookie(request, response, secret)


def door(identity: Identity) -> AccountsDoor:
    """The pages' door."""
    return AccountsDoor(identity)
