"""Forms of settings, made from a kind's declaration: its fields with their help, and what somebody filled in.

A form is filled from a node's settings as they stand in the file (`form`), and what was sent is written back into the
same (`write`): what nobody touched keeps its place, its quotes and its comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tipline.config.declared import by_owner, default_text, headline, inner_model
from tipline.kinds import Kind
from tipline.web.widgets import ABSENT, Shape, TextError, fits, shape_of, text_of, value_of

# Before the name of a setting in a form: `set.guard.max_withdrawn`.
PREFIX = "set."
_UNIT = re.compile(r"\bin (seconds|bytes|characters|days)\b|^(Share) of\b")
_UNITS = {"Share": "0 to 1"}
_LEAST, _MOST = ("ge", "gt"), ("le", "lt")
# What people set more often than anything else, whatever the kind.
_USUAL = {"every", "tlp", "confidence", "tags", "max_tlp", "where", "note"}


@dataclass(frozen=True)
class Choice:
    """A node that another may read.

    Attributes:
        name: of the node.
        about: its sort, kind and size in a few words.
        why_not: why it cannot be chosen; empty if it can.
    """

    name: str
    about: str = ""
    why_not: str = ""


@dataclass
class Field:
    """One setting in a form.

    Attributes:
        path: in the node's settings, such as `guard.max_withdrawn`.
        shape: the sort of field.
        help: what it is for.
        text: what is in the file; empty if nothing is.
        default: what holds if nothing is.
        unit: of a number.
        least, most: of a number.
        required: whether it must be given.
        problems: what is wrong with it.
        nodes: what can be chosen, where nodes are named.
        chosen: of these.
    """

    path: str
    shape: Shape
    help: str
    text: str = ""
    default: str = ""
    unit: str = ""
    least: str = ""
    most: str = ""
    required: bool = False
    problems: list[str] = field(default_factory=list)
    nodes: list[Choice] | None = None
    chosen: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name in the form."""
        return PREFIX + self.path

    @property
    def id(self) -> str:
        """Its id in the page."""
        return self.name.replace(".", "-")


@dataclass
class Group:
    """Settings that belong together.

    Attributes:
        title: what they are about.
        fields: in the order of their declaration.
        essential: whether they are shown at once.
    """

    title: str
    fields: list[Field]
    essential: bool = False

    @property
    def given(self) -> int:
        """How many of them are in the file."""
        return sum(bool(each.text or each.chosen) for each in self.fields)

    @property
    def wrong(self) -> int:
        """How many of them have problems."""
        return sum(bool(each.problems) for each in self.fields)


def form(
    kind: type[Kind[Any]],
    settings: Mapping[str, Any],
    *,
    problems: Mapping[str, list[str]] | None = None,
    nodes: Mapping[str, list[Choice]] | None = None,
) -> list[Group]:
    """The form of one node: what its kind needs first, then everything else by what it is about.

    Args:
        kind: of the node.
        settings: as they stand in the file, with secrets hidden.
        problems: by the path of a setting.
        nodes: what `inputs` and `allow` can name.
    """
    found = {each.path: each for each in _fields(kind.Settings, settings)}
    for each in found.values():
        each.problems = [text for path, texts in (problems or {}).items() if path == each.path for text in texts]
        if nodes and each.path in nodes:
            each.chosen = [line for line in each.text.splitlines() if line]
            each.nodes = _with_chosen(nodes[each.path], each.chosen)
    example = _example(kind)
    first = {*example, *_USUAL}
    groups = {"": Group("What it needs", [], essential=True)}
    titles = _titles(kind.Settings)
    for each in found.values():
        title = "" if each.required or each.path in first else titles[each.path.rpartition(".")[0] or each.path]
        groups.setdefault(title, Group(title, [])).fields.append(each)
    groups[""].fields.sort(key=lambda each: (not each.required, each.path not in example, each.path == "note"))
    return [groups[title] for title in ("", *dict.fromkeys(titles.values())) if title in groups]


def _titles(model: type[BaseModel]) -> dict[str, str]:
    """What each setting is about: what its class says of itself; one that holds others stands for itself."""
    found = {}
    for owner, names in by_owner(model):
        about = headline(owner).replace("`", "")
        for name in names:
            inner = inner_model(model.model_fields[name].annotation)
            found[name] = about if inner is None else f"{name}: {headline(inner)[:1].lower()}{headline(inner)[1:]}"
    return found


