"""Operations on accounts: users, keys and sessions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tipline.durations import Duration
from tipline.engine.accounts import RATE, Accounts
from tipline.engine.operation import Base, operation
from tipline.engine.served import served
from tipline.engine.visible import NotYoursError
from tipline.model.roles import Role

_MOST = 1000


class UserChanges(BaseModel):
    """What is changed of a user; what is left out stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    display: str | None = Field(default=None, max_length=200, description="Their name for people.")
    role: Role | None = Field(default=None, description="What they may do.")
    team: str | None = Field(default=None, max_length=200, description="Their team.")
    tags: list[str] | None = Field(default=None, description="Of a feed reader: which lists they may read.")
    disabled: bool | None = Field(default=None, description="Whether they are shut out.")
    password: str | None = Field(default=None, description="A new password.", repr=False)
    subject: str | None = Field(
        default=None,
        max_length=500,
        description="Who they are in single sign-on: the issuer's address, a space, and its word for them; empty:"
        " nobody.",
    )


class AccountOperations(Base):
    """Users, keys, sessions and the audit log."""

    @cached_property
    def accounts(self) -> Accounts:
        """The users of the engine."""
        return Accounts(self.engine.control, self.engine.clock)

    @operation
    def users(self) -> dict[str, Any]:
        """The users; of an asker without every team, those of their own."""
        return {"users": self.accounts.users(None if self.asker.everywhere else self.asker.team)}

    @operation
    def user(self, name: str) -> dict[str, Any]:
        """One user."""
        return self.accounts.user(self._self_or_everywhere(name))

    @operation
    def user_add(
        self,
        name: str,
        *,
        role: Role = "viewer",
        team: str = "default",
        password: str | None = None,
        display: str = "",
        tags: list[str] | None = None,
    ) -> dict[str, Any]:
        """Make a user; without a password, they have keys or single sign-on alone."""
        self._everywhere()
        made = self.accounts.add(name, role=role, team=team, password=password, display=display, tags=tags or [])
        self._note("user add", name, before=None, after=made)
        return made

    @operation
    def user_change(self, name: str, changes: UserChanges) -> dict[str, Any]:
        """Change a user."""
        self._everywhere()
        before = self.accounts.user(name)
        after = self.accounts.change(name, **changes.model_dump(exclude_none=True))
        self._note("user change", name, before=before, after=after, password=changes.password is not None)
        return after

    @operation
    def own_password(self, current: str, new: str) -> dict[str, Any]:
        """Change the asker's own password; it ends every session of theirs."""
        name = self.asker.name
        self.accounts.signin.check(name, current, self.asker.address)
        self.accounts.change(name, password=new)
        self._note("password change", name)
        return {"changed": name}

    @operation
    def user_remove(self, name: str) -> dict[str, Any]:
        """Delete a user with their keys and sessions."""
        self._everywhere()
        before = self.accounts.user(name)
        self.accounts.remove(name)
        self._note("user remove", name, before=before, after=None)
        return {"removed": name}

    @operation
    def readers(self) -> dict[str, Any]:
        """Who reads lists, TAXII collections and MISP feeds: feed readers with their tags, and who may read what.

        Returns:
            readers (of the configuration, and users of the role reader) with the outputs that are open to them, and
            outputs with who may read them (`anybody`: access public, key or network).
        """
        self._everywhere()
        outputs = served(self.engine)
        listed = self.engine.configuration.settings.readers
        people = [each for each in self.accounts.users() if each["role"] == "reader" and not each["disabled"]]
        readers = [
            {"name": name, "known_by": "configuration", "team": one.team, "tags": one.tags, "note": one.note,
             "outputs": [each for each, settings in outputs.items()
                         if settings.opens_to(one.tags, owns=one.team == settings.team, reader=name)]}
            for name, one in listed.items()
        ] + [
            {"name": each["name"], "known_by": "account", "team": each["team"], "tags": each["tags"],
             "note": each["display"],
             "outputs": [name for name, settings in outputs.items()
                         if settings.opens_to(each["tags"], owns=each["team"] == settings.team)]}
            for each in people
        ]  # fmt: skip
        return {
            "readers": sorted(readers, key=lambda one: one["name"]),
            "outputs": [
                {"name": name, "kind": self.engine.graph.outputs[name].kind, "team": settings.team,
                 "access": settings.access, "tags": settings.tags, "networks": settings.networks,
                 "keys": len(settings.keys), "anybody": settings.access != "readers",
                 "readers": sorted(one["name"] for one in readers if name in one["outputs"])}
                for name, settings in outputs.items()
            ],
        }  # fmt: skip

    @operation
    def keys(self, user: str | None = None) -> dict[str, Any]:
        """Keys: the asker's own, or anybody's for an admin."""
        mine = user if self.asker.everywhere else self._self_or_everywhere(user or self.asker.name)
        return {"keys": self.accounts.keys(mine)}

    @operation
    def key_add(
        self,
        user: str | None = None,
        *,
        label: str = "",
        scopes: list[str] | None = None,
        ttl: Duration | None = None,
        rate: int = Field(default=RATE, ge=1, le=100_000),
    ) -> dict[str, Any]:
        """Make a key; it is shown in this answer alone."""
        name = self._self_or_everywhere(user or self.asker.name)
        made = self.accounts.make_key(name, label=label, scopes=scopes or [], ttl=ttl, rate=rate)
        self._note("key add", made["id"], before=None, after={k: v for k, v in made.items() if k != "key"})
        return made

    @operation
    def key_remove(self, id: str) -> dict[str, Any]:
        """Revoke a key at once."""
        before = self.accounts.key(id)
        self._self_or_everywhere(before["user"])
        self.accounts.revoke(id)
        self._note("key remove", id, before=before, after=None)
        return {"removed": id}

    @operation
    def sessions(self, user: str | None = None) -> dict[str, Any]:
        """Browser sessions: the asker's own, or anybody's for an admin."""
        return {"sessions": self.accounts.signin.of(self._self_or_everywhere(user or self.asker.name))}

    @operation
    def sessions_end(self, user: str | None = None) -> dict[str, Any]:
        """End every browser session of a user."""
        name = self._self_or_everywhere(user or self.asker.name)
        ended = self.accounts.signin.end_all(name)
        self._note("sessions end", name, ended=ended)
        return {"ended": ended}

    def only_scopes(self, wanted: Iterable[str], mine: Iterable[str]) -> None:
        """Check that a key may do no more than who makes it.

        Raises:
            NotYoursError: it would.
        """
        beyond = sorted(set(wanted) - set(mine))
        if beyond:
            raise NotYoursError(f"this asker has no scope {beyond[0][:40]!r}", fix="leave it out")

    def _self_or_everywhere(self, name: str) -> str:
        if name != self.asker.name and not self.asker.everywhere:
            raise NotYoursError("this concerns another user", fix="ask an admin")
        return name
