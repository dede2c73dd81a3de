"""Commands that bring over what other tools are configured with."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tipline.cli.base import Session, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError

if TYPE_CHECKING:
    from tipline.config.importers.report import Imported

Tool = Literal["misp-feeds", "misp2sentinel", "misp-graph", "minemeld"]
ToolArgument = Annotated[Tool, typer.Argument(help="Which tool's configuration it is.")]
PlaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE|URL",
        help="misp-feeds: MISP's feed list as JSON, or its address (https://MISP/feeds/index); misp2sentinel,"
        " misp-graph: the script's config.py; minemeld: its local directory, committed-config.yml, or backup.",
    ),
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="A new file for the YAML; else it is shown.")]
BlockingOption = Annotated[
    bool, typer.Option("--keep-blocking", help="Actions that block stay so; else they become alerts.")
]
PasswordOption = Annotated[Path | None, typer.Option("--password-file", help="minemeld: the backup's password.")]
KeyOption = Annotated[Path | None, typer.Option("--key-file", help="misp-feeds: a file with the key for MISP's API.")]
CaOption = Annotated[
    Path | None, typer.Option("--ca-file", help="misp-feeds: certificate authorities to trust as well (PEM).")
]


@command("import")
def import_(
    session: Session,
    tool: ToolArgument,
    place: PlaceArgument,
    output: OutputOption = None,
    keep_blocking: BlockingOption = False,
    password_file: PasswordOption = None,
    key_file: KeyOption = None,
    ca_file: CaOption = None,
) -> None:
    """Translate another tool's configuration, and tell what became of each setting."""
    from tipline.config.importers.tools import run_import

    found = run_import(
        tool, place, keep_blocking=keep_blocking, password_file=password_file, key_file=key_file, ca_file=ca_file
    )
    if output is not None:
        write(found, output)
    notes = [asdict(note) for note in found.notes]
    result = {
        "what": tool,
        **found.configuration(),
        "notes": notes,
        "secrets": sorted(found.secrets),
        "files": sorted(found.files),
        "needed": found.needed,
    }
    needed = [f"set {name} in the environment: the export has its value" for name in sorted(found.secrets)]
    if output is None:
        needed += [f"{name} is written with --output: it holds a secret" for name in sorted(found.files)]
    shown = line(f"written: {output}") if output is not None else line(found.yaml())
    columns = ("node", "setting", "outcome", "sentence")
    rows = table(columns, [tuple(note[name] for name in columns) for note in notes])
    session.show(result, shown, rows, *map(line, [*needed, *found.needed]))


def write(found: Imported, output: Path) -> None:
    """Write the configuration and, readable by their owner alone, its secrets beside it; nothing is written over.

    Raises:
        ConfigError: a file is there already, or cannot be written.
    """
    targets = [(output.parent / name, text, 0o600) for name, text in found.files.items()]
    for path, text, mode in [*targets, (output, found.yaml(), 0o644)]:
        try:
            path.parent.mkdir(mode=0o700 if mode == 0o600 else 0o755, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as exc:
            reason = f"it cannot be written: {exc.strerror}"
            raise ConfigError(reason, where=str(path), fix="name a new file, in a folder of its own") from exc
