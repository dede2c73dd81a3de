"""nftables: two sets of the table `inet tipline`, filled anew in one transaction by `nft -f`."""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.queries import of_type
from tipline.outputs.render.spec import ADDRESSES, NUMBERS, Context, Part, Rows, Spec, address, simple_name

_LONGEST_NAME = 120
_TABLE = "inet tipline"


def set_name(context: Context, type_: str) -> str:
    """The name of a list's set: its own, with `_v4` or `_v6`."""
    return f"{simple_name(context.name, _LONGEST_NAME)}_v{type_[-1]}"


def frame(_: Dialect, context: Context) -> Layout:
    """Makes the table and the sets if they are missing, and empties them."""
    lines = [f"# version {context.seq}", f"add table {_TABLE}"]
    for type_ in ADDRESSES:
        name = set_name(context, type_)
        lines.append(f"add set {_TABLE} {name} {{ type {type_}_addr; flags interval; auto-merge; }}")
        lines.append(f"flush set {_TABLE} {name}")
    return Layout("".join(f"{line}\n" for line in lines).encode(), b"")


def line(_: Dialect, __: str) -> str:
    """SQL: an element; a comma may follow the last one."""
    return address(NUMBERS, "value || ',' || chr(10)")


def parts(dialect: Dialect, context: Context, rows: Rows) -> Sequence[Part]:
    """One command a family; without elements there is none, since an empty set has no syntax."""
    return [
        Part(
            of_type(SPEC, dialect, rows.table, type_),
            f"add element {_TABLE} {set_name(context, type_)} {{\n".encode(),
            b"}\n",
        )
        for type_ in rows.types
    ]


SPEC = Spec(
    "nftables, `nft -f`",
    line,
    ADDRESSES,
    frame,
    extension="nft",
    merged=True,
    pages=False,
    parts=parts,
    limits="sets NAME_v4 and NAME_v6 of the table inet tipline, replaced in one transaction; no overlaps",
)
