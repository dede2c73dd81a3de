"""Commands around the engine: doctor, logs, backup, restore, sandbox, demo, version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tipline import __version__
from tipline.cli.base import FAILED, Session, command
from tipline.cli.show import line, table
from tipline.errors import StoreError


@command()
def doctor(
    session: Session,
    output: Annotated[str | None, typer.Argument(help="Look at this output's far side only.")] = None,
    recover: Annotated[
        bool,
        typer.Option("--recover", help="Open a database whose write-ahead log is damaged; what was lost is told."),
    ] = False,
) -> None:
    """Check what tipline stands on: configuration, disk, database, secrets, sign-in, permissions, clock."""
    if recover:
        _recover(session)
    found = _diagnose(session, output)
    columns = ("name", "state", "what", "where", "fix")
    rows = [[finding[column] for column in columns] for finding in found["findings"]]
    session.show(found, table(("check", *columns[1:]), rows))
    if not found["ok"]:
        raise typer.Exit(FAILED)


def _diagnose(session: Session, output: str | None) -> dict[str, Any]:
    from tipline.cli.client import Remote, data_directory, server
    from tipline.engine.doctor import diagnose

    data = data_directory(session)
    if session.data is not None and not data.is_dir():
        raise StoreError("there is no such data directory", where=str(data), fix="check --data")
    with session.waiting("looking ..."):
        there = server(data)
        if there is None:
            return diagnose(session.config, data, output=output)
        remote = Remote(there["url"], there["token"])
        try:
            found: dict[str, Any] = remote.call("doctor", {"output": output})
        finally:
            remote.close()
        return found


def _recover(session: Session) -> None:
    from tipline.cli.client import data_directory
    from tipline.engine.recover import recover
    from tipline.engine.times import utc_now

    done = recover(data_directory(session), utc_now())
    session.show(done, *(line(step) for step in done["steps"]))
    raise typer.Exit


@command()
def logs(
    session: Session,
    *,
    level: Annotated[str, typer.Option(help="The least level: debug, info, warning, error or critical.")] = "",
    node: Annotated[str, typer.Option(help="Only what is about this node.")] = "",
    text: Annotated[str, typer.Option(help="Words that all stand in the event.")] = "",
    since: Annotated[str | None, typer.Option(help="From this moment on (ISO 8601, UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
) -> None:
    """Search the server's log, which it keeps in its data directory; the newest first."""
    found = session.call("logs", level=level, node=node, text=text, since=since, until=until, limit=limit)
    rows = [line(*_event(each)) for each in found["events"]]
    more = [line(f"there are more than {limit:,}: add --limit, or narrow the search")] if found["next"] else []
    session.show(found, *(rows or [line("there is no such event")]), *more)


def _event(event: dict[str, Any]) -> list[str]:
    rest = [f"{name}={value}" for name, value in event.items() if name not in {"id", "timestamp", "level", "event"}]
    return [str(event.get("timestamp", "")), str(event.get("level", "")), str(event.get("event", "")), *rest]


@command()
def backup(
    session: Session,
    file: Annotated[
        Path | None, typer.Argument(help="The new file; else one in `backups` of the data directory.")
    ] = None,
) -> None:
    """Make a backup, while a server runs or not: data, configuration, sealed secrets; never the key of these."""
    path = str(file.absolute()) if file else None
    made = session.call("backup", waiting="copying ...", trial=True, path=path)
    size = f"{made['size'] / 1e6:,.1f} MB"
    left = [line("  not in it:", each, style="dim") for each in made["left_out"]]
    session.show(made, line(made["path"], size), *left)


@command()
def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(help="The backup.")],
) -> None:
    """Put a backup into a new directory (--data), after every checksum in it held."""
    from tipline.engine.restore import restore

    if session.data is None:
        raise StoreError("restore needs --data", fix="name a directory that does not exist, or is empty")
    with session.waiting("checking and unpacking ..."):
        done = restore(file, session.data.absolute(), session.config.absolute())
    session.show(done, *(line(step) for step in done["steps"]))


@command()
def sandbox(
    session: Session,  # noqa: ARG001 - every command has one
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 8443,
    path: Annotated[Path | None, typer.Option(help="Directory that keeps its state over restarts.")] = None,
) -> None:
    """Run a local stand-in for Microsoft's sign-in, Defender and Sentinel."""
    from tipline.sandbox import serve

    serve(path, port)


@command()
def demo(
    session: Session,
    serve: Annotated[bool, typer.Option("--serve", help="Go on serving the lists and pages at the end.")] = False,
) -> None:
    """Play the whole lab on this machine: feeds, guards, Defender and Sentinel stand-ins, block lists."""
    from tipline.cli.looking import why_tree
    from tipline.demo import run

    raise typer.Exit(run(why_tree, as_json=session.as_json, serve=serve))


@command()
def version(session: Session) -> None:
    """The version."""
    session.show({"version": __version__}, line(f"tipline {__version__}"))
