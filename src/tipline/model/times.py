"""Time columns: whatever shape a feed uses, to UTC without zone at microseconds.

Without a format these shapes are read, the whole column at once:

* ISO 8601: `2021-03-05T10:07:29.0421232Z`, a blank for the T, one- or two-digit parts, any number of
  fraction digits (cut at microseconds), `Z`, `UTC`, `GMT`, `+01:00`, `+0100`, `+01`, with or without blank
  before it; a date alone is its midnight; `2021/03/05`; `20210305`, `20210305T100729Z`, `20210305100729`.
* American: `9/29/2022`, `1/21/21 13:34`, `5/14/2020 7:06:11 AM`. Month first, always; a source that writes
  the day first sets `time_format`.
* RFC 2822 and its kin: `Tue, 05 Mar 2021 10:07:29 +0100`, `05 Mar 2021`, `Mar 5, 2021`, ctime.
* Numbers: seconds since 1970 (9 to 11 digits, fractions allowed), milli-, micro- and nanoseconds (13, 16,
19 digits).

Times without zone are in the source's zone (UTC unless it says otherwise). What cannot be read, or lies
outside 1970 to 9999, is null.
"""

from __future__ import annotations

import polars as pl

_US = pl.Datetime("us")
_FIRST, _LAST = pl.datetime(1970, 1, 1), pl.datetime(9999, 12, 31, 23, 59, 59)

_ISO = (
    r"\A([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})"
    r"(?:(?:[Tt]|\s+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,6})[0-9]*)?)?)?"
    r"\s*(?i:(z|utc|gmt)|([+-][0-9]{2}):?([0-9]{2})?)?\z"
)
_COMPACT = r"\A([0-9]{4})([0-9]{2})([0-9]{2})[Tt]?(?:([0-9]{2})([0-9]{2})([0-9]{2}))?([Zz])?\z"
_AMERICAN = (
    r"\A([0-9]{1,2})/([0-9]{1,2})/([0-9]{2}|[0-9]{4})"
    r"(?:,?\s+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:\.[0-9]+)?(?:\s*([AaPp])\.?[Mm]\.?)?)?\z"
)
_NUMBER = r"\A([0-9]{9,11}|[0-9]{13}|[0-9]{16}|[0-9]{19})(?:\.[0-9]+)?\z"
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_MONTH = "(?i:(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)"
_CLOCK = r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
_ZONE = r"(?:\s*(?i:(z|utc?|gmt)|([+-][0-9]{2}):?([0-9]{2})))?(?:\s*\([A-Za-z ]*\))?"
_DAY = r"(?i:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
_RFC = rf"\A{_DAY}([0-9]{{1,2}})[\s-]{_MONTH}[\s-]([0-9]{{4}})(?:\s+{_CLOCK}{_ZONE})?\z"
_CTIME = rf"\A{_DAY}{_MONTH}\s+([0-9]{{1,2}})(?:,?\s+([0-9]{{4}}))?(?:\s+{_CLOCK})?(?:\s+([0-9]{{4}}))?\z"


def _fields(text: pl.Expr, pattern: str, names: str) -> pl.Expr:
    return text.str.extract_groups(pattern).struct.rename_fields(names.split())


def _assemble(frame: pl.DataFrame) -> pl.Series:
    """Wall-clock times of the String columns y, mo, d, h, mi, s, us; null where a part is out of range."""
    have = [
        pl.col(name).cast(pl.Int64, strict=False).fill_null(0) if name in frame.columns else pl.lit(0).alias(name)
        for name in ("h", "mi", "s")
    ]
    micros = pl.col("us").str.pad_end(6, "0") if "us" in frame.columns else pl.lit("000000")
    clock = pl.col("h") * 3600 + pl.col("mi") * 60 + pl.col("s")
    date = pl.concat_str(pl.col("y", "mo", "d").cast(pl.String), separator="-").str.to_date("%Y-%m-%d", strict=False)
    sane = (pl.col("h") < 25) & (pl.col("mi") < 60) & (pl.col("s") < 61)
    return (
        frame.with_columns(have)
        .select(
            pl.when(sane).then(
                date.cast(_US) + pl.duration(seconds=clock, microseconds=micros.cast(pl.Int64).fill_null(0))
            )
        )
        .to_series()
    )


def _offset(frame: pl.DataFrame) -> pl.Series:
    """Seconds east of UTC of the columns z, zh, zm; null for times without zone."""
    hours = pl.col("zh").cast(pl.Int64, strict=False)
    minutes = pl.col("zm").cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(pl.col("zh").str.starts_with("-")).then(-1).otherwise(1)
    seconds = hours * 3600 + sign * minutes * 60
    return frame.select(pl.when(pl.col("z").is_not_null()).then(0).otherwise(seconds)).to_series()


def _to_utc(wall: pl.Series, offset: pl.Series | None, zone: str) -> pl.Series:
    frame = pl.DataFrame({"wall": wall, "offset": offset if offset is not None else [None] * len(wall)})
    naive = pl.col("wall")
    if zone != "UTC":
        local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        naive = local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    shifted = pl.col("wall") - pl.duration(seconds=pl.col("offset").cast(pl.Int64))
    return frame.select(pl.when(pl.col("offset").is_null()).then(naive).otherwise(shifted)).to_series()


def _iso(texts: pl.Series, zone: str) -> pl.Series:
    frame = _groups(texts, _ISO, "y mo d h mi s us z zh zm")
    return _to_utc(_assemble(frame), _offset(frame), zone)


