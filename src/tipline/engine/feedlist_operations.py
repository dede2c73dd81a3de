"""Operations on all feeds together: the list, and the way to and from MISP's list of feeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import Field

from tipline.config.importers.misp_feeds import import_feeds
from tipline.config.importers.report import Imported, unused
from tipline.config.library import same_address
from tipline.config.misp_export import feed_list
from tipline.durations import format_duration
from tipline.engine.library_operations import MOST_BYTES, LibraryOperations
from tipline.engine.operation import operation
from tipline.engine.status import status
from tipline.model.tlp import name as tlp_name
from tipline.sources.base import Source
from tipline.sources.guardrails import mask_url

# Sources that nobody polls: others write into them, or they come with the program.
_PUSHED = {"local", "never-block", "ingest"}


class FeedListOperations(LibraryOperations):
    """The list of feeds."""

    @operation
    def feeds(self) -> dict[str, Any]:
        """The sources that the asker sees, with their state, schedule and usual settings."""
        readers = {name: _read(node) for name, node in self.engine.configuration.nodes().items()}
        sources, seen = self.engine.configuration.sources, set(self._seen())
        found = []
        for state in status(self.engine, self.asker):
            if state.sort == "source":
                into = [name for name in readers if name in seen and state.name in readers[name]]
                mine = self.asker.owns(sources[state.name].settings)
                found.append({**state.as_dict(), **_facts(sources[state.name], mine=mine), "into": into, "mine": mine})
        return {"feeds": found}

    @operation
    def misp_export(self) -> dict[str, Any]:
        """The asker's feeds as MISP's feed list, without secrets, and what it cannot say."""
        own = set(self._owned(self.engine.configuration.sources))
        return asdict(feed_list(node for name, node in self.engine.configuration.sources.items() if name in own))

    @operation
    def misp_import(
        self,
        body: str = Field(max_length=MOST_BYTES),
        *,
        names: list[str] | None = None,
        base: int | None = None,
        into: list[str] | None = None,
        message: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Read MISP's feed list, and add what is chosen of it.

        Args:
            body: JSON, as MISP's Feeds page exports it, or `feeds/index` gives it.
            names: what to add, by the names that an answer without them has; none: only look.
            base: the version it is put into; the one that runs, if not given.
            into: processors and outputs that shall read them.
            message: why; kept with the version.
            user: who asks.

        Returns:
            feeds (name, settings without secrets, there: what reads the same address already), and notes on what
            became of each setting; with names, what came of the change as well.
        """
        found = self._renamed(import_feeds(body))
        shown = [
            {"name": name, "settings": settings, "there": self._reading_address(str(settings["url"]))}
            for name, settings in found.sources.items()
        ]
        answer = {"feeds": shown, "notes": [asdict(note) for note in found.notes]}
        if names is None:
            return answer
        for name in names:
            self._known(name, list(found.sources), "feed in the list")
        chosen = {name: _filled(found.sources[name], found.secrets) for name in names}
        told = message or f"{len(chosen)} feeds from MISP's list"
        return {**answer, **self.feeds_add(chosen, base, into=into, message=told, user=user)}

    def _renamed(self, found: Imported) -> Imported:
        """The same with names that are free here."""
        taken = set(self.engine.configuration.nodes())
        names: dict[str, str] = {}
        for name in found.sources:
            names[name] = unused(name, {*taken, *names.values()})
        found.sources = {names[name]: settings for name, settings in found.sources.items()}
        found.notes = [type(note)(names.get(note.node, note.node), *_rest(note)) for note in found.notes]
        return found

    def _reading_address(self, url: str) -> list[str]:
        sources = self.engine.configuration.sources
        return [
            name
            for name in self._seen(sources)
            if any(same_address(url, each) for each in getattr(sources[name].settings, "url", None) or [])
        ]


def _rest(note: Any) -> tuple[Any, ...]:
    return note.setting, note.outcome, note.sentence


def _read(node: Any) -> set[str]:
    """What a node reads."""
    return {*getattr(node.settings, "inputs", []), *getattr(node.settings, "allow", [])}


def _facts(source: Source, *, mine: bool) -> dict[str, Any]:
    """Of a source's settings, what its owners and readers know it by; its address is its owners' alone."""
    settings = source.settings
    polled = source.kind not in _PUSHED
    return {
        "enabled": settings.enabled,
        "polled": polled,
        "every": format_duration(settings.every) if polled else "",
        "mode": settings.mode,
        "tlp": None if settings.tlp is None else tlp_name(settings.tlp),
        "confidence": settings.confidence,
        "actionable": settings.actionable,
        "distribution": settings.distribution,
        "tags": list(settings.tags),
        "note": settings.note,
        "url": [mask_url(url) for url in getattr(settings, "url", None) or []] if mine else [],
    }


def _filled(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Settings with the secrets themselves in place of the environment's names for them."""
    text = json.dumps(settings)
    for name, value in secrets.items():
        text = text.replace(f"${{env:{name}}}", json.dumps(value)[1:-1])
    found: dict[str, Any] = json.loads(text)
    return found
