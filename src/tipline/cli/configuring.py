"""Commands on the configuration: init, check, plan, and hashes for it."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from tipline.cli.base import FAILED, Session, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError, TiplineError


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


@command("reader-hash")
def reader_hash(session: Session) -> None:
    """Make the hash of a reader's password, which is asked for or read from standard input."""
    from tipline.passwords import hash_password

    typed = sys.stdin.isatty()
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if typed else sys.stdin.readline()
    password = password.rstrip("\r\n")
    if not password:
        raise TiplineError("the password is empty")
    hashed = hash_password(password)
    session.show({"hash": hashed}, line(hashed))


@command()
def check(session: Session) -> None:
    """Find every problem of the configuration at once."""
    from tipline.config.builtins import reserved
    from tipline.config.check import check as check_file

    found = check_file(session.config)
    problems = [
        {"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix, "place": p.place}
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
    end = "approved: `tipline reload`, or start tipline, with this file" if approve else "nothing was changed"
    columns = ("output", "state", "published", "added", "removed", "changed")
    session.show(found, table(columns, rows), *samples, *notes, *nodes, line(end, style="dim"))


@command()
def reload(session: Session) -> None:
    """Put the changed configuration file to work in the running server; nothing restarts."""
    _show_committed(session, session.call("reload", waiting="evaluating ...", user=session.user))


@command()
def history(
    session: Session,
    version: Annotated[int | None, typer.Argument(help="Show what this version changed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many versions.")] = 20,
) -> None:
    """List the versions of the configuration that were put to work, or show what one of them changed."""
    if version is not None:
        found = session.call("version", version=version)
        session.show(found, line(found["diff"].rstrip() or "the first one, or the same as before"))
        return
    found = session.call("history", limit=limit)
    rows = [(each["version"], each["at"], each["actor"], each["message"]) for each in found["versions"]]
    session.show(found, table(("version", "at", "by", "message"), rows))


@command()
def revert(
    session: Session,
    version: Annotated[int, typer.Argument(help="The version to go back to (see `tipline history`).")],
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
    approve: Annotated[bool, typer.Option("--approve", help="Let what it changes pass the guards.")] = False,
) -> None:
    """Put an earlier version of the configuration to work again, as a new version; the file is written."""
    done = session.call(
        "revert", waiting="evaluating ...", version=version, message=message, approve=approve, user=session.user
    )
    _show_committed(session, done)


def _show_committed(session: Session, done: dict[str, Any]) -> None:
    words = ("output", "added", "changed", "removed", "held", "message")
    rows = [tuple(each[word] for word in words) for each in done["outputs"]]
    waits = (
        [line(f"waits for the next start: {', '.join(done['at_restart'])}", style="yellow")]
        if done["at_restart"]
        else []
    )
    session.show(done, line(f"version {done['version']} runs"), table(words, rows), *waits)


def _needing(outputs: dict[str, Any]) -> dict[str, list[str]]:
    from tipline.outputs.delivery import Delivered

    missing = {name: o.missing() for name, o in outputs.items() if isinstance(o, Delivered)}
    return {name: words for name, words in missing.items() if words}


def _line_number(where: str) -> int:
    tail = where.rpartition(":")[2]
    return int(tail) if tail.isdigit() else 0
