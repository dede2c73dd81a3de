"""The form of a feed: what is asked of people who add or change one, whatever page asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from tipline.config.edit import edited, flow, settings_of
from tipline.config.hidden import hide_node
from tipline.engine.people import RequestError
from tipline.kinds import Kind, Sort, kinds
from tipline.web.forms import PREFIX, Field, Group, form, write
from tipline.web.page import Fields, Page

# What MISP's form of a feed asks for, in its order, where a kind has it; then what every source has.
_ORDER = (
    "url", "columns.value", "header", "delimiter", "dialect", "rows", "fields.value", "ignore", "type", "types",
    "event_tags.any", "event_tags.none", "organisations.any", "organisations.none", "max_age",
    "every", "mode", "expire", "actionable", "tlp", "confidence", "distribution", "team", "tags", "enabled",
    "event.fixed", "event.publish", "note",
)  # fmt: skip
_SIGN_IN = ("headers", "basic.username", "basic.password", "bearer", "api_key.header", "api_key.value")
# What people who come from MISP know a setting by.
_MISP = {
    "mode": "MISP's delta merge is `snapshot`.",
    "actionable": "`false` is MISP's override of the IDS flag.",
    "distribution": "As in MISP: your organisation, this server, all.",
    "columns.value": "MISP's value field.",
    "ignore": "MISP's exclusion regex.",
    "every": "MISP's frequency of the scheduled task.",
    "enabled": "Switched off, a feed keeps what it holds.",
}
_REFERENCE = re.compile(r"\$\{env:[^}]*\}")


@dataclass
class Draft:
    """A feed in the making.

    Attributes:
        name: of the source.
        text: its settings as YAML.
        kind: that they name.
        needs: settings that have to be given.
        problems: what is wrong, by the path of a setting.
    """

    name: str
    text: str
    kind: type[Kind[Any]]
    needs: list[str] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether something has to be corrected."""
        return bool(self.problems)

    def _by_field(self) -> dict[str, list[str]]:
        """The problems by the fields that show them: those of a part stand beside the whole."""
        paths = {each.path for group in form(self.kind, settings_of(self.text)) for each in group.fields}
        found: dict[str, list[str]] = {}
        for path, texts in self.problems.items():
            at = path
            while at and at not in paths:
                at = at.rpartition(".")[0]
            found.setdefault(at, []).extend(texts)
        return found

    @property
    def general(self) -> list[str]:
        """The problems that belong to no field."""
        return self._by_field().get("", [])

    def chosen(self, paths: Iterable[str]) -> list[Field]:
        """Some fields of the form, in this order."""
        found = form(self.kind, settings_of(self.text), problems=self._by_field())
        fields = {each.path: each for group in found for each in group.fields}
        return [fields[path] for path in paths]

    def groups(self) -> list[Group]:
        """The form: what people usually set first, the sign-in behind it, then everything else."""
        found = form(self.kind, settings_of(self.text), problems=self._by_field())
        fields = {each.path: each for group in found for each in group.fields}
        for path in self.needs:
            if path in fields:
                fields[path].required = True
        for path, words in _MISP.items():
            if path in fields:
                fields[path].help += f" {words}"
        first = [path for path in dict.fromkeys([*self.needs, *_ORDER]) if path in fields]
        sign_in = [path for path in _SIGN_IN if path in fields and path not in first]
        taken = {*first, *sign_in}
        rest = [
            Group(
                "More of this kind" if each.essential else each.title, [f for f in each.fields if f.path not in taken]
            )
            for each in found
        ]
        made = [Group("The feed", [fields[path] for path in first], essential=True)]
        if sign_in:
            made.append(Group("Signing in: secrets are kept encrypted, and never shown again",
                              [fields[path] for path in sign_in]))  # fmt: skip
        return made + [Group(each.title, each.fields) for each in rest if each.fields]


