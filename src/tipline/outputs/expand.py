"""Networks and ranges as single addresses, in SQL: for far sides that match by equality."""

from __future__ import annotations

from tipline.model.addresses import MAPPED, SPECIAL
from tipline.processors.iptext import named, number, size
from tipline.store.schema import VIEW, VIEW_COLUMNS

_IP = "type IN ('ipv4', 'ipv6') AND lo IS NOT NULL AND up IS NOT NULL"


def expanded(relation: str, limit: int, *, keep_wide: bool = False) -> str:
    """SQL: the rows of a view relation, each network of up to `limit` addresses as its single addresses.

    Args:
        relation: name of a relation with the view columns.
        limit: addresses; 1 expands nothing.
        keep_wide: pass wider networks on as they are; otherwise they are dropped as `network-too-wide`.
    """
    wide = (
        "NULL::VARCHAR"
        if keep_wide
        else (f"printf('network-too-wide: %.0f addresses; up to {limit} are expanded', addresses)")
    )
    own = {
        "value": "NULL::VARCHAR",
        "lo": _uuid("first + i::UHUGEINT"),
        "up": _uuid("first + (i + 1)::UHUGEINT"),
    }
    single = (
        f"SELECT {', '.join(f'{own.get(name, name)} AS {name}' for name in VIEW)}"
        f" FROM (SELECT *, unnest(range(0, addresses::BIGINT)) AS i, {number('lo')} AS first FROM sized"
        f" WHERE addresses > 1 AND addresses <= {limit})"
    )
    return f"""WITH sized AS MATERIALIZED (
    SELECT {VIEW_COLUMNS}, CASE WHEN {_IP} THEN {size()} END AS addresses FROM {relation})
SELECT {VIEW_COLUMNS}, CASE WHEN addresses > {limit} AND addresses > 1 THEN {wide} END AS dropped FROM sized
    WHERE addresses IS NULL OR addresses <= 1 OR addresses > {limit}
UNION ALL BY NAME SELECT {VIEW_COLUMNS}, NULL::VARCHAR AS dropped FROM ({named(single)})"""


def internal() -> str:
    """SQL: whether an address row touches a special-purpose block (private, loopback, documentation ...)."""
    tests = []
    for family, offset in ((4, MAPPED), (6, 0)):
        kind = f"type = 'ipv{family}'"
        blocks = zip(*SPECIAL[family], strict=True)
        inside = " OR ".join(
            f"(lo <= '{_hex(last + offset)}'::UUID AND up > '{_hex(first + offset)}'::UUID)" for first, last in blocks
        )
        tests.append(f"({kind} AND ({inside}))")
    return f"coalesce({' OR '.join(tests)}, false)"


def _hex(value: int) -> str:
    return f"{value:032x}"


def _uuid(number_sql: str) -> str:
    return f"lpad(to_hex({number_sql}), 32, '0')::UUID"
