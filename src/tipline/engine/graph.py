"""The configured nodes as a graph: who reads whom, how far a touch reaches, and what each output depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tipline.config.schema import Configuration
from tipline.config.warning_lists import WarningList, warning_lists
from tipline.outputs.base import Output
from tipline.processors.base import Processor, Reach
from tipline.processors.expression import Clock, compile_filter
from tipline.sources.base import Source

# Raised when an evaluation's result for the same configuration changes: every output is then evaluated in full.
EVALUATION_VERSION = 1
_ORDER: dict[Reach, int] = {"key": 0, "interval": 1, "all": 2}


@dataclass(frozen=True)
class Audience:
    """Who an output is for: its team, and the highest TLP it may carry."""

    team: str
    max_tlp: int
    actionable_only: bool


class Graph:
    """The nodes of one configuration.

    Args:
        configuration: the checked configuration.
        ids: the lake's number of each node, by name.
    """

    def __init__(self, configuration: Configuration, ids: dict[str, int]) -> None:
        self.configuration = configuration
        self.ids = ids

    @property
    def sources(self) -> dict[str, Source]:
        """Sources by name."""
        return self.configuration.sources

    @property
    def processors(self) -> dict[str, Processor]:
        """Processors by name."""
        return self.configuration.processors

    @property
    def outputs(self) -> dict[str, Output]:
        """Outputs by name."""
        return self.configuration.outputs

    @cached_property
    def warning_lists(self) -> dict[str, WarningList]:
        """Every warning list as it is configured, by name."""
        return warning_lists(self.configuration.settings.warning_lists)

    def audience(self, output: str) -> Audience:
        """Whom an output is for."""
        settings = self.outputs[output].settings
        return Audience(settings.team, settings.max_tlp, settings.actionable_only)

    def allow_of(self, output: str) -> list[str]:
        """The allow-lists applied to an output: its own, its team's by hand, and the never-block list if it blocks."""
        kind = self.outputs[output]
        names = [*kind.settings.allow, self.configuration.team_allow(kind.settings.team)]
        if kind.blocking():
            names.append(self.configuration.never_block)
        return [name for name in dict.fromkeys(names) if name in self.sources]

    def upstream(self, output: str) -> list[str]:
        """The processors above an output, each after those it reads."""
        return self._in_order(self.outputs[output].settings.inputs)

    def way_to(self, processor: str) -> list[str]:
        """The processors above a processor, and itself, each after those it reads."""
        return self._in_order([processor])

    def _in_order(self, names: list[str]) -> list[str]:
        order: list[str] = []

        def visit(name: str) -> None:
            if name in self.processors and name not in order:
                for other in self.processors[name].settings.inputs:
                    visit(other)
                order.append(name)

        for name in names:
            visit(name)
        return order

    def feeds(self, output: str) -> list[str]:
        """The sources whose indicators an output may publish."""
        names = list(self.outputs[output].settings.inputs)
        for processor in self.upstream(output):
            names.extend(self.processors[processor].settings.inputs)
        return sorted({name for name in names if name in self.sources})

    def allows(self, output: str) -> list[str]:
        """The allow-lists that take things out on the way to an output."""
        names = self.allow_of(output)
        for processor in self.upstream(output):
            names.extend(getattr(self.processors[processor].settings, "allow", []))
        return sorted({name for name in names if name in self.sources})

    def downstream(self, source: str) -> list[str]:
        """The outputs that depend on a source."""
        return [name for name in self.outputs if source in self.feeds(name) or source in self.allows(name)]

    def reach(self, output: str) -> Reach:
        """How far a touched indicator reaches: the widest of the nodes on the way."""
        reaches: list[Reach] = [self.outputs[output].reach]
        reaches += [self.processors[name].reach for name in self.upstream(output)]
        if self.allows(output):
            reaches.append("interval")  # an allowed network cuts ranges into pieces
        return max(reaches, key=_ORDER.__getitem__)

    def touching(self, output: str) -> bool:
        """Whether ranges that only touch belong to one island."""
        return any(getattr(self.processors[name].settings, "merge_neighbours", False) for name in self.upstream(output))

    def clocks(self, output: str) -> list[Clock]:
        """Moments (claim column + offset) at which an output may change with time alone, expiry aside."""
        found = [clock for name in self.upstream(output) for clock in self.processors[name].clocks()]
        where = self.outputs[output].settings.where
        found += compile_filter(where).clocks if where else []
        found += self.outputs[output].clocks()
        return list(dict.fromkeys(found))

    def reliability(self) -> dict[str, int]:
        """How much each source's confidence weighs, where that was set."""
        found = {name: source.settings.reliability for name, source in self.sources.items()}
        return {name: worth for name, worth in found.items() if worth is not None}

    def fingerprint(self, output: str) -> str:
        """A digest of everything an output's result depends on, besides claims and time."""
        parts: list[Any] = [EVALUATION_VERSION, self._settings(output)]
        parts += [self._settings(name) for name in self.upstream(output)]
        parts += [self._source_settings(name) for name in [*self.feeds(output), *self.allows(output)]]
        parts.append([[name, each.action] for name, each in self.warning_lists.items() if each.enabled])
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def _settings(self, name: str) -> Any:
        node = self.configuration.nodes()[name]
        own = node.settings.model_dump(mode="json", exclude={"note"})
        return [name, own, getattr(node, "fingerprint_extra", lambda: None)()]

    def _source_settings(self, name: str) -> Any:
        keep = {
            "confidence",
            "reliability",
            "tlp",
            "actionable",
            "direction",
            "tags",
            "threat_types",
            "description",
            "expire",
            "team",
            "distribution",
            "mode",
        }
        return [name, self.ids.get(name), self.sources[name].settings.model_dump(mode="json", include=keep)]
