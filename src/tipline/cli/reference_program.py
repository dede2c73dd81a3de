"""Reference pages of the program: commands, addresses, metrics, modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer
from prometheus_client.core import CounterMetricFamily

import tipline
from tipline.api.metrics import METRICS
from tipline.cli import modules
from tipline.cli.base import app
from tipline.cli.reference_settings import table
from tipline.config.declared import headline, plain_default, type_words

_SHARED = ("config", "data", "as_json")
_CONDUCT = """
Exit codes: 0 all is well, 1 a problem was found or the command failed, 2 it was written wrongly,
130 it was interrupted. With `--json` an error is one document: `error` with `code`, `what`, `where`
and `fix`. Commands work whether or not a server runs on the same data directory: if one does, they
ask it over loopback. `TIPLINE_DEBUG=1` shows where an unexpected error came from.
"""


def commands_page() -> str:
    """Every command with its arguments and options."""
    registered = modules()
    group: Any = typer.main.get_command(app)
    blocks = [
        "# Commands",
        f"{app.info.help} `tipline COMMAND --help` shows the same as this page.",
        "Every command takes these options:",
        _options([p for p in group.commands["check"].params if p.name in _SHARED]),
        dedent(_CONDUCT).strip(),
    ]
    for module in registered:
        blocks.append(f"## {headline(module).partition(':')[0]}")
        for name, command in _flat(group):
            if _module(command) == module.__name__:
                blocks += _command(name, command)
    return "\n\n".join(blocks)


def _flat(group: Any) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it, those of groups within the group, too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", found) for inner, found in _flat(command))
        elif command.callback:
            yield name, command


def _module(command: Any) -> str:
    """The module of a command; the registered callback wraps the function and keeps only its name."""
    name = command.callback.__name__
    return next((m.__name__ for m in modules() if getattr(m, name, None) and _own(m, name)), "")


def _own(module: Any, name: str) -> bool:
    return bool(getattr(module, name).__module__ == module.__name__)


def _command(name: str, command: Any) -> Iterator[str]:
    own = [p for p in command.params if p.name not in _SHARED]
    arguments = [p for p in own if p.param_type_name == "argument"]
    words = [f"[{_metavar(p)}]" if not p.required else _metavar(p) for p in arguments]
    yield f"### {name}"
    yield "`" + " ".join(["tipline", name, *words, *(["[OPTIONS]"] if len(own) > len(words) else [])]) + "`"
    yield " ".join((command.help or "").split())
    if own:
        yield _options(own)


def _options(params: list[Any]) -> str:
    return table(("Argument or option", "Takes", "Default", "Meaning"), (_option(p) for p in params))


def _option(param: Any) -> tuple[str, str, str, str]:
    if param.param_type_name == "argument":
        label = f"`{_metavar(param)}`"
    else:
        label = ", ".join(f"`{word}`" for word in [*param.opts, *param.secondary_opts])
    default = param.default
    silent = default is None or default is False
    shown = "required" if param.required else "" if silent else f"`{plain_default(default)}`"
    takes = "" if getattr(param, "is_flag", False) else type_words(param.type_descriptor.annotation)
    if param.min is not None or param.max is not None:
        limits = [f"from {param.min}"] if param.min is not None else []
        limits += [f"up to {param.max}"] if param.max is not None else []
        takes = f"{takes}, {' '.join(limits)}"
    from_environment = f" Environment: `{param.envvar}`." if param.envvar else ""
    return label, takes, shown, f"{param.help or ''}{from_environment}"


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.removesuffix("_").upper())


_METRICS = """
`GET /metrics` answers in Prometheus' text format. Counters of runs and records count since the
process started; those of deliveries are kept over restarts. `reason` is the code of
[a reason for dropping](drop-reasons.md).
"""


def metrics_page() -> str:
    """Every metric, with its labels."""
    rows = []
    for name, (family, text, labels) in METRICS.items():
        counter = family is CounterMetricFamily
        word = f"`{name}_total`" if counter else f"`{name}`"
        rows.append((word, "counter" if counter else "gauge", ", ".join(f"`{each}`" for each in labels), text))
    return f"# Metrics\n\n{dedent(_METRICS).strip()}\n\n{table(('Metric', 'Kind', 'Labels', 'Meaning'), rows)}"


def modules_page() -> str:
    """Every module with its number of lines and what it is for."""
    root = Path(tipline.__file__).parent
    files = sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)
    blocks = ["# Modules", "What each package may import is in [the architecture](../architecture.md)."]
    total = 0
    for folder in sorted({path.parent for path in files}):
        rows = [_module_row(path) for path in files if path.parent == folder]
        total += sum(int(lines) for _, lines, _ in rows)
        name = ".".join(["tipline", *folder.relative_to(root).parts])
        blocks += [f"## {name}", table(("Module", "Lines", "What it does"), rows)]
    return "\n\n".join([*blocks, f"{total:,} lines in all."])


def _module_row(path: Path) -> tuple[str, str, str]:
    text = path.read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return f"`{path.name}`", str(len(text.splitlines())), first
