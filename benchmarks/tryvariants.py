"""The fixtures of `benchmarks.tryfeeds` in other clothes, made from a seed: bodies that nobody tuned the guesses on.

A table gets another delimiter, order of columns, quoting, header or dates; a list other comments; both another line
end, encoding or defanging. What is right for a fixture is changed along with its body.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from tipline.model.times import parse

_ROWS = 400
_DELIMITERS = {",": ",", ";": ";", "tab": "\t", "|": "|"}
_DATES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M", "%d %b %Y", "%Y-%m-%d", "%a, %d %b %Y %H:%M:%S")
_ROLES = ("value", "type", "tlp", "first_seen")
_NAMES = {"value": "indicator", "type": "type", "tlp": "tlp", "first_seen": "first_seen"}
_BANNER = ("Threat feed of an example", "Generated on 2026-01-02 at 03:04", "", "Terms: for your own use, see the site")
_ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table, and where in it the roles are.

    Attributes:
        header: names of its columns; None: it has none.
        rows: of one width.
        roles: of each role its columns, from 0.
        rule: what else is right.
    """

    header: list[str] | None
    rows: list[list[str]]
    roles: dict[str, list[int]]
    rule: Rule
    delimiter: str = ","
    quoting: int = csv.QUOTE_MINIMAL

    def body(self) -> str:
        """Its text."""
        out = io.StringIO()
        writer = csv.writer(out, delimiter=_DELIMITERS[self.delimiter], quoting=self.quoting, lineterminator="\n")
        writer.writerows([self.header, *self.rows] if self.header else self.rows)
        return out.getvalue()

    def truth(self) -> dict[str, Any]:
        """How it is read rightly."""
        if self.header is None:
            named: dict[str, list[Any]] = {role: [at + 1 for at in places] for role, places in self.roles.items()}
        else:
            named = {role: [self.header[at] for at in places] for role, places in self.roles.items()}
        columns = {role: found[0] if len(found) == 1 else found for role, found in named.items()}
        made = {**self.rule, "kind": "csv", "delimiter": self.delimiter, "columns": columns}
        return made if self.header else {**made, "header": False}


@dataclass(frozen=True)
class Variant:
    """A body, what was done to it, and how it is read rightly."""

    change: str
    body: bytes
    rule: Any


def variants(text: str, rule: Any, seed: str) -> Iterator[Variant]:
    """Bodies made of a fixture's, each by one change, and one by several.

    Args:
        text: of the fixture.
        rule: how it is read rightly (see `try_truth.yml`).
        seed: decides what is chosen.
    """
    table = _table(text, rule)
    if table is not None:
        for change, make in _TABLES.items():
            made = make(table, random.Random(f"{seed} {change}"))
            if made is not None:
                yield Variant(change, made.body().encode(), made.truth())
        many, chance = table, random.Random(f"{seed} several")
        for make in chance.sample(list(_TABLES.values()), 3):
            many = make(many, chance) or many
        yield from _texts(many.body(), many.truth(), seed, only=chance.choice(list(_TEXTS)), name="several")
        yield from _texts(table.body(), table.truth(), seed)
    elif rule == "none" or (rule["kind"] == "lines" and "take" not in rule):
        yield from _texts(text, rule, seed)


def _table(text: str, rule: Any) -> Table | None:
    """The table of a fixture; None if it is none, or has too few rows to be told from prose."""
    if rule == "none" or rule.get("kind") != "csv" or "columns" not in rule:
        return None
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    delimiter = _DELIMITERS.get(rule.get("delimiter", ","), ",")
    found = [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if any(row)]
    header = None if rule.get("header") is False else [name.strip() for name in found.pop(0)]
    width = len(header or found[0])
    rows = [row for row in found if len(row) == width][:_ROWS]
    if len(rows) < 3 or width < 2:
        return None
    roles = {
        role: [at - 1 if isinstance(at, int) else (header or []).index(at) for at in _list(rule["columns"][role])]
        for role in _ROLES
        if role in rule["columns"]
    }
    return Table(header, rows, roles, {"split": rule["split"]} if "split" in rule else {})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _delimited(table: Table, chance: random.Random) -> Table:
    return replace(table, delimiter=chance.choice([each for each in _DELIMITERS if each != table.delimiter]))


