"""Settings models as Markdown: a table for each model, from its fields' types, defaults and descriptions."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from tipline.durations import format_duration
from tipline.model import tlp

# Which settings come first on a page: what is the kind's own, then what it shares with more and more others.
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


def settings_tables(model: type[BaseModel], level: str = "##") -> Iterator[str]:
    """Markdown blocks for a model: a titled table for each class that declares fields, then nested models.

    Args:
        model: the settings of a kind.
        level: the heading marks.
    """
    for owner, names in _by_owner(model):
        yield f"{level} {headline(owner)}"
        yield table(("Setting", "Type", "Default", "Meaning"), (_row(model, name) for name in names))
    yield from nested_tables(model, level)


def nested_tables(model: type[BaseModel], level: str = "##", prefix: str = "") -> Iterator[str]:
    """Markdown blocks for the models that a model's fields hold, and theirs."""
    for name, field in model.model_fields.items():
        inner = _inner_model(field.annotation)
        if inner is not None:
            path = f"{prefix}{name}"
            yield f"{level} `{path}`: {headline(inner)}"
            rows = (_row(inner, each) for each in inner.model_fields)
            yield table(("Setting", "Type", "Default", "Meaning"), rows)
            yield from nested_tables(inner, level, f"{path}.")


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; bars and line ends in cells are made harmless."""
    head = list(columns)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


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


def default_words(field: FieldInfo) -> str:
    """A default as it would be written in the file; `required` if there is none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if value is not None and type_words(field.annotation, field.metadata) == "TLP":
        return f"`{tlp.name(value)}`"
    return value_words(value)


def value_words(value: Any) -> str:
    """A default as Markdown."""
    if value is None:
        return "unset"
    text = plain_default(value)
    return f"`{text}`" if text else "empty"


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


def _row(model: type[BaseModel], name: str) -> tuple[str, str, str, str]:
    field = model.model_fields[name]
    words = type_words(field.annotation, field.metadata)
    return f"`{name}`", words, default_words(field), field.description or ""


def _by_owner(model: type[BaseModel]) -> list[tuple[type[BaseModel], list[str]]]:
    """The fields by the class that declares them last, the kind's own first."""
    owners: dict[str, type[BaseModel]] = {}
    classes = [each for each in model.__mro__ if issubclass(each, BaseModel)]
    for each in classes:
        for name in vars(each).get("__annotations__", {}):
            owners.setdefault(name, each)
    grouped = [(each, [n for n in model.model_fields if owners.get(n) is each]) for each in classes]
    grouped.sort(key=lambda group: _RANKS.get(group[0].__name__, 1))
    return [(owner, names) for owner, names in grouped if names]


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


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner_model(part))), None)


def _quoted(text: str) -> str:
    plain = text.replace(" ", "").replace("+", "").replace("-", "").replace("_", "").isalnum()
    return text if plain or text.startswith(("[", "{")) else f"'{text}'"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
