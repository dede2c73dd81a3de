"""Commands that put the configuration to work: run, serve."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from tipline.cli.base import FAILED, Session, command, print_json
from tipline.cli.show import line, table
from tipline.errors import TiplineError

OnceOption = Annotated[
    bool, typer.Option("--once", help="One round: poll all, evaluate, deliver until drained; then end.")
]
HostOption = Annotated[str | None, typer.Option(help="Address to listen on; else http: host in the file.")]
PortOption = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")]


@command()
def run(session: Session, once: OnceOption = False) -> None:
    """Run the engine without serving lists (other commands still reach it over loopback)."""
    if once:
        _once(session)
    else:
        _serve(session, [], lists=False)


@command()
def serve(
    session: Session,
    host: HostOption = None,
    port: PortOption = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Serve by HTTPS: the certificate with its chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
) -> None:
    """Run the engine and serve lists, health and metrics, until it is stopped."""
    from tipline.cli.client import configuration

    http = configuration(session).settings.http
    address = (http.host if host is None else host, http.port if port is None else port)
    if (tls_cert is None) != (tls_key is None):
        raise TiplineError("HTTPS takes a certificate and its key", fix="give both --tls-cert and --tls-key")
    _serve(session, [address], lists=True, tls=(tls_cert, tls_key) if tls_cert and tls_key else None)


def _serve(
    session: Session, addresses: list[tuple[str, int]], *, lists: bool, tls: tuple[Path, Path] | None = None
) -> None:
    from tipline.api.serving import Tls
    from tipline.api.serving import run as run_server
    from tipline.cli.client import open_engine
    from tipline.cli.logs import configure
    from tipline.engine.accounts import first_token
    from tipline.engine.logbook import FOLDER

    configure(logging.INFO)

    def ready(urls: list[str]) -> None:
        names = sorted(name for name, o in engine.configuration.outputs.items() if o.kind == "list") if lists else []
        feeds = [f"{urls[0]}/feeds/{name}" for name in names]
        token = first_token(engine) if lists else ""
        if session.as_json:
            setup = {"setup_token": token} if token else {}
            print_json({"urls": urls, "data": str(engine.data), "feeds": feeds, **setup})
        else:
            words = [
                *(f"listening on {url}" for url in urls),
                *(f"list: {feed}" for feed in feeds),
                f"data: {engine.data}",
                *([f"no user yet: make the first admin at {urls[0]}/ui/first-visit"] if token else []),
                *([f"one-time token: {token}"] if token else []),
            ]
            print("\n".join(words), flush=True)

    with open_engine(session) as engine:
        configure(logging.INFO, engine.file(FOLDER))
        run_server(engine, addresses, lists=lists, ready=ready, tls=Tls(*tls) if tls else None)


def _once(session: Session) -> None:
    done = session.call("run_once", waiting="polling, evaluating, delivering ...", create=True)
    polls = [
        (p["source"], p["state"], p["ledger"]["read"], p["ledger"]["accepted"], p["ledger"]["duplicate"],
         sum(p["ledger"]["dropped"].values()), p["added"], p["removed"], p["held"], p["message"])
        for p in done["polls"]
    ]  # fmt: skip
    outputs = [
        (
            o["output"],
            "held" if o["held"] else "ok",
            o["added"],
            o["changed"],
            o["removed"],
            o["held"],
            o["message"],
        )
        for o in done["outputs"]
    ]
    session.show(
        done,
        table(
            (
                "source",
                "state",
                "read",
                "accepted",
                "duplicate",
                "dropped",
                "added",
                "removed",
                "held",
                "message",
            ),
            polls,
        ),
        line(" "),
        table(("output", "state", "added", "changed", "removed", "held", "message"), outputs),
        *_delivered(done["deliveries"]),
    )
    if done["failed"]:
        raise typer.Exit(FAILED)


def _delivered(deliveries: dict[str, Any]) -> list[Any]:
    if not deliveries:
        return []
    words = ("state", "sent", "accepted", "errors", "deleted", "parked", "message")
    rows = [(name, *(report.get(word) for word in words)) for name, report in deliveries.items()]
    return [line(" "), table(("delivery", *words), rows)]
