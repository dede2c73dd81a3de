"""Checks how nodes are wired: inputs exist and fit, no loops, and no edge crosses teams without leave."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from tipline.config.yamlfile import Document, Place
from tipline.outputs.access import ANY, AccessSettings
from tipline.outputs.base import Output
from tipline.processors.base import Processor

if TYPE_CHECKING:
    from tipline.config.schema import Configuration


Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One problem of a configuration.

    Attributes:
        severity: whether it forbids the configuration's use.
        where: file:line.
        what, fix: for people.
        place: the keys that lead to it, such as `sources`, a node and a setting; empty if it is about the whole file.
    """

    severity: Severity
    where: str
    what: str
    fix: str
    place: Place = ()

    @classmethod
    def at(cls, document: Document, place: Place, what: str, fix: str = "", *, severity: Severity = "error") -> Problem:
        """A problem at a place of a document."""
        return cls(severity, document.where(place), what, fix, place)

    def __str__(self) -> str:
        """One line: where, severity, what, and what to do."""
        return f"{self.where}: {self.severity}: {self.what}" + (f" ({self.fix})" if self.fix else "")


def check_wiring(configuration: Configuration, document: Document, problems: list[Problem]) -> None:
    """Find problems between nodes, and mark the sources that serve as allow-lists."""
    _same_names(configuration, document, problems)
    readers: dict[str, Processor | Output] = {**configuration.processors, **configuration.outputs}
    sources = configuration.sources
    as_input: set[str] = set()
    as_allow: set[str] = set()
    for name, reader in readers.items():
        section = "processors" if name in configuration.processors else "outputs"
        for key, names in (("inputs", reader.settings.inputs), ("allow", getattr(reader.settings, "allow", []))):
            place: Place = (section, name, key)
            for other in names:
                if _known(other, key, place, configuration, document, problems):
                    _same_team(other, name, place, configuration, document, problems)
            (as_input if key == "inputs" else as_allow).update(n for n in names if n in sources)
    problems += [
        Problem.at(
            document,
            ("sources", name),
            f"{name} is read both as a feed and as an allow-list",
            "an allow-list takes values that a feed may not hold: make two sources",
        )
        for name in sorted(as_input & as_allow)
    ]
    configuration.allow_lists = frozenset(as_allow)
    _loops(configuration, document, problems)
    _rivals(configuration, document, problems)
    _readers(configuration, document, problems)
    _unused(configuration, as_input | as_allow, document, problems)


def _same_names(configuration: Configuration, document: Document, problems: list[Problem]) -> None:
    seen: dict[str, str] = {}
    for section in ("sources", "processors", "outputs"):
        for name in getattr(configuration, section):
            if name in seen:
                problems.append(
                    Problem.at(
                        document,
                        (section, name),
                        f"{name} is already the name of a node in {seen[name]}",
                        "give each node its own name",
                    )
                )
            seen[name] = section


def _known(
    other: str, key: str, place: Place, configuration: Configuration, document: Document, problems: list[Problem]
) -> bool:
    fits = list(configuration.sources) + ([] if key == "allow" else list(configuration.processors))
    if other in fits:
        return True
    if other in configuration.nodes():
        what = "an output cannot be read" if key == "inputs" else "only a source can be an allow-list"
        problems.append(Problem.at(document, place, f"{place[1]}: {what}: {other}"))
        return False
    if any(other in (document.data.get(section) or {}) for section in ("sources", "processors", "outputs")):
        return False  # it is there, and its own errors are reported
    close = get_close_matches(other, fits, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(fits)) or 'none'}"
    problems.append(Problem.at(document, place, f"{place[1]}: there is no node {other}", fix))
    return False


def _same_team(
    other: str, name: str, place: Place, configuration: Configuration, document: Document, problems: list[Problem]
) -> None:
    theirs, ours = configuration.settings_of(other), configuration.settings_of(name)
    if theirs.team != ours.team and theirs.distribution == "team":
        problems.append(
            Problem.at(
                document,
                place,
                f"{name} of team {ours.team} may not read {other}, which team {theirs.team} keeps to itself",
                f"set distribution: server on {other}, or read another node",
            )
        )


def _loops(configuration: Configuration, document: Document, problems: list[Problem]) -> None:
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            loop = " -> ".join([*trail[trail.index(name) :], name])
            place = ("processors", name, "inputs")
            problems.append(Problem.at(document, place, f"the nodes form a loop: {loop}", "take one of the inputs out"))
            return
        if name in done or name not in configuration.processors:
            return
        for other in configuration.processors[name].settings.inputs:
            visit(other, [*trail, name])
        done.add(name)

    for name in configuration.processors:
        visit(name, [])


def _rivals(configuration: Configuration, document: Document, problems: list[Problem]) -> None:
    """Two outputs that write the same items at one far side would undo each other's work."""
    seen: dict[tuple[str, ...], str] = {}
    for name, output in configuration.outputs.items():
        territory = output.territory()
        if territory is None:
            continue
        if territory in seen:
            what = f"{name} and {seen[territory]} would write the same indicators at one far side, and undo each other"
            fix = "merge them into one output, or let them differ in action, device groups or source system"
            problems.append(Problem.at(document, ("outputs", name), what, fix))
        seen.setdefault(territory, name)


def _readers(configuration: Configuration, document: Document, problems: list[Problem]) -> None:
    """Outputs name readers that there are, and tags that some reader has."""
    known = configuration.settings.readers
    tags = {tag for reader in known.values() for tag in reader.tags}
    for name, output in configuration.outputs.items():
        if not isinstance(output.settings, AccessSettings):
            continue
        for reader in output.settings.readers:
            if reader not in known:
                what, fix = f"{name}: there is no reader {reader}", f"there are: {', '.join(sorted(known)) or 'none'}"
                problems.append(Problem.at(document, ("outputs", name, "readers"), what, fix))
        for tag in output.settings.tags:
            if tag != ANY and tag not in tags:
                place, what = ("outputs", name, "tags"), f"{name}: no reader has the tag {tag}"
                problems.append(Problem.at(document, place, what, "give it to one", severity="warning"))


def _unused(configuration: Configuration, used: set[str], document: Document, problems: list[Problem]) -> None:
    for name in configuration.sources:
        if name not in used and configuration.outputs:
            what, fix = f"no node reads {name}", "add it to the inputs of one"
            problems.append(Problem.at(document, ("sources", name), what, fix, severity="warning"))
    teams = configuration.settings.teams
    for section in ("sources", "processors", "outputs"):
        for name, node in getattr(configuration, section).items():
            if teams and node.settings.team not in {*teams, "default"}:
                what = f"{name}: there is no team {node.settings.team}"
                problems.append(Problem.at(document, (section, name, "team"), what))
