"""What every command shares: `--config`, `--data`, `--json`, how results and errors are shown, exit codes."""

from __future__ import annotations

import getpass
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console, RenderableType

from tipline.errors import TiplineError

CommandT = TypeVar("CommandT", bound=Callable[..., None])
OK, FAILED, USAGE = 0, 1, 2
DEFAULT_FILE = Path("tipline.yml")
_PATIENCE = 1.0  # seconds before something is said about waiting
_WIDTH = 200  # columns where nobody sees a terminal's width, so that nothing is cut

app = typer.Typer(
    name="tipline",
    help="Threat-intelligence feeds in; Defender, Sentinel and block lists out; nothing lost.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="TIPLINE_CONFIG", help="The configuration file.", metavar="FILE"),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The data directory, instead of the one in the file.", metavar="DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@dataclass
class Session:
    """One call of a command."""

    config: Path = DEFAULT_FILE
    data: Path | None = None
    as_json: bool = False

    @property
    def user(self) -> str:
        """Who asks, for the audit log."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return str(os.getuid())

    def show(self, result: Any, *renderables: RenderableType) -> None:
        """The result as JSON, or else what is for people."""
        if self.as_json:
            print_json(result)
            return
        console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
        for renderable in renderables:
            console.print(renderable)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what is being waited for, on a terminal, once it takes more than a second."""
        if self.as_json or not sys.stderr.isatty():
            yield
            return
        spinner = Console(stderr=True).status(what)
        timer = threading.Timer(_PATIENCE, spinner.start)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            spinner.stop()

    def call(
        self, operation: str, *, waiting: str = "", create: bool = False, trial: bool = False, **arguments: Any
    ) -> Any:
        """Run an operation where the data directory's owner is: in the server if one runs, else here.

        Args:
            operation: its name.
            waiting: what is said if it takes long.
            create: whether a data directory named by `--data` may be new.
            trial: whether the configuration is only looked at, and not put to work.
            arguments: plain JSON.
        """
        from tipline.cli.client import connect

        with self.waiting(waiting or f"{operation} ..."), connect(self, create=create, trial=trial) as client:
            return client.call(operation, arguments)


def command(name: str | None = None, *, group: typer.Typer = app) -> Callable[[CommandT], CommandT]:
    """Register a command (of a group): its first parameter is the session, whose options are added to its own."""

    def register(function: CommandT) -> CommandT:
        own = [*inspect.signature(function, eval_str=True).parameters.values()][1:]
        shared = {
            "config": (ConfigOption, DEFAULT_FILE),
            "data": (DataOption, None),
            "as_json": (JsonOption, False),
        }
        options = [
            inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for word, (annotation, default) in shared.items()
        ]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + options

        def run(**arguments: Any) -> None:
            session = Session(**{word: arguments.pop(word) for word in shared})
            from tipline.cli.logs import configure

            configure()
            try:
                function(session, **arguments)
                sys.stdout.flush()
            except BrokenPipeError:
                # Whoever read us has gone: the interpreter must not complain when it closes what is left.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        vars(run)["__signature__"] = inspect.Signature(parameters)  # typer reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        group.command(name or function.__name__.removesuffix("_").replace("_", "-"))(run)
        return function

    return register


def print_json(document: Any) -> None:
    """One JSON document, on one line; whoever reads it has it at once."""
    print(json.dumps(document), flush=True)


def tell_error(exc: TiplineError, *, as_json: bool) -> None:
    """An error: what, where, and what to do."""
    if as_json:
        print_json({"error": {"code": exc.code, "what": exc.what, "where": exc.where, "fix": exc.fix}})
        return
    where = f" ({exc.where})" if exc.where else ""
    sys.stderr.write(f"error: {exc.what}{where}\n")
    if exc.fix:
        sys.stderr.write(f"fix: {exc.fix}\n")