def write(settings: CommentedMap, model: type[BaseModel], sent: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Write what a form says into a node's settings.

    Args:
        settings: as they stand in the file; changed in place.
        model: the settings of its kind.
        sent: texts by the names of the form's fields; settings that are not among them stay as they are.

    Returns:
        What could not be read, by the path of its setting; such a setting stays as it was.
    """
    problems: dict[str, list[str]] = {}
    _write(settings, model, sent, "", problems)
    return problems


def _fields(model: type[BaseModel], settings: Any, prefix: str = "", *, inside: bool = False) -> Iterator[Field]:
    there = settings if isinstance(settings, Mapping) else {}
    for name, info in model.model_fields.items():
        if name == "kind" and not prefix:
            continue
        inner = _nested(info, there.get(name))
        if inner is not None:
            optional = inside or not info.is_required()
            yield from _fields(inner, there.get(name), f"{prefix}{name}.", inside=optional)
        else:
            made = _field(f"{prefix}{name}", info, there.get(name, ABSENT))
            yield replace(made, required=made.required and not inside)


def _field(path: str, info: FieldInfo, value: Any) -> Field:
    shape = _fitting(info, value)
    help_ = info.description or ""
    unit = _UNIT.search(help_)
    return Field(
        path,
        shape,
        help_,
        text="" if value is ABSENT else text_of(value, shape),
        default=_default(info),
        unit=_UNITS.get(unit[2], unit[1] or "") if unit else "",
        least=_limit(info, _LEAST),
        most=_limit(info, _MOST),
        required=info.is_required(),
    )


def _fitting(info: FieldInfo, value: Any) -> Shape:
    """The shape of a field; YAML, if what stands in the file would not fit a simpler one."""
    shape = _shape(info)
    return shape if value is ABSENT or fits(value, shape) else Shape("yaml", secret=shape.secret, verbatim=False)


def _shape(info: FieldInfo) -> Shape:
    shape = shape_of(info.annotation, info.metadata)
    extra = info.json_schema_extra
    if isinstance(extra, dict) and isinstance(options := extra.get("enum"), list):
        return replace(shape, widget="choice", options=tuple(map(str, options)))
    return shape


def _default(info: FieldInfo) -> str:
    text = default_text(info)
    return "" if text in {None, "[]", "{}"} else str(text)


def _limit(info: FieldInfo, words: Iterable[str]) -> str:
    found = (getattr(each, word, None) for word in words for each in info.metadata)
    return next((f"{limit:g}" for limit in found if limit is not None), "")


def _nested(info: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The model whose fields stand for this one; None: YAML says it better (lists of models, models in models)."""
    inner = inner_model(info.annotation)
    if inner is None or info.annotation not in (inner, inner | None):
        return None
    deep = any(inner_model(each.annotation) for each in inner.model_fields.values())
    return inner if not deep and (value is None or isinstance(value, Mapping)) else None


def _example(kind: type[Kind[Any]]) -> set[str]:
    """The settings that the kind's example gives, by their paths."""
    found = YAML(typ="safe").load(kind.example)
    while "kind" not in found:
        found = next(iter(found.values()))
    inner = {f"{name}.{key}" for name, value in found.items() if isinstance(value, dict) for key in value}
    return {*found, *inner}


def _with_chosen(known: list[Choice], chosen: list[str]) -> list[Choice]:
    names = {each.name for each in known}
    return [*known, *(Choice(name, "not there") for name in chosen if name not in names)]


def _write(
    settings: CommentedMap,
    model: type[BaseModel],
    sent: Mapping[str, list[str]],
    prefix: str,
    problems: dict[str, list[str]],
) -> None:
    for name, info in model.model_fields.items():
        path, before = f"{prefix}{name}", settings.get(name, ABSENT)
        inner = _nested(info, settings.get(name))
        if inner is not None:
            _write_nested(settings, name, inner, sent, path, problems)
        elif PREFIX + path in sent:
            shape, text = _fitting(info, before), "\n".join(sent[PREFIX + path])
            if before is not ABSENT and _same(text, text_of(before, shape)):
                continue
            try:
                _put(settings, name, value_of(text, shape, before))
            except TextError as exc:
                problems.setdefault(path, []).append(str(exc))


def _write_nested(
    settings: CommentedMap,
    name: str,
    model: type[BaseModel],
    sent: Mapping[str, list[str]],
    path: str,
    problems: dict[str, list[str]],
) -> None:
    there = settings.get(name)
    inner = there if isinstance(there, CommentedMap) else CommentedMap()
    before = len(inner)
    _write(inner, model, sent, f"{path}.", problems)
    if inner and there is not inner:
        inner.fa.set_flow_style()
        _put(settings, name, inner)
    elif before and not inner:
        _put(settings, name, ABSENT)


def _put(settings: CommentedMap, name: str, value: Any) -> None:
    if value is ABSENT:
        settings.pop(name, None)
    else:
        settings[name] = value


def _same(text: str, other: str) -> bool:
    return text.replace("\r\n", "\n").strip() == other.strip()
