"""Forms from the settings of a kind: one field each, with its words, default and way of input."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tipline.model import tlp
from tipline.sources.guardrails import mask_url

Input = Literal["text", "number", "switch", "choice", "list", "secret", "pairs"]
MASK = "••••••"


@dataclass(frozen=True)
class Field:
    """One setting as a form shows it.

    Attributes:
        name: its path, such as `guard.max_removed`; also the name of the input.
        help: its description.
        input: how it is put in.
        value: what is set now, as text (a list: one entry a line); secrets are never in it.
        default: what counts if it is left empty, as text.
        options: of a choice.
        required: whether there is no default.
        own: whether the value differs from the default.
    """

    name: str
    help: str
    input: Input
    value: str
    default: str
    options: tuple[str, ...] = ()
    required: bool = False
    own: bool = False


def fields(model: type[BaseModel], values: BaseModel | None = None, prefix: str = "") -> list[Field]:
    """Every setting of a model, those of nested models after their parents' names.

    Args:
        model: the settings of a kind.
        values: what is set now; without it, the defaults.
        prefix: before each name.
    """
    return list(_fields(model, values, prefix))


def shown(value: Any, name: str = "") -> Any:
    """A setting's value as people may see it: secrets and what looks like keys in URLs are masked."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, BaseModel):
        return {key: shown(getattr(value, key), key) for key in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): shown(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(item, name) for item in value]
    if isinstance(value, str) and "://" in value:
        return mask_url(value)
    return value


def settings_of(settings: BaseModel) -> dict[str, Any]:
    """A node's settings as plain JSON without secrets."""
    plain = settings.model_dump(mode="json")
    return {name: _merged(plain[name], shown(getattr(settings, name), name)) for name in type(settings).model_fields}


def _merged(plain: Any, masked: Any) -> Any:
    """The plain form of a value, with the parts that `shown` has masked."""
    if isinstance(plain, dict) and isinstance(masked, dict):
        return {key: _merged(item, masked.get(key, item)) for key, item in plain.items()}
    if isinstance(plain, list) and isinstance(masked, list):
        return [_merged(item, other) for item, other in zip(plain, masked, strict=True)]
    return masked if isinstance(masked, str) else plain


def _fields(model: type[BaseModel], values: BaseModel | None, prefix: str) -> Iterator[Field]:
    plain = settings_of(values) if values is not None else {}
    for name, info in model.model_fields.items():
        inner = _inner_model(info.annotation)
        if inner is not None:
            current = getattr(values, name, None)
            yield from _fields(inner, current if isinstance(current, BaseModel) else None, f"{prefix}{name}.")
            continue
        default = "" if info.is_required() else text_of(_plain_default(info))
        value = text_of(plain[name]) if name in plain else default
        yield Field(
            name=f"{prefix}{name}",
            help=info.description or "",
            input=_input(info),
            value=value,
            default=default,
            options=_options(info),
            required=info.is_required(),
            own=value != default,
        )


def text_of(value: Any) -> str:
    """A value as it stands in an input: lists and maps one entry a line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {text_of(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "\n".join(text_of(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain_default(info: FieldInfo) -> Any:
    from tipline.engine.operations import plain

    value = info.get_default(call_default_factory=True)
    if _is_tlp(info) and isinstance(value, int):
        return tlp.name(value)
    return plain(shown(value))


def _is_tlp(info: FieldInfo) -> bool:
    inside = [item for part in get_args(info.annotation) for item in getattr(part, "__metadata__", ())]
    return any(getattr(item, "func", None) is tlp.name for item in [*info.metadata, *inside])


def _options(info: FieldInfo) -> tuple[str, ...]:
    if _is_tlp(info):
        return tuple(tlp.NAMES)
    found = _literals(info.annotation)
    return tuple(text_of(each) for each in found)


def _literals(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        return tuple(each for part in get_args(annotation) for each in _literals(part))
    return ()


def _input(info: FieldInfo) -> Input:
    base = _base(info.annotation)
    if base is SecretStr:
        return "secret"
    if _options(info):
        return "choice"
    if base is bool:
        return "switch"
    if base in {int, float}:
        return "number"
    origin = get_origin(base)
    if origin is dict:
        return "pairs"
    return "list" if origin is list else "text"


def _base(annotation: Any) -> Any:
    """What an optional or annotated type is about."""
    if get_origin(annotation) in {Union, types.UnionType}:
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return _base(parts[0]) if len(parts) == 1 else str
    if hasattr(annotation, "__metadata__"):
        return _base(annotation.__origin__)
    return annotation


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    base = _base(annotation)
    return base if isinstance(base, type) and issubclass(base, BaseModel) else None
