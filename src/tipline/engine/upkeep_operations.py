"""Operations for those who look after the server: how it and its nodes do, and which allow-lists are in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tipline.engine import backup
from tipline.engine.operation import Base, operation
from tipline.engine.status import status
from tipline.engine.visible import claims_seen
from tipline.engine.vitals import vitals
from tipline.kinds import Kind
from tipline.store.records import last_runs

_BY = "allowed by "
_BAD = {"failing", "failed", "held", "drift"}  # states of nodes that somebody has to look at


class UpkeepOperations(Base):
    """What an administrator looks at."""

    @operation
    def health(self) -> dict[str, Any]:
        """Whether the engine runs, and which of the nodes that the asker sees have a problem.

        Returns:
            status (ok, degraded, dead) and problems: node, state, message.
        """
        if not self.scheduler.alive:
            message = self.scheduler.error if self.asker.everywhere else ""
            dead = {"node": "engine", "state": "dead", "message": message or "the engine has stopped"}
            return {"status": "dead", "problems": [dead]}
        problems = [
            {"node": node.name, "state": node.state, "message": node.message}
            for node in status(self.engine, self.asker)
            if node.state in _BAD
        ]
        return {"status": "degraded" if problems else "ok", "problems": problems}

    @operation
    def vitals(self) -> dict[str, Any]:
        """Memory, disk, files of the store, versions."""
        self._everywhere()
        return vitals(self.engine)

    @operation
    def backup(self, path: str | None = None) -> dict[str, Any]:
        """Make a backup while everything runs: a new file, or one in the data directory.

        Args:
            path: the new file; unset: in `backups` of the data directory, named by the time.
        """
        self._everywhere()
        made = backup.make(self.engine, Path(path) if path else None)
        self._note("backup", made["name"], path=made["path"], size=made["size"])
        return made

    @operation
    def backups(self) -> dict[str, Any]:
        """The backups in the data directory, newest first."""
        self._everywhere()
        return {"backups": backup.listed(self.engine), "left_out": list(backup.LEFT_OUT)}

    @operation
    def backup_taken(self, name: str) -> dict[str, Any]:
        """Note that somebody takes a backup away; answers where it is: path, name, size."""
        self._everywhere()
        path = backup.find(self.engine, name)
        self._note("backup download", name)
        return {"path": path, "name": name, "size": path.stat().st_size}

    @operation
    def backup_remove(self, name: str) -> dict[str, Any]:
        """Delete a backup in the data directory."""
        self._everywhere()
        backup.find(self.engine, name).unlink(missing_ok=True)
        self._note("backup remove", name)
        return {"removed": name}

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
