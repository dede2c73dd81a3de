"""STIX packages and bundles as files: valid by the schemas, and read back as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stix2validator import ValidationOptions, validate_string

from outputs.dialects import good_rows, of, written
from outputs.publishing import engine_of, list_output
from sources.opentaxii import run
from tipline.engine.core import Engine
from tipline.formats import stix1, stix2
from tipline.formats.base import Context

_VALIDATE = """
import sys
from sdv import validate_xml
result = validate_xml(sys.argv[1], version="1.1.1")
print("valid" if result.is_valid else "\\n".join(str(each) for each in result.errors))
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(tmp_path_factory.mktemp("stix"), list_output("x")) as made:
        yield made


def read_back(path: Path, version: int) -> set[tuple[str | None, str]]:
    context = Context("file")
    if version == 1:
        frames: Any = stix1.read(path, stix1.Stix1Settings(), context)
    else:
        frames = stix2.read(path, stix2.Stix2Settings(), context)
    found = [each for frame in frames for each in frame.to_dicts()]
    assert not [each for each in found if each["drop"]]
    return {(each["type"], each["value"]) for each in found}


def test_a_bundle_is_valid_and_reads_back(engine: Engine, tmp_path: Path) -> None:
    text = written(engine, good_rows(), of("stix2"))[0].decode()
    outcome = validate_string(text, ValidationOptions(version="2.1", disabled=["all"]))
    assert outcome.is_valid, [str(error) for each in outcome.object_results for error in each.errors]
    path = tmp_path / "bundle.json"
    path.write_text(text)
    values = {value for _, value in read_back(path, 2)}
    wanted = {each["value"] for each in good_rows() if each["type"] in {"domain", "url", "md5", "mutex", "email"}}
    assert wanted <= values
    ids = [each["id"] for each in json.loads(text)["objects"]]
    assert len(set(ids)) == len(ids)


def test_a_package_is_valid_and_reads_back(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "package.xml"
    path.write_text(written(engine, good_rows(), of("stix1"))[0].decode())
    assert run("python", "-c", _VALIDATE, str(path)).strip() == "valid"
    values = {value for _, value in read_back(path, 1)}
    wanted = {each["value"] for each in good_rows() if each["type"] in {"domain", "url", "md5", "mutex", "email"}}
    assert wanted <= values


def test_empty_ones_are_valid(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "package.xml"
    path.write_text(written(engine, [], of("stix1"))[0].decode())
    assert run("python", "-c", _VALIDATE, str(path)).strip() == "valid"
    text = written(engine, [], of("stix2"))[0].decode()
    assert validate_string(text, ValidationOptions(version="2.1", disabled=["all"])).is_valid
