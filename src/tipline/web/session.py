"""Who asks: the seam between the pages and the accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from starlette.requests import Request
from starlette.responses import Response

from tipline.engine.asker import Asker

Role = Literal["reader", "viewer", "analyst", "editor", "admin"]
_RANKS: dict[str, int] = {"reader": 0, "viewer": 1, "analyst": 2, "editor": 3, "admin": 4}


@dataclass(frozen=True)
class Person:
    """Who is signed in.

    Attributes:
        name: as it stands in the audit log.
        role: what they may do.
        team: whose nodes they see.
        csrf: what every change has to repeat.
        everywhere: whether they see every team's nodes.
        address: where they ask from.
        issuer: who vouches for them; empty: they signed in with a password.
    """

    name: str
    role: Role
    team: str
    csrf: str
    everywhere: bool = False
    address: str = ""
    issuer: str = ""

    @property
    def asker(self) -> Asker:
        """Who asks, as operations are told."""
        return Asker(self.name, self.team, self.everywhere, self.address)

    def may(self, role: Role) -> bool:
        """Whether they may do what a role may."""
        return _RANKS[self.role] >= _RANKS[role]

    def sees(self, team: str, distribution: str) -> bool:
        """Whether they see a node of a team with a distribution."""
        return self.everywhere or team == self.team or distribution in {"server", "all"}


class Door(Protocol):
    """Lets people in; made from the accounts by `api/identity.py`."""

    def person(self, request: Request) -> Person | None:
        """Who asks; None: nobody that is known."""

    def is_new(self) -> bool:
        """Whether there is no account yet, so that the first visit makes one."""

    def begin(self, request: Request, response: Response, *, token: str, name: str, password: str) -> None:
        """Make the first admin with the one-time token, and sign them in.

        Raises:
            TiplineError: the token, name or password is refused.
        """

    def enter(self, request: Request, response: Response, *, name: str, password: str) -> None:
        """Sign somebody in: the response is given the session's cookie.

        Raises:
            TiplineError: name or password is wrong, or there were too many tries.
        """

    def leave(self, request: Request, response: Response) -> None:
        """Sign out."""

    def reads(self, request: Request, output: str) -> bool:
        """Whether whoever asks may read a served output as they are, without a key of its own."""

    def passwords(self) -> bool:
        """Whether passwords let people in."""

    def ways(self) -> list[tuple[str, str]]:
        """Other ways to sign in: (label, address)."""

    def send(self, request: Request, issuer: str, way: str) -> Response:
        """Send a browser to an issuer that vouches for people; `way`: the page that they are on their way to.

        Raises:
            TiplineError: there is no such issuer, or it does not answer.
        """

    def arrive(self, request: Request, response: Response, issuer: str) -> str:
        """Sign somebody in who comes back from an issuer; returns the page that they are on their way to.

        Raises:
            TiplineError: what they bring does not hold, or nothing lets them in.
        """

    def end(self, request: Request, issuer: str, token: str) -> int:
        """End the sessions that an issuer says have ended; returns how many.

        Raises:
            TiplineError: its token does not hold.
        """

    def leaving(self, request: Request, issuer: str) -> str | None:
        """Where a browser ends its session at an issuer; None: there is no such place.

        Raises:
            TiplineError: the issuer does not answer.
        """

    def issuers(self, request: Request) -> list[dict[str, Any]]:
        """The issuers as an admin sees them, with the addresses that they have to know."""

    def check(self, issuer: str) -> dict[str, Any]:
        """Ask an issuer for what it says of itself, and for its keys: name, and how many keys there are.

        Raises:
            TiplineError: it does not answer, or not as it has to.
        """
