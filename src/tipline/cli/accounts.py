"""Commands on accounts: user add, list, change, remove; key add, list, remove; team list, show, add, change, close."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tipline.cli.base import Session, app, command
from tipline.cli.show import line, table
from tipline.errors import TiplineError

users = typer.Typer(help="Users: who may sign in, and what they may do.", no_args_is_help=True)
keys = typer.Typer(help="Keys for programs.", no_args_is_help=True)
teams = typer.Typer(help="Teams: organisations on this server.", no_args_is_help=True)
app.add_typer(teams, name="team")
app.add_typer(users, name="user")
app.add_typer(keys, name="key")

TeamName = Annotated[str, typer.Argument(help="The team's name.")]
TitleOption = Annotated[str, typer.Option("--title", help="Its name for people.")]
Name = Annotated[str, typer.Argument(help="The user's name.")]
RoleOption = Annotated[str | None, typer.Option("--role", help="reader, viewer, analyst, editor or admin.")]
TeamOption = Annotated[str | None, typer.Option("--team", help="Their team.")]
DisplayOption = Annotated[str | None, typer.Option("--display", help="Their name for people.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="Of a feed reader: a tag of lists they may read.")]
PasswordOption = Annotated[
    Path | None, typer.Option("--password-file", help="A file with the password; - reads standard input.")
]


@command("add", group=users)
def user_add(
    session: Session,
    name: Name,
    role: RoleOption = None,
    team: TeamOption = None,
    display: DisplayOption = None,
    tag: TagOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Make a user; without a password they have keys or single sign-on alone."""
    made = session.call("user_add", create=True, name=name, **_user(role, team, display, tag, password_file))
    session.show(made, line("made", made["role"], made["name"], "of team", made["team"]))


@command("list", group=users)
def user_list(session: Session) -> None:
    """Every user."""
    found = session.call("users")
    columns = ("name", "display", "role", "team", "tags", "disabled", "seen")
    session.show(found, table(columns, [[each[word] for word in columns] for each in found["users"]]))


@command("readers", group=users)
def user_readers(session: Session) -> None:
    """Feed readers (accounts, and `readers` of the configuration), and the outputs that each may read."""
    found = session.call("readers")
    columns = ("name", "known_by", "team", "tags", "outputs")
    session.show(found, table(columns, [[each[word] for word in columns] for each in found["readers"]]))


@command("change", group=users)
def user_change(
    session: Session,
    name: Name,
    role: RoleOption = None,
    team: TeamOption = None,
    display: DisplayOption = None,
    tag: TagOption = None,
    password_file: PasswordOption = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Shut them out, or let them in.")] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--single-sign-on", help="Who they are there: the issuer's address, a space, its word; or nobody: ''."
        ),
    ] = None,
) -> None:
    """Change a user; sessions end where they may do less, or have a new password."""
    changes = _user(role, team, display, tag, password_file) | _given({"disabled": disabled, "subject": subject})
    made = session.call("user_change", name=name, changes=changes)
    session.show(made, line("changed", made["name"], f"({', '.join(changes) or 'nothing'})"))


@command("remove", group=users)
def user_remove(session: Session, name: Name) -> None:
    """Delete a user with their keys and sessions."""
    session.show(session.call("user_remove", name=name), line("removed", name))


@command("add", group=keys)
def key_add(
    session: Session,
    user: Annotated[str, typer.Argument(help="Whose key.")],
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; else all that the user may.")] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it is in force, such as 90d.")] = None,
) -> None:
    """Make a key; it is shown once."""
    arguments = _given({"label": label, "scopes": scope, "ttl": ttl})
    made = session.call("key_add", user=user, **arguments)
    session.show(made, line(made["key"]), line("This is the only time that it is shown.", style="dim"))


@command("list", group=keys)
def key_list(session: Session, user: Annotated[str | None, typer.Option(help="Only this user's.")] = None) -> None:
    """Every key."""
    found = session.call("keys", **_given({"user": user}))
    columns = ("id", "user", "label", "scopes", "created", "expires", "used", "used_from")
    session.show(found, table(columns, [[each[word] for word in columns] for each in found["keys"]]))


@command("remove", group=keys)
def key_remove(session: Session, key: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key at once."""
    session.show(session.call("key_remove", id=key), line("revoked", key))


@command("list", group=teams)
def team_list(session: Session) -> None:
    """Every team, with how many users and nodes it has."""
    found = session.call("teams")
    columns = ("name", "title", "users", "nodes")
    session.show(found, table(columns, [[each[word] for word in columns] for each in found["teams"]]))


@command("show", group=teams)
def team_show(session: Session, name: TeamName) -> None:
    """What a team has."""
    found = session.call("team", name=name)
    words = {**found, "users": [each["name"] for each in found["users"]]}
    words["nodes"] = [each["name"] for each in found["nodes"]]
    session.show(found, table(("", ""), [[word, value] for word, value in words.items()]))


@command("add", group=teams)
def team_add(session: Session, name: TeamName, title: TitleOption = "") -> None:
    """Make a team; it is written into the configuration."""
    made = session.call("team_add", name=name, title=title)
    session.show(made, line("made", made["name"]))


@command("change", group=teams)
def team_change(session: Session, name: TeamName, title: TitleOption) -> None:
    """Give a team another title."""
    made = session.call("team_change", name=name, title=title)
    session.show(made, line("changed", made["name"]))


@command("close", group=teams)
def team_close(session: Session, name: TeamName) -> None:
    """Close a team that owns nothing any more; its users are shut out."""
    done = session.call("team_close", name=name)
    session.show(done, line("closed", name, f"({len(done['users'])} users were shut out)"))


def _user(
    role: str | None, team: str | None, display: str | None, tags: list[str] | None, password: Path | None
) -> dict[str, Any]:
    """What is said of a user; the password stands in a file."""
    return _given({"role": role, "team": team, "display": display, "tags": tags, "password": _password(password)})


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in values.items() if value not in (None, [])}


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise TiplineError("the password cannot be read", where=str(file), fix="check the file") from exc
    return text.rstrip("\r\n")
