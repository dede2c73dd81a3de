"""Raw frames to claim frames: every row judged, none lost, none reordered.

The work goes by kind: rows are cleaned, sorted into kinds by their source's word or by detection, judged by
the kind's normaliser, and put back in order. A row that is refused stays, with a reason in `drop`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import polars as pl

from tipline.errors import FormatError
from tipline.model import attributes, times
from tipline.model.claims import CLAIM_SCHEMA, LIST_COLUMNS, RAW_COLUMNS, RAW_LENGTH, TIME_COLUMNS
from tipline.model.detect import common_kind, rare_kind
from tipline.model.policy import Policy
from tipline.model.refang import refang, trim
from tipline.model.single import judge_common
from tipline.model.types import NARROWING, TYPES, direction_of_word, type_of_word
from tipline.model.verdict import VERDICT_SCHEMA, Verdict, complete

_LITERAL = [row.name for row in TYPES.values() if row.literal]
_UNSUPPORTED = "!unsupported-type"
_DEFAULT = Policy()


def _words(raw: pl.DataFrame, policy: Policy, read: Callable[[str], str | None], other: str | None) -> pl.Expr:
    """What `read` makes of the type words: `other` for words it does not know, null for none."""
    if policy.fixed_type is not None:
        return pl.lit(read(policy.fixed_type) or other, dtype=pl.String)
    if "type" not in raw.columns:
        return pl.lit(None, dtype=pl.String)
    known = {word: read(word) or other for word in raw["type"].unique().drop_nulls() if word.strip(_BLANK)}
    if not known:
        return pl.lit(None, dtype=pl.String)
    return pl.col("type").replace_strict(known, default=None, return_dtype=pl.String)


_BLANK = " \t\r\n\xa0\ufeff\u200b"


def _open_rows(raw: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Rows with their text and kind, where a null kind is to be detected and `!reason` is a refusal."""
    value, size = pl.col("value"), pl.col("value").str.len_bytes()
    early = pl.col("drop") if "drop" in raw.columns else pl.lit(None, dtype=pl.String)
    reason = (
        pl.when(early.is_not_null())
        .then("!" + early)
        .when(value.is_null() | (size == 0))
        .then(pl.lit("!empty"))
        .when(size > policy.max_value_length)
        .then(pl.lit("!too-long"))
    )
    return raw.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        value.alias("text"),
        pl.coalesce(reason, _words(raw, policy, type_of_word, _UNSUPPORTED)).alias("kind"),
    )


def _cleaned(rows: pl.DataFrame) -> pl.DataFrame:
    """Texts trimmed or refanged according to kind; kinds of texts that come out empty changed to refusals."""
    literal = rows.filter(pl.col("kind").is_in(_LITERAL)).with_columns(trim(pl.col("text")))
    rest = rows.filter(pl.col("kind").is_null() | ~pl.col("kind").is_in(_LITERAL))
    clean = rest.with_columns(refang(rest["text"]).alias("text"))
    both = pl.concat([literal, clean]) if len(literal) else clean
    outcome = (
        pl.when(pl.col("text").is_null())
        .then(pl.lit("!malformed"))
        .when(pl.col("text") == "")
        .then(pl.lit("!empty"))
        .otherwise(pl.col("kind"))
    )
    return both.with_columns(outcome.alias("kind"))


