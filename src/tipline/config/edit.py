"""Edits a configuration's YAML text: one node is put in or taken out, and everything else stays as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from tipline.config import spans
from tipline.errors import ConfigError

_SECTIONS = ("sources", "processors", "outputs")
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z•][\w•/.@+=&?%*~-]*(:[\w•/.@+=&?%*~-]+)*")
_WIDTH = 4096  # columns at which long values would be folded


class _Representer(RoundTripRepresenter):
    """Writes `null` as a word, so that a setting that is null on purpose says so."""

    def nothing(self, _value: None) -> ScalarNode:
        """The word."""
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:null", "null")
        return node


_Representer.add_representer(type(None), _Representer.nothing)


def put_node(text: str, section: str, name: str, body: Mapping[str, Any], *, replace: bool = False) -> str:
    """The text with a node in a section (`sources`, `processors`, `outputs`), which is made if it is missing.

    Args:
        text: YAML.
        section: where.
        name: of the node.
        body: its settings.
        replace: whether a node of that name may go.

    Raises:
        ConfigError: the text is not a mapping in YAML, or the name is taken.
    """
    document = _parsed(text)[1]
    nodes = _checked(document, section, name, replace=replace)
    if isinstance(nodes.get(name), CommentedMap):
        settings = edited(node_text(text, section, name), lambda there: _change(there, body))
    else:
        settings = dumped(body)
    return put_node_text(text, section, name, settings, replace=replace)


def drop_node(text: str, section: str, name: str) -> str:
    """The text without a node, and without the comment right above it.

    Raises:
        ConfigError: there is no such node.
    """
    yaml, document = _parsed(text)
    nodes, lines = _holding(document, section, name), text.splitlines(keepends=True)
    made = None if nodes.fa.flow_style() else spans.take_out(lines, spans.span(lines, document, section, name))
    del nodes[name]
    return made if made is not None and _says(made, document) else _written(yaml, document)


def node_text(text: str, section: str, name: str) -> str:
    """One node's settings, as they stand in the text.

    Raises:
        ConfigError: there is no such node.
    """
    yaml, document = _parsed(text)
    _holding(document, section, name)
    return _cut(yaml, document, text.splitlines(keepends=True), section, name)


def put_node_text(text: str, section: str, name: str, body: str, *, replace: bool = False) -> str:
    """The text with a node whose settings are YAML text, to the letter.

    Args:
        text: YAML.
        section: where.
        name: of the node.
        body: its settings.
        replace: whether a node of that name may go.

    Raises:
        ConfigError: either text is not a mapping in YAML, or the name is taken.
    """
    (yaml, document), settings = _parsed(text), settings_of(body)
    nodes = _checked(document, section, name, replace=replace)
    made = _spliced(text, document, section, name, body, inline=bool(settings.fa.flow_style()))
    nodes.fa.set_block_style()
    nodes[name] = settings
    document[section] = nodes
    return made if made is not None and _says(made, document) else _written(yaml, document)


def put_setting(text: str, name: str, setting: str | None) -> str:
    """The text with a setting of the whole file, as `outline` gives it; None takes it out.

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    yaml, document = _parsed(text)
    document.pop(name, None)
    if setting is not None:
        document[name] = settings_of(setting)[name]
    return _written(yaml, document)


def outline(text: str) -> dict[tuple[str, str], str]:
    """The text of every node, by its section and name, and of every other setting with its name (its section is empty).

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    yaml, document = _parsed(text)
    found, lines = {}, text.splitlines(keepends=True)
    for section, nodes in document.items():
        if section not in _SECTIONS:
            found["", str(section)] = _written(yaml, CommentedMap({section: nodes}))
        elif isinstance(nodes, CommentedMap):
            for name in nodes:
                found[section, str(name)] = _cut(yaml, document, lines, section, name)
    return found


def with_texts(text: str, choose: Callable[[CommentedMap], Iterable[tuple[Any, Any, str]]]) -> str:
    """YAML text with other texts in some places; all else stays to the letter, quotes too.

    Args:
        text: of one node, or a whole configuration.
        choose: gives what holds each text (a map or list), its key there, and the new text.

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    yaml, document = _parsed(text)
    lines, wanted = text.splitlines(keepends=True), []
    for holder, key, new in list(choose(document)):
        line, column = holder.lc.item(key) if isinstance(holder, CommentedSeq) else holder.lc.value(key)
        wanted.append((line, column, str(holder[key]), new))
        holder[key] = new
    for line, column, old, new in sorted(wanted, reverse=True):
        before, rest = lines[line][:column], lines[line][column:]
        for quoted in (_plain, _single, _double):
            if rest.startswith(quoted(old)):
                lines[line] = before + quoted(new) + rest[len(quoted(old)) :]
                break
    made = "".join(lines)
    return made if _says(made, document) else _written(yaml, document)


def _plain(text: str) -> str:
    """A text without quotes, if it can do without."""
    return text if _NEEDS_NO_QUOTES.fullmatch(text) else _double(text)


