"""STIX 1 indicators and observables as small trees: what must hold together, and what is an alternative.

A tree is much smaller than the elements that it was made of, so that what others refer to can be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tipline.formats.stix1cybox import HASHES, Element, name_of, text_of, values
from tipline.formats.stixpattern import Found

Composites = Literal["drop", "take"]
_DEEPEST = 40
_MOST_VISITS = 1_000_000
# Addresses that a domain had once may be shared with anybody.
_ASIDE = ("Resolved_To", "Resolved_To_By")


@dataclass(slots=True)
class Node:
    """A part of a condition.

    Attributes:
        operator: OR: any part; AND: all parts; NOT: the part must not hold.
        found: values that stand here.
        parts: parts of this one.
        ref: what is referred to instead, by its id.
    """

    operator: Literal["OR", "AND", "NOT"] = "OR"
    found: list[Found] = field(default_factory=list)
    parts: list[Node] = field(default_factory=list)
    ref: str | None = None


def indicator_tree(element: Element) -> Node:
    """An indicator's observables and composite expression: both together are what it is about."""
    readers = {"Observable": observable_tree, "Indicator": _indicator_part}
    return _condition(element, readers, "Composite_Indicator_Expression")


def _indicator_part(element: Element) -> Node:
    ref = element.get("idref")
    return Node(ref=ref) if ref else indicator_tree(element)


def observable_tree(element: Element) -> Node:
    """An observable: an object, a composition, or a reference."""
    ref = element.get("idref")
    if ref and not len(element):
        return Node(ref=ref)
    return _condition(element, {"Object": object_tree, "Observable": observable_tree}, "Observable_Composition")


def _condition(element: Element, readers: Mapping[str, Callable[[Element], Node]], composition: str) -> Node:
    """An element's parts as `readers` read them by name; those of its composition stand together."""
    whole = Node()
    for child in element:
        name = name_of(child)
        if name in readers:
            whole.parts.append(readers[name](child))
        elif name == composition:
            operator: Literal["AND", "OR"] = "AND" if (child.get("operator") or "").upper() == "AND" else "OR"
            parts = [readers[name_of(each)](each) for each in child if name_of(each) in readers]
            whole.parts.append(Node(operator, parts=parts))
    is_negated = (element.get("negate") or "").lower() in ("true", "1")
    return Node("NOT", parts=[whole]) if is_negated else whole


def object_tree(element: Element) -> Node:
    """An object with what it is related to: a file with the address that it came from, a message with its links.

    What is related to an object that is no value itself only narrows it, unless it is a file's hash.
    """
    ref = element.get("idref")
    if ref and not len(element):
        return Node(ref=ref)
    own = [each for child in element if name_of(child) == "Properties" for each in values(child)]
    related: list[Found] = []
    parts: list[Node] = []
    for child in element.iterchildren("{*}Related_Objects"):
        for each in child.iterchildren("{*}Related_Object"):
            if ref := each.get("idref"):
                parts.append(Node(ref=ref))
                continue
            found = object_tree(each)
            aside = any(text_of(word) in _ASIDE for word in each.iterchildren("{*}Relationship"))
            related += [_aside(one) for one in found.found] if aside else found.found
            parts += found.parts
    if own and all(each.drop for each in own):
        related = [_narrowing(each) for each in related]
    return Node(found=own + related, parts=parts)


def _aside(found: Found) -> Found:
    return found if found.drop else found._replace(drop="related-object")


def _narrowing(found: Found) -> Found:
    return found if found.drop or found.word in HASHES else found._replace(drop="composite-pattern")


@dataclass
class Evaluation:
    """Evaluates trees.

    Args:
        known: trees by id.
        composites: `take`: each value of an AND counts by itself.
    """

    known: Mapping[str, Node]
    composites: Composites = "drop"
    _visits: int = 0

    def found(self, node: Node) -> list[Found]:
        """The values of a tree, and rows with a reason; never raises, and each value once."""
        self._visits = 0
        return list(dict.fromkeys(self._found(node, 0)))

    def _found(self, node: Node, depth: int) -> list[Found]:
        self._visits += 1
        if depth > _DEEPEST or self._visits > _MOST_VISITS:
            return [Found(None, node.ref or "a condition", "bad-pattern")]
        if node.ref is not None:
            target = self.known.get(node.ref)
            if target is None:
                return [Found(None, node.ref, "unresolved-reference")]
            return self._found(target, depth + 1)
        groups = [self._found(part, depth + 1) for part in node.parts]
        rows = node.found + [each for group in groups for each in group]
        if node.operator == "NOT":
            return [_dropped(each, "negated-pattern") for each in rows]
        if node.operator == "AND" and len(groups) > 1 and self.composites == "drop":
            return [_dropped(each, "composite-pattern") for each in rows]
        return rows


def _dropped(found: Found, reason: str) -> Found:
    return found if found.drop else found._replace(drop=reason)
