"""Changing the configuration while it runs: one candidate, commits with a message, history, and the way back."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tipline.config.check import Checked, check_text
from tipline.config.edit import drop_node, node_text, put_node, put_node_text, settings_of
from tipline.config.hidden import MASK, restore_text
from tipline.config.schema import Configuration
from tipline.config.wiring import Problem
from tipline.config.yamlfile import parse
from tipline.engine.asker import LOCAL, Asker
from tipline.engine.atomic import replacing
from tipline.engine.core import KEPT
from tipline.engine.evaluate import Evaluated
from tipline.engine.leaving import refuse_moves
from tipline.engine.people import RequestError
from tipline.engine.plan import approve as approve_plan
from tipline.engine.schedule import Scheduler
from tipline.engine.visible import NotYoursError, may_change
from tipline.errors import ConfigError, StoreError, TiplineError
from tipline.sources.guardrails import URL_MASK
from tipline.store import versions
from tipline.store.records import audit
from tipline.store.versions import Candidate, Version

# Read when the process starts; a change of them waits for the next start.
_AT_START = (*KEPT, "http")
_MOST_CHARACTERS = 5_000_000


class ConflictError(TiplineError):
    """Somebody else was faster."""

    code = "conflict"


@dataclass(frozen=True)
class Committed:
    """What came of a change: the version that runs now, what each output did, and what waits for a restart."""

    version: int
    evaluated: list[Evaluated]
    at_restart: list[str]


class Configuring:
    """Changes the configuration of a running engine.

    Args:
        scheduler: what runs the engine.
        asker: who asks.
    """

    def __init__(self, scheduler: Scheduler, asker: Asker = LOCAL) -> None:
        self.scheduler = scheduler
        self.engine = scheduler.engine
        self.asker = asker

    @property
    def path(self) -> Path:
        """The configuration file, wherever links to it lead."""
        return self.engine.configuration.path.resolve()

    def current(self) -> dict[str, Any]:
        """What runs, what is being edited, and whether the file was changed by hand since."""
        now, made = self.newest(), versions.candidate(self.engine.control)
        return {
            **now.as_dict(),
            "path": str(self.engine.configuration.path),
            "edited_by_hand": self.edited_by_hand(),
            "candidate": None if made is None else {**vars(made), "diff": diff(now.text, made.text)},
        }

    def edited_by_hand(self) -> bool:
        """Whether the file says something else than what was put to work."""
        return self._on_disk() != self.newest().text

    def save(self, text: str, *, base: int, revision: int, user: str) -> Candidate:
        """Keep a candidate.

        Args:
            text: the whole configuration, right or not; a hidden secret stays what it is in the text that it follows.
            base: the version it began from.
            revision: of the candidate that this one takes the place of; 0 if there was none.
            user: who edits.

        Raises:
            ConflictError: somebody else saved, or committed, in the meantime.
            RequestError: the text is too long.
            ConfigError: a hidden secret is not known.
        """
        if len(text) > _MOST_CHARACTERS:
            raise RequestError(f"the text has {len(text):,} characters", fix=f"{_MOST_CHARACTERS:,} are the most")
        self._still(base)
        made = Candidate(base, revision + 1, self.engine.clock(), user, self._whole(text))
        if not versions.keep_candidate(self.engine.control, made):
            raise ConflictError(
                "somebody else has saved the candidate meanwhile", fix="look at theirs, then edit again"
            )
        return made

    def check(self, text: str) -> dict[str, Any]:
        """Every problem of a text, as if it stood in the file; hidden secrets are what they are in the candidate."""
        path = self.engine.configuration.path
        try:
            parse(text, path)  # says the line of what is no YAML
            found = check_text(self._whole(text), path)
        except ConfigError as exc:
            found = Checked(None, [Problem("error", exc.where, exc.what, exc.fix)])
        problems = [vars(problem) for problem in found.problems]
        return {"ok": found.configuration is not None and not found.errors, "problems": problems}

    def commit(self, text: str, message: str, *, base: int, user: str, approve: bool = False) -> Committed:
        """Put a text to work, and write it to the file.

        Args:
            text: the whole configuration.
            message: why.
            base: the version it began from.
            user: who does it.
            approve: the plan has been seen: the guards let the first evaluation through.

        Raises:
            ConfigError: it cannot be used; what ran before runs on.
            ConflictError: another version was put to work, or the file edited by hand, since `base`.
            NotYoursError: it touches what is another team's.
            StoreError: the file cannot be written; what ran before runs on.
        """
        before = self._still(base)
        if self._on_disk() != before.text:
            raise ConflictError(
                "the file was edited by hand since it was put to work",
                where=str(self.path),
                fix="put that to work first (`tipline reload`), then edit again",
            )
        candidate = check_text(text, self.engine.configuration.path).usable()
        may_change(self.engine.configuration, candidate, self.asker)
        self.engine.check(candidate)
        refuse_moves(self.engine, candidate)
        self._write(text)
        if approve:
            approve_plan(self.engine, candidate, user)
        return self._apply(candidate, user, message)

    def revert(self, number: int, message: str, *, user: str, approve: bool = False) -> Committed:
        """Put an earlier version to work again, as a new one.

        Raises:
            RequestError: there is no such version.
        """
        told = message or f"back to version {number}"
        text = self.version(number).text
        return self.commit(text, told, base=self.newest().number, user=user, approve=approve)

    def reload(self, user: str, message: str = "") -> Committed:
        """Put to work what stands in the file now.

        Raises:
            ConfigError: it cannot be used; what ran before runs on.
        """
        text = self._on_disk()
        if text is None:
            raise ConfigError("it cannot be read", where=str(self.path), fix="check its permissions")
        candidate = check_text(text, self.engine.configuration.path).usable()
        refuse_moves(self.engine, candidate)
        return self._apply(candidate, user or "the file", message)

    def node(self, name: str) -> dict[str, Any]:
        """One node's settings as they stand in the file.

        Raises:
            RequestError: there is no such node in the file.
        """
        section = self._section(name)
        now = self.newest()
        body = node_text(now.text, section, name)
        return {"name": name, "section": section, "version": now.number, "text": body, "settings": settings_of(body)}

    def put_node(self, section: str, name: str, body: Mapping[str, Any] | str, message: str, **ways: Any) -> Committed:
        """Give a node (a new one, or one that is there) these settings (or their text), and commit."""
        there = self.engine.configuration.nodes().get(name)
        if there is not None and not self.asker.owns(there.settings):
            raise NotYoursError(f"{name} is another team's", fix="choose another name")
        now = self.newest().text
        if isinstance(body, str):
            text = put_node_text(now, section, name, body, replace=True)
        else:
            text = put_node(now, section, name, body, replace=True)
        return self.commit(text, message or f"{name} changed", **ways)

    def change(self, edit: Callable[[str], str], message: str, **ways: Any) -> Committed:
        """Change the text that runs, and commit."""
        return self.commit(edit(self.newest().text), message, **ways)

    def drop_node(self, name: str, message: str, **ways: Any) -> Committed:
        """Take a node out, and commit."""
        section = self._section(name)
        text = drop_node(self.newest().text, section, name)
        return self.commit(text, message or f"{name} removed", **ways)

    def _section(self, name: str) -> str:
        node = self.engine.configuration.nodes().get(name)
        if node is None or not self.asker.owns(node.settings):
            raise RequestError(f"there is no node {name} of yours", fix="check the name")
        return f"{node.sort}s"

    def history(self, limit: int, before: int | None) -> list[dict[str, Any]]:
        """Versions, newest first, without their texts."""
        return [each.as_dict(text=False) for each in versions.listed(self.engine.control, limit=limit, before=before)]

    def version(self, number: int) -> Version:
        """One version.

        Raises:
            RequestError: there is no such version.
        """
        found = versions.version(self.engine.control, number)
        if found is None:
            raise RequestError(f"there is no version {number} of the configuration", fix="see its history")
        return found

    def compared(self, number: int, with_: int | None) -> dict[str, Any]:
        """One version with what it changed against another one (the one before, if not said)."""
        found, other = self.pair(number, with_)
        return {**found.as_dict(), "diff": diff(other.text if other else "", found.text)}

    def pair(self, number: int, with_: int | None) -> tuple[Version, Version | None]:
        """A version, and the one to hold it against: the one before it (None: there is none), if not said."""
        found = self.version(number)
        other = versions.listed(self.engine.control, limit=1, before=number) if with_ is None else [self.version(with_)]
        return found, other[0] if other else None

    def newest(self) -> Version:
        """The version that runs.

        Raises:
            RequestError: the configuration did not come from a file.
        """
        found = versions.newest(self.engine.control)
        if found is None:
            raise RequestError("the configuration did not come from a file", fix="start tipline with one")
        return found

    def _whole(self, text: str) -> str:
        """A text with the secrets that were hidden from who wrote it.

        Raises:
            ConfigError: one is not known, or the text is no YAML.
        """
        if not (MASK in text or URL_MASK in text):
            return text
        before = versions.candidate(self.engine.control) or self.newest()
        return restore_text(text, before.text)

    def _still(self, base: int) -> Version:
        """The newest version, which must be `base`."""
        now = self.newest()
        if now.number != base:
            what = f"{now.actor} has put version {now.number} to work meanwhile"
            raise ConflictError(what, where=f"version {base}", fix="look at what changed, then edit again")
        return now

    def _on_disk(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None

    def _write(self, text: str) -> None:
        path = self.path
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            with replacing(path, mode) as new:
                new.file.write(text.encode())
        except OSError as exc:
            fix = "change it where it is kept, then `tipline reload`"
            reason = os.strerror(exc.errno or 0)
            raise StoreError(f"the file cannot be written: {reason}", where=str(path), fix=fix) from exc

    def _apply(self, candidate: Configuration, user: str, message: str) -> Committed:
        before = self.engine.configuration.settings
        waiting = [
            name for name in _AT_START if name != "data" and getattr(before, name) != getattr(candidate.settings, name)
        ]
        old = versions.newest(self.engine.control)
        evaluated = self.scheduler.reload(candidate, actor=user, message=message)
        number = self.newest().number
        detail = {"version": number, "before": old.number if old else None, "message": message}
        at, control = self.engine.clock(), self.engine.control
        audit(control, at, user, self.asker.team, "configure", f"version {number}", detail, address=self.asker.address)
        self._settle(old)
        return Committed(number, evaluated, waiting)

    def _settle(self, old: Version | None) -> None:
        """Forget the candidate if it says no more than what runs, or ran; what else somebody is editing stays."""
        made = versions.candidate(self.engine.control)
        if made is not None and made.text in {self.newest().text, old.text if old else ""}:
            versions.drop_candidate(self.engine.control)


def diff(old: str, new: str) -> str:
    """What changed, in the unified form."""
    return "".join(
        difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), "before", "after")
    )
