"""What every registered kind must have, so that check, reference pages and editors work for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import indent
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from tipline.config.check import check_text
from tipline.kinds import PACKAGES, Kind, NodeSettings, Sort, kinds
from tipline.outputs.base import Output
from tipline.outputs.delivery import Delivered

KINDS = [pytest.param(sort, kind, id=f"{sort}-{name}") for sort in PACKAGES for name, kind in kinds(sort).items()]
_SECTIONS: dict[Sort, str] = {"source": "sources", "processor": "processors", "output": "outputs"}


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and those that its fields hold."""
    found, pending = [], [model]
    while pending:
        each = pending.pop()
        found.append(each)
        for field in each.model_fields.values():
            for part in (field.annotation, *get_args(field.annotation)):
                if isinstance(part, type) and issubclass(part, BaseModel) and part not in [*found, *pending]:
                    pending.append(part)
    return found


def _minimal(sort: Sort, kind: type[Kind[NodeSettings]]) -> str:
    """A configuration around a kind's example, with a source for each name that the example reads."""
    example: dict[str, Any] = YAML(typ="safe").load(kind.example)
    names: list[str] = []
    for key in ("inputs", "allow"):
        value = example.get(key, [])
        names += [value] if isinstance(value, str) else value
    parts = dict.fromkeys(_SECTIONS.values(), "")
    parts["sources"] = "".join(f"  {name}: {{kind: local}}\n" for name in names)
    parts[_SECTIONS[sort]] += "  tried:\n" + indent(kind.example, "    ")
    if sort != "output":
        parts["outputs"] = "  out: {kind: list, inputs: tried}\n"
    return "".join(f"{section}:\n{text}" for section, text in parts.items() if text)


@pytest.mark.parametrize(("sort", "kind"), KINDS)
def test_its_first_line_says_what_it_does(sort: Sort, kind: type[Kind[NodeSettings]]) -> None:
    assert kind.sort == sort
    assert 20 <= len(kind.summary()) <= 110
    assert kind.summary().endswith(".")
    assert re.fullmatch(r"[a-z][a-z0-9-]*", kind.kind)


@pytest.mark.parametrize(("sort", "kind"), KINDS)
def test_its_example_passes_check(
    sort: Sort, kind: type[Kind[NodeSettings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{env:([^}]*)\}", kind.example):
        monkeypatch.setenv(name, "a-secret-of-a-test")
    found = check_text(_minimal(sort, kind), tmp_path / "tipline.yml")
    expected = [f"tried: {kind.retired}"] if kind.retired else []
    assert [problem.what for problem in found.problems] == expected
    assert kind.example.startswith(f"kind: {kind.kind}\n")


@pytest.mark.parametrize(("sort", "kind"), KINDS)
def test_every_setting_is_described(sort: Sort, kind: type[Kind[NodeSettings]]) -> None:
    for model in _models(kind.Settings):
        assert (model.__doc__ or "").strip()
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert len(field.description) <= 200, f"{model.__name__}.{name}"


@pytest.mark.parametrize(("sort", "kind"), KINDS)
def test_its_settings_refuse_what_they_do_not_know(sort: Sort, kind: type[Kind[NodeSettings]]) -> None:
    for model in _models(kind.Settings):
        assert model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize(("sort", "kind"), KINDS)
def test_its_settings_go_through_json(
    sort: Sort, kind: type[Kind[NodeSettings]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults can be written as JSON and read again to the same settings (secrets aside)."""
    settings = kind.Settings.model_validate(YAML(typ="safe").load(kind.example))
    text = json.dumps(settings.model_dump(mode="json"))
    again = kind.Settings.model_validate(json.loads(text))
    assert json.loads(text) == again.model_dump(mode="json")


@pytest.mark.parametrize(("sort", "kind"), KINDS)
def test_a_node_can_be_made_of_its_example(sort: Sort, kind: type[Kind[NodeSettings]]) -> None:
    node = kind("tried", kind.Settings.model_validate(YAML(typ="safe").load(kind.example)))
    assert node.name == "tried"
    assert node.settings.kind == kind.kind


@pytest.mark.parametrize(("name", "kind"), list(kinds("output").items()))
def test_an_output_says_what_it_can_carry(name: str, kind: type[Kind[NodeSettings]]) -> None:
    assert issubclass(kind, Output)
    assert "carries" in vars(kind), f"{name} has no `carries` of its own"
    for column, words in vars(kind.carries).items():
        assert len(words) <= 90
        assert words or (column == "receipt" and not issubclass(kind, Delivered)), f"{name}: {column}"
