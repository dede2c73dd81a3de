"""Columns of addresses: dotted quads to numbers, numbers to the sorting form, all with numpy.

The rules are those of `addresses`; a property test holds the two to the same answers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tipline.model.addresses import MAPPED, SPECIAL, address
from tipline.model.policy import Policy
from tipline.model.verdict import by_part, by_rule, complete

U64 = npt.NDArray[np.uint64]

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_QUAD = rf"{_OCTET}(?:\.{_OCTET}){{3}}"

#: Plain IPv4 address, and address or network: the texts that `plain_ipv4` reads.
IPV4_ONLY = rf"\A{_QUAD}\z"
IPV4 = rf"\A{_QUAD}(?:/(?:3[0-2]|[12]?[0-9]))?\z"

_SPECIAL_FIRST = np.array(SPECIAL[4][0], dtype=np.uint64)
_SPECIAL_LAST = np.array(SPECIAL[4][1], dtype=np.uint64)


def numbers(texts: pl.Series, count: int) -> U64:
    """The decimal numbers in texts that each hold exactly `count` of them, parted by one character each.

    Args:
        texts: such as `1.2.3.4/24`; no number longer than three digits; no nulls.
        count: numbers in each text.

    Returns:
        Array of shape (len(texts), count).
    """
    arrow = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, offset_buffer, data_buffer = arrow.buffers()
    ends = np.frombuffer(offset_buffer, np.int64)[arrow.offset : arrow.offset + len(arrow) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    data = data[ends[0] : ends[-1]]
    bounds = ends - ends[0]
    marks = np.flatnonzero(data - ord("0") > 9).reshape(len(texts), count - 1)
    starts = np.column_stack([bounds[:-1], marks + 1])
    stops = np.column_stack([marks, bounds[1:]])
    digits = (data - ord("0")).astype(np.uint64)
    widths = stops - starts
    out: U64 = digits[stops - 1]
    out += np.where(widths > 1, 10 * digits[np.maximum(stops - 2, 0)], np.uint64(0))
    out += np.where(widths > 2, 100 * digits[np.maximum(stops - 3, 0)], np.uint64(0))
    return out


def quads(parts: U64) -> U64:
    """Address numbers of octets, shape (n, 4 or more) to (n,)."""
    shifts = np.array([24, 16, 8, 0], dtype=np.uint64)
    out: U64 = (parts[:, :4] << shifts).sum(axis=1, dtype=np.uint64)
    return out


def spell_quads(values: U64) -> pl.Series:
    """Dotted quads of address numbers."""
    octets = {f"o{shift}": ((values >> np.uint64(shift)) & np.uint64(255)).astype(np.uint8) for shift in (24, 16, 8, 0)}
    return pl.DataFrame(octets).select(pl.concat_str(pl.all(), separator=".").alias("value"))["value"]


def hex128(low: U64) -> pl.Series:
    """32 hex digits of numbers below 2**64."""
    both = np.zeros((len(low), 2), dtype=">u8")
    both[:, 1] = low
    data = both.tobytes().hex().encode("ascii")
    offsets = np.arange(0, 32 * (len(low) + 1), 32, dtype=np.int64)
    arrow = pa.LargeStringArray.from_buffers(len(low), pa.py_buffer(offsets), pa.py_buffer(data))
    return pl.Series(arrow, dtype=pl.String)


def mapped_bounds(first: U64, last: U64) -> tuple[pl.Series, pl.Series]:
    """`lo` and `up` of IPv4 intervals `first` to `last`, both included."""
    shift = np.uint64(MAPPED)
    return hex128(first + shift), hex128(last + shift + np.uint64(1))


def touches_special(first: U64, last: U64) -> npt.NDArray[np.bool_]:
    """True where the IPv4 interval holds a special-purpose address."""
    block = np.searchsorted(_SPECIAL_LAST, first, side="left")
    inside = block < len(_SPECIAL_FIRST)
    return inside & (_SPECIAL_FIRST[np.minimum(block, len(_SPECIAL_FIRST) - 1)] <= last)


def refusals(first: U64, last: U64, policy: Policy) -> pl.Series:
    """Reason codes of IPv4 intervals that the policy refuses; null for the others."""
    reason = np.zeros(len(first), dtype=np.int8)
    if not policy.allow_non_routable:
        reason[touches_special(first, last)] = 1
    if not policy.allow_wide:
        reason[last - first >= np.uint64(1 << 24)] = 2
    return pl.Series(reason).replace_strict({0: None, 1: "not-routable", 2: "too-wide"}, return_dtype=pl.String)


def _verdicts(frame: pl.DataFrame, value: pl.Series, first: U64, last: U64, policy: Policy) -> pl.DataFrame:
    lo, up = mapped_bounds(first, last)
    out = frame.select("row", value=value, lo=lo, up=up, drop=refusals(first, last, policy))
    return complete(out, type="ipv4")


def plain_ipv4(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Judge texts that match `IPV4_ONLY`."""
    values = quads(numbers(frame["text"], 4))
    return _verdicts(frame, frame["text"], values, values, policy)


def ipv4_networks(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Judge texts that match `IPV4` and hold a slash."""
    parts = numbers(frame["text"], 5)
    size = np.uint64(1) << (np.uint64(32) - parts[:, 4])
    given = quads(parts)
    first = given & ~(size - np.uint64(1))
    slash_32 = pl.col("length") == 32
    made = pl.DataFrame({"base": spell_quads(first), "length": parts[:, 4], "text": frame["text"]}).select(
        pl.when(slash_32)
        .then(pl.col("base"))
        .otherwise(pl.concat_str("base", pl.lit("/"), pl.col("length").cast(pl.String)))
        .alias("value")
    )
    return _verdicts(frame, made["value"], first, first + size - np.uint64(1), policy)


def normalise_addresses(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Normaliser of ipv4, ipv6 and `ip`: the family follows from the text, whatever the source called it."""
    quad = pl.col("text").str.contains(IPV4)
    slash = pl.col("text").str.contains("/", literal=True)
    kinds = frame.with_columns(pl.when(~quad).then(2).otherwise(slash.cast(pl.Int8)).cast(pl.Int8).alias("shape"))
    plain, networks, rest = (kinds.filter(pl.col("shape") == shape).drop("shape") for shape in range(3))
    return by_part([(plain, plain_ipv4), (networks, ipv4_networks), (rest, by_rule(address))], policy)
