"""What a settings model declares, in words: its fields by who declares them, their types and defaults."""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from tipline.durations import format_duration
from tipline.model import tlp

# Which settings come first: what is the kind's own, then what it shares with more and more others.
_RANKS = {
    "FetchSettings": 2,
    "DecodeSettings": 3,
    "MicrosoftSettings": 4,
    "DeliveredSettings": 5,
    "SourceSettings": 6,
    "ProcessorSettings": 6,
    "OutputSettings": 6,
    "NodeSettings": 7,
}
_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    date: "date",
    Path: "path",
    SecretStr: "secret",
    timedelta: "duration",
}
_LIMITS = {"ge": "from {}", "gt": "more than {}", "le": "up to {}", "lt": "less than {}"}


def by_owner(model: type[BaseModel]) -> list[tuple[type[BaseModel], list[str]]]:
    """The fields by the class that declares them last, the kind's own first."""
    owners: dict[str, type[BaseModel]] = {}
    classes = [each for each in model.__mro__ if issubclass(each, BaseModel)]
    for each in classes:
        for name in vars(each).get("__annotations__", {}):
            owners.setdefault(name, each)
    grouped = [(each, [n for n in model.model_fields if owners.get(n) is each]) for each in classes]
    grouped.sort(key=lambda group: _RANKS.get(group[0].__name__, 1))
    return [(owner, names) for owner, names in grouped if names]


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation holds: itself, or in a list, a map or a choice; None: there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := inner_model(part))), None)


def headline(thing: Any) -> str:
    """The first line of a docstring, without its full stop."""
    text: str = thing.__doc__ or thing.__name__
    return text.strip().splitlines()[0].removesuffix(".")


def type_words(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type as people say it: `text or list of text`, `duration`, `one of a, b`."""
    extras = list(metadata)
    if any(getattr(item, "func", None) is tlp.name for item in extras):
        return "TLP"
    words = _plain_words(annotation)
    if get_origin(annotation) is list and any(isinstance(item, BeforeValidator) for item in extras):
        words = f"{type_words(get_args(annotation)[0])}, or a list"
    limits = [
        form.format(_number(value))
        for name, form in _LIMITS.items()
        for item in extras
        if (value := getattr(item, name, None)) is not None
    ]
    return f"{words}, {' '.join(limits)}" if limits else words


def default_text(field: FieldInfo) -> str | None:
    """A default as it would be written in the file; None: there is none, or it is a model's."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return None
    return tlp.name(value) if type_words(field.annotation, field.metadata) == "TLP" else plain_default(value)


def plain_default(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, list):
        return "[" + ", ".join(_quoted(plain_default(item)) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_quoted(plain_default(item))}" for key, item in value.items()) + "}"
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _plain_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(arguments[0], arguments[1:])
    if origin is not None:
        return _compound_words(origin, arguments)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _compound_words(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is Literal:
        return " or ".join(f"`{plain_default(each)}`" for each in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if each is type(None) else type_words(each) for each in arguments)
    if origin is dict:
        return f"map of {type_words(arguments[0])} to {type_words(arguments[1])}"
    return f"list of {type_words(arguments[0])}"


def _quoted(text: str) -> str:
    plain = text.replace(" ", "").replace("+", "").replace("-", "").replace("_", "").isalnum()
    return text if plain or text.startswith(("[", "{")) else f"'{text}'"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
