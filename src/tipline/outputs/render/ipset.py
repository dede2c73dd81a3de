"""ipset: commands for `ipset restore`, which fill new sets and swap them with those in use."""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import literal
from tipline.outputs.render.queries import union_of
from tipline.outputs.render.spec import ADDRESSES, NUMBERS, Context, Part, Rows, Spec, address, simple_name

# Names of sets have 31 characters at most; `_v4n` is added.
_LONGEST_NAME = 27
_MOST = 16_777_216
_FAMILIES = {"ipv4": "inet", "ipv6": "inet6"}


def set_name(context: Context, type_: str) -> str:
    """The name of a list's set: its own, cut, with `_v4` or `_v6`."""
    return f"{simple_name(context.name, _LONGEST_NAME)}_v{type_[-1]}"


def frame(_: Dialect, context: Context) -> Layout:
    """Makes the sets, if they are missing, and empty new ones; at the end they change places."""
    head, tail = [], []
    for type_, family in _FAMILIES.items():
        name = set_name(context, type_)
        head += [f"create {each} hash:net family {family} maxelem {_MOST} -exist" for each in (name, f"{name}n")]
        head.append(f"flush {name}n")
        tail += [f"swap {name}n {name}", f"destroy {name}n"]
    return Layout(_text(head), _text(tail))


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def line(_: Dialect, __: str) -> str:
    """SQL: an element; null for a network of all addresses, which the kernel refuses."""
    return f"CASE WHEN NOT ends_with(value, '/0') THEN {address(NUMBERS, 'value || chr(10)')} END"


def parts(dialect: Dialect, context: Context, rows: Rows) -> Sequence[Part]:
    """The elements, family by family."""
    return [
        Part(
            f"SELECT {literal(f'add {set_name(context, type_)}n ')} || text FROM"
            f" ({union_of(SPEC, dialect, Rows(rows.table, (type_,), rows.total))}) ORDER BY lo, value"
        )
        for type_ in rows.types
    ]


SPEC = Spec(
    "ipset, `ipset restore`",
    line,
    ADDRESSES,
    frame,
    merged=True,
    pages=False,
    parts=parts,
    limits="sets NAME_v4 and NAME_v6 (hash:net, the name cut at 27 characters), swapped whole; no /0",
)
