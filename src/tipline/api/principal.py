"""Somebody who asks over HTTP, and what this request of theirs may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tipline.engine.asker import Asker
from tipline.errors import TiplineError
from tipline.model.roles import Role, at_least, scopes_of


class UnknownError(TiplineError):
    """Nobody that is known asks."""

    code = "unauthenticated"


class ForbiddenError(TiplineError):
    """Whoever asks may not."""

    code = "forbidden"


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Attributes:
        name: the user's name; empty for a command of this machine.
        team: whose nodes they see; an admin sees all.
        role: what they may do at most.
        scopes: what this request may do (see `tipline.model.roles`).
        tags: of feed readers: which lists they may read.
        how: by a browser's session, a key, a password, or the token of this machine.
        csrf: what a form has to repeat (sessions only).
        ident: of the key or session.
        issuer: who vouched for the session; empty: a password did.
        rate: requests a minute; 0: no limit.
    """

    name: str
    team: str
    role: Role
    scopes: frozenset[str]
    tags: tuple[str, ...] = ()
    how: Literal["session", "key", "password", "local"] = "session"
    csrf: str = ""
    ident: str = ""
    issuer: str = ""
    rate: int = 0
    address: str = ""

    @property
    def everywhere(self) -> bool:
        """Whether they see every team's nodes."""
        return self.role == "admin"

    @property
    def asker(self) -> Asker:
        """For the engine."""
        return Asker(self.name, self.team, self.everywhere, self.address)

    def may(self, scope: str) -> bool:
        """Whether they may do something."""
        return scope in self.scopes

    def is_at_least(self, role: Role) -> bool:
        """Whether they may do all that a role may."""
        return at_least(self.role, role) and set(scopes_of(role)) <= self.scopes
