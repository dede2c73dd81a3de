"""Where a node stands in a configuration's text, to the line: cut out, put in its place, or taken out as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.comments import CommentedMap

_STEP = 2  # columns by which a new level stands further in


@dataclass(frozen=True)
class Span:
    """Lines of one entry of a section.

    Attributes:
        first, end: its lines, from 0; `end` is the line after its last.
        column: of its name.
        value: line and column at which its settings begin.
    """

    first: int
    end: int
    column: int
    value: tuple[int, int]

    @property
    def inline(self) -> bool:
        """Whether its settings begin beside its name."""
        return self.value[0] == self.first


def span(lines: list[str], document: CommentedMap, section: str, name: str) -> Span:
    """Where an entry stands; the section has it."""
    nodes = document[section]
    first, column = nodes.lc.key(name)
    starts = [document.lc.key(each)[0] for each in document] + [nodes.lc.key(each)[0] for each in nodes]
    end = min((line for line in starts if line > first), default=len(lines))
    while end > first + 1 and _beside(lines[end - 1], column):
        end -= 1
    return Span(first, end, column, nodes.lc.value(name))


def section_end(lines: list[str], document: CommentedMap, section: str) -> Span | None:
    """The last entry of a section; None: it has none, or they do not stand on lines of their own."""
    nodes = document.get(section)
    if not isinstance(nodes, CommentedMap) or not nodes or nodes.fa.flow_style():
        return None
    last = max(nodes, key=lambda each: nodes.lc.key(each)[0])
    return span(lines, document, section, last)


def cut(lines: list[str], where: Span) -> str:
    """The settings of an entry, as text that stands for itself."""
    line, column = where.value
    if where.inline:
        found = [lines[line][column:], *lines[line + 1 : where.end]]
    else:
        found = [_less(each, column) for each in lines[where.first + 1 : where.end]]
    return "".join(found).rstrip("\n") + "\n"


def put(lines: list[str], where: Span, body: str, *, inline: bool) -> str:
    """The whole text with other settings in an entry's place.

    Args:
        lines: of the text, with their ends.
        where: the entry.
        body: its settings as text.
        inline: whether they stand beside its name.
    """
    key = lines[where.first]
    if where.inline:
        key = key[: where.value[1]].rstrip() + "\n"
    column = where.column + _STEP if where.inline else where.value[1]
    return "".join([*lines[: where.first], _entry(key, body, column, inline=inline), *lines[where.end :]])


def append(lines: list[str], last: Span, name: str, body: str, *, inline: bool) -> str:
    """The whole text with a new entry behind the last one of its section."""
    entry = _entry(" " * last.column + f"{name}:\n", body, last.column + _STEP, inline=inline)
    apart = last.first > 0 and not lines[_above(lines, last) - 1].strip()
    before = "".join(lines[: last.end])
    ended = before if before.endswith("\n") else before + "\n"
    return ended + ("\n" if apart else "") + entry + "".join(lines[last.end :])


def take_out(lines: list[str], where: Span) -> str:
    """The whole text without an entry, and without the comment right above it."""
    first, end = _above(lines, where), where.end
    if end < len(lines) and not lines[end].strip() and first and not lines[first - 1].strip():
        end += 1
    return "".join([*lines[:first], *lines[end:]])


def _above(lines: list[str], where: Span) -> int:
    """The first line of the comment that stands right above an entry, as far in as its name."""
    first = where.first
    while first and re.match(rf" {{{where.column}}}#", lines[first - 1]):
        first -= 1
    return first


def _beside(line: str, column: int) -> bool:
    """Whether a line belongs to what follows: it is empty, or a comment no further in than the names."""
    text = line.strip()
    return not text or (text.startswith("#") and len(line) - len(line.lstrip()) <= column)


def _less(line: str, columns: int) -> str:
    """A line without so many leading spaces."""
    return line[min(columns, len(line) - len(line.lstrip(" "))) :]


def _entry(key: str, body: str, column: int, *, inline: bool) -> str:
    lines = [each + "\n" for each in body.rstrip().splitlines()]
    margin = " " * column
    if inline:
        name, mark, comment = key.rstrip().partition(" #")
        rest = "".join(margin + each.lstrip(" ") for each in lines[1:])
        whole = f"{name.rstrip()} {lines[0]}{rest}"
        return f"{whole.rstrip()}  #{comment}\n" if mark else whole
    return key + "".join(each if each == "\n" else margin + each for each in lines)
