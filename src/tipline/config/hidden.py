"""Hides the secrets that stand in a configuration's text, and puts them back into a text that came back from people.

A value that is a reference (`${secret:NAME}`, `${env:NAME}`, `${file:PATH}`) is no secret and is shown.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from ruamel.yaml.comments import CommentedMap

from tipline.config.check import SECTIONS
from tipline.config.edit import settings_of, with_texts
from tipline.config.schema import Settings
from tipline.config.yamlfile import Place
from tipline.errors import ConfigError
from tipline.kinds import Kind, kinds
from tipline.sources.guardrails import SECRET_NAME, URL_MASK, mask_url

MASK = "••••••"
_REFERENCE = re.compile(r"\$\{(env|file|secret):[^}]*\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
# Headers that say what is wanted, not who asks.
PLAIN_HEADERS = {"accept", "accept-language", "accept-encoding", "content-type", "user-agent", "referer", "origin"}

# A value, its place, and what holds it: (place, holder, key, whether it is declared to be secret).
Found = tuple[Place, Any, Any, bool]
# What holds a value, its key there, and what it is to be.
New = tuple[Any, Any, str]


def hide_node(text: str, kind: type[Kind[Any]] | None) -> str:
    """One node's settings (YAML text) without its secrets; where there is none, every character stays.

    Args:
        text: the settings.
        kind: of the node; None: it has none that is known, and what sounds secret is hidden.

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    return with_texts(text, lambda settings: _hide(_in_model(settings, _model(kind), ())))


def restore_node(text: str, original: str, kind: type[Kind[Any]] | None) -> str:
    """One node's settings, with the hidden secrets put back.

    Args:
        text: as somebody left it.
        original: what was hidden from them; empty if there was nothing.
        kind: of the node.

    Raises:
        ConfigError: a hidden secret stands where there was none, so that nobody knows it.
    """
    model = _model(kind)
    before = _texts(_in_model(settings_of(original), model, ()))
    return with_texts(text, lambda settings: _restore(_in_model(settings, model, ()), before))


def seal_node(text: str, kind: type[Kind[Any]], keep: Callable[[Place, str], str]) -> str:
    """One node's settings with a reference in the place of each secret that stands there.

    Args:
        text: settings of one node.
        kind: of the node.
        keep: given a secret's place and value, keeps it and returns the reference.

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    return with_texts(text, lambda settings: _seal(_in_model(settings, kind.Settings, ()), keep))


def sealed(settings: Mapping[str, Any], kind: type[Kind[Any]], keep: Callable[[Place, str], str]) -> dict[str, Any]:
    """One node's settings as `seal_node` leaves them, as plain data."""
    made = deepcopy(dict(settings))
    for holder, key, reference in _seal(_in_model(made, kind.Settings, ()), keep):
        holder[key] = reference
    return made


