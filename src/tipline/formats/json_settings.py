"""Settings of the json format, and the paths to fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import Field, field_validator

from tipline.formats.base import ATTRIBUTES, TextSettings, nearest

# A path that needs no JMESPath: names with dots between them. (JMESPath proper wants `-` in quotes.)
_PLAIN = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*")
Getter = Callable[[Any], Any]


class JsonSettings(TextSettings):
    """How JSON is read."""

    layout: Literal["auto", "array", "lines", "document"] = Field(
        default="auto",
        description="array: one array of rows; lines: NDJSON; document: one value, see `rows`.",
    )
    rows: str | None = Field(
        default=None, description="JMESPath to the rows of a document, such as `data.items` or `*[]`."
    )
    fields: dict[str, str] = Field(
        default_factory=lambda: {"value": "@"},
        description="Attribute to JMESPath, such as {value: ioc, type: ioc_type}; lists give several rows.",
    )
    extra: list[str] = Field(default_factory=list, description="JMESPaths of what is kept as it is, as JSON.")
    max_document: int = Field(
        default=128 << 20,
        ge=1,
        description="Largest document that is parsed whole, in bytes; takes some eight times as much memory.",
    )

    @field_validator("fields")
    @classmethod
    def _fields_are_attributes(cls, value: dict[str, str]) -> dict[str, str]:
        known = ("value", *ATTRIBUTES)
        for name, path in value.items():
            if name not in known:
                raise ValueError(f"{name!r} is not a field; {nearest(name, known) or 'one of: ' + ', '.join(known)}")
            _compiles(path)
        if "value" not in value:
            raise ValueError("fields: value is missing")
        return value

    @field_validator("rows")
    @classmethod
    def _rows_compile(cls, value: str | None) -> str | None:
        if value is not None:
            _compiles(value)
        return value

    @field_validator("extra")
    @classmethod
    def _extras_compile(cls, value: list[str]) -> list[str]:
        for path in value:
            _compiles(path)
        return value


def _compiles(path: str) -> None:
    if not is_plain(path):
        try:
            jmespath.compile(path)
        except JMESPathError as error:
            raise ValueError(f"{path!r} is not a JMESPath: {' '.join(str(error).split())}") from error


def is_plain(path: str) -> bool:
    """Whether a path is names with dots between them."""
    return _PLAIN.fullmatch(path) is not None


def getter(path: str) -> Getter:
    """A function from a row to what the path leads to; None if it leads nowhere."""
    if path == "@":
        return lambda row: row
    if not is_plain(path):
        search: Getter = jmespath.compile(path).search
        return search
    names = path.split(".")

    def get(row: Any) -> Any:
        for name in names:
            if not isinstance(row, dict):
                return None
            row = row.get(name)
        return row

    return get
