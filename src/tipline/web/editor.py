"""The editor of one node: its settings as a form and as YAML, each made from the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tipline.config.check import SECTIONS
from tipline.config.edit import dumped, edited, settings_of
from tipline.config.library import source_of
from tipline.engine.people import RequestError
from tipline.errors import ConfigError
from tipline.kinds import Kind, Sort, kinds
from tipline.web.forms import Choice, Group, form, write
from tipline.web.page import Fields, Page

SECTION_OF = {sort: section for section, sort in SECTIONS.items()}


@dataclass
class Node:
    """A node in the making.

    Attributes:
        section: where it stands.
        name: of the node; empty while it has none.
        text: its settings as YAML, without secrets.
        seen: what the candidate had when the editing began; empty for a new node.
        problems: each with its line, the path of its setting, and what it is.
    """

    section: str
    name: str
    text: str
    seen: str = ""
    problems: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sort(self) -> Sort:
        """Its sort."""
        return SECTIONS[self.section]

    @property
    def kind(self) -> type[Kind[Any]] | None:
        """Its kind, as its text says; None: there is none such."""
        try:
            return kinds(self.sort).get(str(settings_of(self.text).get("kind")))
        except ConfigError:
            return None


def of_form(sent: Fields) -> Node:
    """The node that the editor's form is about: from its fields, or from its YAML, whichever was edited last.

    Raises:
        RequestError: it is none of the editor's.
    """
    section = sent["section"]
    if section not in SECTIONS:
        raise RequestError("there is no such section", fix="begin at the pipeline")
    node = Node(section, sent["name"], sent.whole("yaml").replace("\r\n", "\n"), sent["seen"])
    kind = node.kind
    if sent["by"] != "yaml" and kind is not None:
        texts = {name: sent.all(name) for name in sent.names() if name.startswith("set.")}
        unread: dict[str, list[str]] = {}
        node.text = edited(node.text, lambda settings: unread.update(write(settings, kind.Settings, texts)))
        node.problems = [_unread(path, what) for path, texts in unread.items() for what in texts]
    return node


def blank(page: Page, sort: Sort, kind: str) -> Node:
    """A new node of a kind.

    Raises:
        RequestError: there is no such kind.
    """
    known = kinds(sort)
    if kind not in known:
        raise RequestError(f"there is no {sort} kind {kind[:100]}", fix="choose one of the list")
    return Node(SECTION_OF[sort], "", dumped({"kind": kind, **_team(page)}))


def from_library(page: Page, name: str) -> Node:
    """A new node made of an entry of the library."""
    return Node("sources", name, dumped({**source_of(name, {}), **_team(page)}))


def check(page: Page, node: Node) -> None:
    """Find the problems of a node beside those of its form."""
    arguments = {"section": node.section, "name": node.name, "text": node.text}
    node.problems += page.operations.call("draft_check", arguments)["problems"]


def fields(page: Page, node: Node) -> list[Group]:
    """The form of a node; empty if its kind is not known, or its YAML none."""
    kind = node.kind
    if kind is None:
        return []
    problems: dict[str, list[str]] = {}
    for each in node.problems:
        problems.setdefault(each["path"], []).append(each["what"])
    return form(kind, settings_of(node.text), problems=problems, nodes=choices(page, node))


def choices(page: Page, node: Node) -> dict[str, list[Choice]]:
    """What a node can read, and take out by; with why, where it cannot."""
    if node.section == "sources":
        return {}
    known = {each["name"]: each for each in page.operations.call("draft_nodes", {})["nodes"]}
    held = {each["name"]: each["indicators"] for each in page.operations.call("status", {})["nodes"]}
    team = str(settings_of(node.text).get("team") or "default")
    below = _below(node.name, known)
    inputs, allow = [], []
    for name, each in known.items():
        if each["sort"] == "output" or name == node.name:
            continue
        about = _about(each, held.get(name))
        apart = each["team"] != team and each["distribution"] == "team"
        why = f"team {each['team']} keeps it to itself" if apart else ""
        read = _used(known, node.name, name, "allow")
        inputs.append(Choice(name, about, why or ("would make a loop" if name in below else "") or read))
        if each["sort"] == "source":
            allow.append(Choice(name, about, why or _used(known, node.name, name, "inputs")))
    return {"inputs": inputs, "allow": allow}


def _used(known: Mapping[str, Mapping[str, Any]], reader: str, name: str, word: str) -> str:
    """Why a source that other nodes read in the other way cannot be chosen."""
    if not any(name in each[word] for other, each in known.items() if other != reader):
        return ""
    return "is an allow-list elsewhere" if word == "allow" else "is read as a feed elsewhere"


def _below(name: str, known: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The nodes that read a node, and those that read them."""
    found: set[str] = set()
    pending = [name]
    while pending:
        readers = {other for other, each in known.items() if pending[-1] in each["inputs"]} - found
        pending.pop()
        found |= readers
        pending += readers
    return found


def _about(node: Mapping[str, Any], held: int | None) -> str:
    size = "" if held is None else f", {held:,}"
    return f"{node['kind']} {node['sort'] if node['sort'] != node['kind'] else ''}".strip() + size


def _team(page: Page) -> dict[str, str]:
    team = page.person.team
    return {} if team == "default" or page.person.everywhere else {"team": team}


def _unread(path: str, what: str) -> dict[str, Any]:
    return {"severity": "error", "line": None, "path": path, "what": what, "fix": ""}
