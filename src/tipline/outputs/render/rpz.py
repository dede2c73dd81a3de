"""Response policy zone for BIND, Unbound, Knot and PowerDNS: what is listed is answered as unknown.

The zone can be loaded under any name of up to 60 characters: owners are relative to it. Its serial is the
version of the list.
"""

from __future__ import annotations

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.spec import ADDRESSES, NAME, Context, Spec, address, whole

# 253 less the zone's name, its dot, and `*.`.
_LONGEST_NAME = 190
_SERIALS = 2**32


def frame(_: Dialect, context: Context) -> Layout:
    """The records that every zone has."""
    serial = context.seq % _SERIALS or 1
    return Layout(
        "$TTL 300\n"
        f"@ IN SOA localhost. hostmaster.localhost. {serial} 300 60 604800 300\n"
        "@ IN NS localhost.\n".encode(),
        b"",
    )


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the records of a row; null if its name would be too long, or mean something else there."""
    action = "' CNAME .' || chr(10)"
    if type_ == "domain":
        below = f" || '*.' || value || {action}" if dialect.flag("sub") else ""
        record = whole(NAME, f"value || {action}{below}", _LONGEST_NAME)
        return f"CASE WHEN NOT regexp_matches(value, '(^|\\.)rpz-[a-z-]+$') THEN {record} END"
    bare, length = "split_part(value, '/', 1)", "nullif(split_part(value, '/', 2), '')"
    if type_ == "ipv4":
        turned = f"array_to_string(list_reverse(string_split({bare}, '.')), '.')"
        return address(r"[0-9.]+(?:/[0-9]+)?", f"concat(coalesce({length}, '32'), '.', {turned}, '.rpz-ip', {action})")
    # `zz` stands for the `::` of the shortest spelling.
    groups = f"trim(replace({bare}, '::', ':zz:'), ':')"
    turned = f"array_to_string(list_reverse(string_split({groups}, ':')), '.')"
    return address(r"[0-9a-f:]+(?:/[0-9]+)?", f"concat(coalesce({length}, '128'), '.', {turned}, '.rpz-ip', {action})")


SPEC = Spec(
    "BIND, Unbound, Knot, PowerDNS: response policy zone",
    line,
    ("domain", *ADDRESSES),
    frame,
    extension="zone",
    cidrs=True,
    pages=False,
    limits="a name as it is (`sub=1`: and all below it); listed addresses in answers; serial = version",
)
