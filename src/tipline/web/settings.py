"""What a node is set to, as its page lists it: one line a setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from tipline.engine.shown import chosen


def own_settings(settings: BaseModel) -> Iterator[dict[str, str]]:
    """Each setting that is not as it is by default: its name, such as `guard.max_withdrawn`, and its value as text."""
    yield from _lines(settings, chosen(settings), "")


def _lines(settings: BaseModel, plain: dict[str, Any], prefix: str) -> Iterator[dict[str, str]]:
    for name, value in plain.items():
        group = getattr(settings, name)
        if isinstance(group, BaseModel):
            yield from _lines(group, value, f"{prefix}{name}.")
        else:
            yield {"name": f"{prefix}{name}", "value": _text(value)}


def _text(value: Any) -> str:
    """A value in words; lists and maps one entry a line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
