"""Commands on secrets: secret set, list, remove. The configuration names them as ${secret:NAME}."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tipline.cli.base import Session, app, command
from tipline.cli.show import line, table
from tipline.errors import TiplineError

secrets = typer.Typer(help="Secrets, encrypted at rest; the configuration names them.", no_args_is_help=True)
app.add_typer(secrets, name="secret")
Name = Annotated[str, typer.Argument(help="Its name.")]


@command("set", group=secrets)
def secret_set(
    session: Session,
    name: Name,
    file: Annotated[Path, typer.Option(help="A file with the secret; - reads standard input.")] = Path("-"),
    team: Annotated[str, typer.Option(help="The team whose nodes may use it.")] = "default",
) -> None:
    """Keep a secret, in place of one of the same name; it is never shown again."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise TiplineError("the secret cannot be read", where=str(file), fix="check the file") from exc
    made = session.call("secret_set", create=True, name=name, value=text.rstrip("\r\n"), team=team, user=session.user)
    session.show(made, line("kept; write", f"${{secret:{name}}}", "in the configuration"))


@command("list", group=secrets)
def secret_list(session: Session) -> None:
    """The secrets' names, teams, and when they were changed."""
    found = session.call("secrets")
    columns = ("name", "team", "changed", "actor")
    session.show(found, table(columns, [[each[word] for word in columns] for each in found["secrets"]]))


@command("remove", group=secrets)
def secret_remove(session: Session, name: Name) -> None:
    """Forget a secret."""
    session.show(session.call("secret_remove", name=name), line("removed", name))