def _reordered(table: Table, chance: random.Random) -> Table | None:
    order = list(range(len(table.rows[0])))
    chance.shuffle(order)
    roles = {role: sorted(order.index(at) for at in places) for role, places in table.roles.items()}
    header = [table.header[at] for at in order] if table.header else None
    return replace(table, header=header, rows=[[row[at] for at in order] for row in table.rows], roles=roles)


def _other_header(table: Table, _chance: random.Random) -> Table | None:
    """A header goes, if the columns can be told without it; a table without one gets one."""
    if table.header:
        return replace(table, header=None) if len(table.roles["value"]) == 1 else None
    by_place = {at: _NAMES[role] for role, places in table.roles.items() for at in places}
    return replace(table, header=[by_place.get(at, f"field_{at}") for at in range(len(table.rows[0]))])


def _quoted(table: Table, _chance: random.Random) -> Table:
    return replace(table, quoting=csv.QUOTE_ALL)


def _dated(table: Table, chance: random.Random) -> Table | None:
    """Another form of the dates, among those that feeds have."""
    if "first_seen" not in table.roles:
        return None
    (at,) = table.roles["first_seen"]
    form = chance.choice(_DATES)
    moments = parse(pl.Series([row[at] for row in table.rows])).to_list()
    dated = [(row, moment) for row, moment in zip(table.rows, moments, strict=True) if moment]
    rows = [[*row[:at], moment.strftime(form), *row[at + 1 :]] for row, moment in dated]
    return replace(table, rows=rows) if len(rows) > 2 else None


_TABLES: dict[str, Callable[[Table, random.Random], Table | None]] = {
    "delimiter": _delimited, "order of columns": _reordered, "header": _other_header, "quotes": _quoted,
    "dates": _dated,
}  # fmt: skip


def _texts(text: str, rule: Any, seed: str, *, only: str | None = None, name: str | None = None) -> Iterator[Variant]:
    # Nobody defangs what a resolver or an ad blocker reads.
    machine = rule != "none" and "dialect" in rule
    for change, make in _TEXTS.items():
        if only in {None, change} and not (machine and change == "defanging"):
            yield Variant(name or change, make(text, rule, random.Random(f"{seed} {change}")), rule)


def _line_ends(text: str, _rule: Any, _chance: random.Random) -> bytes:
    return "\r\n".join(text.splitlines()).encode()


def _encoded(text: str, _rule: Any, chance: random.Random) -> bytes:
    return text.encode(chance.choice(_ENCODINGS), "replace")


def _commented(text: str, rule: Any, chance: random.Random) -> bytes:
    """A banner of comments at the top: before a list any that lists have, before a table `#`."""
    is_list = rule != "none" and rule["kind"] == "lines" and "dialect" not in rule
    mark = chance.choice(("#", ";", "//", "##")) if is_list else "#"
    return ("\n".join(f"{mark} {line}".rstrip() for line in _BANNER) + "\n" + text).encode()


def _defanged(text: str, _rule: Any, chance: random.Random) -> bytes:
    """Hosts and schemes as people defang them; dates and numbers have no letters behind a dot, and stay."""
    dot = chance.choice(("[.]", "(.)", "[dot]", "{.}"))
    live = re.compile(r"\b(?:(?:[a-z0-9-]+\.)+[a-z]{2,}|\d{1,3}(?:\.\d{1,3}){3})\b", re.IGNORECASE)
    told = re.sub(r"\bhttp(s?)://", r"hxxp\1://", text)
    return live.sub(lambda match: match[0].replace(".", dot), told).encode()


def _blank_lines(text: str, _rule: Any, _chance: random.Random) -> bytes:
    return "\n\n".join(text.splitlines()).encode() + b"\n \n"


_TEXTS: dict[str, Callable[[str, Any, random.Random], bytes]] = {
    "line ends": _line_ends, "encoding": _encoded, "comments": _commented, "defanging": _defanged,
    "blank lines": _blank_lines,
}  # fmt: skip
