"""Commands on the configuration: init, check, plan."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from tipline.cli.base import FAILED, Session, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError


@command()
def init(session: Session) -> None:
    """Write a commented configuration to start from; an existing file is left alone."""
    text = files("tipline.cli").joinpath("starter.yml").read_text(encoding="utf-8")
    try:
        with session.config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            "it exists already", where=str(session.config), fix="name another one with --config"
        ) from None
    except OSError as exc:
        raise ConfigError(f"it cannot be written: {exc.strerror}", where=str(session.config)) from exc
    session.show(
        {"written": str(session.config)},
        line("written:", str(session.config)),
        line("next: edit it, then `tipline check` and `tipline serve`"),
    )


@command()
def check(session: Session) -> None:
    """Find every problem of the configuration at once."""
    from tipline.config.builtins import reserved
    from tipline.config.check import check as check_file

    found = check_file(session.config)
    problems = [
        {"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix}
        for p in sorted(found.problems, key=lambda problem: _line_number(problem.where))
    ]
    usable = found.configuration is not None and not found.errors
    result: dict[str, Any] = {"ok": usable, "problems": problems}
    lines = [
        line(f"{p['where']}: {p['severity']}: {p['what']}" + (f" ({p['fix']})" if p["fix"] else "")) for p in problems
    ]
    if found.configuration is not None:
        nodes = found.configuration
        result["nodes"] = {
            part: sorted(set(getattr(nodes, part)) - reserved(nodes)) for part in ("sources", "processors", "outputs")
        }
        result["needs_credentials"] = _needing(nodes.outputs)
        lines += [
            line(f"{name}: needs credentials: {', '.join(miss)}") for name, miss in result["needs_credentials"].items()
        ]
    if usable:
        lines.append(line(f"ok: {', '.join(f'{len(names)} {part}' for part, names in result['nodes'].items())}"))
    else:
        lines.append(line(f"{len(found.errors)} errors"))
    session.show(result, *lines)
    if not usable:
        raise typer.Exit(FAILED)


@command()
def plan(
    session: Session,
    file: Annotated[Path | None, typer.Argument(help="The changed configuration; --config if not given.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Let the guards pass exactly what is shown.")] = False,
) -> None:
    """Show what a configuration would add to and remove from every output, before it is put to work."""
    path = file or session.config
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"it cannot be read: {reason}", where=str(path)) from exc
    found = session.call(
        "plan",
        waiting="evaluating ...",
        create=True,
        trial=True,
        text=text,
        path=str(path.absolute()),
        approve=approve,
        user=session.user,
    )
    rows = [
        (
            o["output"],
            o["state"],
            o["published"],
            f"+{o['added']:,}",
            f"-{o['removed']:,}",
            f"~{o['changed']:,}",
        )
        for o in found["outputs"]
    ]
    signs = {"added": "+", "removed": "-", "changed": "~"}
    samples = [
        line(f"  {signs[s['op']]} {o['output']}: {s['type']} {s['value']}")
        for o in found["outputs"]
        for s in o["samples"]
    ]
    notes = [line(f"{o['output']}: {note}", style="yellow") for o in found["outputs"] for note in o["notes"]]
    nodes = [line("new sources (not read yet):", ", ".join(found["new_sources"]))] if found["new_sources"] else []
    nodes += [line("gone:", ", ".join(found["gone"]))] if found["gone"] else []
    end = "approved: restart tipline with this file" if approve else "nothing was changed"
    columns = ("output", "state", "published", "added", "removed", "changed")
    session.show(found, table(columns, rows), *samples, *notes, *nodes, line(end, style="dim"))


def _needing(outputs: dict[str, Any]) -> dict[str, list[str]]:
    from tipline.outputs.delivery import Delivered

    missing = {name: o.missing() for name, o in outputs.items() if isinstance(o, Delivered)}
    return {name: words for name, words in missing.items() if words}


def _line_number(where: str) -> int:
    tail = where.rpartition(":")[2]
    return int(tail) if tail.isdigit() else 0
