"""How a setting is asked for: which sort of field its declaration calls for, and its value as text and back."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import SecretStr
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarfloat import ScalarFloat

from tipline.durations import parse_duration
from tipline.model import tlp

Widget = Literal["text", "number", "duration", "switch", "choice", "secret", "lines", "pairs", "yaml"]
_SCALARS: dict[Any, Widget] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "switch",
    timedelta: "duration",
    date: "text",
    Path: "text",
    UUID: "text",
    SecretStr: "secret",
}
_TEXTS = (str, Path, UUID, date, SecretStr, timedelta)
_LONG = 88  # characters from which a list stands on several lines

# What a field that was left empty says: the setting is not in the file.
ABSENT: Final = object()


class TextError(ValueError):
    """A field's text cannot be read."""


@dataclass(frozen=True)
class Shape:
    """How one setting is asked for.

    Attributes:
        widget: the sort of field.
        options: of a choice.
        nullable: whether `null` is a value.
        secret: whether the text may hold a secret.
        verbatim: whether a scalar is text whatever it looks like (else numbers are numbers).
    """

    widget: Widget
    options: tuple[str, ...] = ()
    nullable: bool = False
    secret: bool = False
    verbatim: bool = True


def shape_of(annotation: Any, metadata: Iterable[Any] = ()) -> Shape:
    """The shape of an annotation; what no simple field can hold is asked for as YAML.

    Args:
        annotation: a field's type.
        metadata: what pydantic has taken off it.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0], arguments[1:])
    marks = {getattr(item, "func", None) for item in metadata}
    if tlp.name in marks:
        return Shape("choice", tuple(tlp.NAMES))
    if parse_duration in marks:
        return Shape("duration")
    if origin in _COMPOUND:
        return _COMPOUND[origin](arguments)
    widget = _SCALARS.get(annotation, "yaml")
    return Shape(widget, secret=widget == "secret", verbatim=annotation in _TEXTS)


def _choice_of_types(arguments: tuple[Any, ...]) -> Shape:
    inner = [shape_of(each) for each in arguments if each is not type(None)]
    nullable = len(inner) < len(arguments)
    if len(inner) == 1:
        return replace(inner[0], nullable=nullable)
    simple = all(each.widget in _SCALARS.values() for each in inner)
    return Shape("text" if simple else "yaml", nullable=nullable, verbatim=False)


def _held(inner: Shape, widget: Widget) -> Shape:
    """The shape of a list or map of something."""
    if inner.widget in {"yaml", "lines", "pairs"}:
        return Shape("yaml", verbatim=False)
    return Shape(widget, secret=inner.secret, verbatim=inner.verbatim)


_COMPOUND: dict[Any, Callable[[tuple[Any, ...]], Shape]] = {
    Union: _choice_of_types,
    types.UnionType: _choice_of_types,
    Literal: lambda options: Shape("choice", tuple(str(each) for each in options)),
    list: lambda held: _held(shape_of(held[0]), "lines"),
    dict: lambda held: _held(shape_of(held[1]), "pairs"),
}


def fits(value: Any, shape: Shape) -> bool:
    """Whether a value, as it stands in the file, can be shown in a field of this shape."""
    if shape.widget == "yaml":
        return True
    if shape.widget == "pairs":
        return value is None or (isinstance(value, Mapping) and not any(map(_nested, value.values())))
    if shape.widget == "lines" and isinstance(value, list):
        return not any(map(_nested, value))
    return not _nested(value)


def text_of(value: Any, shape: Shape) -> str:
    """A value of the file as a field shows it."""
    if shape.widget in {"pairs", "yaml"} and _nested(value):
        return _dumped(value)
    if shape.widget == "lines" and isinstance(value, list):
        return "\n".join(_scalar_text(each, shape) for each in value)
    return _scalar_text(value, shape)


def value_of(text: str, shape: Shape, before: Any = ABSENT) -> Any:
    """What a field's text means: the value for the file, or `ABSENT`.

    Args:
        text: as it was sent.
        shape: of the setting.
        before: the value in the file; a list that was written as its only member stays so.

    Raises:
        TextError: it cannot be read; the message is for people.
    """
    text = text.replace("\r\n", "\n").strip()
    if not text:
        return ABSENT
    if shape.widget in {"pairs", "yaml"}:
        return _loaded(text, shape)
    if shape.widget != "lines":
        return _scalar(text, shape)
    values = [_scalar(line.strip(), shape) for line in text.splitlines() if line.strip()]
    if len(values) == 1 and before is not ABSENT and not isinstance(before, list):
        return values[0]
    return _list(values)


def _list(values: list[Any]) -> CommentedSeq:
    """A list that stands on one line while it is short."""
    made = CommentedSeq(values)
    if sum(len(str(each)) + 2 for each in values) < _LONG:
        made.fa.set_flow_style()
    return made


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _scalar_text(value: Any, shape: Shape) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return _dumped(value) if isinstance(value, ScalarFloat) else str(value)
    return value if _says_itself(value, shape) else json.dumps(str(value), ensure_ascii=False)


def _says_itself(value: str, shape: Shape) -> bool:
    """Whether a text needs no quotes to be read as what it is."""
    plain = bool(value) and value == value.strip() and not value.startswith('"') and value != "null"
    return plain and value.isprintable() and (shape.verbatim or isinstance(_plain(value), str))


def _scalar(text: str, shape: Shape) -> Any:
    if text == "null":
        return None
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text if shape.verbatim and shape.widget != "switch" else _plain(text)


def _plain(text: str) -> Any:
    """A number, true or false, if the text is one in YAML; else the text."""
    try:
        found = YAML(typ="safe").load(text)
    except YAMLError:
        return text
    return found if isinstance(found, (bool, int, float)) else text


def _loaded(text: str, shape: Shape) -> Any:
    try:
        found = YAML(typ="rt").load(text)
    except YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise TextError(f"not valid YAML{line}: {getattr(exc, 'problem', exc)}") from None
    if shape.widget == "pairs" and not isinstance(found, Mapping):
        raise TextError("write a name, a colon and a value on each line, such as high: 80")
    return found


def _dumped(value: Any) -> str:
    """A value as YAML; a map on several lines, however it stands in the file."""
    yaml = YAML(typ="rt")
    yaml.width = 4096
    out = StringIO()
    yaml.dump(CommentedMap(value) if isinstance(value, Mapping) else value, out)
    return out.getvalue().removesuffix("\n").removesuffix("\n...").strip("\n")