def _double(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _single(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _cut(yaml: YAML, document: CommentedMap, lines: list[str], section: str, name: str) -> str:
    """One node's settings to the letter, if they stand for themselves (without an anchor elsewhere)."""
    nodes = document[section]
    made = "" if nodes.fa.flow_style() else spans.cut(lines, spans.span(lines, document, section, name))
    return made if made and _says(made, nodes[name]) else _written(yaml, nodes[name])


def put_new_nodes(text: str, section: str, bodies: dict[str, str]) -> str:
    """The text with several new nodes behind those of a section.

    Args:
        text: YAML.
        section: where.
        bodies: settings as YAML text, by the nodes' names.

    Raises:
        ConfigError: a text is not a mapping in YAML, or a name is taken.
    """
    yaml, document = _parsed(text)
    last = spans.section_end(text.splitlines(keepends=True), document, section)
    made = text
    if last is not None:
        for name in reversed(bodies):  # each behind the last one that was there
            made = spans.append(made.splitlines(keepends=True), last, name, bodies[name], inline=False)
    for name, body in bodies.items():
        nodes = _checked(document, section, name, replace=False)
        nodes[name] = settings_of(body)
        nodes.fa.set_block_style()
        document[section] = nodes
    return made if last and _says(made, document) else _written(yaml, document)


def _checked(document: CommentedMap, section: str, name: str, *, replace: bool) -> CommentedMap:
    """The section that a node goes into (a new one, if there is none)."""
    nodes = document.get(section)
    if nodes is None:
        nodes = CommentedMap()
    if not isinstance(nodes, CommentedMap):
        raise ConfigError(f"{section} must map names to nodes", fix="correct the file first")
    taken = any(name in (document.get(part) or {}) for part in _SECTIONS)
    if taken and not (replace and name in nodes):
        raise ConfigError(f"there is a node {name} already", fix="choose another name")
    return nodes


def _spliced(text: str, document: CommentedMap, section: str, name: str, body: str, *, inline: bool) -> str | None:
    """The text with a node written into its lines; None: its section does not stand on lines."""
    lines = text.splitlines(keepends=True)
    last = spans.section_end(lines, document, section)
    if last is None:
        return None
    if name in document[section]:
        return spans.put(lines, spans.span(lines, document, section, name), body, inline=inline)
    return spans.append(lines, last, name, body, inline=inline)


def _says(text: str, wanted: Any) -> bool:
    """Whether a text means the same as a document."""
    try:
        return bool(settings_of(text) == wanted)
    except ConfigError:
        return False


def settings_of(text: str) -> CommentedMap:
    """One node's settings from YAML text.

    Raises:
        ConfigError: it is not a mapping in YAML.
    """
    return _parsed(text)[1]


def dumped(settings: Mapping[str, Any]) -> str:
    """Settings of one node as YAML: one a line, small mappings on their own."""
    return _written(_parsed("")[0], CommentedMap({key: flow(value) for key, value in settings.items()}))


def edited(text: str, change: Callable[[CommentedMap], None]) -> str:
    """One node's settings (YAML text) after a change; where nothing changes, every character stays.

    Args:
        text: settings of one node.
        change: changes them in place.

    Raises:
        ConfigError: the text is not a mapping in YAML.
    """
    yaml, settings = _parsed(text)
    before = _written(yaml, settings)
    change(settings)
    after = _written(yaml, settings)
    return text if after == before else after


def _holding(document: CommentedMap, section: str, name: str) -> CommentedMap:
    """The section that holds a node."""
    nodes = document.get(section)
    if not isinstance(nodes, CommentedMap) or name not in nodes:
        raise ConfigError(f"{section} has no node {name}", fix="check the name")
    return nodes


def _change(node: CommentedMap, body: Mapping[str, Any]) -> None:
    """Give a node other settings; what stays the same keeps its place and its comments."""
    for key in [key for key in node if key not in body]:
        del node[key]
    for key, value in body.items():
        if key not in node or node[key] != value:
            node[key] = flow(value)


def _parsed(text: str) -> tuple[YAML, CommentedMap]:
    yaml = YAML(typ="rt")
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    sequence = next((line for line in text.splitlines() if line.lstrip().startswith("- ")), "")
    yaml.indent(mapping=2, sequence=4 if sequence.startswith(" ") else 2, offset=2 if sequence.startswith(" ") else 0)
    try:
        document = yaml.load(text) if text.strip() else CommentedMap()
    except YAMLError as exc:
        raise ConfigError("not valid YAML", fix="correct the file first: tipline check says where") from exc
    if document is None:
        document = CommentedMap()
    if not isinstance(document, CommentedMap):
        raise ConfigError("the file's top level is not a mapping", fix="correct the file first")
    return yaml, document


def flow(value: Any) -> Any:
    """A value for the file: mappings stand on one line, as people write small ones."""
    if not isinstance(value, Mapping):
        return value
    made = CommentedMap({key: flow(inner) for key, inner in value.items()})
    made.fa.set_flow_style()
    return made


def _written(yaml: YAML, document: CommentedMap) -> str:
    out = StringIO()
    yaml.dump(document, out)
    return out.getvalue()
