"""The JSON Schema of a configuration file, for editors; each node has the settings of its kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator

from tipline.cli.reference_settings import default_words
from tipline.config.check import SECTIONS
from tipline.config.declared import plain_default
from tipline.config.schema import Settings
from tipline.kinds import kinds

_REFERENCE = "#/$defs/{model}"


def configuration_schema() -> dict[str, Any]:
    """The whole schema; each node's settings depend on its `kind`."""
    shared: dict[str, Any] = {}
    top = _schema(Settings, shared)
    properties = {**top["properties"], **{name: _section(name, shared) for name in SECTIONS}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tipline configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": dict(sorted(shared.items())),
    }


def _section(section: str, shared: dict[str, Any]) -> dict[str, Any]:
    known = kinds(SECTIONS[section])
    choices = []
    for kind, cls in known.items():
        name = f"{SECTIONS[section]}.{kind}"
        body = _schema(cls.Settings, shared)
        body["properties"]["kind"] = {"const": kind, "description": cls.summary()}
        shared[name] = body
        then = {"$ref": _REFERENCE.format(model=name)}
        choices.append({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then})
    node = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(known), "description": "What the node does."}},
        "allOf": choices,
    }
    return {
        "description": f"The {section}, by name.",
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"},
        "additionalProperties": node,
    }


def _schema(model: type[BaseModel], shared: dict[str, Any]) -> dict[str, Any]:
    """One model's schema; the models it holds are put into `shared`."""
    found = model.model_json_schema(mode="validation", ref_template=_REFERENCE)
    shared.update(found.pop("$defs", {}))
    for name, inner in _models(model).items():
        if name in shared:
            _humanise(inner, shared[name])
    _humanise(model, found)
    found.pop("title", None)
    return found


def _humanise(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """Defaults as people write them, and one value where a list of one is meant."""
    for name, field in model.model_fields.items():
        found = schema["properties"][name]
        found.pop("title", None)
        found.pop("default", None)
        words = default_words(field).strip("`")
        if words not in {"required", "see below", "unset", "empty"}:
            value = field.get_default(call_default_factory=True)
            found["default"] = value if isinstance(value, (bool, int, float)) and str(value) == words else words
            if isinstance(value, (list, dict, bool)):
                found["default"] = _plain(value)
        if _takes_one(field.annotation, field.metadata) and found.get("type") == "array":
            found["anyOf"] = [*_one_or_many(found)]
        elif any(_takes_one(part, ()) for part in get_args(field.annotation)):
            found["anyOf"] = [part for each in found["anyOf"] for part in _one_or_many(each)]


def _takes_one(annotation: Any, metadata: Iterable[Any]) -> bool:
    """Whether a list may be written as its only member (kinds do so with a validator before)."""
    extras = [*metadata, *getattr(annotation, "__metadata__", ())]
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_origin(inner) is list and any(isinstance(each, BeforeValidator) for each in extras)


def _one_or_many(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of a list and of one of its members; another schema as it is."""
    if found.get("type") != "array":
        return [found]
    words = ("type", "items", "minItems", "maxItems")
    many = {word: found.pop(word) for word in words if word in found}
    return [many.get("items", {}), many]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, float)) else plain_default(value)


def _models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Every model below one, by its name."""
    found: dict[str, type[BaseModel]] = {}
    pending: list[Any] = [field.annotation for field in model.model_fields.values()]
    while pending:
        each = pending.pop()
        if isinstance(each, type) and issubclass(each, BaseModel):
            if each.__name__ not in found:
                found[each.__name__] = each
                pending += [field.annotation for field in each.model_fields.values()]
        else:
            pending += getattr(each, "__args__", ())
    return found
