"""Sources' claims as rows of views: what a source fills in, and why a claim is left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tipline.engine.asker import Asker
from tipline.engine.claims import expired_sql
from tipline.engine.graph import Audience, Graph
from tipline.engine.times import literal
from tipline.engine.visible import claims_cut, restricted
from tipline.model.tlp import AMBER, RED
from tipline.sources.ageing import expiries
from tipline.sources.base import EXACT
from tipline.store.schema import VIEW_COLUMNS, claims_table

DEFAULT_CONFIDENCE = 50


@dataclass(frozen=True)
class Leaves:
    """SQL of sources' claims for one audience at one moment, as far as an asker sees them."""

    graph: Graph
    audience: Audience
    as_of: datetime
    moments: dict[str, datetime]
    asker: Asker

    def rows(self, name: str, *tests: str) -> str:
        """The claims of a source that fulfil some conditions, with `dropped` where one is left out."""
        table, cut = claims_cut(self.graph, name, self.asker)
        return _selected(table, [*cut, *tests], self._columns(name), self.reason(name))

    def entries(self, name: str, *tests: str) -> str:
        """The claims of an allow-list that fulfil some conditions: whole, and not limited by TLP."""
        columns = self._columns(name)
        columns["rhost"] = f"CASE WHEN list_contains(coalesce(tags, []), '{EXACT}') THEN NULL ELSE rhost END"
        return _selected(claims_table(self.graph.ids[name]), [*tests], columns, self._expired(name))

    def narrow(self, name: str, columns: str) -> str:
        """Some columns of a source's claims as they are."""
        table, cut = claims_cut(self.graph, name, self.asker)
        return f"SELECT {columns} FROM {restricted(table, cut)}"

    def reason(self, name: str) -> str:
        """Why a claim of a source is left out; null if it is not."""
        settings, tlp = self.graph.sources[name].settings, self._tlp(name)
        reasons = [self._expired(name), f"CASE WHEN {tlp} > {self.audience.max_tlp} THEN 'tlp' END"]
        if settings.team != self.audience.team:
            reasons.append(f"CASE WHEN {tlp} = {RED} THEN 'tlp' END")
        if self.audience.actionable_only:
            reasons.append(f"CASE WHEN NOT coalesce(actionable, {settings.actionable}) THEN 'not-actionable' END")
        return f"coalesce({', '.join(reasons)})"

    def _columns(self, name: str) -> dict[str, str]:
        settings = self.graph.sources[name].settings
        usual = DEFAULT_CONFIDENCE if settings.confidence is None else settings.confidence
        return {
            "sources": f"[{_quoted(name)}]",
            "confidence": f"coalesce(confidence, {usual})::UTINYINT",
            "actionable": f"coalesce(actionable, {settings.actionable})",
            "tlp": self._tlp(name),
            "direction": f"coalesce(direction, {_quoted(settings.direction)})",
            "threat_types": _with("threat_types", settings.threat_types),
            "tags": _with("tags", settings.tags),
            "description": f"coalesce(description, {_quoted(settings.description)})",
            "valid_until": _own_end(settings.expire),
        }

    def _expired(self, name: str) -> str:
        moment = literal(self.moments.get(name, self.as_of))
        rules = expiries(self.graph.sources[name].settings.expire)
        return f"CASE WHEN {expired_sql(rules, literal(self.as_of), moment)} THEN 'expired' END"

    def _tlp(self, name: str) -> str:
        settings = self.graph.sources[name].settings
        return f"coalesce(tlp, {AMBER if settings.tlp is None else settings.tlp})::UTINYINT"


def _selected(table: str, tests: list[str], columns: dict[str, str], reason: str) -> str:
    selected = ", ".join(f"{columns.get(c, c)} AS {c}" for c in VIEW_COLUMNS.split(", "))
    return f"SELECT {selected}, {reason} AS dropped FROM {restricted(table, tests)}"


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def _with(column: str, constants: list[str]) -> str:
    if not constants:
        return column
    literal_list = "[" + ", ".join(_quoted(word) for word in constants) + "]"
    return f"list_sort(list_distinct(list_concat(coalesce({column}, []), {literal_list})))"


def _own_end(rules: list[str]) -> str:
    """When the claim ends by its source's word or a fixed rule (moving rules would change it at every poll)."""
    fixed = [rule.moment_sql() for rule in expiries(rules) if rule.base == "added"]
    return f"least({', '.join(['valid_until', *fixed])})" if fixed else "valid_until"
