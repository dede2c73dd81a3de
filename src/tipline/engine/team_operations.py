"""Operations on teams: who and what each has; made, renamed and closed in the configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from ruamel.yaml.comments import CommentedMap

from tipline.config.check import NAME
from tipline.config.edit import edited
from tipline.config.secretstore import SecretStore
from tipline.engine.account_operations import AccountOperations
from tipline.engine.configuring import Configuring
from tipline.engine.operation import operation
from tipline.engine.people import RequestError

_FIRST = "default"


class TeamOperations(AccountOperations):
    """Teams (organisations) on one server."""

    @operation
    def teams(self) -> dict[str, Any]:
        """Teams with their title, users and nodes; without every team, the asker's own."""
        configuration = self.engine.configuration
        nodes = [node.settings.team for node in configuration.nodes().values()]
        people = [each["team"] for each in self.accounts.users()]
        names = {*configuration.settings.teams, *nodes, *people} if self.asker.everywhere else {self.asker.team}
        titles = {name: settings.title for name, settings in configuration.settings.teams.items()}
        return {
            "teams": [
                {"name": name, "title": titles.get(name, ""), "users": people.count(name), "nodes": nodes.count(name)}
                for name in sorted(names)
            ]
        }

    @operation
    def team(self, name: str) -> dict[str, Any]:
        """What a team has: title, users, nodes, names of secrets, how many keys, and grants of single sign-on."""
        self._everywhere()
        configuration = self.engine.configuration
        listed = configuration.settings.teams
        people = self.accounts.users(name)
        nodes = [
            {"name": node.name, "sort": node.sort, "kind": node.kind, "distribution": node.settings.distribution}
            for node in configuration.nodes().values()
            if node.settings.team == name and not _is_builtin(node.name, name, configuration)
        ]
        if name not in {*listed, _FIRST} and not people and not nodes:
            raise RequestError(f"there is no team {name[:100]!r}", fix="list them")
        secrets = [each["name"] for each in SecretStore(configuration.path).listed() if each["team"] == name]
        keys = {each["id"] for user in people for each in self.accounts.keys(user["name"])}
        return {
            "name": name, "title": listed[name].title if name in listed else "", "listed": name in listed,
            "users": [{word: user[word] for word in ("name", "role", "disabled", "seen")} for user in people],
            "nodes": nodes, "secrets": secrets, "keys": len(keys), "grants": self._grants(name),
            "readers": [each for each, one in configuration.settings.readers.items() if one.team == name],
        }  # fmt: skip

    @operation
    def team_add(self, name: str, title: str = Field(default="", max_length=200)) -> dict[str, Any]:
        """Make a team; it stands under `teams:` of the configuration, which is put to work."""
        self._everywhere()
        settings = self.engine.configuration.settings
        if not NAME.fullmatch(name) or name == _FIRST:
            raise RequestError(f"{name[:100]!r} is no name for a team", fix="use letters, digits, - _ and .")
        if name in settings.teams:
            raise RequestError(f"there is a team {name} already", fix="choose another name")
        # As soon as one team is listed, every team that nodes name has to be.
        others = {node.settings.team for node in self.engine.configuration.nodes().values()} - {_FIRST}
        unlisted = sorted(others - settings.teams.keys() - {name})
        self._written({**dict.fromkeys(unlisted, ""), name: title}, f"team {name} made")
        return self._noted("team add", name, None)

    @operation
    def team_change(self, name: str, title: str = Field(max_length=200)) -> dict[str, Any]:
        """Give a team another title. Its name stays: nodes, users and secrets go by it."""
        before = self.team(name)
        self._written({name: title}, f"team {name} renamed")
        return self._noted("team change", name, before)

    @operation
    def team_close(self, name: str) -> dict[str, Any]:
        """Close a team that owns nothing any more: its users are shut out, and it leaves the configuration."""
        before = self.team(name)
        if name == _FIRST:
            raise RequestError("the team default stays", fix="give it another title instead")
        owned = [*(node["name"] for node in before["nodes"]), *before["secrets"], *before["readers"], *before["grants"]]
        if owned:
            shown = ", ".join(owned[:10]) + (" and others" if len(owned) > 10 else "")
            fix = "give its nodes, secrets, readers and grants to another team, or remove them"
            raise RequestError(f"{name} still has {shown}", fix=fix)
        if any(user["name"] == self.asker.name for user in before["users"]):
            raise RequestError("this is your own team", fix="ask an admin of another one")
        for user in before["users"]:
            self.accounts.change(user["name"], disabled=True)
        if before["listed"]:
            self._written({name: None}, f"team {name} closed")
        self._note("team close", name, before=before, after=None)
        return {"closed": name, "users": [user["name"] for user in before["users"]]}

    def _grants(self, name: str) -> list[str]:
        issuers = self.engine.configuration.settings.single_sign_on.issuers
        return [
            f"{word}: {grant.value}" for word, each in issuers.items() for grant in each.grants if grant.team == name
        ]

    def _written(self, titles: dict[str, str | None], message: str) -> None:
        """Put teams into the configuration's text, or take them out, and put that to work."""

        def change(document: CommentedMap) -> None:
            if not isinstance(document.get("teams"), CommentedMap):
                document["teams"] = CommentedMap()
            for name, title in titles.items():
                if title is None:
                    document["teams"].pop(name, None)
                elif isinstance(document["teams"].get(name), CommentedMap):
                    document["teams"][name]["title"] = title
                else:
                    document["teams"][name] = CommentedMap({"title": title} if title else {})

        configuring = Configuring(self.scheduler, self.asker)
        base, user = configuring.newest().number, self.asker.name or "local"
        configuring.change(lambda text: edited(text, change), message, base=base, user=user)

    def _noted(self, action: str, name: str, before: dict[str, Any] | None) -> dict[str, Any]:
        after = self.team(name)
        self._note(action, name, before=before, after=after)
        return after


def _is_builtin(node: str, team: str, configuration: Any) -> bool:
    return node in {configuration.team_allow(team), configuration.never_block}
