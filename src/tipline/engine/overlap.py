"""How much sources have in common: what of one is in another, what only one has, and who had it first."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.visible import claims_seen

_WORD = 64
_EPOCH = 1_577_836_800_000_000  # 2020, in microseconds: what is counted from it leaves room for 16,000 sources
_ROWS = 1 << 16  # rows of the table of patterns that are multiplied at once
Cache = dict[tuple[Any, ...], dict[str, Any]]
_CACHES: WeakKeyDictionary[Engine, Cache] = WeakKeyDictionary()
_LOCK = threading.Lock()


def overlap(engine: Engine, asker: Asker, sources: list[str]) -> dict[str, Any]:
    """What sources have in common, as far as the asker sees them; computed once for each state of the sources.

    Args:
        engine: the engine.
        asker: who asks.
        sources: names of sources that they see.

    Returns:
        sources (names), common (a matrix: indicators that both have; the diagonal is what each has), unique (what
        only this one has), first (of what several have: how often this one had it first), shared (how many of its
        indicators others have, too).
    """
    relations = [claims_seen(engine.graph, name, asker) for name in sources]
    with engine.lake.reading() as con:
        commits = dict(con.execute("SELECT source, commit_no FROM source_state").fetchall())
        state = tuple(
            (relation, commits.get(engine.graph.ids[n])) for relation, n in zip(relations, sources, strict=True)
        )
        with _LOCK:
            cache = _CACHES.setdefault(engine, {})
            if state in cache:
                return {"sources": sources, **cache[state]}
        found = _computed(con, relations) if sources else {"common": [], "unique": [], "shared": [], "first": []}
    with _LOCK:
        if len(cache) >= 8:
            cache.pop(next(iter(cache)))
        cache[state] = found
    return {"sources": sources, **found}


def _computed(con: Any, relations: list[str]) -> dict[str, Any]:
    """Each indicator's pattern of sources as 64-bit words, then each pattern once with its number of indicators."""
    words = -(-len(relations) // _WORD)
    # Who was first is the least of numbers that hold moment and source: comparing pairs takes twice the time.
    room = 1 << len(relations).bit_length()
    union = " UNION ALL ".join(
        f"SELECT kh, {n // _WORD} AS w, {1 << (n % _WORD)}::UBIGINT AS b,"
        f" (epoch_us(added) - {_EPOCH}) * {room} + {n} AS s FROM {relation}"
        for n, relation in enumerate(relations)
    )
    masks = ", ".join(f"coalesce(bit_or(b) FILTER (w = {w}), 0)::UBIGINT AS m{w}" for w in range(words))
    names = ", ".join(f"m{w}" for w in range(words))
    table = con.execute(
        f"SELECT {names}, first, count(*) AS n FROM (SELECT {masks}, min(s) & {room - 1} AS first FROM ({union})"
        f" GROUP BY kh) GROUP BY {names}, first"
    ).fetchnumpy()
    masks_found = np.stack([np.asarray(table[f"m{w}"], dtype=np.uint64) for w in range(words)], axis=1)
    return _counted(masks_found, np.asarray(table["first"]), np.asarray(table["n"], dtype=np.int64), len(relations))


def _counted(
    masks: npt.NDArray[np.uint64], first: npt.NDArray[Any], numbers: npt.NDArray[np.int64], count: int
) -> dict[str, Any]:
    common = np.zeros((count, count))
    unique, firsts = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    places = np.arange(count)
    for start in range(0, len(numbers), _ROWS):
        part = slice(start, start + _ROWS)
        bits = (masks[part][:, places // _WORD] >> (places % _WORD).astype(np.uint64)) & np.uint64(1)
        has, weight = bits.astype(np.float64), numbers[part]
        common += has.T @ (has * weight[:, None])
        alone = bits.sum(axis=1) == 1
        unique += np.bincount(first[part][alone], weights=weight[alone], minlength=count).astype(np.int64)
        firsts += np.bincount(first[part][~alone], weights=weight[~alone], minlength=count).astype(np.int64)
    whole = common.round().astype(np.int64)
    return {
        "common": whole.tolist(),
        "unique": unique.tolist(),
        "shared": (whole.diagonal() - unique).tolist(),
        "first": firsts.tolist(),
    }
