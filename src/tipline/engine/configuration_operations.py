"""Operations that look at and change the configuration while it runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tipline.config.check import check_text
from tipline.config.schema import Configuration
from tipline.engine.configuring import Committed, Configuring
from tipline.engine.operation import Base, operation
from tipline.engine.plan import approve as approve_plan
from tipline.engine.plan import plan
from tipline.engine.visible import NotYoursError, may_change


class ConfigurationOperations(Base):
    """The candidate, commits, history, and the way back."""

    @operation
    def configuration(self) -> dict[str, Any]:
        """The text that runs, its version, and the candidate that is being edited."""
        self._whole_file()
        return self._configuring.current()

    @operation
    def check(self, text: str) -> dict[str, Any]:
        """Every problem of a configuration's text."""
        self._whole_file()
        return self._configuring.check(text)

    @operation
    def plan(self, text: str, path: str, *, approve: bool = False, user: str = "") -> dict[str, Any]:
        """What a configuration would change; with `approve`, the guards let its first evaluation through."""
        candidate = check_text(text, Path(path)).usable()
        may_change(self.engine.configuration, candidate, self.asker)
        _, user = self._acting(None, user)
        found = plan(self.engine, candidate)
        found.outputs = [each for each in found.outputs if self._may_see_plan_of(each.output, candidate)]
        if approve:
            approve_plan(self.engine, candidate, user)
        return {**asdict(found), "changes": found.changes, "approved": approve}

    @operation
    def save_candidate(self, text: str, base: int, revision: int = 0, user: str = "") -> dict[str, Any]:
        """Keep a text in the making; refused if somebody else saved or committed in the meantime.

        Args:
            text: the whole configuration, right or not; a hidden secret stays what it is.
            base: the version it began from.
            revision: of the candidate that it takes the place of; 0 if there was none.
            user: who edits.
        """
        self._whole_file()
        _, user = self._acting(None, user)
        return vars(self._configuring.save(text, base=base, revision=revision, user=user))

    @operation
    def commit(self, text: str, message: str, base: int, *, approve: bool = False, user: str = "") -> dict[str, Any]:
        """Put a text to work and write it to the file; `approve` lets what the plan showed pass the guards."""
        self._whole_file()
        _, user = self._acting(None, user)
        return committed(self._configuring.commit(text, message, base=base, user=user, approve=approve))

    @operation
    def revert(self, version: int, message: str = "", *, approve: bool = False, user: str = "") -> dict[str, Any]:
        """Put an earlier version to work again."""
        self._whole_file()
        _, user = self._acting(None, user)
        return committed(self._configuring.revert(version, message, user=user, approve=approve))

    @operation
    def node_settings(self, name: str) -> dict[str, Any]:
        """One node's settings as they stand in the file: as YAML text and as JSON."""
        return self._configuring.node(name)

    @operation
    def put_node(
        self,
        section: Literal["sources", "processors", "outputs"],
        name: str,
        base: int,
        *,
        settings: dict[str, Any] | None = None,
        text: str | None = None,
        message: str = "",
        approve: bool = False,
        user: str = "",
    ) -> dict[str, Any]:
        """Add or change one node, by its settings or by YAML text, and put that to work."""
        _, user = self._acting(None, user)
        body = settings or {} if text is None else text
        done = self._configuring.put_node(section, name, body, message, base=base, user=user, approve=approve)
        return committed(done)

    @operation
    def drop_node(
        self, name: str, base: int, message: str = "", *, approve: bool = False, user: str = ""
    ) -> dict[str, Any]:
        """Take one node out of the configuration, and put that to work."""
        _, user = self._acting(None, user)
        return committed(self._configuring.drop_node(name, message, base=base, user=user, approve=approve))

    @operation
    def reload(self, user: str = "") -> dict[str, Any]:
        """Put to work what stands in the configuration file now."""
        self._whole_file()
        _, user = self._acting(None, user)
        return committed(self._configuring.reload(user))

    @operation
    def history(self, limit: int = 50, before: int | None = None) -> dict[str, Any]:
        """Versions of the configuration that were put to work, newest first."""
        self._whole_file()
        return {"versions": self._configuring.history(max(1, min(limit, 500)), before)}

    @operation
    def version(self, version: int, against: int | None = None) -> dict[str, Any]:
        """One version, and what it changed against another (the one before it, if not said)."""
        self._whole_file()
        return self._configuring.compared(version, against)

    def _may_see_plan_of(self, output: str, candidate: Configuration) -> bool:
        there = candidate.outputs.get(output) or self.engine.configuration.outputs.get(output)
        return self.asker.everywhere or (there is not None and self.asker.owns(there.settings))

    def _whole_file(self) -> None:
        """Raises if the file has nodes of other teams: its text shows their settings."""
        configuration = self.engine.configuration
        if not all(self.asker.owns(node.settings) for node in configuration.nodes().values()):
            raise NotYoursError("the file has nodes of other teams", fix="ask an admin, or change your own nodes alone")

    @property
    def _configuring(self) -> Configuring:
        return Configuring(self.scheduler, self.asker)


def committed(done: Committed) -> dict[str, Any]:
    """What came of a change, as operations answer."""
    outputs = [
        {"output": each.output, "added": each.added, "changed": each.changed, "removed": each.removed,
         "held": each.held, "message": each.message}
        for each in done.evaluated
    ]  # fmt: skip
    return {"version": done.version, "outputs": outputs, "at_restart": done.at_restart}
