"""Checks a configuration as a whole and reports every problem at once, each with its place and a suggestion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tipline.config.builtins import add_builtins, reserved
from tipline.config.schema import Configuration, Settings
from tipline.config.section import Section
from tipline.config.warning_lists import shipped
from tipline.config.wiring import Problem, check_wiring
from tipline.config.yamlfile import Document, Place, parse, read
from tipline.errors import ConfigError, TiplineError
from tipline.kinds import Kind, Sort, kinds

SECTIONS: dict[str, Sort] = {"sources": "source", "processors": "processor", "outputs": "output"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass
class Checked:
    """A configuration (None if it cannot be used) and every problem found."""

    configuration: Configuration | None
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """The problems that forbid its use."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def usable(self) -> Configuration:
        """The configuration.

        Raises:
            ConfigError: it has errors; the message lists them all.
        """
        if self.configuration is None or self.errors:
            first, *others = self.errors
            more = "".join(
                f"\n{other.where}: {other.what}" + (f" ({other.fix})" if other.fix else "") for other in others
            )
            raise ConfigError(first.what + more, where=first.where, fix=first.fix if not others else "correct these")
        return self.configuration


def load(path: Path) -> Configuration:
    """Read and check a file.

    Raises:
        ConfigError: it cannot be used; the message lists every error with file:line.
    """
    return check(path).usable()


def check(path: Path) -> Checked:
    """Read a file and find every problem in it."""
    try:
        document = read(path)
    except ConfigError as exc:
        return Checked(None, [Problem("error", exc.where, exc.what, exc.fix)])
    return check_document(document)


def check_text(text: str, path: Path) -> Checked:
    """Check YAML text as if it stood in `path`."""
    try:
        document = parse(text, path)
    except ConfigError as exc:
        return Checked(None, [Problem("error", exc.where, exc.what, exc.fix)])
    return check_document(document)


def lone_output(text: str, path: Path, name: str) -> tuple[Kind[Any] | None, str]:
    """One output of a text, without those around it; and what is wrong with its settings, or with secrets in them."""
    try:
        document = parse(text, path)
    except ConfigError as exc:
        return None, exc.what
    outputs = document.data.get("outputs")
    if not isinstance(outputs, dict) or name not in outputs:
        return None, ""
    place: Place = ("outputs", name)
    problems: list[Problem] = []
    node = _node(name, outputs[name], "output", kinds("output"), place, document, problems)
    wrong = [what for at, what, _ in document.missing if at[:2] == place] + [each.what for each in problems]
    return node, "; ".join(wrong)


def check_document(document: Document) -> Checked:
    """Check a parsed file."""
    problems = [Problem.at(document, place, what, fix) for place, what, fix in document.missing]
    top = {key: value for key, value in document.data.items() if key not in SECTIONS}
    settings = _model(Settings, top, (), document, problems)
    configuration = Configuration(document.path.absolute(), settings or Settings(), text=document.text)
    for section, sort in SECTIONS.items():
        _read_section(section, sort, document, configuration, problems)
    check_wiring(configuration, document, problems)
    _check_warning_lists(configuration, document, problems)
    problems += [
        Problem("error", str(document.path), f"{name} is the name of a built-in source", "rename it")
        for name in sorted(reserved(configuration) & set(configuration.nodes()))
    ]
    add_builtins(configuration)
    return Checked(configuration, problems)


def _check_warning_lists(configuration: Configuration, document: Document, problems: list[Problem]) -> None:
    """Every list ships, or has an address."""
    for name, each in configuration.settings.warning_lists.lists.items():
        place: Place = ("warning_lists", "lists", name)
        if not NAME.fullmatch(name):
            what = f"{name!r} is no name for a list"
            problems.append(Problem.at(document, place, what, "use letters, digits, - _ and ."))
        elif not each.url and name not in shipped():
            what = f"there is no warning list {name}"
            fix = suggest(name, list(shipped())) if get_close_matches(name, list(shipped()), n=1) else "give it a url"
            problems.append(Problem.at(document, place, what, fix))


def _read_section(
    section: str, sort: Sort, document: Document, configuration: Configuration, problems: list[Problem]
) -> None:
    entries = document.data.get(section) or {}
    if not isinstance(entries, dict):
        problems.append(Problem.at(document, (section,), f"{section} must map names to nodes"))
        return
    known = kinds(sort)
    nodes: dict[str, Any] = getattr(configuration, section)
    for name, body in entries.items():
        place: Place = (section, name)
        node = _node(str(name), body, sort, known, place, document, problems)
        if node is not None:
            nodes[str(name)] = node
            if node.retired:
                what = f"{name}: {node.retired}"
                problems.append(Problem.at(document, (*place, "kind"), what, severity="warning"))


def _node(
    name: str,
    body: Any,
    sort: Sort,
    known: dict[str, type[Kind[Any]]],
    place: Place,
    document: Document,
    problems: list[Problem],
) -> Kind[Any] | None:
    if not NAME.fullmatch(name):
        what = f"{name!r} is no name for a node"
        problems.append(Problem.at(document, place, what, "use letters, digits, - _ and ."))
        return None
    if not isinstance(body, dict):
        problems.append(
            Problem.at(document, place, f"{name} has no settings", f"give it a kind: one of {', '.join(known)}")
        )
        return None
    kind = body.get("kind")
    if kind not in known:
        what = f"{name}: there is no {sort} kind {kind!r}" if kind else f"{name} has no kind"
        problems.append(Problem.at(document, (*place, "kind"), what, suggest(str(kind or ""), list(known))))
        return None
    settings = _model(known[kind].Settings, body, place, document, problems)
    if settings is None:
        return None
    try:
        return known[kind](name, settings)
    except TiplineError as exc:
        problems.append(Problem("error", exc.where or document.where(place), f"{name}: {exc.what}", exc.fix, place))
        return None


def _model(
    model: type[ModelT], body: dict[str, Any], place: Place, document: Document, problems: list[Problem]
) -> ModelT | None:
    try:
        return model.model_validate(body)
    except ValidationError as exc:
        problems += [_explain(e, model, place, document) for e in exc.errors(include_url=False, include_input=False)]
        return None


def _explain(error: Any, model: type[BaseModel], place: Place, document: Document) -> Problem:
    location = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith("function-")))
    at = (*place, *location)
    name = ".".join(str(part) for part in (*place[1:], *location)) or "the file"
    if error["type"] == "extra_forbidden":
        fields = _fields_at(model, location[:-1])
        return Problem.at(document, at, f"{name}: there is no such setting", suggest(str(location[-1]), fields))
    if error["type"] == "missing":
        return Problem.at(document, at, f"{name} is missing", "add it")
    return Problem.at(document, at, f"{name}: {error['msg'].removeprefix('Value error, ')}")


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    names = list(model.model_fields)
    return [*names, *SECTIONS] if issubclass(model, Section) else names


def suggest(word: str, known: list[str]) -> str:
    """`did you mean ...`, or what there is."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(sorted(known))}"
