"""MineMeld's nodes with their prototypes resolved: stock ones ship with tipline, local ones come with the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from tipline.config.importers.minemeld.tree import Tree
from tipline.errors import FormatError


@dataclass(frozen=True)
class Prototype:
    """A prototype: class, development status, configuration."""

    cls: str
    status: str
    config: Mapping[str, Any]


@dataclass
class Node:
    """One node.

    Attributes:
        cls: its class, without `minemeld.ft.`; empty if nobody knows.
        config: prototype's, overlaid by its own and by its side configuration.
        own: the names that its own configuration sets.
    """

    name: str
    cls: str
    prototype: str
    config: dict[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    inputs: list[str] = field(default_factory=list)

    def text(self, key: str) -> str:
        """A setting as text; empty if there is none."""
        value = self.config.get(key)
        return "" if value is None else str(value).strip()


@lru_cache(maxsize=1)
def stock() -> Mapping[str, Prototype]:
    """The prototypes of MineMeld's library (PaloAltoNetworks/minemeld-node-prototypes, Apache-2.0)."""
    text = files("tipline.config.importers.minemeld").joinpath("prototypes.jsonl").read_text(encoding="utf-8")
    rows = map(json.loads, text.splitlines())
    return {row["name"]: Prototype(row["class"], row["status"], row["config"]) for row in rows}


def nodes_of(tree: Tree) -> dict[str, Node]:
    """Every node by name.

    Raises:
        FormatError: there is no configuration of MineMeld's.
    """
    document = tree.yaml("committed-config.yml") or tree.yaml("running-config.yml")
    found = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(body, dict) for body in found.values()):
        raise FormatError(
            "this is no configuration of MineMeld's: it has no nodes",
            where=tree.where,
            fix="give the local directory, its committed-config.yml, or a backup",
        )
    return {str(name): _node(str(name), body, tree) for name, body in found.items()}


def _node(name: str, body: Mapping[str, Any], tree: Tree) -> Node:
    prototype = str(body.get("prototype") or "")
    base = _local(prototype, tree) or stock().get(prototype) or Prototype("", "", {})
    own = body.get("config")
    own = own if isinstance(own, dict) else {}
    side = tree.yaml(f"{name}_side_config.yml")
    inputs = body.get("inputs")
    return Node(
        name=name,
        cls=str(body.get("class") or base.cls).removeprefix("minemeld.ft."),
        prototype=prototype,
        config={**base.config, **own, **(side if isinstance(side, dict) else {})},
        own=frozenset(map(str, own)),
        inputs=[str(each) for each in inputs] if isinstance(inputs, list) else [],
    )


def _local(prototype: str, tree: Tree) -> Prototype | None:
    """A prototype of the user's own files, which stand before the stock ones."""
    library, _, name = prototype.rpartition(".")
    document = tree.yaml(f"{library}.yml") if library else None
    known = document.get("prototypes") if isinstance(document, dict) else None
    body = known.get(name) if isinstance(known, dict) else None
    if not isinstance(body, dict) or "class" not in body:
        return None
    config = body.get("config")
    return Prototype(
        str(body["class"]), str(body.get("development_status")), config if isinstance(config, dict) else {}
    )
