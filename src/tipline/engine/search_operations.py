"""Operations that look across sources: finding indicators, their facets, and what sources have in common."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tipline.engine.facets import facets
from tipline.engine.filters import Search
from tipline.engine.operation import Base, operation
from tipline.engine.overlap import overlap
from tipline.engine.search import search
from tipline.engine.worth import worth

_MOST = 1000


class SearchOperations(Base):
    """Search and overlap."""

    @operation
    def find(
        self,
        wanted: Search,
        limit: int = Field(default=100, ge=1, le=_MOST),
        after: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """A page of the indicators that fulfil filters.

        Returns:
            indicators, and next: (value, type) to go on after, or nothing if this was the last page.
        """
        found = search(self.engine, self.asker, wanted, limit=limit + 1, after=after)
        page = found[:limit]
        following = [page[-1]["value"], page[-1]["type"]] if len(found) > limit else None
        return {"indicators": page, "next": following}

    @operation
    def facets(self, wanted: Search) -> dict[str, Any]:
        """How many claims fulfil filters, by type, source, TLP and tag."""
        return facets(self.engine, self.asker, wanted)

    @operation
    def overlap(self, sources: list[str] | None = None) -> dict[str, Any]:
        """What sources have in common; without names, all that are no allow-lists."""
        configuration = self.engine.configuration
        known = self._seen(configuration.sources)
        for name in sources or []:
            self._known(name, known, "source")
        usual = [name for name in known if name not in configuration.allow_lists]
        return overlap(self.engine, self.asker, sorted(set(sources)) if sources else usual)

    @operation
    def worth(self, sources: list[str] | None = None) -> dict[str, Any]:
        """What each source is worth: age, churn, what it has first and by how much, and what of it is harmless."""
        configuration = self.engine.configuration
        known = self._seen(configuration.sources)
        for name in sources or []:
            self._known(name, known, "source")
        harmless = {*configuration.allow_lists, configuration.never_block}
        usual = [name for name in known if name not in harmless]
        lists = [name for name in known if name in harmless]
        return {"sources": worth(self.engine, self.asker, sorted(set(sources)) if sources else usual, lists)}
