"""Commands on warning lists: warning-lists list, show, entries, check, enable, disable, set, add, refresh, remove."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from tipline.cli.base import Session, app, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError

lists = typer.Typer(
    help="Lists of what is well known and seldom bad; what stands on one is tagged, or dropped.", no_args_is_help=True
)
app.add_typer(lists, name="warning-lists")

Name = Annotated[str, typer.Argument(help="The list's name.")]
Names = Annotated[list[str] | None, typer.Argument(help="Lists' names.")]
Recommended = Annotated[bool, typer.Option("--recommended", help="Those that are recommended of those that ship.")]
Action = Annotated[Literal["tag", "drop"] | None, typer.Option(help="What is done with indicators on it.")]
Category = Annotated[Literal["false_positive", "known"] | None, typer.Option(help="Of what sort the list is.")]
_COLUMNS = ("list", "entries", "state", "action", "category", "hits", "title")


@command("list", group=lists)
def warning_lists(
    session: Session,
    *,
    enabled: Annotated[bool, typer.Option("--enabled", help="Only those in use.")] = False,
) -> None:
    """Every warning list, whether it is used, and how many indicators stand on it."""
    found = session.call("warning_lists")
    rows = [
        [each["name"], each["entries"], _state(each), each["action"], each["category"], each["hits"], each["title"]]
        for each in found["lists"]
        if each["enabled"] or not enabled
    ]
    session.show(found, table(_COLUMNS, rows) if rows else line("no list is in use"))


@command("show", group=lists)
def warning_list(session: Session, name: Name) -> None:
    """One warning list, and how many indicators of each feed stand on it."""
    found = session.call("warning_list", name=name)
    rows = [[each["source"], each["indicators"]] for each in found["sources"]]
    shown = [line(found["title"], style="bold"), line(found["description"])]
    shown.append(line(found["match"], "for", ", ".join(found["types"]) or "no type that tipline knows"))
    shown.append(line(_state(found) + ",", found["action"], f"({found['entries']:,} entries)", found["message"]))
    session.show(found, *shown, table(("source", "indicators"), rows) if rows else line("nothing stands on it"))


@command("entries", group=lists)
def warning_entries(
    session: Session,
    name: Name,
    *,
    text: Annotated[str, typer.Option(help="Only entries with this in them.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="After how many.")] = 0,
) -> None:
    """What stands in a warning list."""
    found = session.call("warning_entries", name=name, text=text, limit=limit, offset=offset)
    more = [line(f"{found['total']:,} in all: go on with --offset {found['next']}")] if found["next"] else []
    session.show(found, *(line(each) for each in found["entries"]), *more)


@command("check", group=lists)
def warning_check(
    session: Session, values: Annotated[list[str], typer.Argument(help="Values, in any spelling.")]
) -> None:
    """On which lists in use values stand, whether or not a feed claims them."""
    found = session.call("warning_check", values=values)
    rows = [
        [each["asked"], on["list"], on["action"], ", ".join(on["entries"]), on["title"]]
        for each in found["values"]
        for on in each["lists"]
    ]
    nothing = line("none of them stands on a list in use")
    session.show(found, table(("value", "list", "action", "entry", "title"), rows) if rows else nothing)


@command("enable", group=lists)
def warning_enable(session: Session, names: Names = None, *, recommended: Recommended = False) -> None:
    """Use warning lists: what stands on them is tagged, or dropped."""
    _switch(session, names or [], enabled=True, recommended=recommended)


@command("disable", group=lists)
def warning_disable(session: Session, names: Names = None, *, recommended: Recommended = False) -> None:
    """Use warning lists no more."""
    _switch(session, names or [], enabled=False, recommended=recommended)


@command("set", group=lists)
def warning_set(
    session: Session,
    name: Name,
    *,
    action: Action = None,
    category: Category = None,
) -> None:
    """Have a warning list tag or drop, or say of what sort it is."""
    done = session.call("warning_list_change", name=name, action=action, category=category)
    session.show(
        done, line(name, "is of category", done["list"]["category"], "and its action is", done["list"]["action"])
    )


@command("add", group=lists)
def warning_add(
    session: Session,
    name: Name,
    url: Annotated[str, typer.Argument(help="Address or path of a file in the form of MISP's list.json.")],
    *,
    every: Annotated[str | None, typer.Option(help="Time between fetches, such as 12h; a day if not given.")] = None,
    action: Action = None,
    category: Category = None,
) -> None:
    """Add a warning list of your own; under the name of one that ships, it takes its place."""
    done = session.call("warning_list_add", name=name, url=url, every=every, action=action, category=category)
    said = done["message"] or f"{done['list']['entries']:,} entries are in use"
    session.show(done, line(f"{name}:", said))


@command("refresh", group=lists)
def warning_refresh(
    session: Session,
    name: Name,
    *,
    approve: Annotated[
        bool, typer.Option("--approve", help="Take in what differs much from what there was, too.")
    ] = False,
) -> None:
    """Fetch a warning list of your own now."""
    done = session.call("warning_list_refresh", name=name, approve=approve)
    said = done["message"] or ("it changed" if done["changed"] else "it is as it was")
    session.show(done, line(f"{name}:", said))


@command("remove", group=lists)
def warning_remove(session: Session, name: Name) -> None:
    """Take a warning list of your own out."""
    done = session.call("warning_list_remove", name=name)
    session.show(done, line(name, "was removed"))


def _switch(session: Session, names: list[str], *, enabled: bool, recommended: bool) -> None:
    if not names and not recommended:
        raise ConfigError("no list is named", fix="name some, or say --recommended")
    done: list[dict[str, Any]] = []
    if recommended:
        done.append(session.call("warning_lists_set", recommended=enabled))
    done += [session.call("warning_list_change", name=name, enabled=enabled) for name in names]
    what = [*names, *(["the recommended lists"] if recommended else [])]
    session.show({"done": done}, line(", ".join(what), "in use" if enabled else "not in use any more"))


def _state(each: dict[str, Any]) -> str:
    return "failing" if each["failing_since"] else "in use" if each["enabled"] else "off"
