"""The hand-written pages: their configurations pass `check`, their code runs, their links lead somewhere."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from docs.support import DOCS, PAGES, REFERENCE, ROOT, blocks, checked
from tipline.cli import modules
from tipline.cli.base import app
from tipline.kinds import Kind
from tipline.processors.base import Query
from tipline.processors.expression import compile_filter
from tipline.sources.base import PollContext
from tipline.store.schema import VIEW, columns_sql

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CONFIGURATIONS = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, text in enumerate(blocks(page, "yaml tipline"))
]


def test_there_are_configurations() -> None:
    assert len(_CONFIGURATIONS) > 8


@pytest.mark.parametrize("text", _CONFIGURATIONS)
def test_configuration_passes_check(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checked(text, tmp_path, monkeypatch)
    assert [str(problem) for problem in found.problems] == []


@pytest.mark.parametrize("text", _CONFIGURATIONS)
def test_configuration_fits_the_schema(text: str) -> None:
    schema = json.loads((REFERENCE / "tipline.schema.json").read_text(encoding="utf-8"))
    document = json.loads(json.dumps(YAML(typ="safe").load(text), default=str))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [first or second for first, second in _LINK.findall(text)]
    local = [target.partition("#")[0] for target in targets if "://" not in target and target[0] != "#"]
    broken = [target for target in local if not (page.parent / target).exists()]
    # The figures are written by `make bench`, apart from these pages.
    assert [target for target in broken if Path(target).name != "performance.md"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_path_of_a_machine_is_named(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])/(?:work|tmp|home|root|Users)/\S*", text) == []


def test_every_page_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    pending = [DOCS / "README.md"]
    while pending:
        page = pending.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        targets = [a or b for a, b in _LINK.findall(page.read_text(encoding="utf-8"))]
        pending += [(page.parent / t.partition("#")[0]).resolve() for t in targets if "://" not in t]
    missed = {page for page in DOCS.rglob("*.md") if page.name != "performance.md"} - seen
    assert {str(page.relative_to(DOCS)) for page in missed} == set()


def test_every_filter_in_the_reference_compiles() -> None:
    text = (REFERENCE / "filter.md").read_text(encoding="utf-8")
    plain = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [line for block in plain for line in block.splitlines()]
    assert len(found) > 5
    for line in found:
        compile_filter(line)


def _command_lines(page: Path) -> list[list[str]]:
    """What pages tell people to type: lines of shell blocks, and `tipline ...` inside a sentence."""
    text = page.read_text(encoding="utf-8")
    scripts = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shell = [line for script in scripts for line in script.splitlines()]
    inline = re.findall(r"`(tipline [^`\n]*)`", text)
    typed = [re.split(r"\s#|;", line)[0] for line in [*shell, *inline]]
    found = [re.search(r"(?:^|/)tipline ((?!-)[a-z].*)", line) for line in typed]
    return [match[1].split() for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_pages_name_exist(page: Path) -> None:
    modules()
    group: Any = typer.main.get_command(app)
    for command, *words in _command_lines(page):
        assert command in group.commands
        found = group.commands[command]
        while words and words[0] in getattr(found, "commands", {}):  # what a group is told to do
            found = found.commands[words.pop(0)]
        known = {option for param in found.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= known, (command, words)


@pytest.fixture(name="declared")
def _declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], type[Kind[Any]]]:
    """The kind that the page on writing kinds shows, imported as a module of a package would be."""
    monkeypatch.syspath_prepend(tmp_path)

    def of(sort: str) -> type[Kind[Any]]:
        (code,) = blocks(DOCS / "how-to" / "write-a-kind.md", f"python tipline {sort}")
        name = f"example_{sort}_of_the_documentation"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        module = import_module(name)
        monkeypatch.delitem(sys.modules, name)
        found = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Kind)]
        return next(kind for kind in found if kind.__module__ == name)

    return of


def test_the_example_processor_takes_out_with_a_reason(
    declared: Callable[[str], type[Kind[Any]]],
) -> None:
    kind = declared("processor")
    settings = kind.Settings.model_validate(YAML(typ="safe").load(kind.example))
    node: Any = kind("x", settings)
    con = duckdb.connect()
    con.execute(f"CREATE TABLE rows ({columns_sql(VIEW)}, dropped VARCHAR)")
    con.execute("INSERT INTO rows (value, tags) VALUES ('a', ['phish']), ('b', ['spam']), ('c', NULL)")
    query = Query(inputs=["rows"], allow=[], as_of="TIMESTAMP '2026-01-01'", materialise=str, unique=True)
    found = con.execute(f"SELECT value, dropped FROM ({node.query(query)}) ORDER BY value").fetchall()
    assert found == [("a", None), ("b", "not-tagged"), ("c", "not-tagged")]


def test_the_example_source_yields_frames(declared: Callable[[str], type[Kind[Any]]], tmp_path: Path) -> None:
    kind = declared("source")
    settings = kind.Settings.model_validate(YAML(typ="safe").load(kind.example))
    node: Any = kind("x", settings)
    as_of: Any = None
    poll = node.poll(PollContext(spool=tmp_path, cursor={}, as_of=as_of, feed="x"))
    assert [frame["value"].to_list() for frame in poll.frames] == [["198.51.100.7", "evil.example.com"]]