def draft_of(
    settings: Mapping[str, Any] | str,
    name: str,
    sent: Fields | None = None,
    *,
    needs: Iterable[str] = (),
    before: str | None = None,
    sort: Sort = "source",
) -> Draft:
    """A feed with what a form said of it.

    Args:
        settings: what it began from, or the same as YAML text.
        name: of the source.
        sent: the form; None: none was sent yet.
        needs: settings that have to be given.
        sort: of the node.
        before: the text that the form was made of, if that is another one: only what differs from it is said.

    Raises:
        RequestError: its kind is none.
    """
    text = settings if isinstance(settings, str) else edited("", lambda there: _fill(there, settings))
    wanted = list(needs)
    text = edited(text, lambda there: _blank(there, wanted))
    kind = kind_of(str(settings_of(text).get("kind", "")), sort)
    made = Draft(name, text, kind, wanted)
    if sent is None:
        return made
    unsaid = {} if before is None else _texts(kind, before)
    given = {path: sent.all(path) for path in sent.names() if path.startswith(PREFIX)}
    given = {path: values for path, values in given.items() if _plain("\n".join(values)) != unsaid.get(path)}
    made.text = edited(text, lambda there: made.problems.update(write(there, kind.Settings, given)))
    for path in wanted:
        if not any(given.get(PREFIX + path, [])):
            made.problems.setdefault(path, []).append("this has to be given")
    if not made.problems:
        made.problems.update(_problems(kind, settings_of(made.text)))
    return made


def shown(page: Page, draft: Draft, into: list[str] | None = None) -> dict[str, Any]:
    """What the templates of the form are given."""
    groups = draft.groups()
    return {
        "name": draft.name,
        "kind": draft.kind.kind,
        "about": draft.kind.summary(),
        "groups": groups,
        "general": draft.general,
        "yaml": hide_node(draft.text, draft.kind),
        "readers": readers(page),
        "chosen": usual_readers(page) if into is None else into,
    }


def readers(page: Page) -> list[dict[str, Any]]:
    """The nodes that may read what is added; nobody else's."""
    if not page.person.may("editor"):
        return []
    found: list[dict[str, Any]] = page.operations.call("feed_readers", {})["readers"]
    return found


def usual_readers(page: Page) -> list[str]:
    """The node that merges, if there is just one: what is added goes there unless somebody says otherwise."""
    merging = [each["name"] for each in readers(page) if each["kind"] == "aggregate"]
    return merging if len(merging) == 1 else []


def kind_of(word: str, sort: Sort = "source") -> type[Kind[Any]]:
    """A kind of node.

    Raises:
        RequestError: there is none of that name.
    """
    known = kinds(sort)
    if word not in known:
        raise RequestError(f"there is no kind of {sort} {word!r}", fix=f"there are: {', '.join(known)}")
    return known[word]


def _texts(kind: type[Kind[Any]], text: str) -> dict[str, str]:
    """What a form made of a text says, by the names of its fields."""
    return {each.name: _plain(each.text) for group in form(kind, settings_of(text)) for each in group.fields}


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _fill(there: Any, settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        there[key] = flow(value)


def _blank(there: Any, paths: list[str]) -> None:
    """Take out what only stands for something that people have to give (`${env:...}`)."""
    for path in paths:
        *outer, last = path.split(".")
        holder = there
        for part in outer:
            holder = holder.get(part, {})
        value = holder.get(last)
        if isinstance(value, str) and _REFERENCE.search(value):
            del holder[last]


def _problems(kind: type[Kind[Any]], settings: Any) -> dict[str, list[str]]:
    """What is wrong with whole settings, by their path; references are looked up when they are put to work."""
    try:
        kind.Settings.model_validate(settings)
    except ValidationError as exc:
        found: dict[str, list[str]] = {}
        for each in exc.errors(include_url=False, include_input=False):
            path = ".".join(str(part) for part in each["loc"] if not str(part).startswith("function-"))
            found.setdefault(path, []).append(each["msg"].removeprefix("Value error, "))
        return found
    return {}
