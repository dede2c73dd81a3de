"""The command line: `tipline --help`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType

import typer
from typer.exceptions import TyperException

from tipline.cli.base import FAILED, OK, USAGE, app, tell_error
from tipline.errors import TiplineError


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 ok, 1 a problem was found, 2 wrong usage."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


# The modules with commands, in the order of the reference.
_MODULES = (
    "configuring", "library", "importing", "running", "looking", "changing", "delivering", "overriding",
    "warning_lists", "accounts", "secrets", "upkeep",
)  # fmt: skip


def modules() -> list[ModuleType]:
    """The modules with commands, which they register when they are imported."""
    return [import_module(f"tipline.cli.{name}") for name in _MODULES]


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    modules()
    as_json = "--json" in arguments
    try:
        code = app(args=arguments, prog_name="tipline", standalone_mode=False)
    except TyperException as exc:
        return _usage(exc, as_json=as_json)
    except TiplineError as exc:
        if _debugging():
            raise
        tell_error(exc, as_json=as_json)
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("stopped\n")
        return 130
    except Exception as exc:
        # The last resort: people get one line, not a stack trace.
        if _debugging():
            raise
        fix = "run it again with TIPLINE_DEBUG=1 and report what it shows"
        tell_error(TiplineError(f"tipline failed: {type(exc).__name__}: {exc}", fix=fix), as_json=as_json)
        return FAILED
    return code if isinstance(code, int) else OK


def _usage(exc: TyperException, *, as_json: bool) -> int:
    words = exc.format_message().replace("\n", " ").strip()
    if words:
        tell_error(_UsageError(words, fix="see tipline COMMAND --help"), as_json=as_json)
    return USAGE if words else OK


class _UsageError(TiplineError):
    """A command was written wrongly."""

    code = "usage"


def _debugging() -> bool:
    return os.environ.get("TIPLINE_DEBUG") == "1"


__all__ = ["main", "modules", "run"]
