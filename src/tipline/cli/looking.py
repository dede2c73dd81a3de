"""Commands that look: status, why, lookup, list, runs."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text
from rich.tree import Tree

from tipline.cli.base import FAILED, Session, command, print_json
from tipline.cli.show import branch, line, sets, table
from tipline.errors import TiplineError
from tipline.model.reasons import meaning


@command()
def status(session: Session) -> None:
    """Every node: what it holds, its last run, and what is wrong."""
    found = session.call("status")
    words = ("kind", "state", "indicators", "added", "removed", "expired", "read", "accepted")
    rows = [
        [
            n["name"],
            *(n[w] for w in words),
            sum(n["dropped"].values()),
            n["last_run"],
            n["next_run"],
            n["message"],
        ]
        for n in found["nodes"]
    ]
    columns = ("node", *words[:-2], "in", "out", "dropped", "last run", "next run", "message")
    alerts = [line(f"alert ({a['severity']}): {a['message']}", style="red") for a in found["alerts"]]
    where = "a server runs" if found["running"] else "no server runs"
    session.show(found, table(columns, rows), *alerts, line(f"{found['instance']}: {where}", style="dim"))


@command()
def why(
    session: Session,
    value: Annotated[str, typer.Argument(help="An indicator, in any spelling.")],
    type_: Annotated[str | None, typer.Option("--type", help="Its type; detected if not given.")] = None,
) -> None:
    """Why an indicator is where it is: claims, what each node did with it, who holds it, receipts."""
    found = session.call("why", value=value, type=type_)
    session.show(found, why_tree(found))
    if not found["claims"] and not found["log"]:
        raise typer.Exit(FAILED)


@command()
def lookup(
    session: Session,
    what: Annotated[
        str,
        typer.Argument(metavar="FILE|-|VALUE", help="A value, a file of values, or - for standard input."),
    ],
    output: Annotated[list[str] | None, typer.Option(help="Look in this output only; may be repeated.")] = None,
) -> None:
    """Look values up in what is published: exact, in networks, under domains. Exit code 1: none is."""
    found = session.call("lookup", values=_values(what), outputs=output)
    rows = []
    for entry in found:
        if entry["problem"]:
            rows.append((entry["asked"], "", meaning(entry["problem"]), "", "", ""))
        elif not entry["hits"]:
            rows.append((entry["asked"], "", "not published", "", "", ""))
        rows += [
            (entry["asked"], h["output"], h["how"], h["value"], h["confidence"], h["since"]) for h in entry["hits"]
        ]
    session.show(found, table(("asked", "output", "found", "value", "confidence", "since"), rows))
    if not any(entry["hits"] for entry in found):
        raise typer.Exit(FAILED)


@command(name="list")
def list_(
    session: Session,
    node: Annotated[str, typer.Argument(help="A source, processor or output.")],
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out first.")] = 0,
    format_: Annotated[
        Literal["plain", "json", "csv"], typer.Option("--format", help="How they are written.")
    ] = "plain",
) -> None:
    """List what a node holds now."""
    found = session.call("list", node=node, limit=limit, offset=offset)
    rows = found["rows"]
    if session.as_json:
        print_json(found)
    elif format_ == "json":
        print_json(rows)
    elif format_ == "csv":
        _write_csv(rows)
    else:
        for row in rows:
            print(row["value"])


@command()
def runs(
    session: Session,
    node: Annotated[str, typer.Argument(help="A source or output.")],
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> None:
    """The newest runs of a node, with their accounts: read = accepted + duplicate + dropped."""
    found = session.call("runs", node=node, limit=limit)
    columns = (
        "started",
        "state",
        "read",
        "accepted",
        "duplicate",
        "dropped",
        "added",
        "changed",
        "removed",
        "held",
        "message",
    )
    session.show(found, table(columns, [[run[c] for c in columns] for run in found["runs"]]))


def why_tree(found: dict[str, Any]) -> Tree:
    """What `why` found, for people."""
    asked = found["indicator"]
    tree = Tree(Text(f"{asked['value']} ({asked['type']})", style="bold"))
    branch(tree, "claims", (_claim(claim) for claim in found["claims"]))
    branch(tree, "what each node did", (_step(step) for step in found["nodes"]))
    branch(
        tree,
        "published",
        (
            line(
                o["output"],
                f"{o['value']} since {o['since']}, confidence {o['confidence']}",
                f"(not sent: {o['waiting']})" if o.get("waiting") else "",
                _override(o["override"]) if o.get("override") else "",
            )
            for o in found["outputs"]
        ),
    )
    branch(tree, "receipts", (_receipt(receipt) for receipt in found["receipts"]))
    branch(tree, "warning lists", (_on_list(each) for each in found["warning_lists"]))
    branch(
        tree,
        "history",
        (line(e["moment"], e["output"], e["op"], e["value"], e["reason"]) for e in found["log"]),
    )
    if not found["claims"] and not found["log"]:
        tree.add(line("nothing here knows it"))
    return tree


def _override(override: dict[str, Any]) -> str:
    until = f" until {override['until']}" if override["until"] else ""
    return f"({override['state']}: {sets(override)}{until}, by {override['by']}: {override['reason']})"


def _claim(claim: dict[str, Any]) -> Text:
    name = f"{claim['source']} (allow-list)" if claim["allow_list"] else claim["source"]
    details = [
        f"{word} {claim[word]}"
        for word in ("confidence", "tlp", "record", "added", "valid_until", "left_at")
        if claim[word] not in (None, "")
    ]
    return line(f"{name}:", claim["value"], ", ".join(details), claim["description"])


def _step(step: dict[str, Any]) -> Text:
    reason = f"({step['reason']})" if step["reason"] else ""
    # What may be seen differs by output, so a node may pass on for one what it drops for another.
    ways = f"on the way to {', '.join(step['outputs'])}" if step["reason"] in {"tlp", "not-actionable"} else ""
    style = "red" if step["decision"] == "dropped" else ""
    return line(f"{step['node']}:", step["decision"], reason, step["value"], ways, style=style)


def _on_list(each: dict[str, Any]) -> Text:
    entries = f"({', '.join(each['entries'])})" if each["entries"] else ""
    return line(each["list"], "drops" if each["action"] == "drop" else "tags", entries, each["title"])


def _receipt(receipt: dict[str, Any]) -> Text:
    until = f"until {receipt['expires']}" if receipt.get("expires") else ""
    return line(
        f"{receipt['output']}:",
        receipt["state"],
        receipt["value"],
        f"id {receipt['far_id'] or '-'}",
        until,
        receipt["reason"],
    )


def _values(what: str) -> list[str]:
    if what == "-":
        lines = [*sys.stdin]
    elif Path(what).is_file():
        try:
            lines = Path(what).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise TiplineError("it cannot be read", where=what, fix="it must be readable UTF-8 text") from exc
    else:
        lines = [what]
    return [text for text in map(str.strip, lines) if text]


def _write_csv(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(" ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in row.values())
