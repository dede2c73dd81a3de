"""What a node is set to, as people may see it: what differs from the defaults, without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from tipline.config.hidden import MASK
from tipline.sources.guardrails import mask_url


def own_settings(settings: BaseModel, prefix: str = "") -> Iterator[dict[str, str]]:
    """Each setting that is not as it is by default: its name, such as `guard.max_withdrawn`, and its value as text."""
    plain = settings.model_dump(mode="json")
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from own_settings(value, f"{prefix}{name}.")
        elif info.is_required() or value != info.get_default(call_default_factory=True):
            yield {"name": f"{prefix}{name}", "value": _text(_masked(plain[name], value))}


def _masked(plain: Any, value: Any) -> Any:
    """A value's plain form, with secrets and what looks like keys in URLs masked."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, BaseModel):
        return {name: _masked(plain[name], getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {name: _masked(plain[str(name)], item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(one, item) for one, item in zip(plain, value, strict=True)]
    return mask_url(value) if isinstance(value, str) and "://" in value else plain


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
