"""Opens a data file whose write-ahead log is damaged: it is set aside, cut where it breaks, and replayed.

A log that was cut off (power loss) opens by itself, at a whole transaction. One with a flipped byte, or with
zeros at its end, does not open at all. The engine then names the byte of the entry that fails its checksum;
everything before it is sound, and what was committed after it is lost. Far sides may be ahead of us then:
every delivery is sent in full again.
"""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import update

from tipline.errors import StoreError
from tipline.store.control import DELIVERIES, Control
from tipline.store.lake import FILE, Lake
from tipline.store.lock import DirectoryLock

_POSITION = re.compile(r"at byte position (\d+)")
_WAL = FILE + ".wal"
_TRIES = 5


def recover(data: Path, at: datetime) -> dict[str, Any]:
    """Bring a data directory back after its write-ahead log was damaged.

    Args:
        data: the data directory; no other process may have it.
        at: the moment, for the name of the copy.

    Returns:
        recovered (whether anything was cut), lost (bytes cut off), kept (the copy), steps (in words).

    Raises:
        StoreError: another process has the directory, or the file cannot be opened whatever is cut.
    """
    lock = DirectoryLock(data)
    try:
        return _recover(data, at)
    finally:
        lock.release()


def _recover(data: Path, at: datetime) -> dict[str, Any]:
    wal = data / _WAL
    steps: list[str] = []
    result: dict[str, Any] = {"recovered": False, "lost": 0, "kept": None, "steps": steps}
    broken = _broken_at(data)
    if broken is None:
        steps.append("the data file opens: nothing had to be cut")
    else:
        kept = wal.with_name(f"{_WAL}.damaged-{at:%Y%m%dT%H%M%S}")
        shutil.copy2(wal, kept)
        steps.append(f"the damaged write-ahead log was copied to {kept.name}")
        result["kept"] = str(kept)
        size = wal.stat().st_size
        for _ in range(_TRIES):
            if broken is None:
                break
            _cut(wal, broken)
            steps.append(f"it was cut at byte {broken:,}, where its checksum fails")
            broken = _broken_at(data)
        if broken is not None:
            raise StoreError("the data file cannot be opened", where=str(data / FILE), fix="restore a backup")
        result["lost"] = size - (wal.stat().st_size if wal.exists() else 0)
        result["recovered"] = True
        steps.append(f"the data file opens; {result['lost']:,} bytes of commits after that point are lost")
    Lake(data).close()
    steps.append(f"{resync(data)} deliveries are marked to be sent in full again and reconciled")
    return result


def _broken_at(data: Path) -> int | None:
    """The byte at which the write-ahead log breaks; None if the file opens.

    Raises:
        StoreError: it does not open, and not because of its log.
    """
    try:
        duckdb.connect(str(data / FILE)).close()
    except duckdb.Error as exc:
        found = _POSITION.search(str(exc))
        if found is None or not (data / _WAL).exists():
            raise StoreError(
                f"the data file cannot be opened: {str(exc).splitlines()[0][:300]}",
                where=str(data / FILE),
                fix="restore a backup, or move it away: feeds fill a new one, deliveries start again in full",
            ) from exc
        return int(found[1])
    return None


def _cut(wal: Path, position: int) -> None:
    with wal.open("r+b") as file:
        file.truncate(position)
        file.flush()
        os.fsync(file.fileno())


def resync(data: Path) -> int:
    """Have every delivery of a directory compare its far side before it writes, and send in full; how many.

    Raises:
        StoreError: the control database cannot be used.
    """
    control = Control(data)
    try:
        with control.transaction() as con:
            return int(con.execute(update(DELIVERIES).values(resync=1, last_reconcile=None)).rowcount)
    finally:
        control.close()
