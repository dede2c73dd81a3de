"""Address intervals as text, in SQL: `a`, `a/n` or `a-b`, and minimal CIDRs.

An interval is half-open, `[lo, up)`, in 128-bit space as two UUIDs; IPv4 lies in `::ffff:0:0/96`. No cast
leads from UUID to a number in DuckDB, so numbers are read from the hex digits. `up` of the very last IPv6
address saturates at all ones: an interval that ends there is read as reaching the last address.
"""

from __future__ import annotations

LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
V4_LO = "00000000-0000-0000-0000-ffff00000000"
V4_UP = "00000000-0000-0000-0001-000000000000"


def family(alias: str = "") -> str:
    """SQL: 4 or 6, the family of a row with an interval: its type's, or for a URL that of its host's address.

    A small number, since ASOF joins and windows partitioned by text take twice the time.
    """
    p = f"{alias}." if alias else ""
    return (
        f"CASE WHEN {p}type = 'ipv4' THEN 4 WHEN {p}type = 'ipv6' THEN 6"
        f" WHEN {p}lo >= '{V4_LO}'::UUID AND {p}lo < '{V4_UP}'::UUID THEN 4 ELSE 6 END::UTINYINT"
    )


def key_of(type_: str, value: str) -> str:
    """SQL: the key of an indicator, as everywhere."""
    return f"md5({type_} || '|' || {value})::UUID"


def kh_of(type_: str, value: str) -> str:
    """SQL: the 64-bit hash that look-ups use, as everywhere."""
    return f"md5_number_lower({type_} || '|' || {value})"


def _low32(column: str) -> str:
    return f"('0x' || right({column}::VARCHAR, 8))::UBIGINT"


def _halves(column: str) -> tuple[str, str]:
    hexes = f"replace({column}::VARCHAR, '-', '')"
    return f"('0x' || left({hexes}, 16))::UBIGINT", f"('0x' || right({hexes}, 16))::UBIGINT"


def number(column: str) -> str:
    """SQL: a UUID bound as UHUGEINT, for arithmetic inside one statement (never stored)."""
    high, low = _halves(column)
    return f"({high}::UHUGEINT * 18446744073709551616::UHUGEINT + {low}::UHUGEINT)"


def size(alias: str = "") -> str:
    """SQL: how many addresses an interval holds, as DOUBLE (exact up to 2^53)."""
    p = f"{alias}." if alias else ""
    (lo_high, lo_low), (up_high, up_low) = _halves(f"{p}lo"), _halves(f"{p}up")
    # The low halves are subtracted as integers first: as doubles they would lose the difference.
    return (
        f"(({up_high}::HUGEINT - {lo_high}::HUGEINT)::DOUBLE * 18446744073709551616.0::DOUBLE"
        f" + ({up_low}::HUGEINT - {lo_low}::HUGEINT)::DOUBLE)"
    )


def _v4_text(n: str) -> str:
    return f"concat_ws('.', {n} >> 24, ({n} >> 16) & 255, ({n} >> 8) & 255, {n} & 255)"


def _v4_value(lo: str, up: str) -> str:
    first, end = _low32(lo), _low32(up)
    last = f"(({end} + 4294967295::UBIGINT) % 4294967296::UBIGINT)"
    mask = f"xor({first}, {last})"
    return (
        f"CASE WHEN {first} = {last} THEN {_v4_text(first)}"
        f" WHEN ({mask} & ({mask} >> 1)) = ({mask} >> 1) AND ({first} & {mask}) = 0"
        f" THEN {_v4_text(first)} || '/' || (32 - bit_count({mask}))"
        f" ELSE {_v4_text(first)} || '-' || {_v4_text(last)} END"
    )


