"""A seeded generator of mixed indicators: 40 % IPv4, 5 % CIDR, 25 % domain, 20 % URL, 10 % hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

# First octets whose networks are all globally routable, so that no generated address is refused.
_OCTETS = [n for n in range(1, 224) if n not in {10, 100, 127, 169, 172, 192, 198, 203}]
_TLDS = ("com", "net", "org", "info", "xyz", "top", "ru", "io", "biz", "site")
_WORDS = ("secure", "login", "update", "cdn", "mail", "static", "portal", "account", "files", "img")


def values(n: int, seed: int = 1) -> pl.Series:
    """`n` distinct mixed indicators, shuffled; the same for the same seed."""
    random = np.random.default_rng(seed)
    parts = [
        _ipv4(int(n * 0.40), random),
        _cidr(int(n * 0.05), random),
        _domains(int(n * 0.25), random),
        _urls(int(n * 0.20), random),
    ]
    parts.append(_hashes(n - sum(part.len() for part in parts), random))
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=seed).alias("value")


def csv(path: Path, n: int, seed: int = 1) -> None:
    """A CSV of `n` lines: indicator, confidence, first_seen, tag (with a header)."""
    random = np.random.default_rng(seed + 1)
    rows = attributed(values(n, seed), random)
    rows.write_csv(path)


def attributed(value: pl.Series, random: np.random.Generator) -> pl.DataFrame:
    """Values with the attributes that a feed carries."""
    n = value.len()
    seen = pl.Series(random.integers(1_700_000_000, 1_790_000_000, n))
    return pl.DataFrame(
        {
            "indicator": value,
            "confidence": random.integers(20, 100, n),
            "first_seen": pl.from_epoch(seen, time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tag": pl.Series(np.array(_WORDS)[random.integers(0, len(_WORDS), n)]),
        }
    )


def churned(path: Path, before: Path, share: float, seed: int = 2) -> None:
    """The next version of a CSV: `share` of its lines differ, half of them new and half in confidence."""
    rows = pl.read_csv(before)
    random = np.random.default_rng(seed)
    count = int(rows.height * share / 2)
    keep = rows.slice(count)
    changed = keep.head(count).with_columns(pl.lit(99).cast(pl.Int64).alias("confidence"))
    fresh = attributed(values(count, seed + 1000), random)
    pl.concat([changed, keep.slice(count), fresh.cast(rows.schema)]).write_csv(path)


def _dotted(numbers: np.ndarray) -> pl.Series:
    octets = [pl.Series((numbers >> shift) & 255).cast(pl.String) for shift in (24, 16, 8, 0)]
    return pl.DataFrame(octets).select(pl.concat_str(pl.all(), separator=".").alias("value"))["value"]


def _public(n: int, random: np.random.Generator) -> np.ndarray:
    first = np.array(_OCTETS)[random.integers(0, len(_OCTETS), n * 2)]
    numbers = np.unique((first.astype(np.uint32) << 24) | random.integers(0, 1 << 24, n * 2, dtype=np.uint32))
    random.shuffle(numbers)
    return numbers[:n]


def _ipv4(n: int, random: np.random.Generator) -> pl.Series:
    return _dotted(_public(n, random))


def _cidr(n: int, random: np.random.Generator) -> pl.Series:
    lengths = random.integers(20, 31, n).astype(np.uint32)
    numbers = _public(n, random)
    lengths = lengths[: numbers.size]
    bases = numbers & ~((np.uint32(1) << (np.uint32(32) - lengths)) - np.uint32(1))
    return (_dotted(bases) + "/" + pl.Series(lengths).cast(pl.String)).unique(maintain_order=True)


def _domains(n: int, random: np.random.Generator) -> pl.Series:
    words = pl.Series(np.array(_WORDS)[random.integers(0, len(_WORDS), n)])
    tlds = pl.Series(np.array(_TLDS)[random.integers(0, len(_TLDS), n)])
    numbers = pl.Series(np.arange(n) * 7919 + int(random.integers(0, 1 << 30))).cast(pl.String)
    return words + "-" + numbers + "." + tlds


def _urls(n: int, random: np.random.Generator) -> pl.Series:
    paths = pl.Series(random.integers(0, 1 << 40, n)).cast(pl.String)
    return "http://" + _domains(n, random) + "/" + paths + "/index.php?id=1"


def _hashes(n: int, random: np.random.Generator) -> pl.Series:
    raw = random.bytes(n * 32).hex()
    return pl.Series([raw[i * 64 : i * 64 + 64] for i in range(n)])
