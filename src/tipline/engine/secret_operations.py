"""Operations on secrets: they go in, and never come out."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tipline.config.secretstore import SecretStore
from tipline.engine.operation import Base, operation
from tipline.engine.visible import NotYoursError


class SecretOperations(Base):
    """Secrets that the configuration names as `${secret:NAME}`."""

    @operation
    def secrets(self) -> dict[str, Any]:
        """The asker's secrets, without their values."""
        found = self._secret_store.listed()
        return {"secrets": [each for each in found if self.asker.everywhere or each["team"] == self.asker.team]}

    @operation
    def secret_set(
        self, name: str, value: str = Field(repr=False), team: str | None = None, user: str = ""
    ) -> dict[str, Any]:
        """Keep a secret for a team's nodes, in place of one of the same name."""
        team, user = self._acting(team, user)
        self._my_secret(name)
        self._secret_store.put(name, value, team=team, actor=user, at=self.engine.clock())
        self._note("secret set", name, team=team)
        return {"name": name, "team": team}

    @operation
    def secret_remove(self, name: str) -> dict[str, Any]:
        """Forget a secret."""
        self._my_secret(name)
        self._secret_store.drop(name)
        self._note("secret remove", name)
        return {"removed": name}

    @property
    def _secret_store(self) -> SecretStore:
        return SecretStore(self.engine.configuration.path)

    def _my_secret(self, name: str) -> None:
        team = self._secret_store.team(name)
        if team is not None and team != self.asker.team and not self.asker.everywhere:
            raise NotYoursError("this name is taken", fix="choose another one")