def hide_text(text: str) -> str:
    """A whole configuration without its secrets.

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    return with_texts(text, lambda document: _hide(_in_document(document)))


def restore_text(text: str, original: str) -> str:
    """A whole configuration, with the hidden secrets put back.

    Raises:
        ConfigError: a hidden secret stands where there was none, so that nobody knows it.
    """
    before = _texts(_in_document(settings_of(original)))
    return with_texts(text, lambda document: _restore(_in_document(document), before))


def hidden(value: str) -> bool:
    """Whether a value is, or has in it, what stands for a hidden secret."""
    return MASK in value or (URL_MASK in value and bool(_URL.fullmatch(value)))


def _model(kind: type[Kind[Any]] | None) -> type[BaseModel] | None:
    return kind.Settings if kind else None


def _hide(found: Iterator[Found]) -> Iterator[New]:
    for place, holder, key, secret in list(found):
        shown = _shown(holder[key], place, secret=secret)
        if shown != holder[key]:
            yield holder, key, shown


def _seal(found: Iterator[Found], keep: Callable[[Place, str], str]) -> Iterator[New]:
    for place, holder, key, secret in list(found):
        if _shown(holder[key], place, secret=secret) == MASK and not hidden(holder[key]):
            yield holder, key, keep(place, holder[key])


def _restore(found: Iterator[Found], before: Mapping[Place, tuple[str, str]]) -> Iterator[New]:
    for place, holder, key, _ in list(found):
        if hidden(holder[key]):
            yield holder, key, _known(holder[key], place, *before.get(place, ("", "")))


def _known(value: str, place: Place, original: str, shown: str) -> str:
    """What a text with a hidden secret in it stands for."""
    if value == shown:
        return original
    pieces = re.fullmatch(re.escape(shown).replace(re.escape(URL_MASK), "(.*?)"), original)
    if pieces is None or MASK in value or value.count(URL_MASK) != len(pieces.groups()):
        where = ".".join(map(str, place))
        raise ConfigError(f"{where}: the hidden value is not known here", where=where, fix="enter it anew")
    secrets: Iterator[str] = iter(pieces.groups())
    return re.sub(re.escape(URL_MASK), lambda _: next(secrets), value)


def _texts(found: Iterator[Found]) -> dict[Place, tuple[str, str]]:
    return {
        place: (holder[key], _shown(holder[key], place, secret=secret)) for place, holder, key, secret in found
    }  # fmt: skip


def _shown(value: str, place: Place, *, secret: bool) -> str:
    if not value or _REFERENCE.search(value):
        return value
    if secret and not (len(place) > 1 and str(place[-1]).lower() in PLAIN_HEADERS):
        return MASK
    return mask_url(value) if _URL.fullmatch(value) and mask_url(value) != value.partition("#")[0] else value


def _in_document(document: CommentedMap) -> Iterator[Found]:
    top = {key: value for key, value in document.items() if key not in SECTIONS}
    for name, info in Settings.model_fields.items():
        if name in top:
            yield from _values(document, name, info.annotation, (name,))
    for section, sort in SECTIONS.items():
        known, nodes = kinds(sort), document.get(section)
        for name, body in (nodes if isinstance(nodes, Mapping) else {}).items():
            if isinstance(body, CommentedMap):
                kind = known.get(body.get("kind"))
                yield from _in_model(body, _model(kind), (section, name))


def _in_model(settings: Any, model: type[BaseModel] | None, place: Place) -> Iterator[Found]:
    """The texts of some settings; one that nobody declared (a slip of the pen) is secret if its name sounds so."""
    fields = model.model_fields if model else {}
    for name in settings:
        unknown = SecretStr if SECRET_NAME.search(str(name)) else Any
        annotation = fields[name].annotation if name in fields else unknown
        yield from _values(settings, name, annotation, (*place, name))


def _values(holder: Any, key: Any, annotation: Any, place: Place) -> Iterator[Found]:
    """Every text below one value that its declaration calls a secret, or that may be an address with one in it."""
    value, types_ = holder[key], list(_alternatives(annotation))
    if isinstance(value, str):
        yield place, holder, key, _is_secret(types_)
    elif isinstance(value, list):
        inner = next((get_args(each)[0] for each in types_ if get_origin(each) is list), Any)
        for index in range(len(value)):
            yield from _values(value, index, inner, (*place, index))
    elif isinstance(value, Mapping):
        yield from _in_mapping(value, types_, place)


def _in_mapping(value: Any, types_: list[Any], place: Place) -> Iterator[Found]:
    model = next((each for each in types_ if isinstance(each, type) and issubclass(each, BaseModel)), None)
    if model is not None:
        yield from _in_model(value, model, place)
        return
    inner = next((get_args(each)[1] for each in types_ if get_origin(each) is dict), Any)
    for key in value:
        yield from _values(value, key, inner, (*place, key))


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _alternatives(arguments[0])
    elif origin in (Union, types.UnionType):
        for each in arguments:
            yield from _alternatives(each)
    else:
        yield annotation


def _is_secret(types_: list[Any]) -> bool:
    listed = (inner for each in types_ if get_origin(each) is list for inner in _alternatives(get_args(each)[0]))
    return SecretStr in types_ or SecretStr in listed
