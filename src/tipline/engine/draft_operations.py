"""Operations on the candidate, node by node; each sees and changes what is theirs of it."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import Field

from tipline.config.builtins import reserved
from tipline.config.check import SECTIONS
from tipline.config.edit import dumped
from tipline.config.hidden import hide_text
from tipline.config.merge import Change, Side, changes, parts
from tipline.config.wiring import Problem
from tipline.engine.configuration_operations import ConfigurationOperations, committed
from tipline.engine.drafting import Draft, Drafting, digest, kind_of, shown, team_of
from tipline.engine.operation import operation
from tipline.engine.people import RequestError
from tipline.errors import ConfigError
from tipline.store import versions

SectionName = Literal["sources", "processors", "outputs"]
_WHOLE = 10_000  # lines around a change in a node's diff: all of them


class DraftOperations(ConfigurationOperations):
    """The candidate by its nodes: see, change, take back, try, put to work."""

    @operation
    def draft(self) -> dict[str, Any]:
        """What the candidate changes, who saved it, what was put to work since, and its problems."""
        drafting = self._drafting
        try:
            draft = drafting.now()
            found = self._changes(drafting, draft)
        except ConfigError as exc:
            return self._broken(exc)
        return {
            **self._about(draft),
            **found,
            "undecided": [_undecided(*pair) for pair in draft.undecided if drafting.mine(pair[0])],
            "edited_by_hand": self._configuring.edited_by_hand(),
        }

    @operation
    def draft_nodes(self) -> dict[str, Any]:
        """Every node of the candidate that is the asker's or that they may read, with what it reads."""
        drafting = self._drafting
        draft = drafting.now()
        changed = {each.name: each.op for each in draft.changes if each.section}
        configuration = drafting.checked(draft).configuration
        nodes = {} if configuration is None else configuration.nodes()
        built_in = set() if configuration is None else reserved(configuration)
        return {
            "nodes": [
                {
                    "name": name,
                    "sort": node.sort,
                    "kind": node.kind,
                    "team": node.settings.team,
                    "op": changed.get(name, ""),
                    "inputs": list(getattr(node.settings, "inputs", [])),
                    "allow": list(getattr(node.settings, "allow", [])),
                    "distribution": node.settings.distribution,
                }
                for name, node in nodes.items()
                if name not in built_in and self.asker.sees(node.settings)
            ]
        }

    @operation
    def draft_node(self, name: str) -> dict[str, Any]:
        """One node in the candidate: its settings as YAML without secrets, and what `draft_put` is to be told."""
        drafting = self._drafting
        draft = drafting.now()
        section, text = self._drafted(drafting, draft, name)
        return {
            "name": name,
            "section": section,
            "sort": SECTIONS[section],
            "kind": str(getattr(kind_of(section, text), "kind", "")),
            "team": team_of(text),
            "text": shown(section, text),
            "seen": digest(text),
            "running": name in self.engine.configuration.nodes(),
            "op": next((each.op for each in draft.changes if each.name == name), ""),
            "revision": draft.stored,
        }

    @operation
    def draft_put(
        self,
        section: SectionName,
        name: str,
        *,
        text: str | None = Field(default=None, max_length=1 << 20),
        settings: dict[str, Any] | None = None,
        seen: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Give a node its settings in the candidate; nothing of it runs yet.

        Args:
            section: where it stands.
            name: of the node; a new one, or one that is there.
            text: its settings as YAML; a hidden secret stays what it is.
            settings: instead of the text.
            seen: what `draft_node` said, so that nobody writes over somebody else's change; empty for a new node.
            user: who edits.
        """
        _, user = self._acting(None, user)
        body = dumped(settings or {}) if text is None else text
        return {"name": name, "seen": self._drafting.put(section, name, body, seen=seen, user=user)}

    @operation
    def draft_check(self, section: SectionName, name: str, text: str = Field(max_length=1 << 20)) -> dict[str, Any]:
        """The problems that a node of the candidate would have with these settings; nothing is saved.

        Args:
            section: where it stands.
            name: of the node.
            text: its settings as YAML.
        """
        drafting = self._drafting
        found = drafting.node_problems(drafting.now(), section, name or "new", text)
        return {"problems": [_of_node(each, name) for each in found]}

    @operation
    def draft_drop(self, name: str, seen: str, user: str = "") -> dict[str, Any]:
        """Take a node out of the candidate; it runs on until that is put to work."""
        _, user = self._acting(None, user)
        self._drafting.drop(name, seen=seen, user=user)
        return {"removed": name}

    @operation
    def draft_undo(self, name: str, user: str = "") -> dict[str, Any]:
        """Take back what the candidate changes of a node."""
        _, user = self._acting(None, user)
        self._drafting.undo(name, user=user)
        return {"undone": name}

    @operation
    def draft_discard(self, user: str = "") -> dict[str, Any]:
        """Forget all that the asker may change of the candidate."""
        _, user = self._acting(None, user)
        self._drafting.discard(user=user)
        return {}

    @operation
    def draft_decide(self, prefer: dict[str, Side], user: str = "") -> dict[str, Any]:
        """Say which change holds where the candidate and a version put to work since changed the same node.

        Args:
            prefer: by node: `ours` (the candidate's) or `theirs` (the version's).
            user: who decides.
        """
        _, user = self._acting(None, user)
        self._drafting.decide(prefer, user=user)
        return self.draft()

    @operation
    def draft_text(self) -> dict[str, Any]:
        """The whole candidate as text without secrets."""
        self._whole_file()
        draft = self._drafting.now()
        return {**self._about(draft), "text": hide_text(draft.text)}

    @operation
    def draft_plan(self) -> dict[str, Any]:
        """What putting the candidate to work would add to and remove from every output, with samples."""
        drafting = self._drafting
        draft = drafting.now()
        found = self.plan(drafting.own_text(draft), str(self.engine.configuration.path))
        return {**self._about(draft), **found}

    @operation
    def draft_commit(self, message: str, revision: int, *, approve: bool = False, user: str = "") -> dict[str, Any]:
        """Put the candidate to work, as far as it is the asker's; the rest stays a candidate.

        Args:
            message: why.
            revision: of the candidate that the asker looked at.
            approve: let what the plan showed pass the guards.
            user: who does it.
        """
        _, user = self._acting(None, user)
        return committed(self._drafting.commit(message, revision=revision, user=user, approve=approve))

    @operation
    def version_shown(self, version: int, against: int | None = None) -> dict[str, Any]:
        """One version without its secrets: what it changed, node by node.

        Args:
            version: its number.
            against: another version to hold it against; the one before it, if not said.
        """
        self._whole_file()
        found, older = self._configuring.pair(version, against)
        changed = changes(older.text if older else "", found.text)
        other = older.number if older else None
        return {**found.as_dict(text=False), "against": other, "changes": [_change(each) for each in changed]}

    def _drafted(self, drafting: Drafting, draft: Draft, name: str) -> tuple[str, str]:
        for (section, each), text in parts(draft.text).items():
            if each == name and section and drafting.mine(Change(section, name, text, text)):
                return section, text
        raise RequestError(f"there is no node {name[:100]} of yours", fix="look at the pipeline")

    def _changes(self, drafting: Drafting, draft: Draft) -> dict[str, Any]:
        mine = [each for each in draft.changes if drafting.mine(each)]
        checked = drafting.checked(draft)
        problems = drafting.about_mine(draft, checked.problems)
        return {
            "changes": [_change(each) for each in mine],
            "others": len(draft.changes) - len(mine),
            "only_remarks": draft.made is not None and not draft.changes,
            "ok": checked.configuration is not None and not checked.errors,
            "problems": [_problem(each) for each in problems],
        }

    def _about(self, draft: Draft) -> dict[str, Any]:
        made, newest = draft.made, draft.newest
        since = versions.listed(self.engine.control, limit=20) if made else []
        return {
            "version": newest.number,
            "revision": draft.stored,
            "base": made.base if made else newest.number,
            "actor": made.actor if made else "",
            "at": made.at if made else None,
            "since": [each.as_dict(text=False) for each in since if made and each.number > made.base],
        }

    def _broken(self, exc: ConfigError) -> dict[str, Any]:
        """What is said of a candidate that is no YAML: somebody saved it through the API."""
        made, newest = versions.candidate(self.engine.control), self._configuring.newest()
        problem = Problem("error", exc.where, exc.what, exc.fix)
        about = self._about(Draft(newest, made, "", made.revision if made else 0))
        empty: dict[str, Any] = {"changes": [], "others": 0, "only_remarks": False, "undecided": []}
        by_hand = self._configuring.edited_by_hand()
        return {**about, **empty, "ok": False, "problems": [_problem(problem)], "edited_by_hand": by_hand}

    @property
    def _drafting(self) -> Drafting:
        return Drafting(self.scheduler, self.asker)


def _change(change: Change) -> dict[str, Any]:
    before, after = shown(change.section, change.before), shown(change.section, change.after)
    text = change.before if change.after is None else change.after
    return {
        "section": change.section,
        "name": change.name,
        "op": change.op,
        "kind": str(getattr(kind_of(change.section, text or ""), "kind", "")) if change.section else "",
        "team": team_of(text or "") if change.section else "",
        "diff": _lines(before or "", after or ""),
        "hidden": before == after,
    }


def _undecided(ours: Change, theirs: Change) -> dict[str, Any]:
    return {
        "section": ours.section,
        "name": ours.name,
        "ours": {"op": ours.op, "text": shown(ours.section, ours.after)},
        "theirs": {"op": theirs.op, "text": shown(theirs.section, theirs.after)},
    }


def _lines(before: str, after: str) -> list[str]:
    """Every line of two texts, with ` `, `+` or `-` before it."""
    made = difflib.unified_diff(before.splitlines(), after.splitlines(), n=_WHOLE, lineterm="")
    return [line for number, line in enumerate(made) if number > 2] or [f" {line}" for line in after.splitlines()]


def _of_node(problem: Problem, name: str) -> dict[str, Any]:
    path = ".".join(map(str, problem.place[2:]))
    what = problem.what.removeprefix(f"{name}.{path}: ").removeprefix(f"{name}: ")
    line = int(problem.where) if problem.where.isdigit() else None
    return {"severity": problem.severity, "line": line, "path": path, "what": what, "fix": problem.fix}


def _problem(problem: Problem) -> dict[str, Any]:
    return {**vars(problem), "place": list(problem.place)}