def _let(name: str, value: str, body: str) -> str:
    """SQL: `body` with `name` bound to `value`, so that long expressions are written (and planned) once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def _v6_text(high: str, low: str) -> str:
    """RFC 5952: groups without leading zeros, the first longest run of two or more zero groups as `::`."""
    groups = ", ".join(f"lower(to_hex(({half} >> {s}) & 65535))" for half in (high, low) for s in (48, 32, 16, 0))
    runs = " ".join(
        f"WHEN contains(t, '{':0' * n}:') THEN regexp_replace(t, '{':0' * n}:', '::')" for n in range(8, 1, -1)
    )
    # The groups stand between single colons: those at the ends go, a `::` stays.
    ends = rf"regexp_replace(regexp_replace(CASE {runs} ELSE t END, '^:([^:])', '\1'), '([^:]):$', '\1')"
    return _let("t", f"':' || concat_ws(':', {groups}) || ':'", ends)


def _v6_value(lo: str, up: str) -> str:
    (high, low), (up_high, up_low) = _halves(lo), _halves(up)
    ones = "18446744073709551615::UBIGINT"
    bounds = f"{{'h': {high}, 'l': {low}, 'y': {up_high}, 'z': {up_low}, 'open': {up} = '{LAST}'::UUID}}"
    last = (
        "{'h': b.h, 'l': b.l, 'y': CASE WHEN b.open OR b.z > 0 THEN b.y ELSE b.y - 1 END,"
        f" 'z': CASE WHEN b.open OR b.z = 0 THEN {ones} ELSE b.z - 1 END}}"
    )
    masks = "{'h': n.h, 'l': n.l, 'y': n.y, 'z': n.z, 'p': xor(n.h, n.y), 'q': xor(n.l, n.z)}"
    contiguous = (
        "CASE WHEN m.p = 0 THEN (m.q & (m.q >> 1)) = (m.q >> 1)"
        f" ELSE m.q = {ones} AND (m.p & (m.p >> 1)) = (m.p >> 1) END"
    )
    first = _v6_text("m.h", "m.l")
    value = (
        f"{first} || CASE WHEN m.p = 0 AND m.q = 0 THEN ''"
        f" WHEN (m.h & m.p) = 0 AND (m.l & m.q) = 0 AND {contiguous}"
        " THEN '/' || (128 - bit_count(m.p) - bit_count(m.q))"
        f" ELSE '-' || {_v6_text('m.y', 'm.z')} END"
    )
    return _let("b", bounds, _let("n", last, _let("m", masks, value)))


def value_of(type_: str, lo: str, up: str) -> str:
    """SQL: the canonical text of an interval: the address, the exact CIDR, or `first-last`."""
    return f"CASE {type_} WHEN 'ipv4' THEN {_v4_value(lo, up)} ELSE {_v6_value(lo, up)} END"


def named(pieces: str) -> str:
    """SQL: rows of `pieces` with key, kh and value made for their new lo and up.

    `pieces` has the view columns; `value` is rendered where it is null, `key` and `kh` are replaced.
    """
    rendered = f"SELECT * REPLACE (coalesce(value, {value_of('type', 'lo', 'up')}) AS value) FROM ({pieces})"
    key, kh = key_of("type", "value"), kh_of("type", "value")
    return f"SELECT * REPLACE ({key} AS key, {kh} AS kh) FROM ({rendered})"


def to_cidrs(relation: str) -> str:
    """SQL: the rows of a view relation with each range that is no CIDR replaced by its minimal CIDRs.

    Level k of a range [a, e) holds at most two blocks of 2^k addresses: on the left if ceil(a / 2^k) is odd,
    on the right if floor(e / 2^k) is odd, and only while the first is less than the second. One row a block.
    """
    ranges = f"SELECT DISTINCT key, {number('lo')} AS a, {number('up')} AS e FROM {relation} WHERE {_IS_RANGE}"
    # Four bits a hex digit: no level above the size of the range is tried.
    levels = f"SELECT *, unnest(range(0, 4 * length(to_hex(e - a))))::UHUGEINT AS k FROM ({ranges})"
    bounds = f"SELECT key, k, (a >> k) + ((a >> k) << k <> a)::UHUGEINT AS l, e >> k AS r FROM ({levels})"
    blocks = (
        "SELECT key, k, unnest(list_concat(CASE WHEN l & 1 = 1 THEN [l] ELSE [] END,"
        f" CASE WHEN r & 1 = 1 THEN [r - 1] ELSE [] END)) AS block FROM ({bounds}) WHERE l < r"
    )
    cut = (
        f"SELECT r.* REPLACE (NULL::VARCHAR AS value, {_uuid('block << k')} AS lo,"
        f" {_uuid('(block + 1) << k')} AS up) FROM {relation} r JOIN ({blocks}) USING (key)"
    )
    return f"SELECT * FROM {relation} WHERE ({_IS_RANGE}) IS NOT TRUE UNION ALL BY NAME ({named(cut)})"


_IS_RANGE = "type IN ('ipv4', 'ipv6') AND contains(value, '-')"


def _uuid(number_sql: str) -> str:
    return f"lpad(to_hex({number_sql}), 32, '0')::UUID"
