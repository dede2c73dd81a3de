"""Secrets at rest: sealed, bound to their name and team, never shown, and named by the configuration."""

from __future__ import annotations

import base64
import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from tipline.config.check import check_text
from tipline.config.secretstore import VARIABLE, SecretStore
from tipline.errors import ConfigError

AT = datetime.fromisoformat("2026-01-01")
VALUE = "s3cr3t-value-0123456789"
CONFIG = """\
sources: {{a: {{kind: local, tlp: clear, team: {team}}}}}
outputs: {{o: {{kind: list, team: {team}, inputs: a, access: key, keys: ["${{secret:list-key}}"]}}}}
"""


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def kept(folder: Path, team: str = "default") -> Path:
    path = folder / "tipline.yml"
    SecretStore(path).put("list-key", VALUE, team=team, actor="ada", at=AT)
    return path


def test_sealed_and_for_its_owner_alone(tmp_path: Path) -> None:
    store = SecretStore(kept(tmp_path))
    for path in (store.path, store.key_path):
        assert path.stat().st_mode & 0o777 == 0o600
    assert VALUE not in store.path.read_text()
    assert store.listed() == [
        {"name": "list-key", "team": "default", "actor": "ada", "changed": "2026-01-01T00:00:00Z"}
    ]
    assert store.value("list-key") == VALUE
    store.drop("list-key")
    assert store.value("list-key") is None


def test_the_configuration_names_it(tmp_path: Path) -> None:
    path = kept(tmp_path)
    made = check_text(CONFIG.format(team="default"), path).usable()
    assert made.outputs["o"].settings.model_dump()["keys"][0].get_secret_value() == VALUE
    assert VALUE not in repr(made)
    with pytest.raises(ConfigError, match="there is no secret list-key"):
        check_text(CONFIG.format(team="default"), tmp_path / "other.yml").usable()


def test_a_secret_is_for_its_team(tmp_path: Path) -> None:
    path = kept(tmp_path, "blue")
    assert check_text(CONFIG.format(team="blue"), path).usable()
    with pytest.raises(ConfigError, match="another team's") as refused:
        check_text(CONFIG.format(team="green"), path).usable()
    assert VALUE not in str(refused.value)


def test_a_sealed_value_cannot_be_moved_or_changed(tmp_path: Path) -> None:
    store = SecretStore(kept(tmp_path))
    entries = json.loads(store.path.read_text())
    for changed in (
        {"other": entries["list-key"]},
        {"list-key": {**entries["list-key"], "team": "green"}},
        {"list-key": {**entries["list-key"], "sealed": base64.b64encode(os.urandom(40)).decode()}},
    ):
        store.path.write_text(json.dumps(changed))
        with pytest.raises(ConfigError, match="cannot be opened"):
            store.value(next(iter(changed)))


def test_the_key_may_be_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, base64.b64encode(b"k" * 32).decode())
    store = SecretStore(kept(tmp_path))
    assert not store.key_path.exists()
    assert store.value("list-key") == VALUE
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(ConfigError, match="key of the secrets"):
        store.value("list-key")
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match="cannot be read"):
        store.value("list-key")


@pytest.mark.parametrize(("name", "value"), [("../x", "v"), ("", "v"), ("a b", "v"), ("a", ""), ("a", "x" * 70_000)])
def test_odd_names_and_values_are_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        SecretStore(tmp_path / "t.yml").put(name, value, team="default", actor="a", at=AT)
