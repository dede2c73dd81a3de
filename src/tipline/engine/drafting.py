"""The candidate, edited node by node: by several people and teams at once, each their own nodes.

There is one candidate. What somebody puts to work is what they may change of it; the rest stays a candidate. When
another version was put to work meanwhile, the candidate's changes are made in that one, and where both changed the same
node, somebody says which holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import indent
from typing import Any

from tipline.config.check import NAME, SECTIONS, Checked, check_document, check_text
from tipline.config.edit import drop_node, put_node_text, settings_of
from tipline.config.hidden import MASK, hide_node, hide_text, restore_node
from tipline.config.merge import Change, Side, applied, changes, merged, parts
from tipline.config.wiring import Problem
from tipline.config.yamlfile import Document, parse
from tipline.engine.asker import LOCAL, Asker
from tipline.engine.configuring import Committed, Configuring, ConflictError
from tipline.engine.people import RequestError
from tipline.engine.schedule import Scheduler
from tipline.engine.visible import NotYoursError
from tipline.errors import ConfigError
from tipline.kinds import Kind, kinds
from tipline.store import versions
from tipline.store.versions import Candidate, Version

_TRIES = 3
_HEAD = 2  # lines that stand above a node's settings, when it is looked at alone


@dataclass(frozen=True)
class Draft:
    """The candidate as it stands on the newest version.

    Attributes:
        newest: the version that runs.
        made: what people saved; None: nothing is being edited.
        text: the candidate (what runs, if there is none).
        stored: the revision of what is kept; 0: nothing is.
        undecided: what both it and a version that was put to work since have changed: (candidate's, version's).
    """

    newest: Version
    made: Candidate | None
    text: str
    stored: int = 0
    undecided: list[tuple[Change, Change]] = field(default_factory=list)

    @cached_property
    def changes(self) -> list[Change]:
        """What it changes.

        Raises:
            ConfigError: it is not YAML.
        """
        return changes(self.newest.text, self.text)


class Drafting:
    """Edits of the candidate.

    Args:
        scheduler: what runs the engine.
        asker: who asks.
    """

    def __init__(self, scheduler: Scheduler, asker: Asker = LOCAL) -> None:
        self.engine = scheduler.engine
        self.asker = asker
        self.configuring = Configuring(scheduler, asker)

    def now(self) -> Draft:
        """The candidate.

        Raises:
            ConfigError: another version was put to work, and the candidate is not YAML that could be brought there.
        """
        newest, made = self.configuring.newest(), versions.candidate(self.engine.control)
        if made is None:
            return Draft(newest, None, newest.text)
        if made.base == newest.number:
            return Draft(newest, None if made.text == newest.text else made, made.text, made.revision)
        text, undecided = self._merged(made, newest, {})
        if undecided:
            return Draft(newest, made, made.text, made.revision, undecided)
        return Draft(newest, None if text == newest.text else made, text, made.revision)

    def put(self, section: str, name: str, text: str, *, seen: str, user: str) -> str:
        """Give a node these settings in the candidate.

        Args:
            section: `sources`, `processors` or `outputs`.
            name: of the node.
            text: its settings as YAML, perhaps with hidden secrets.
            seen: the digest of its text when the editing began; empty for a new node.
            user: who edits.

        Returns:
            The digest of what stands there now.

        Raises:
            ConflictError: somebody else changed that node, or the same has to be decided first.
            ConfigError: the text is not settings, the name is taken, or a hidden secret is not known.
            NotYoursError: the node is another team's.
        """
        if not NAME.fullmatch(name):
            raise RequestError(f"{name[:100]!r} is no name for a node", fix="use letters, digits, - _ and .")
        written = [""]

        def put(draft: Draft) -> str:
            self._still(draft, section, name, seen)
            before = parts(draft.text).get((section, name), "")
            written[0] = restore_node(text, before, kind_of(section, text))
            self._may(section, name, before, written[0])
            return put_node_text(draft.text, section, name, written[0], replace=True)

        self._change(put, user)
        return digest(written[0])

    def drop(self, name: str, *, seen: str, user: str) -> None:
        """Take a node out of the candidate.

        Raises:
            ConflictError: somebody else changed it.
            RequestError: there is no such node.
            NotYoursError: it is another team's.
        """

        def drop(draft: Draft) -> str:
            section, before = self._found(draft, name)
            self._still(draft, section, name, seen)
            self._may(section, name, before, before)
            return drop_node(draft.text, section, name)

        self._change(drop, user)

    def undo(self, name: str, *, user: str) -> None:
        """Take back what the candidate changes of one node (or setting of the whole file).

        Raises:
            RequestError: it changes nothing of it.
            NotYoursError: it is another team's.
        """

        def undo(draft: Draft) -> str:
            found = next((each for each in draft.changes if each.name == name), None)
            if found is None:
                raise RequestError(f"the candidate changes nothing of {name[:100]}", fix="look at its changes")
            if not self.mine(found):
                raise NotYoursError(f"{name} is another team's", fix="leave it to them")
            return applied(draft.text, [Change(found.section, found.name, found.after, found.before)])

        self._change(undo, user)

    def discard(self, *, user: str) -> None:
        """Forget what is the asker's to change in the candidate: all of it, where that is so."""
        made = versions.candidate(self.engine.control)
        if made is not None and not self._whole(made.text):
            self._change(lambda draft: applied(draft.newest.text, [c for c in draft.changes if not self.mine(c)]), user)
        else:
            versions.drop_candidate(self.engine.control)

    def decide(self, prefer: Mapping[str, Side], *, user: str) -> None:
        """Bring the candidate to the newest version, where both changed the same node.

        Args:
            prefer: by node: `ours` the candidate's, `theirs` the version's.
            user: who decides.

        Raises:
            ConflictError: something is still undecided.
        """

        def decide(draft: Draft) -> str:
            if draft.made is None or not draft.undecided:
                return draft.text
            text, undecided = self._merged(draft.made, draft.newest, prefer)
            if undecided:
                raise ConflictError(f"say which holds: {_names(undecided)}", fix="choose for each")
            return text

        self._change(decide, user, decided=True)

    def own_text(self, draft: Draft) -> str:
        """The newest version with what the asker may change of the candidate.

        Raises:
            ConflictError: something has to be decided first.
        """
        self._decided(draft)
        if self._whole(draft.text):
            return draft.text
        return applied(draft.newest.text, [each for each in draft.changes if self.mine(each)])

    def commit(self, message: str, *, revision: int, user: str, approve: bool = False) -> Committed:
        """Put the candidate to work, as far as the asker may.

        Args:
            message: why.
            revision: of the candidate that they looked at.
            user: who does it.
            approve: the plan has been seen: the guards let it through.

        Raises:
            ConflictError: somebody saved the candidate since, or something has to be decided first.
        """
        draft = self.now()
        if draft.made is None:
            raise RequestError("nothing is being edited", fix="change something first")
        if draft.stored != revision:
            raise ConflictError(f"{draft.made.actor} has changed the candidate since", fix="look at its plan again")
        text = self.own_text(draft)
        return self.configuring.commit(text, message, base=draft.newest.number, user=user, approve=approve)

    def checked(self, draft: Draft) -> Checked:
        """The candidate with its problems."""
        return check_text(draft.text, self.engine.configuration.path)

    def node_problems(self, draft: Draft, section: str, name: str, text: str) -> list[Problem]:
        """The problems that a node would have with other settings; `where` is a line of these alone.

        Args:
            draft: the candidate.
            section: where the node stands.
            name: of the node.
            text: its settings, perhaps with hidden secrets.
        """
        path = self.engine.configuration.path
        try:
            _alone(section, name, text, path)  # says the line of what is no YAML
            whole = restore_node(text, parts(draft.text).get((section, name), ""), kind_of(section, text))
            alone = _alone(section, name, whole, path)
        except ConfigError as exc:
            line = exc.where.rpartition(":")[2]
            at = str(max(1, int(line) - _HEAD)) if line.isdigit() else ""
            return [Problem("error", at, exc.what, exc.fix, (section, name, *_setting(exc.where)))]
        found = check_document(_with_node(_parsed(draft.text, path), alone, section, name))
        problems = [each for each in found.problems if each.place[:2] == (section, name)]
        running = self.engine.configuration.nodes().get(name)
        if running is not None and running.kind != (_settings(whole).get("kind") or running.kind):
            what = f"{name} is a {running.kind} {running.sort}, and stays one"
            problems.append(Problem("error", "", what, "add another node for another kind", (section, name, "kind")))
        lines = (str(max(1, alone.line(each.place) - _HEAD)) for each in problems)
        return [replace(each, where=line) for each, line in zip(problems, lines, strict=True)]

    def about_mine(self, draft: Draft, problems: list[Problem]) -> list[Problem]:
        """The problems that concern what the asker may change, or all where that is everything."""
        if self._whole(draft.text):
            return problems
        there = parts(draft.text)
        return [
            each
            for each in problems
            if len(each.place) > 1 and self._owns(there.get((str(each.place[0]), str(each.place[1])), ""))
        ]

    def mine(self, change: Change) -> bool:
        """Whether a change is the asker's to make: of settings of the whole file, nobody's who has but one team."""
        sides = [text for text in (change.before, change.after) if text is not None]
        return self.asker.everywhere or (bool(change.section) and all(map(self._owns, sides)))

    def _whole(self, text: str) -> bool:
        """Whether everything in a text is the asker's, but for settings of the whole file."""
        if self.asker.everywhere:
            return True
        try:
            there = {**parts(self.configuring.newest().text), **parts(text)}
        except ConfigError:
            return all(self.asker.owns(node.settings) for node in self.engine.configuration.nodes().values())
        return all(self._owns(body) for (section, _), body in there.items() if section)

    def _owns(self, text: str) -> bool:
        return self.asker.everywhere or team_of(text) == self.asker.team

    def _may(self, section: str, name: str, before: str, after: str) -> None:
        running = self.engine.configuration.nodes().get(name)
        if running is not None and not self.asker.owns(running.settings):
            raise NotYoursError(f"{name} is another team's", fix="choose another name")
        if not self.mine(Change(section, name, before or None, after)):
            raise NotYoursError(f"{name} is not of team {self.asker.team}", fix=f"write team: {self.asker.team}")

    def _still(self, draft: Draft, section: str, name: str, seen: str) -> None:
        there = parts(draft.text).get((section, name))
        if seen == ("" if there is None else digest(there)):
            return
        if not seen:
            raise ConfigError(f"there is a node {name} already", fix="choose another name")
        last = draft.made or draft.newest
        who = f"; the last who changed anything is {last.actor}, {last.at:%Y-%m-%d %H:%M} UTC" if last.actor else ""
        what = f"{name} was changed since you began{who}"
        raise ConflictError(what, where=name, fix="look at theirs, then make your change in it")

    def _found(self, draft: Draft, name: str) -> tuple[str, str]:
        found = [(section, text) for (section, each), text in parts(draft.text).items() if each == name and section]
        if not found:
            raise RequestError(f"there is no node {name[:100]}", fix="look at the pipeline")
        return found[0]

    def _merged(
        self, made: Candidate, newest: Version, prefer: Mapping[str, Side]
    ) -> tuple[str, list[tuple[Change, Change]]]:
        base = self.configuring.version(made.base)
        return merged(base.text, made.text, newest.text, prefer)

    @staticmethod
    def _decided(draft: Draft) -> None:
        if draft.undecided:
            what = f"version {draft.newest.number} of {draft.newest.actor} changed the same: {_names(draft.undecided)}"
            raise ConflictError(what, fix="say which change holds first")

    def _change(self, make: Callable[[Draft], str], user: str, *, decided: bool = False) -> None:
        """Save what is made of the candidate; made again, if somebody else saved at the same moment."""
        control = self.engine.control
        for _ in range(_TRIES):
            draft = self.now()
            if not decided:
                self._decided(draft)
            text = make(draft)
            if text == draft.newest.text:
                versions.drop_candidate(control)
                return
            made = Candidate(draft.newest.number, draft.stored + 1, self.engine.clock(), user, text)
            if versions.keep_candidate(control, made):
                return
        raise ConflictError("somebody else saves the candidate all the time", fix="try again")


