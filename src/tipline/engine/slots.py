"""Which published indicators are at a far side, and which wait and why: the plan of now, a page at a time."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from tipline.engine.deliver import Deliverer
from tipline.engine.rows import dicts

PLACED = "placed"


def slots(
    deliverer: Deliverer, limit: int, *, waiting: str = "", text: str = "", after: tuple[int, str] | None = None
) -> list[dict[str, Any]]:
    """Published indicators, the most confident first, with why each waits.

    Args:
        deliverer: the output.
        limit: how many at most.
        waiting: those that wait for this reason (`no-slot`, `covered`, ...); `placed`: those that do not wait.
        text: a part of the value.
        after: confidence and key of the last one of the page before.

    Returns:
        rows of key, type, value, confidence, sources, there (whether the far side has a copy) and waiting.
    """
    where, arguments = ["true"], list[Any]()
    if waiting:
        where.append("waiting IS NULL" if waiting == PLACED else "split_part(waiting, ':', 1) = ?")
        arguments += [] if waiting == PLACED else [waiting]
    if text:
        where.append("contains(lower(value), lower(?))")
        arguments.append(text)
    if after is not None:
        where.append("(confidence < ? OR (confidence = ? AND key > ?::UUID))")
        arguments += [after[0], after[0], after[1]]
    with closing(deliverer.lake.connection()) as con:
        deliverer.plan_in_full(con)
        query = (
            "SELECT replace(key::VARCHAR, '-', '') AS key, type, value, confidence, sources,"
            " coalesce(had.holds, 'no') <> 'no' AS there, waiting"
            " FROM (SELECT shown_rows.*, chosen.waiting FROM shown_rows JOIN chosen USING (key)) rows"
            " LEFT JOIN (SELECT key, holds FROM had) had USING (key)"
            f" WHERE {' AND '.join(where)} ORDER BY confidence DESC, key LIMIT {int(limit)}"
        )
        return dicts(con, query, arguments)
