"""What a node is set to, as people may see it: what differs from the defaults, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from tipline.config.hidden import MASK
from tipline.sources.guardrails import mask_url


def chosen(settings: BaseModel) -> dict[str, Any]:
    """Each setting that is not as it is by default, as plain JSON; those of groups below the group's name."""
    plain = settings.model_dump(mode="json")
    found = {}
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            if inner := chosen(value):
                found[name] = inner
        elif info.is_required() or value != info.get_default(call_default_factory=True):
            found[name] = _masked(plain[name], value)
    return found


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
