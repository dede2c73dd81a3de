"""Commands that bring over what other tools are configured with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tipline.cli.base import Session, command
from tipline.cli.show import line, table
from tipline.errors import ConfigError

OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="A new file for the YAML; else it is shown.")]
FileArgument = Annotated[Path, typer.Argument(help="What that tool exports: for misp-feeds, MISP's feed list as JSON.")]


@command("import")
def import_(
    session: Session,
    what: Annotated[Literal["misp-feeds"], typer.Argument(help="Which tool's configuration it is.")],
    file: FileArgument,
    output: OutputOption = None,
) -> None:
    """Translate another tool's configuration into sources, and tell what became of each setting."""
    from tipline.config.importers.misp_feeds import import_feeds

    try:
        found = import_feeds(file.read_text(encoding="utf-8-sig"), str(file))
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"it cannot be read: {reason}", where=str(file)) from exc
    text = found.yaml()
    if output is not None:
        try:
            with output.open("x", encoding="utf-8") as target:
                target.write(text)
        except OSError as exc:
            reason = f"it cannot be written: {exc.strerror}"
            raise ConfigError(reason, where=str(output), fix="name a new file") from exc
    notes = [(note.feed, note.setting, note.outcome, note.sentence) for note in found.notes]
    result = {
        "what": what,
        "sources": found.sources,
        "notes": [dict(zip(("feed", "setting", "outcome", "sentence"), note, strict=True)) for note in notes],
        "secrets": sorted(found.secrets),
    }
    needed = [line(f"set {name} in the environment: the export has its value") for name in sorted(found.secrets)]
    shown = line(f"written: {output}") if output is not None else line(text)
    session.show(result, shown, table(("feed", "setting", "outcome", "note"), notes), *needed)