def _compact(texts: pl.Series, zone: str) -> pl.Series:
    frame = _groups(texts, _COMPACT, "y mo d h mi s z").with_columns(
        zh=pl.lit(None, pl.String), zm=pl.lit(None, pl.String)
    )
    return _to_utc(_assemble(frame), _offset(frame), zone)


def _american(texts: pl.Series, zone: str) -> pl.Series:
    frame = _groups(texts, _AMERICAN, "mo d y h mi s half")
    hour = pl.col("h").cast(pl.Int64)
    half = pl.col("half").str.to_lowercase()
    twelve = (
        pl.when((hour > 12) | (hour < 1)).then(None).otherwise(hour % 12 + pl.when(half == "p").then(12).otherwise(0))
    )
    short = pl.col("y").str.len_bytes() == 2
    century = pl.when(pl.col("y").cast(pl.Int64) < 70).then(pl.lit("20")).otherwise(pl.lit("19"))
    wrong = (half.is_not_null() & twelve.is_null()).alias("wrong")
    fixed = frame.with_columns(
        pl.when(half.is_null()).then(pl.col("h")).otherwise(twelve.cast(pl.String)).alias("h"),
        pl.when(short).then(century + pl.col("y")).otherwise(pl.col("y")).alias("y"),
        wrong,
    ).with_columns(pl.when("wrong").then(None).otherwise(pl.col("d")).alias("d"))
    return _to_utc(_assemble(fixed), None, zone)


def _named_month(frame: pl.DataFrame) -> pl.DataFrame:
    month = pl.col("mo").str.to_lowercase().replace_strict(_MONTHS, default=None, return_dtype=pl.Int64)
    return frame.with_columns(month)


def _rfc(texts: pl.Series, zone: str) -> pl.Series:
    frame = _named_month(_groups(texts, _RFC, "d mo y h mi s z zh zm"))
    return _to_utc(_assemble(frame), _offset(frame), zone)


def _ctime(texts: pl.Series, zone: str) -> pl.Series:
    frame = _named_month(_groups(texts, _CTIME, "mo d y h mi s y2")).with_columns(pl.coalesce("y", "y2").alias("y"))
    return _to_utc(_assemble(frame), None, zone)


def _number(texts: pl.Series, _zone: str) -> pl.Series:
    digits = pl.col("text").str.extract(_NUMBER, 1)
    value = digits.cast(pl.Int64, strict=False)
    size = digits.str.len_bytes()
    micros = (
        pl.when(size <= 11)
        .then(value * 1_000_000)
        .when(size == 13)
        .then(value * 1000)
        .when(size == 16)
        .then(value)
        .when(size == 19)
        .then(value // 1000)
    )
    return pl.DataFrame({"text": texts}).select(micros.cast(_US)).to_series()


def _groups(texts: pl.Series, pattern: str, names: str) -> pl.DataFrame:
    return pl.DataFrame({"text": texts}).select(_fields(pl.col("text"), pattern, names).alias("parts")).unnest("parts")


_SHAPES = (_ISO, _NUMBER, _COMPACT, _AMERICAN, _RFC, _CTIME)
_READERS = (_iso, _number, _compact, _american, _rfc, _ctime)


def _by_shape(texts: pl.Series, zone: str) -> pl.Series:
    """Each shape's reader on the texts that no shape before it took."""
    frame = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True), "text": texts})
    left, found = frame.drop_nulls("text"), [pl.DataFrame(schema={"row": pl.UInt32, "time": _US})]
    for pattern, reader in zip(_SHAPES, _READERS, strict=True):
        if left.is_empty():
            break
        match = left["text"].str.contains(pattern)
        mine, left = left.filter(match), left.filter(~match)
        if not mine.is_empty():
            found.append(pl.DataFrame({"row": mine["row"], "time": reader(mine["text"], zone)}))
    return frame.join(pl.concat(found), on="row", how="left", maintain_order="left")["time"]


def _by_format(texts: pl.Series, time_format: str, zone: str) -> pl.Series:
    """Times in an explicit strptime format; a format with %z carries its own zone."""
    if "%z" in time_format or "%:z" in time_format:
        read = texts.str.to_datetime(time_format, time_unit="us", time_zone="UTC", strict=False)
        return read.dt.replace_time_zone(None)
    if not any(code in time_format for code in ("%H", "%I", "%T", "%R", "%X", "%r", "%s", "%c")):
        return _to_utc(texts.str.to_date(time_format, strict=False).cast(_US), None, zone)
    return _to_utc(texts.str.to_datetime(time_format, time_unit="us", strict=False), None, zone)


def parse(texts: pl.Series, time_format: str | None = None, zone: str = "UTC") -> pl.Series:
    """Read a column of times.

    Args:
        texts: Strings.
        time_format: strptime pattern (as chrono reads it); None tries the shapes above.
        zone: IANA zone of times that carry none.

    Returns:
        Datetime("us") without zone, in UTC; null where empty or unreadable.
    """
    clean = pl.DataFrame({"text": texts}).select(pl.col("text").str.strip_chars(" \t\r\n\xa0\ufeff\"'")).to_series()
    times = _by_format(clean, time_format, zone) if time_format else _by_shape(clean, zone)
    return (
        pl.DataFrame({"time": times})
        .select(pl.when(pl.col("time").is_between(_FIRST, _LAST)).then(pl.col("time").cast(_US)))
        .to_series()
    )


def unreadable(texts: pl.Series, times: pl.Series) -> int:
    """How many texts that hold something gave no time."""
    return int((times.is_null() & (texts.str.strip_chars() != "")).sum())
