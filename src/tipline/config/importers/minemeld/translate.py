"""A whole MineMeld: miners, processors and outputs, wired as they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tipline.config.importers.minemeld import filters, lists, miners, outputs
from tipline.config.importers.minemeld.classes import Class, class_of
from tipline.config.importers.minemeld.nodes import Node, nodes_of
from tipline.config.importers.minemeld.tree import Tree, open_tree
from tipline.config.importers.report import Imported


def import_minemeld(path: Path, *, keep_blocking: bool = False, password: str | None = None) -> Imported:
    """Translate a MineMeld.

    Args:
        path: its local directory, its committed-config.yml, or a backup.
        keep_blocking: whether an action that blocks stays one.
        password: of a backup.

    Raises:
        ConfigError: it cannot be read.
        FormatError: it is no MineMeld's, or hostile.
    """
    tree = open_tree(path, password)
    return _Graph(tree, nodes_of(tree), keep_blocking=keep_blocking).translate()


@dataclass
class _Graph:
    """One MineMeld on its way; `stands` says which node yields what a node of MineMeld's did."""

    tree: Tree
    nodes: dict[str, Node]
    keep_blocking: bool
    made: Imported = field(default_factory=Imported)
    stands: dict[str, str] = field(default_factory=dict)
    allowing: set[str] = field(default_factory=set)
    names: filters.Names = field(default_factory=filters.Names)

    def translate(self) -> Imported:
        access = outputs.access_of(self.tree, self.made)
        found = {name: class_of(node.cls) for name, node in self.nodes.items()}
        for name, cls in found.items():
            if cls.sort == "processor":
                self.allowing |= set(self._leaves(self._allowed(self.nodes[name])))
        mined = [(self.nodes[name], cls) for name, cls in found.items() if cls.sort == "miner"]
        for node, cls in mined:
            self._source(node, cls)
        self.names = miners.names([node for node, _ in mined], self.made.sources)
        for node, _ in mined:
            self._filtered(node, node.name, "outfilters")
        for name, cls in found.items():
            if cls.sort == "processor":
                self._processor(self.nodes[name], cls.kind)
        for name, cls in found.items():
            if cls.sort == "output":
                self._output(self.nodes[name], cls.kind, access)
        return self.made

    def _prefixes(self, node: Node) -> tuple[str, ...]:
        given = node.config.get("whitelist_prefixes")
        return tuple(str(each) for each in given) if isinstance(given, list) else ()

    def _allowed(self, node: Node) -> list[str]:
        prefixes = self._prefixes(node)
        return [name for name in node.inputs if prefixes and name.startswith(prefixes)]

    def _leaves(self, names: list[str]) -> list[str]:
        """The miners behind some nodes."""
        found: list[str] = []
        pending, seen = list(names), set()
        while pending:
            name = pending.pop(0)
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            if class_of(self.nodes[name].cls).sort == "miner":
                found.append(name)
            else:
                pending += self.nodes[name].inputs
        return found

    def _source(self, node: Node, cls: Class) -> None:
        made = miners.source(node, self.made, cls.reader, cls.becomes.partition(" ([")[0])
        if made["kind"] == "local":
            lists.carry(node, self.tree, self.made, datetime.now(UTC))
        if node.name in self.allowing and node.cls in {"local.YamlURLFT", "local.YamlDomainFT"}:
            made["tags"] = [*made.get("tags", []), "exact"]
            self.made.say(node.name, "whitelist", "kept",
                          "the tag exact: it takes out the very value; without it, what lies below, too")  # fmt: skip
        self.made.sources[node.name] = made

    def _filtered(self, node: Node, name: str, which: str) -> None:
        """A filter behind a node; what reads the node reads the filter."""
        self.stands[node.name] = name
        where = self._where(node, which)
        if where is not None:
            after = f"{name}-out"
            self.made.processors[after] = {"kind": "filter", "inputs": name, "where": where}
            self.stands[node.name] = after

    def _where(self, node: Node, which: str) -> str | None:
        return filters.expression(node.config.get(which), partial(self.made.say, node.name, which), self.names)

    def _inputs(self, node: Node, without: list[str]) -> list[str]:
        found = []
        for name in node.inputs:
            if name in without:
                continue
            if name not in self.nodes:
                self.made.say(node.name, "inputs", "lost", f"there is no node {name}")
            elif class_of(self.nodes[name].cls).sort == "output":
                self.made.say(node.name, "inputs", "lost", f"{name} is an output")
            else:
                found.append(self.stands.get(name) or self._name_of(name))
        if not found:
            empty = f"{node.name}-empty"
            self.made.sources[empty] = {"kind": "local", "note": f"{node.name} had no inputs"}
            self.made.say(node.name, "inputs", "changed", f"it has none: {empty} stands for them")
            found = [empty]
        return list(dict.fromkeys(found))

    def _name_of(self, name: str) -> str:
        """A processor that comes later: by what its filter will be called."""
        rules = self.nodes[name].config.get("outfilters")
        return name if filters.expression(rules, lambda *_: None, self.names) is None else f"{name}-out"

    def _processor(self, node: Node, kind: str) -> None:
        allowed = self._allowed(node)
        inputs: Any = self._inputs(node, allowed)
        where = self._where(node, "infilters")
        if where is not None:
            before = f"{node.name}-in"
            self.made.processors[before] = {"kind": "filter", "inputs": inputs, "where": where}
            inputs = before
        body: dict[str, Any] = {"kind": kind, "inputs": inputs}
        if allowed:
            body["allow"] = self._leaves(allowed)
            self.made.say(node.name, "whitelist_prefixes", "translated", f"allow: {', '.join(body['allow'])}")
        self.made.processors[node.name] = body
        self._explain(node, kind)
        self._filtered(node, node.name, "outfilters")

    def _explain(self, node: Node, kind: str) -> None:
        self.made.say(node.name, "class", "translated", f"{node.cls}: {kind}")
        if kind == "ranges":
            self.made.say(
                node.name, "host bits", "changed", "10.0.0.5/24 is 10.0.0.0/24; MineMeld began at the address"
            )
        if node.cls.startswith("syslog."):
            self.made.say(
                node.name, "class", "lost", "nothing is matched with syslog: your SIEM reads the list instead"
            )
        if node.config.get("enable_list_merge"):
            self.made.say(node.name, "enable_list_merge", "kept", "lists are always merged, without repetitions")

    def _output(self, node: Node, kind: str, access: outputs.Access) -> None:
        where = self._where(node, "infilters")
        body = outputs.output(node, kind, access, self.made, keep_blocking=self.keep_blocking)
        body["inputs"] = self._inputs(node, [])
        if where is not None:
            body["where"] = where
        self.made.outputs[node.name] = body