def _detected(rows: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    """Rows with every kind known; `rows` are those without one."""
    first = rows.with_columns(common_kind(pl.col("text")).alias("kind"))
    easy, hard = first.filter(pl.col("kind").is_not_null()), first.filter(pl.col("kind").is_null())
    if hard.is_empty():
        return easy
    with_literal = hard.with_columns(raw["value"].gather(hard["row"]).alias("literal")).with_columns(
        trim(pl.col("literal"))
    )
    told = with_literal.with_columns(rare_kind(pl.col("text"), pl.col("literal")).alias("kind"))
    own = pl.when(pl.col("kind").is_in(_LITERAL)).then(pl.col("literal")).otherwise(pl.col("text"))
    return pl.concat([easy, told.with_columns(own.alias("text")).drop("literal")])


def _judged(rows: pl.DataFrame, policy: Policy) -> list[pl.DataFrame]:
    """Verdicts of rows whose kind is known, kind by kind."""
    out = []
    for kind, group in rows.partition_by("kind", as_dict=True, include_key=False).items():
        name = str(kind[0])
        if name.startswith("!"):
            out.append(complete(group.select("row"), drop=name[1:]))
            continue
        row = TYPES.get(name)
        normalise = row.normalise if row else NARROWING[name]
        out.append(normalise(group, policy))
    return out


def _refuse_unwanted(verdicts: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    if policy.types is None:
        return verdicts
    unwanted = pl.col("drop").is_null() & ~pl.col("type").is_in(sorted(policy.types))
    return verdicts.with_columns(
        pl.when(unwanted).then(pl.lit("unwanted-type")).otherwise(pl.col("drop")).alias("drop")
    )


def _blanked(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Verdicts where refused rows keep their type and reason only."""
    if not verdicts["drop"].is_not_null().any():
        return verdicts
    accepted = pl.col("drop").is_null()
    return verdicts.with_columns(
        pl.when(accepted).then(pl.col(name)).alias(name) for name in ("value", "lo", "up", "rhost", "extra")
    )


def judge(raw: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Verdicts on the rows of a raw frame, in their order (`VERDICT_SCHEMA`)."""
    rows = _open_rows(raw, policy)
    refused = pl.col("kind").str.starts_with("!").fill_null(value=False)
    clean = _cleaned(rows.filter(~refused))
    unknown = pl.col("kind").is_null()
    told = [rows.filter(refused), clean.filter(~unknown), _detected(clean.filter(unknown), raw)]
    parts = [verdicts for some in told if len(some) for verdicts in _judged(some, policy)]
    verdicts = pl.concat(parts).sort("row") if parts else VERDICT_SCHEMA.to_frame()
    return _blanked(_refuse_unwanted(verdicts, policy))


def _as_text(raw: pl.DataFrame) -> pl.DataFrame:
    """The known columns of a raw frame as Strings (lists may stay lists).

    Raises:
        FormatError: there is no column `value`, or a column holds what is no text.
    """
    if "value" not in raw.columns:
        msg = "the rows have no column 'value'"
        raise FormatError(msg, fix="name the column that holds the indicators in the source's settings")
    kinds: dict[str, pl.DataType] = {}
    for name in (name for name in RAW_COLUMNS if name in raw.columns):
        is_list = isinstance(raw.schema[name], pl.List)
        if raw.schema[name].is_nested() and not (is_list and name in LIST_COLUMNS):
            msg = f"the column {name!r} holds {raw.schema[name]}, not text"
            raise FormatError(msg, fix="point the setting at a field that holds one text")
        kinds[name] = pl.List(pl.String()) if is_list else pl.String()
    return raw.select(pl.col(name).cast(kind, strict=False) for name, kind in kinds.items())


def _merge_json(ours: str, theirs: str) -> str:
    return json.dumps({**json.loads(theirs), **json.loads(ours)})


def _extra(verdict: pl.Series, raw: pl.DataFrame, policy: Policy) -> pl.Series:
    """The format's `extra` with what normalising set aside added."""
    if "extra" not in raw.columns:
        return verdict
    given = attributes.json_object(raw["extra"], policy.max_extra)
    both = pl.DataFrame({"ours": verdict, "theirs": given}).with_row_index("row")
    merged = both.filter(pl.col("ours").is_not_null() & pl.col("theirs").is_not_null())
    single = both.select(pl.coalesce("theirs", "ours").alias("extra"))["extra"]
    texts = [_merge_json(ours, theirs) for _, ours, theirs in merged.iter_rows()]
    return single.scatter(merged["row"], pl.Series(texts, dtype=pl.String)) if texts else single


def _attributes(raw: pl.DataFrame, policy: Policy) -> dict[str, pl.Series]:
    """Claim columns that come straight from raw columns; only those present."""
    most = policy.max_items
    readers: dict[str, Callable[[pl.Series], pl.Series]] = {
        "confidence": lambda column: attributes.confidence(column, policy.confidence_map),
        "actionable": attributes.actionable,
        "tlp": attributes.tlp_level,
        "direction": attributes.direction,
        "threat_types": lambda column: attributes.items(column, most),
        "tags": lambda column: attributes.items(column, most),
        "references": lambda column: attributes.references(column, most),
        "description": lambda column: attributes.text(column, policy.max_description),
        **dict.fromkeys(TIME_COLUMNS, lambda column: times.parse(column, policy.time_format, policy.time_zone)),
    }
    return {name: attributes.by_distinct(raw[name], read) for name, read in readers.items() if name in raw.columns}


def conform(raw: pl.DataFrame, policy: Policy = _DEFAULT) -> pl.DataFrame:
    """Normalise a raw frame.

    Args:
        raw: columns of `claims.RAW_COLUMNS`; only `value` is required.
        policy: what the source accepts.

    Returns:
        A frame of `claims.CLAIM_SCHEMA` with the same rows in the same order; refused ones have `drop` set.

    Raises:
        FormatError: there is no column `value`.
    """
    text = _as_text(raw)
    verdicts = judge(text, policy)
    cut = text["value"].str.head(RAW_LENGTH)
    columns = {
        **_attributes(text, policy),
        "extra": _extra(verdicts["extra"], text, policy),
        "record": text["record"].fill_null("") if "record" in text.columns else None,
        "raw": cut,
    }
    given = {name: column for name, column in columns.items() if column is not None}
    frame = verdicts.drop("row", "extra").with_columns(**given)
    implied = text.with_columns(_words(text, policy, direction_of_word, None).alias("implied"))["implied"]
    stated = pl.col("direction") if "direction" in frame.columns else pl.lit(None, dtype=pl.String)
    missing = [
        pl.lit("" if name == "record" else None, dtype=kind).alias(name)
        for name, kind in CLAIM_SCHEMA.items()
        if name not in frame.columns and name != "direction"
    ]
    return frame.with_columns(
        *missing,
        pl.coalesce("value", "raw").alias("value"),
        pl.coalesce(stated, implied).alias("direction"),
    ).select(CLAIM_SCHEMA.names())


def unreadable_times(raw: pl.DataFrame, claims: pl.DataFrame) -> dict[str, int]:
    """How many rows of each time column held something that gave no time."""
    return {
        name: times.unreadable(raw[name].cast(pl.String), claims[name]) for name in TIME_COLUMNS if name in raw.columns
    }


def normalise_one(text: str, type: str | None = None, policy: Policy = _DEFAULT) -> Verdict:
    """Judge a single value by the rules of `conform`.

    Args:
        text: as typed; lone surrogates become U+FFFD.
        type: a type, `ip`, `hash` or any source's word; None detects.
        policy: what is accepted.
    """
    safe = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    common = judge_common(safe, policy) if type is None else None
    if common is not None:
        return common
    raw = pl.DataFrame({"value": [safe], "type": [type]}, schema={"value": pl.String, "type": pl.String})
    verdict = judge(raw, policy).row(0, named=True)
    del verdict["row"]
    return Verdict(**verdict)
