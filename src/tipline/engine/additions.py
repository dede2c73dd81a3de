"""Puts an entry of the library into a configuration file: everything else stays as it stands, or nothing changes."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tipline.config.check import NAME, check_text
from tipline.config.edit import put_node
from tipline.config.library import entry
from tipline.engine.atomic import replacing
from tipline.errors import ConfigError


def with_entry(text: str, name: str, as_: str | None = None, settings: Mapping[str, Any] | None = None) -> str:
    """Configuration text with an entry's source in it.

    Args:
        text: YAML.
        name: of the entry.
        as_: name of the source; the entry's if not given.
        settings: to lay over the entry's; `None` takes one out.

    Raises:
        ConfigError: there is no such entry, the name is no name or taken, or the text is not YAML.
    """
    node = as_ or name
    if not NAME.fullmatch(node):
        raise ConfigError(f"{node!r} is no name for a node", fix="use letters, digits, - _ and .")
    return put_node(text, "sources", node, source_of(name, settings or {}))


def source_of(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a source made of an entry, with others laid over them; its note says whose it is.

    Raises:
        ConfigError: there is no such entry.
    """
    found = entry(name)
    note = f"{found.title}; {found.provider}, {found.home}; {found.terms}"
    return merged({**found.source, "note": note}, settings)


def add_entry(
    path: Path, name: str, as_: str | None = None, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write an entry's source into a file.

    Returns:
        The source's name, and the problems that the file has now (a secret to set, for instance).

    Raises:
        ConfigError: see `with_entry`; or a setting is wrong; or the file cannot be read or written.
    """
    target = path.resolve()
    try:
        before = target.read_text(encoding="utf-8-sig")
        mode = stat.S_IMODE(target.stat().st_mode)
    except (OSError, UnicodeDecodeError) as exc:
        fix = "make one with `tipline init`"
        raise ConfigError(f"it cannot be read: {getattr(exc, 'strerror', exc)}", where=str(path), fix=fix) from exc
    text = with_entry(before, name, as_, settings)
    known = {(each.what, each.fix) for each in check_text(before, path).problems}
    problems = [each for each in check_text(text, path).problems if (each.what, each.fix) not in known]
    wrong = [each for each in problems if each.severity == "error" and "the environment has no" not in each.what]
    if wrong:
        raise ConfigError(wrong[0].what, where=as_ or name, fix=wrong[0].fix)
    try:
        with replacing(target, mode) as new:
            new.file.write(text.encode())
    except OSError as exc:
        raise ConfigError(f"it cannot be written: {exc.strerror}", where=str(path)) from exc
    shown = [{"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix} for p in problems]
    return {"source": as_ or name, "entry": name, "problems": shown}


def merged(settings: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others laid over them, mapping by mapping; `None` takes one out."""
    made = dict(settings)
    for key, value in over.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(made.get(key), Mapping):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made


def setting(made: dict[str, Any], pair: str) -> None:
    """Put `name=value` or `name.inner=value` into settings; the value is YAML.

    Raises:
        ConfigError: it has no `=`, or the value is not YAML.
    """
    name, equals, text = pair.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"{pair!r} is no setting", fix="write it as name=value")
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError as exc:
        raise ConfigError(f"the value of {name} is not YAML", fix="put it in quotes") from exc
    *outer, last = name.strip().split(".")
    for part in outer:
        inner = made.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{name} and {part} exclude each other", fix="give one of them")
        made = inner
    made[last] = value
