"""Commands on what is held and delivered: deliveries, holds, verify, reconcile, adopt."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from tipline.cli.base import FAILED, Session, command
from tipline.cli.show import line, table

OutputArgument = Annotated[str | None, typer.Argument(help="One output; all if not given.")]


@command()
def deliveries(session: Session) -> None:
    """How far every delivery has come: lag, counts, refusals by reason, what is parked, slots."""
    found = session.call("deliveries")
    words = ("state", "lag", "sent", "accepted", "errors", "deleted")
    rows = [
        [
            d["output"],
            *(d[word] for word in words),
            d["items"].get("parked", 0),
            d["detail"],
            d["last_success"],
            d["message"],
        ]
        for d in found["deliveries"]
    ]
    columns = ("output", *words, "parked", "detail", "last success", "message")
    reasons = [
        line(f"{d['output']}: {number:,} parked: {reason}", style="yellow")
        for d in found["deliveries"]
        for reason, number in d["reasons"].items()
    ]
    gone = [
        line(f"{d['output']}, which is gone: {d['copies']:,} copies: {d['state']}: {d['message']}", style="yellow")
        for d in found["leaving"]
    ]
    session.show(found, table(columns, rows) if rows else line("no output has a far side"), *reasons, *gone)


@command()
def receipts(
    session: Session,
    output: Annotated[str, typer.Argument(help="A delivered output.")],
    *,
    state: Annotated[str, typer.Option(help="sending, accepted, parked, withdrawing or withdrawn.")] = "",
    text: Annotated[str, typer.Option(help="A part of the value.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
) -> None:
    """Show what a far side answered for each indicator, with its identifier there."""
    found = session.call("receipts", output=output, state=state, text=text, limit=limit)
    columns = ("type", "value", "state", "holds", "far_id", "attempts", "reason", "last_sent", "expires")
    rows = [[receipt[column] for column in columns] for receipt in found["receipts"]]
    more = [line(f"there are more than {limit:,}: add --limit, --state or --text")] if found["next"] else []
    session.show(found, table(columns, rows) if rows else line("there is no such receipt"), *more)


@command()
def retry(
    session: Session,
    output: Annotated[str, typer.Argument(help="A delivered output.")],
    reason: Annotated[str | None, typer.Option(help="Only what was refused for this reason, in full.")] = None,
) -> None:
    """Try again what a far side refused or could not take back, without waiting for its time."""
    done = session.call("retry", output=output, reason=reason, user=session.user)
    session.show(done, line(f"{output}: {done['retried']:,} are tried again"))


@command()
def holds(
    session: Session,
    action: Annotated[
        Literal["approve", "keep"] | None,
        typer.Argument(help="approve: let through what is held; keep: leave the copies of a removed output there."),
    ] = None,
    node: Annotated[str | None, typer.Argument(help="The source or output.")] = None,
) -> None:
    """Show what guards keep back, since when and why; or decide on it: tipline holds approve NODE."""
    if action and not node:
        raise typer.BadParameter(f"name the node: tipline holds {action} NODE")
    if action == "keep":
        done = session.call("keep", node=node, user=session.user)
        session.show(done, line(f"{node}: {done['kept']:,} copies stay at the far side, and are forgotten here"))
        return
    if node:
        done = session.call("approve", node=node, user=session.user)
        words = f"{node}: {done['what']} released: {done['removed']:,} removed, {done['added']:,} added"
        session.show(done, line(words))
        return
    found = session.call("holds")
    columns = ("node", "what", "count", "since", "reason", "samples", "approved_by")
    rows = [[hold[column] for column in columns] for hold in found["holds"]]
    session.show(found, table(columns, rows) if rows else line("nothing is held"))


@command()
def verify(session: Session, output: OutputArgument = None) -> None:
    """Prove that what is published equals the view evaluated from scratch."""
    found = session.call("verify", waiting="evaluating in full ...", outputs=[output] if output else None)
    rows = [(o["output"], _verdict(o), o["published"], o["differences"], _examples(o)) for o in found["outputs"]]
    session.show(found, table(("output", "state", "published", "differences", "samples"), rows))
    if not found["equal"]:
        raise typer.Exit(FAILED)


@command()
def reconcile(
    session: Session,
    output: OutputArgument = None,
    fix: Annotated[bool, typer.Option("--fix", help="Set right what differs.")] = False,
) -> None:
    """Compare far sides with what they should hold. Exit code 1: something differs, or cannot be known."""
    found = session.call("reconcile", waiting="reading the far sides ...", output=output, fix=fix)
    sorts = ("missing", "extra", "different", "foreign", "foreign_allowed")
    rows = [
        [
            r["output"],
            r["state"],
            r["checked"],
            *(r[sort]["count"] for sort in sorts),
            r["fixed"],
            r["message"],
        ]
        for r in found["outputs"]
    ]
    samples = [
        line(f"  {r['output']}: {sort}:", s["value"], s["far_id"], s["why"])
        for r in found["outputs"]
        for sort in sorts
        for s in r[sort]["samples"]
    ]
    columns = ("output", "state", "checked", *sorts, "fixed", "message")
    session.show(found, table(columns, rows) if rows else line("no output has a far side"), *samples)
    if not found["clean"]:
        raise typer.Exit(FAILED)


@command("try-delivery")
def try_delivery(
    session: Session,
    output: Annotated[str, typer.Argument(help="A delivered output.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the published indicators.")] = 3,
) -> None:
    """Show the requests that a delivery would make for what is published, without sending any; secrets are masked."""
    found = session.call("try_delivery", output=output, limit=limit)
    shown = [line(f"{output}: {found['published']:,} indicators would be sent; nothing was")]
    for title, texts in (("sends", found["requests"]), ("would take the first one back", found["withdrawals"])):
        for text in texts:
            shown += [line(f"--- {title}", style="bold"), *(line(row) for row in text.splitlines())]
    shown += [line("refused:", value, why, style="yellow") for value, why in found["refused"].items()]
    session.show(found, *shown)


@command()
def adopt(
    session: Session,
    output: Annotated[str, typer.Argument(help="The output that takes over.")],
    *,
    source: Annotated[
        str | None,
        typer.Option(help="The earlier tool: its creator or title in Defender, its source system in Sentinel."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; otherwise it is only shown.")] = False,
    retire: Annotated[bool, typer.Option("--retire", help="Also delete what no source lists any more.")] = False,
) -> None:
    """Take over what an earlier tool left at a far side: keep, replace or retire each item."""
    found = session.call(
        "adopt", waiting="reading the far side ...", output=output, source=source, apply=apply, retire=retire
    )
    rows = [(i["what"], i["type"], i["value"], i["by"], i["why"]) for i in found["items"]]
    counts = ", ".join(f"{word}: {number:,}" for word, number in found["counts"].items())
    end = f"done: {found['deleted']:,} deleted" if found["applied"] else "nothing was changed: add --apply to do it"
    failed = [line("failed:", value, why, style="red") for value, why in found["failed"].items()]
    session.show(found, table(("what", "type", "value", "by", "why"), rows), line(counts), line(end), *failed)
    if found["failed"]:
        raise typer.Exit(FAILED)


def _verdict(output: dict[str, Any]) -> str:
    if output["equal"]:
        return "ok"
    return "held" if output["held"] else "failed"


def _examples(output: dict[str, Any]) -> list[str]:
    return [f"{sample['op']} {sample['value']}" for sample in output["samples"]]
