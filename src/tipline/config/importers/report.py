"""What an import yields: a configuration, the secrets that it names, and what became of each setting."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Literal

from ruamel.yaml import YAML

# Kept as it is; translated; done in another way, so that results may differ; set aside for later; not translatable.
Outcome = Literal["kept", "translated", "changed", "later", "lost"]
# Where secrets go, beside the configuration.
SECRETS = "secrets"


@dataclass(frozen=True)
class Note:
    """What became of one setting.

    Attributes:
        node: name of the node that it is about; empty: of the whole.
        setting: its name in the other tool.
        outcome: what became of it.
        sentence: for people.
    """

    node: str
    setting: str
    outcome: Outcome
    sentence: str


@dataclass
class Imported:
    """A configuration in the making.

    Attributes:
        top: settings of the top level.
        sources, processors, outputs: nodes by name.
        notes: what became of each setting.
        secrets: values of the `${env:...}` that it names.
        files: values of the `${file:secrets/...}` that it names, by path beside the configuration.
        needed: what a person has to give before it works.
    """

    top: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    processors: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    files: dict[str, str] = field(default_factory=dict, repr=False)
    needed: list[str] = field(default_factory=list)

    def say(self, node: str, setting: str, outcome: Outcome, sentence: str) -> None:
        """Note what became of a setting, once."""
        note = Note(node, setting, outcome, sentence)
        if note not in self.notes:
            self.notes.append(note)

    def secret_file(self, name: str, value: str | None) -> str:
        """The reference to a secret in a file of its own; without a value, somebody has to put it there."""
        path = f"{SECRETS}/{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}"
        if value is None:
            self.needed.append(f"put the secret into {path}, readable by its owner alone")
        else:
            self.files[path] = value
        return f"${{file:{path}}}"

    def nodes(self) -> set[str]:
        """Names that are taken."""
        return {*self.sources, *self.processors, *self.outputs}

    def configuration(self) -> dict[str, Any]:
        """Everything, without secrets."""
        sections = {"sources": self.sources, "processors": self.processors, "outputs": self.outputs}
        return {**self.top, **{name: nodes for name, nodes in sections.items() if nodes}}

    def yaml(self) -> str:
        """The configuration as YAML."""
        out = StringIO()
        writer = YAML()
        writer.default_flow_style = False
        writer.width = 120
        writer.representer.ignore_aliases = lambda *_: True
        writer.dump(self.configuration(), out)
        return out.getvalue()


def unused(name: str, taken: Container[str]) -> str:
    """A node's name for another tool's name."""
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "feed"
    number, found = 1, base
    while found in taken:
        number += 1
        found = f"{base}-{number}"
    return found
