"""Commands on ready-made sources, and on feeds that nobody has described: library, try."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tipline.cli.base import Session, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="A setting as NAME=VALUE, the value in YAML; may be given several times.", metavar="K=V"
    ),
]
IntoOption = Annotated[list[str] | None, typer.Option("--into", help="add: a node that shall read it; repeatable.")]
AsOption = Annotated[str | None, typer.Option("--as", help="Name of the source; the entry's own if not given.")]


@command("library")
def library_(
    session: Session,
    action: Annotated[Literal["search", "show", "add"], typer.Argument(help="search WORDS, show NAME, or add NAME.")],
    words: Annotated[list[str] | None, typer.Argument(help="Words to look for, or the entry's name.")] = None,
    as_: AsOption = None,
    set_: SetOption = None,
    into: IntoOption = None,
) -> None:
    """Find, show and add ready-made sources."""
    names = words or []
    if action != "search" and len(names) != 1:
        raise ConfigError(f"{action} needs one name", fix="look for it: tipline library search WORDS")
    if action == "search":
        _search(session, " ".join(names))
    elif action == "show":
        _show(session, names[0])
    else:
        _add(session, names[0], as_, set_ or [], into or [])


def _search(session: Session, words: str) -> None:
    from tipline.config.library import search

    found = search(words)
    rows = [(each.name, each.status, each.source["kind"], each.title) for each in found]
    result = [each.as_dict() for each in found]
    session.show(result, table(("name", "status", "kind", "title"), rows), line(f"{len(found)} entries", style="dim"))


def _show(session: Session, name: str) -> None:
    from tipline.config.edit import put_node
    from tipline.config.library import entry

    found = entry(name)
    facts = [
        (key, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for key, value in found.as_dict().items()
        if key not in {"source", "sample"} and value
    ]
    session.show(found.as_dict(), table(("what", "value"), facts), line(put_node("", "sources", name, found.source)))


def _add(session: Session, name: str, as_: str | None, settings: list[str], into: list[str]) -> None:
    done = session.call(
        "library_add", waiting="evaluating ...", create=True,
        name=name, node=as_, settings=settings_of(settings), into=into, user=session.user,
    )  # fmt: skip
    session.show(done, line(f"{as_ or name} is a source in version {done['version']}, which runs"))


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """`a=1`, `b.c=x` as nested settings; values are YAML.

    Raises:
        ConfigError: a pair has no `=`, its value is not YAML, or two exclude each other.
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        _set(made, pair)
    return made


def _set(made: dict[str, Any], pair: str) -> None:
    name, equals, text = pair.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"{pair!r} is no setting", fix="write it as name=value")
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError as exc:
        raise ConfigError(f"the value of {name} is not YAML", fix="put it in quotes") from exc
    *outer, last = name.strip().split(".")
    for part in outer:
        inner = made.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{name} and {part} exclude each other", fix="give one of them")
        made = inner
    made[last] = value


@command("try")
def try_(
    session: Session,
    place: Annotated[str, typer.Argument(help="Address or file of a feed.", metavar="URL|FILE")],
    set_: SetOption = None,
) -> None:
    """Look at a feed that nobody has described, and print the source to paste."""
    from tipline.config.guess import guess

    with session.waiting("reading ..."):
        found = guess(place, settings_of(set_ or []))
    seen = found.preview
    samples = [tuple(str(value) if value is not None else "" for value in sample.values()) for sample in seen.samples]
    drops = [(reason, drop["count"], ", ".join(drop["samples"])[:120]) for reason, drop in seen.drops.items()]
    types = ", ".join(f"{count:,} {name}" for name, count in seen.types.items())
    notes = [line(text, style="yellow") for text in [*found.warnings, seen.note] if text]
    if found.library:
        notes.append(line(f"the library has this feed: tipline library add {found.library}", style="yellow"))
    session.show(
        found.as_dict(),
        line(f"{seen.read:,} rows, {seen.accepted:,} accepted: {types or 'none'}"),
        *([table(("type", "value", "confidence", "tlp", "first seen", "description"), samples)] if samples else []),
        *([table(("dropped", "rows", "such as"), drops)] if drops else []),
        *notes,
        line(found.yaml()),
    )
