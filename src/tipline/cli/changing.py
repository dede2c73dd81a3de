"""Commands that change indicators by hand: add, remove, allow, disallow."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from tipline.cli.base import FAILED, Session, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError
from tipline.model.reasons import meaning

Values = Annotated[list[str], typer.Argument(metavar="VALUE...", help="Indicators; - reads them from standard input.")]
Value = Annotated[str, typer.Argument(help="An indicator, network or domain.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Its type; detected if not given.")]
TtlOption = Annotated[str | None, typer.Option("--ttl", help="How long it holds, such as 30d; for good if not given.")]
StayOption = Annotated[
    str | None, typer.Option("--ttl", help="How long it stays: 30d or never; else as its source says")
]
SourceOption = Annotated[str | None, typer.Option("--source", help="The local source; the team's first if not given.")]
TeamOption = Annotated[str, typer.Option("--team", help="The team it belongs to.")]
_WAIT = 20.0  # seconds to wait for far sides' answers to a withdrawal


@command()
def add(
    session: Session,
    value: Values,
    *,
    type_: TypeOption = None,
    ttl: StayOption = None,
    comment: Annotated[str | None, typer.Option(help="Why it is added.")] = None,
    tlp: Annotated[str | None, typer.Option(help="clear, green, amber, amber+strict or red.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    confidence: Annotated[int | None, typer.Option(min=0, max=100, help="0 to 100.")] = None,
    source: SourceOption = None,
    team: TeamOption = "default",
) -> None:
    """Add indicators by hand."""
    shared = {
        "type": type_,
        "ttl": ttl,
        "comment": comment,
        "tlp": tlp,
        "tags": tag or [],
        "confidence": confidence,
    }
    entries = [shared | _entry(each) for each in _given(value)]
    found = session.call("add", create=True, entries=entries, source=source, team=team, user=session.user)
    session.show(
        found,
        line(f"{found['source']}: {found['added']} added, {found['changed']} changed"),
        *(line("refused:", f"{r['value']}: {meaning(r['reason'])}", style="red") for r in found["refused"]),
        *_outputs(found["outputs"]),
    )
    if found["refused"]:
        raise typer.Exit(FAILED)


@command()
def remove(
    session: Session,
    value: Values,
    source: SourceOption = None,
    team: TeamOption = "default",
    everyone: Annotated[bool, typer.Option("--everyone", help="Also what others of the team added.")] = False,
) -> None:
    """Remove what you added by hand; what others added stays."""
    found = session.call("remove", values=_given(value), source=source, team=team, user=session.user, everyone=everyone)
    _removed(session, found)


@command()
def allow(
    session: Session,
    value: Value,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept with it.")],
    type_: TypeOption = None,
    ttl: TtlOption = None,
    team: TeamOption = "default",
) -> None:
    """Allow a value: it leaves every output and far side at once, and does not come back."""
    found = session.call(
        "allow", waiting="withdrawing ...", create=True,
        value=value, reason=reason, ttl=ttl, type=type_, team=team, user=session.user, wait=_WAIT,
    )  # fmt: skip
    lines: list[Any] = [line(f"{value} is allowed")] if found["added"] else [line(f"{value} was allowed already")]
    for change in found["outputs"]:
        lines.append(
            line(f"{change['output']}: {change['removed']:,} removed, {change['added']:,} added", style="bold")
        )
        signs = {"removed": "-", "added": "+", "changed": "~"}
        lines += [line(f"  {signs[s['op']]} {s['type']} {s['value']}") for s in change["samples"]]
    if not found["outputs"]:
        lines.append(line("no output held it"))
    lines += [line(f"{name}: a guard holds it back: tipline holds", style="yellow") for name in found["held"]]
    lines += [
        line(f"still on {each['output']}: {each['type']} {each['value']} covers it; allow that, too", style="yellow")
        for each in found["left"]
    ]
    if found["receipts"]:
        columns = ("output", "type", "value", "state", "far_id", "reason")
        lines += [
            Text("receipts", style="bold"),
            table(columns, [[r[c] for c in columns] for r in found["receipts"]]),
        ]
    session.show(found, *lines)
    if found["held"]:
        raise typer.Exit(FAILED)


@command()
def disallow(session: Session, value: Value, team: TeamOption = "default") -> None:
    """Take back what was allowed by hand."""
    _removed(session, session.call("disallow", value=value, team=team, user=session.user))


def _removed(session: Session, found: dict[str, Any]) -> None:
    session.show(
        found,
        line(f"{found['source']}: {found['removed']} removed"),
        *(line("stays:", f"{left['value']} (added by {left['by']})") for left in found["left"]),
        *_outputs(found["outputs"]),
    )
    if not found["removed"]:
        raise typer.Exit(FAILED)


def _outputs(outputs: list[dict[str, Any]]) -> list[Text]:
    changed = [o for o in outputs if o["added"] or o["removed"] or o["held"]]
    return [
        line(
            f"{o['output']}: +{o['added']:,} -{o['removed']:,}"
            + (f", {o['held']:,} held: {o['message']}" if o["held"] else "")
        )
        for o in changed
    ]


def _entry(text: str) -> dict[str, Any]:
    """One line: an indicator, or a JSON object with `value`, `ttl`, `comment`, `tlp`, ..., as an import writes it."""
    if not text.startswith("{"):
        return {"value": text}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"a line is no JSON: {text[:100]}", fix="write one indicator a line") from exc
    if not isinstance(found, dict) or not isinstance(found.get("value"), str):
        raise ConfigError(f"a line has no value: {text[:100]}", fix="write one indicator a line")
    return found


def _given(values: list[str]) -> list[str]:
    found: list[str] = []
    for value in values:
        found += [text for text in map(str.strip, sys.stdin) if text] if value == "-" else [value]
    return found
