"""Reads YAML with the line of every key, and fills in `${env:NAME}`, `${file:PATH}` and `${secret:NAME}`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tipline.config.secretstore import SecretStore
from tipline.errors import ConfigError

_REFERENCE = re.compile(r"\$\{(env|file|secret):([^}]*)\}")
_MAX_DEPTH = 40

Place = tuple[str | int, ...]


@dataclass
class Document:
    """Plain data of a YAML file, its text as it stands, and the line (from 1) of every place in it."""

    path: Path
    data: dict[str, Any]
    text: str = ""
    lines: dict[Place, int] = field(default_factory=dict)
    missing: list[tuple[Place, str, str]] = field(default_factory=list)
    secrets: list[tuple[Place, str]] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def where(self, place: Place) -> str:
        """`file:line` of a place."""
        return f"{self.path}:{self.line(place)}"


def read(path: Path) -> Document:
    """Read one file.

    Raises:
        ConfigError: it cannot be read, or is not YAML with a mapping at its top.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(path), fix="make one with `tipline init`") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"it cannot be read: {exc}", where=str(path), fix="it must be readable UTF-8 text") from exc
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Parse YAML text; `path` names it in errors and anchors relative `${file:...}` references."""
    yaml = YAML(typ="rt")
    try:
        loaded = yaml.load(StringIO(text))
    except DuplicateKeyError as exc:
        raise ConfigError(f"a key stands twice: {exc.problem}", where=_mark(path, exc), fix="keep one") from None
    except MarkedYAMLError as exc:
        raise ConfigError(
            f"not valid YAML: {exc.problem}", where=_mark(path, exc), fix="check the indentation"
        ) from None
    except YAMLError as exc:
        raise ConfigError(f"not valid YAML: {exc}", where=str(path)) from None
    if loaded is None:
        loaded = CommentedMap()
    if not isinstance(loaded, CommentedMap):
        raise ConfigError("the file is not a mapping", where=f"{path}:1", fix="start with sources:, outputs: ...")
    document = Document(path, {}, text)
    document.data = _plain(loaded, (), document)
    _check_teams(document)
    return document


def _mark(path: Path, exc: MarkedYAMLError) -> str:
    return f"{path}:{exc.problem_mark.line + 1}" if exc.problem_mark else str(path)


def _plain(node: Any, place: Place, document: Document) -> Any:
    if len(place) > _MAX_DEPTH:
        raise ConfigError("it is nested too deeply", where=document.where(place))
    if isinstance(node, CommentedMap):
        for key in node:
            document.lines[*place, key] = node.lc.key(key)[0] + 1 if key in node.lc.data else document.line(place)
        return {key: _plain(value, (*place, key), document) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            document.lines[*place, index] = node.lc.item(index)[0] + 1
        return [_plain(value, (*place, index), document) for index, value in enumerate(node)]
    return _scalar(node, place, document)


def _scalar(node: Any, place: Place, document: Document) -> Any:
    """A plain value: ruamel's own classes of numbers and strings are taken off, references filled in."""
    if isinstance(node, str):
        return _fill(str(node), place, document)
    if node is None or isinstance(node, bool):
        return node
    if isinstance(node, int | float):
        return int(node) if isinstance(node, int) else float(node)
    return node


def _fill(text: str, place: Place, document: Document) -> str:
    def value(match: re.Match[str]) -> str:
        kind, name = match[1], match[2].strip()
        if kind == "env":
            found = os.environ.get(name)
            if found is None:
                document.missing.append((place, f"the environment has no {name}", f"set {name}, or use ${{file:PATH}}"))
            return found or ""
        if kind == "secret":
            return _secret(name, place, document)
        file = (document.path.parent / name).expanduser()
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = getattr(exc, "strerror", None) or "not readable text"
            document.missing.append((place, f"{file}: {reason}", "put the secret there, readable by tipline alone"))
            return ""

    return _REFERENCE.sub(value, text)


def _secret(name: str, place: Place, document: Document) -> str:
    document.secrets.append((place, name))
    try:
        found = SecretStore(document.path).value(name)
    except ConfigError as exc:
        document.missing.append((place, exc.what, exc.fix))
        return ""
    if found is None:
        document.missing.append((place, f"there is no secret {name}", f"enter it: tipline secret set {name}"))
    return found or ""


def _check_teams(document: Document) -> None:
    """A secret is for nodes of its team alone; what is no node's is of the default team."""
    for place, name in document.secrets:
        node: Any = document.data
        for part in place[:2]:
            node = node.get(part) if isinstance(node, dict) else None
        team = node.get("team", "default") if isinstance(node, dict) and len(place) > 2 else "default"
        owner = SecretStore(document.path).team(name)
        if owner not in (None, team):
            document.missing.append((place, f"the secret {name} is another team's", f"enter one for team {team}"))
