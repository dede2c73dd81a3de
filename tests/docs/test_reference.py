"""The generated pages are what the code says now, and leave nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from docs.support import REFERENCE, ROOT
from tipline.api import feedquery
from tipline.api.metrics import METRICS
from tipline.cli import reference, reference_http, reference_reasons
from tipline.cli.base import app
from tipline.engine.operations import NAMES
from tipline.kinds import PACKAGES, kinds
from tipline.model.reasons import DROP_REASONS
from tipline.model.types import TYPES
from tipline.outputs.render import fields
from tipline.processors.expression.fields import FIELDS, FUNCTIONS
from tipline.processors.expression.parse import COMPARISONS

SOURCE = ROOT / "src" / "tipline"
MODULES = "modules.md"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


def test_pages_are_up_to_date(pages: dict[str, str]) -> None:
    stale = [
        name
        for name, text in pages.items()
        if name != MODULES
        and (not (REFERENCE / name).is_file() or (REFERENCE / name).read_text(encoding="utf-8") != text)
    ]
    assert not stale, "run `make docs`"


def test_module_map_names_every_module(pages: dict[str, str]) -> None:
    def without_numbers(text: str) -> list[str]:
        return [re.sub(r"[\d,]+ ", "", line) for line in text.splitlines()]

    kept = (REFERENCE / MODULES).read_text(encoding="utf-8")
    assert without_numbers(kept) == without_numbers(pages[MODULES]), "run `make docs`"


def test_no_page_of_a_kind_that_is_gone(pages: dict[str, str]) -> None:
    found = {f"{p.parent.name}/{p.name}" for p in REFERENCE.glob("*/*.md")}
    assert found == {name for name in pages if "/" in name}


def test_writing_removes_the_page_of_a_kind_that_is_gone(tmp_path: Path) -> None:
    old = tmp_path / "sources" / "gone.md"
    old.parent.mkdir()
    old.write_text("old")
    reference.write(tmp_path)
    assert not old.exists()
    assert (tmp_path / "sources" / "csv.md").is_file()


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("sort", [*PACKAGES])
def test_every_option_of_every_kind_is_on_its_page(pages: dict[str, str], sort: Any) -> None:
    for name, kind in kinds(sort).items():
        page = pages[f"{sort}s/{name}.md"]
        assert kind.summary() in page
        for option in kind.Settings.model_fields:
            assert f"| `{option}` |" in page


def test_every_command_and_option_is_listed(pages: dict[str, str]) -> None:
    group: Any = typer.main.get_command(app)
    page = pages["commands.md"]
    commands: dict[str, Any] = dict(group.commands)
    for name, inner in group.commands.items():
        if hasattr(inner, "commands"):
            del commands[name]
            commands |= {f"{name} {word}": command for word, command in inner.commands.items()}
    for name, command in commands.items():
        assert f"### {name}\n" in page
        for param in command.params:
            for word in param.opts if param.param_type_name == "option" else []:
                assert f"`{word}`" in page


def test_every_address_and_operation_is_listed(pages: dict[str, str]) -> None:
    page = pages["endpoints.md"]
    for address in ("/feeds", "/feeds/{name}", "/health", "/metrics", "/api/v1/operations/{name}"):
        assert f" {address}\n" in page
    for name in NAMES:
        assert f"### {name}\n" in page


def test_every_parameter_of_a_list_is_listed() -> None:
    assert set(reference_http.LIST_PARAMETERS) == feedquery._KNOWN


def test_every_field_of_a_list_is_listed() -> None:
    assert set(reference_http.LIST_FIELDS) == {"type", "indicator_type", *fields._FIELDS}


def test_every_metric_is_listed(pages: dict[str, str]) -> None:
    for name, (_, text, _) in METRICS.items():
        assert re.search(rf"`{name}(_total)?`", pages["metrics.md"])
        assert text in pages["metrics.md"]


def test_every_type_is_listed(pages: dict[str, str]) -> None:
    for name in TYPES:
        assert f"| `{name}` |" in pages["types.md"]


def test_every_reason_in_the_code_is_listed() -> None:
    """Reasons are short texts in SQL and in refusals; each must be in one of the tables."""
    known = {
        *DROP_REASONS,
        *reference_reasons.FORMAT_REASONS,
        *reference_reasons.NODE_REASONS,
        *reference_reasons.WAITING_REASONS,
        *reference_reasons.PARKED_REASONS,
    }
    forms = (
        r"THEN '([a-z][a-z0-9-]+)(?:: [^']*)?'",
        r"ELSE '([a-z][a-z0-9-]+)' END AS dropped",
        r"'([a-z][a-z -]*?):? ?' (?:\|\| [a-z]+ )?AS dropped",
        r"'([a-z][a-z -]*?):? ?' \|\|[^\n]* AS (?:reason|waiting|dropped)\b",
        r"Refusal\(\s*f?\"([a-z-]+)\"",
        r"Refused\(f\"([a-z-]+):",
        r"printf\('([a-z-]+):",
    )
    found = set()
    for folder in ("processors", "outputs", "engine/views.py", "microsoft/defender_body.py"):
        path = SOURCE / folder
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            text = file.read_text(encoding="utf-8")
            found |= {match.strip() for form in forms for match in re.findall(form, text)}
    # Names of TLP levels and of type words are written the same way.
    reasons = {word for word in found if word not in {"no", "yes", *TYPES} and not _is_tlp(word)}
    assert {"filter", "allowed by", "cut", "network-too-wide", "no-pattern", "no-slot"} <= reasons
    assert reasons <= known


def _is_tlp(word: str) -> bool:
    return word in {"clear", "green", "amber", "red", "white"}


def test_filter_page_names_every_field_function_and_operator() -> None:
    page = (REFERENCE / "filter.md").read_text(encoding="utf-8")
    for field in FIELDS:
        assert f"| `{field}` |" in page
    for function in FUNCTIONS:
        assert f"| `{function}(" in page
    for operator in COMPARISONS:
        assert f"`{operator}`" in page


def test_schema_accepts_the_lab_and_the_starter(pages: dict[str, str]) -> None:
    schema = json.loads(pages[reference.SCHEMA])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for file in ("demo/lab.yml", "cli/starter.yml"):
        document = YAML(typ="safe").load((SOURCE / file).read_text(encoding="utf-8"))
        assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    "section",
    [
        {"sources": {"a": {"kind": "csv", "url": "x", "evry": "1h"}}},
        {"sources": {"a": {"kind": "cvs", "url": "x"}}},
        {"outputs": {"a": {"kind": "list", "inputs": "x", "max_tlp": "grene"}}},
        {"outptus": {}},
        {"processors": {"a b": {"kind": "filter", "inputs": "x", "where": "true"}}},
    ],
)
def test_schema_refuses_mistakes(pages: dict[str, str], section: dict[str, Any]) -> None:
    assert not Draft202012Validator(json.loads(pages[reference.SCHEMA])).is_valid(section)
