"""Settings models as Markdown: a table for each model, from its fields' types, defaults and descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tipline.config.declared import by_owner, default_text, headline, inner_model, plain_default, type_words


def settings_tables(model: type[BaseModel], level: str = "##") -> Iterator[str]:
    """Markdown blocks for a model: a titled table for each class that declares fields, then nested models.

    Args:
        model: the settings of a kind.
        level: the heading marks.
    """
    for owner, names in by_owner(model):
        yield f"{level} {headline(owner)}"
        yield table(("Setting", "Type", "Default", "Meaning"), (_row(model, name) for name in names))
    yield from nested_tables(model, level)


def nested_tables(model: type[BaseModel], level: str = "##", prefix: str = "") -> Iterator[str]:
    """Markdown blocks for the models that a model's fields hold, and theirs."""
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
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


def default_words(field: FieldInfo) -> str:
    """A default as it would be written in the file, as Markdown; `required` if there is none."""
    if field.is_required():
        return "required"
    if isinstance(field.get_default(call_default_factory=True), BaseModel):
        return "see below"
    text = default_text(field)
    return "unset" if text is None else f"`{text}`" if text else "empty"


def value_words(value: Any) -> str:
    """A default as Markdown."""
    if value is None:
        return "unset"
    text = plain_default(value)
    return f"`{text}`" if text else "empty"


def _row(model: type[BaseModel], name: str) -> tuple[str, str, str, str]:
    field = model.model_fields[name]
    words = type_words(field.annotation, field.metadata)
    return f"`{name}`", words, default_words(field), field.description or ""
