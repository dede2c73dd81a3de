"""Operations for those who look after the server: how it does, and which allow-lists are in use."""

from __future__ import annotations

from typing import Any

from tipline.engine.operation import Base, operation
from tipline.engine.visible import claims_seen
from tipline.engine.vitals import vitals
from tipline.kinds import Kind
from tipline.store.records import last_runs

_BY = "allowed by "


class UpkeepOperations(Base):
    """What an administrator looks at."""

    @operation
    def vitals(self) -> dict[str, Any]:
        """Memory, disk, files of the store, versions."""
        self._everywhere()
        return vitals(self.engine)

    @operation
    def allow_lists(self) -> dict[str, Any]:
        """Allow-lists in use: entries, readers, and what each took out at the last full evaluation, by node."""
        configuration, graph = self.engine.configuration, self.engine.graph
        readers: dict[str, Kind[Any]] = {**configuration.processors, **configuration.outputs}
        theirs, runs = set(self._owned()), last_runs(self.engine.control)
        found = []
        for name in self._seen(configuration.allow_lists):
            with self.engine.lake.reading() as con:
                table = claims_seen(graph, name, self.asker)
                (entries,) = con.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
            used = [each for each, node in readers.items() if name in getattr(node.settings, "allow", [])]
            hits = {each: runs[each]["dropped"].get(f"{_BY}{name}", 0) for each in sorted(theirs & runs.keys())}
            settings = graph.sources[name].settings
            found.append(
                {
                    "name": name, "kind": graph.sources[name].kind, "team": settings.team,
                    "enabled": settings.enabled, "entries": int(entries),
                    "used_by": [each for each in used if each in set(self._seen())],
                    "hits": {each: count for each, count in hits.items() if count},
                }
            )  # fmt: skip
        return {"lists": found}