@lru_cache(maxsize=4)
def _parsed(text: str, path: Path) -> Document:
    """The other nodes while one is being edited: their references are looked up once."""
    return parse(text, path)


def _alone(section: str, name: str, text: str, path: Path) -> Document:
    return parse(f"{section}:\n  {name}:\n{indent(text, '    ')}", path)


def _with_node(document: Document, alone: Document, section: str, name: str) -> Document:
    """A document with one node of another one."""
    nodes = {**(document.data.get(section) or {}), **(alone.data.get(section) or {})}
    lines = {place: line for place, line in document.lines.items() if place[:2] != (section, name)}
    return replace(
        document, data={**document.data, section: nodes}, lines={**lines, **alone.lines}, missing=alone.missing
    )


def _setting(where: str) -> tuple[str, ...]:
    """The path of a setting, where an error is about one."""
    return tuple(where.split(".")) if where and ":" not in where else ()


def digest(text: str) -> str:
    """Of a node's text, to tell whether it is still the same."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def team_of(text: str) -> str:
    """The team that a node's text names."""
    return str(_settings(text).get("team") or "default")


def kind_of(section: str, text: str) -> type[Kind[Any]] | None:
    """The kind that a node's text names; None: there is no such."""
    return kinds(SECTIONS[section]).get(str(_settings(text).get("kind")))


def shown(section: str, text: str | None) -> str | None:
    """A node's (or setting's) text for people: without its secrets."""
    if text is None:
        return None
    try:
        return hide_node(text, kind_of(section, text)) if section else hide_text(text)
    except ConfigError:
        return MASK


def _settings(text: str) -> Mapping[str, Any]:
    try:
        return settings_of(text)
    except ConfigError:
        return {}


def _names(undecided: list[tuple[Change, Change]]) -> str:
    return ", ".join(one.name for one, _ in undecided)
