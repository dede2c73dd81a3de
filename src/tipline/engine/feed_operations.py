"""Operations on feeds as people keep them: added, changed, switched and removed, one version of the configuration each.

Secrets that come with them are kept encrypted: the configuration only names them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tipline.config.edit import drop_node, edited, flow, node_text, put_new_nodes, put_node_text, settings_of
from tipline.config.hidden import hide_node, restore_node, seal_node
from tipline.config.yamlfile import Place
from tipline.engine.configuration_operations import ConfigurationOperations, committed
from tipline.engine.operation import operation
from tipline.engine.people import RequestError
from tipline.engine.secret_operations import SecretOperations
from tipline.errors import ConfigError
from tipline.kinds import TEAM, Kind, Sort, kinds

_SECTION = "sources"


class FeedOperations(ConfigurationOperations, SecretOperations):
    """Sources, one at a time."""

    @operation
    def feed_add(
        self,
        name: str,
        base: int | None = None,
        *,
        settings: dict[str, Any] | None = None,
        text: str | None = None,
        into: list[str] | None = None,
        message: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Add a source, have other nodes read it, and put that to work.

        Args:
            name: of the source.
            base: the version it is put into; the one that runs, if not given.
            settings: of the source; it is the asker's team's unless they say otherwise.
            text: instead of them, the same as YAML text.
            into: processors and outputs that shall read it.
            message: why; kept with the version.
            user: who asks.
        """
        body = self._text(settings or {}) if text is None else text
        return self._added({name: body}, base, into, message or f"{name} added", user)

    @operation
    def feeds_add(
        self,
        feeds: dict[str, dict[str, Any]],
        base: int | None = None,
        *,
        into: list[str] | None = None,
        message: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Add several sources in one version.

        Args:
            feeds: settings by the sources' names.
            base: the version they are put into; the one that runs, if not given.
            into: processors and outputs that shall read them.
            message: why; kept with the version.
            user: who asks.
        """
        if not feeds:
            raise RequestError("there is nothing to add", fix="name one feed at least")
        bodies = {name: self._text(settings) for name, settings in feeds.items()}
        return self._added(bodies, base, into, message or f"{len(feeds)} feeds added", user)

    @operation
    def feed_change(
        self,
        name: str,
        base: int | None = None,
        *,
        settings: dict[str, Any] | None = None,
        text: str | None = None,
        message: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Change some settings of a source (null takes one out), or all of them as YAML text, and put that to work.

        Args:
            name: of the source.
            base: the version that this began from; the one that runs, if not given.
            settings: laid over its own; what is not named stays as it is.
            text: instead of them, the whole source as `feed` shows it; what is hidden in it stays as it is.
            message: why; kept with the version.
            user: who asks.
        """
        before = self._own_feed(name)
        if text is None:
            body = edited(before, lambda there: _lay(there, settings or {}))
        else:
            body = restore_node(text, before, type(self.engine.graph.sources[name]))
        with self._sealed({name: body}) as sealed:
            put = _putting(name, sealed[name])
            return self._commit(put, base, message or f"{name} changed", user)

    @operation
    def feed_remove(self, name: str, base: int | None = None, *, message: str = "", user: str = "") -> dict[str, Any]:
        """Take a source out, and out of what reads it: what it claims is withdrawn."""
        self._own_feed(name)
        readers = [(section, each) for section, each in self._readers() if name in _named(self._settings(each))]

        def without(text: str) -> str:
            for section, each in readers:
                text = _with_reader(text, section, each, lambda there: _take_out(there, name))
            return drop_node(text, _SECTION, name)

        return self._commit(without, base, message or f"{name} removed", user)

    @operation
    def feed(self, name: str) -> dict[str, Any]:
        """A source's settings as they stand in the file, without its secrets, and what reads it."""
        text = hide_node(self._own_feed(name), type(self.engine.graph.sources[name]))
        version = self._configuring.current()["version"]
        return {"name": name, "version": version, "text": text, "into": self._read_by(name)}

    @operation
    def feed_readers(self) -> dict[str, Any]:
        """The asker's processors and outputs that can read a source, those that merge first."""
        nodes = self.engine.configuration.nodes()
        found = [{"name": each, "sort": nodes[each].sort, "kind": nodes[each].kind} for _, each in self._readers()]
        return {"readers": found}

    @staticmethod
    def _text(settings: Mapping[str, Any]) -> str:
        """A node's settings as YAML."""
        return edited("", lambda there: _lay(there, settings))

    def _added(
        self,
        bodies: Mapping[str, str],
        base: int | None,
        into: list[str] | None,
        message: str,
        user: str,
        *,
        also: Callable[[str], str] | None = None,
    ) -> dict[str, Any]:
        for name in bodies:
            if name in self.engine.configuration.nodes():
                raise RequestError(f"there is a node {name} already", fix="choose another name")
        wired = self._reading(list(bodies), into or [])
        if not self.asker.everywhere and self.asker.team != TEAM:
            bodies = {name: edited(body, self._as_mine) for name, body in bodies.items()}
        with self._sealed(bodies) as sealed:

            def put(text: str) -> str:
                made = wired(put_new_nodes(text, _SECTION, sealed))
                return also(made) if also else made

            return self._commit(put, base, message, user)

    def _commit(self, edit: Callable[[str], str], base: int | None, message: str, user: str) -> dict[str, Any]:
        _, user = self._acting(None, user)
        base = self._configuring.current()["version"] if base is None else base
        return committed(self._configuring.change(edit, message, base=base, user=user))

    @contextmanager
    def _sealed(self, bodies: Mapping[str, str], sort: Sort = "source") -> Iterator[dict[str, str]]:
        """Nodes' texts with references in the place of secrets; they are forgotten again if that is refused."""
        known = kinds(sort)
        with ExitStack() as undo:
            yield {name: self._without_secrets(name, body, known, undo) for name, body in bodies.items()}
            undo.pop_all()

    def _without_secrets(self, node: str, body: str, known: Mapping[str, type[Kind[Any]]], undo: ExitStack) -> str:
        """A node's text with its secrets kept apart; `undo` forgets the new ones."""
        team = self._team_of(node, body)

        def keep(place: Place, value: str) -> str:
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", ".".join([node, *map(str, place)]))[:100]
            new = self._secret_store.team(name) is None
            self.secret_set(name, value, team=team)
            if new:
                undo.callback(self.secret_remove, name)
            return f"${{secret:{name}}}"

        return seal_node(body, _kind_of(body, known), keep)

    def _team_of(self, name: str, body: str) -> str | None:
        """Whose secrets those of a node are; None: the asker's own team's."""
        if not self.asker.everywhere:
            return None
        there = self.engine.configuration.nodes().get(name)
        return str(settings_of(body).get("team") or (there.settings.team if there else TEAM))

    def _as_mine(self, settings: CommentedMap) -> None:
        settings.setdefault("team", self.asker.team)

    def _own_feed(self, name: str) -> str:
        """A source's text in the file."""
        self._known(name, self._owned(self.engine.graph.sources), "feed")
        text = self._configuring.current()["text"]
        try:
            return node_text(text, _SECTION, name)
        except ConfigError:
            raise RequestError(f"{name} is built in", fix="only feeds of the configuration can be changed") from None

    def _reading(self, names: list[str], into: list[str]) -> Callable[[str], str]:
        """An edit that has some nodes read some sources."""
        known = {each: section for section, each in self._readers()}
        for each in into:
            self._known(each, list(known), "node that can read it")

        def edit(text: str) -> str:
            for each in into:
                text = _with_reader(text, known[each], each, lambda there: _put_in(there, names))
            return text

        return edit

    def _readers(self) -> list[tuple[str, str]]:
        """(section, name) of the asker's nodes that have inputs."""
        configuration, owned = self.engine.configuration, set(self._owned())
        return [
            (section, name)
            for section, nodes in (("processors", configuration.processors), ("outputs", configuration.outputs))
            for name in nodes
            if name in owned
        ]

    def _read_by(self, name: str) -> list[str]:
        return [each for _, each in self._readers() if name in _named(self._settings(each))]

    def _settings(self, name: str) -> Any:
        return self.engine.configuration.nodes()[name].settings


def _putting(name: str, body: str) -> Callable[[str], str]:
    return lambda text: put_node_text(text, _SECTION, name, body, replace=True)


def _with_reader(text: str, section: str, name: str, change: Callable[[CommentedMap], None]) -> str:
    """A configuration's text with one node changed."""
    return put_node_text(text, section, name, edited(node_text(text, section, name), change), replace=True)


def _named(settings: Any) -> list[str]:
    """What a node reads."""
    return [*settings.inputs, *getattr(settings, "allow", [])]


def _put_in(settings: CommentedMap, names: list[str]) -> None:
    there = settings.get("inputs")
    if isinstance(there, CommentedSeq):
        there.extend(names)
    else:
        made = CommentedSeq([*([there] if there else []), *names])
        made.fa.set_flow_style()
        settings["inputs"] = made


def _take_out(settings: CommentedMap, name: str) -> None:
    for key in ("inputs", "allow"):
        there = settings.get(key)
        if isinstance(there, CommentedSeq) and name in there:
            there.remove(name)
        elif there == name:
            settings[key] = []


def _lay(there: CommentedMap, over: Mapping[str, Any]) -> None:
    """Lay settings over a node's, mapping by mapping; None takes one out."""
    for key, value in over.items():
        inner = there.get(key)
        if value is None:
            there.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(inner, CommentedMap):
            _lay(inner, value)
        elif key not in there or inner != value:
            there[key] = flow(value)


def _kind_of(body: str, known: Mapping[str, type[Kind[Any]]]) -> type[Kind[Any]]:
    """The kind that a node's text names.

    Raises:
        RequestError: there is no such kind.
    """
    word = settings_of(body).get("kind")
    if word not in known:
        raise RequestError(f"there is no kind {word!r}", fix=f"there are: {', '.join(known)}")
    return known[word]
