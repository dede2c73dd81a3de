"""Commands on overrides: override set, list, remove."""

from __future__ import annotations

from typing import Annotated

import typer

from tipline.cli.base import Session, app, command
from tipline.cli.show import line, sets, table

overrides = typer.Typer(help="How single indicators are to be at a far side, whatever feeds say.", no_args_is_help=True)
app.add_typer(overrides, name="override")

Output = Annotated[str, typer.Argument(help="A delivered output, of a kind that can: microsoft-defender.")]
Value = Annotated[str, typer.Argument(help="The indicator, in any spelling.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Its type; detected if not given.")]
_COLUMNS = ("output", "type", "value", "sets", "state", "reason", "by", "at", "until", "note")


@command("set", group=overrides)
def override_set(
    session: Session,
    output: Output,
    value: Value,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept with it.")],
    action: Annotated[
        str | None, typer.Option(help="Audit, Warn, Block, BlockAndRemediate or Allowed, as the type allows.")
    ] = None,
    severity: Annotated[str | None, typer.Option(help="Informational, Low, Medium or High.")] = None,
    title: Annotated[str | None, typer.Option(help="The alert's title, up to 100 characters.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="When the far side forgets it: 7d from now, or a moment (ISO 8601).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="When the override ends, likewise; never if not given.")] = None,
    type_: TypeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm an action that blocks or lets through.")] = False,
) -> None:
    """Set one indicator's action, severity, title or end at the far side; it survives polls."""
    changes = {"action": action, "severity": severity, "title": title, "expires": expires}
    done = session.call(
        "override", output=output, value=value, changes=changes, reason=reason, type=type_, until=until,
        confirmed=yes, user=session.user,
    )  # fmt: skip
    before = [line("before:", sets(done["before"]), style="dim")] if done["before"] else []
    session.show(done, line(f"{output}: {done['value']} is", sets(done["override"])), *before)


@command("list", group=overrides)
def override_list(
    session: Session,
    output: Annotated[str | None, typer.Argument(help="One output; all if not given.")] = None,
    text: Annotated[str, typer.Option(help="A part of the value, the reason or who set it.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
) -> None:
    """Every override, and whether it counts now."""
    found = session.call("overrides", output=output, text=text, limit=limit)
    rows = [[{**each, "sets": sets(each)}[column] for column in _COLUMNS] for each in found["overrides"]]
    more = [line(f"there are more than {limit:,}: add --limit or --text")] if found["next"] else []
    session.show(found, table(_COLUMNS, rows) if rows else line("nothing is overridden"), *more)


@command("remove", group=overrides)
def override_remove(session: Session, output: Output, value: Value, type_: TypeOption = None) -> None:
    """Take an override back: the indicator is as the output's settings say again."""
    done = session.call("override_remove", output=output, value=value, type=type_, user=session.user)
    session.show(done, line(f"{output}: {done['removed']['value']} is not", sets(done["removed"]), "any more"))
