"""Writes the reference pages from the code itself: `python -m tipline.cli.reference DIRECTORY`.

Kinds, settings, commands, addresses, metrics and reasons are described where they are declared; these pages
only lay that out, so they cannot say anything else than the code does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Any

from tipline.cli.reference_http import endpoints_page
from tipline.cli.reference_library import library_page
from tipline.cli.reference_outputs import outputs_page
from tipline.cli.reference_program import commands_page, metrics_page, modules_page
from tipline.cli.reference_reasons import reasons_page
from tipline.cli.reference_schema import configuration_schema
from tipline.cli.reference_settings import nested_tables, settings_tables, table
from tipline.cli.reference_types import types_page
from tipline.config.schema import Settings
from tipline.kinds import PACKAGES, Kind, NodeSettings, Sort, kinds

NOTICE = "<!-- Written by `make docs` from the code; change it there. -->"
SCHEMA = "tipline.schema.json"
_ARTICLES: dict[Sort, str] = {"source": "A", "processor": "A", "output": "An"}
_SECTIONS: dict[Sort, str] = {"source": "sources", "processor": "processors", "output": "outputs"}


def main(arguments: list[str]) -> int:
    """Write every page into a directory; pages of kinds that are gone are removed."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tipline.cli.reference DIRECTORY\n")
        return 2
    write(Path(arguments[0]))
    return 0


def write(directory: Path) -> list[Path]:
    """Write the pages; returns their paths."""
    found = pages()
    for section in _SECTIONS.values():
        for old in (directory / section).glob("*.md"):
            if f"{section}/{old.name}" not in found:
                old.unlink()
    for name, text in found.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [directory / name for name in found]


def pages() -> dict[str, str]:
    """Every page: its path below the reference directory, and its text."""
    made = {
        "configuration.md": _configuration_page(),
        "commands.md": commands_page(),
        "endpoints.md": endpoints_page(),
        "metrics.md": metrics_page(),
        "drop-reasons.md": reasons_page(),
        "types.md": types_page(),
        "library.md": library_page(),
        "output-kinds.md": outputs_page(),
        "modules.md": modules_page(),
    }
    for sort, section in _SECTIONS.items():
        for name, kind in kinds(sort).items():
            made[f"{section}/{name}.md"] = _kind_page(sort, name, kind)
    marked = {name: f"{NOTICE}\n{text.strip()}\n" for name, text in made.items()}
    return {**marked, SCHEMA: json.dumps(configuration_schema(), indent=1) + "\n"}


def _kind_page(sort: Sort, name: str, kind: type[Kind[NodeSettings]]) -> str:
    blocks = [f"# {name}", f"{_ARTICLES[sort]} {sort} kind. {cleandoc(kind.__doc__ or '')}"]
    carried = getattr(kind, "types", None)
    if carried:
        blocks.append("Types it can carry: " + ", ".join(f"`{word}`" for word in sorted(carried)) + ".")
    blocks += [f"```yaml\n{kind.example.strip()}\n```", *settings_tables(kind.Settings), _see_also(sort)]
    return "\n\n".join(blocks)


def _see_also(sort: Sort) -> str:
    links = {
        "source": "[types](../types.md), [reasons for dropping](../drop-reasons.md)",
        "processor": "[the filter language](../filter.md), [reasons for dropping](../drop-reasons.md)",
        "output": "[the filter language](../filter.md), [addresses of lists](../endpoints.md)",
    }
    return f"Durations are written `90s`, `15m`, `1h`, `30d`, `2w`. See also {links[sort]}."


def _configuration_page() -> str:
    intro = """
    # Configuration

    One YAML file, `tipline.yml` unless `--config` names another. Unknown keys are errors; `tipline
    check` reports every problem at once with its line. `${env:NAME}` is replaced by an environment
    variable, `${file:PATH}` by the contents of a file (relative to the configuration file, its ends
    trimmed).

    Editors that understand JSON Schema complete and check the file with
    [tipline.schema.json](tipline.schema.json): put `# yaml-language-server: $schema=` and the schema's
    path on the first line.
    """
    blocks = [dedent(intro).strip(), "## Top level", *_top_level(), "## Nodes", dedent(_NODES).strip()]
    for sort, section in _SECTIONS.items():
        rows = ((f"[`{name}`]({section}/{name}.md)", kind.summary()) for name, kind in kinds(sort).items())
        blocks += [f"### {section}", table(("Kind", "What it does"), rows)]
    blocks.append(f"Packages add kinds through the entry points {_entry_points()}.")
    return "\n\n".join(blocks)


_NODES = """
`sources`, `processors` and `outputs` each map names to nodes; a name stands once in the whole file,
is up to 100 letters, digits, `-`, `_` and `.`, and starts with a letter, a digit or `_`. Three
names of sources are built in: `never-block` (what no blocking output carries), `allowed` (what
`tipline allow` adds), and `allowed-TEAM` for each other team.
"""


def _top_level() -> Iterator[str]:
    tables: list[Any] = list(settings_tables(Settings, "###"))
    own = len(list(nested_tables(Settings, "###")))
    # The table of the top level itself needs no title of its own.
    yield from tables[1 : len(tables) - own]
    yield "`sources`, `processors` and `outputs` stand beside these; see below."
    yield from tables[len(tables) - own :]


def _entry_points() -> str:
    return ", ".join(f"`{package}`" for package in PACKAGES.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
