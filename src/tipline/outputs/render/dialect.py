"""What a list can be asked for: its format, fields and options, as one value that is equal if the text is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

Format = Literal[
    "plain", "csv", "json", "json-seq", "panosurl", "mwg", "bluecoat", "carbonblack",
    "edl-ip", "edl-url", "edl-domain", "fortigate", "checkpoint", "cisco", "squid", "nginx", "haproxy",
    "nftables", "ipset", "hosts", "dnsmasq", "unbound", "rpz", "adblock", "suricata", "suricata-dataset",
    "zeek", "wazuh", "splunk", "ecs", "kql", "stix1", "stix2",
]  # fmt: skip
FORMATS: tuple[Format, ...] = get_args(Format)
Formulas = Literal["escape", "keep"]
Options = tuple[tuple[str, str], ...]

MAX_FIELDS = 32
FORMULAS_HELP = "csv: escape: an apostrophe before cells that spreadsheets would calculate; keep: as it is."
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
_COLUMN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}")

#: Formats that take f=, and those in which ranges stay ranges unless tr=1 (all others need CIDRs).
FIELDED: frozenset[Format] = frozenset({"csv", "json", "json-seq"})
RANGED: frozenset[Format] = frozenset({*FIELDED, "plain", "mwg", "edl-ip", "fortigate", "checkpoint", "splunk", "kql"})
#: Formats that can show the union of all addresses instead of each indicator.
MERGEABLE: frozenset[Format] = frozenset({"plain", "edl-ip", "fortigate", "cisco", "nginx", "haproxy"})
#: Formats in which compat=minemeld makes a difference.
_MINEMELDS: frozenset[Format] = frozenset({*FIELDED, "plain", "panosurl", "mwg", "bluecoat", "carbonblack"})

_IP_OR_DOMAIN = re.compile(r"ip|domain")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_FLAG = re.compile(r"[0-9]{1,9}")
#: The options of each format beside those that all have, and what their values look like. The first choice of
#: `t` is its default.
OPTIONS: dict[Format, dict[str, re.Pattern[str]]] = {
    "panosurl": {"sp": _FLAG, "nsl": _FLAG, "di": _FLAG},
    "mwg": {"t": re.compile(r"string|[A-Za-z0-9_-]{1,32}")},
    "bluecoat": {"ca": _FIELD, "cd": re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\"\\]{1,64}")},
    "carbonblack": {"rt": re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}"), "rs": re.compile(r"-?[0-9]{1,3}")},
    "edl-ip": {"most": _NUMBER},
    "edl-url": {"sp": _FLAG, "most": _NUMBER},
    "edl-domain": {"most": _NUMBER},
    "fortigate": {"t": re.compile(r"ip|domain|url|hash"), "most": _NUMBER},
    "cisco": {"t": re.compile(r"ip|domain|url")},
    "squid": {"t": _IP_OR_DOMAIN},
    "haproxy": {"t": _IP_OR_DOMAIN},
    "rpz": {"sub": _FLAG},
    "suricata": {"sid": _NUMBER},
    "suricata-dataset": {"t": re.compile(r"domain|url|ip|md5|sha256|ja3")},
}
OPTION_NAMES = frozenset(name for options in OPTIONS.values() for name in options)


@dataclass(frozen=True)
class Layout:
    """How a dialect is laid out as bytes.

    Attributes:
        head: before the first record.
        tail: after the last one.
        lead: bytes at the start of each record's text that separate it from the one before.
        empty: instead of all of it, if there is no record; None: head and tail.
    """

    head: bytes
    tail: bytes
    lead: int = 0
    empty: bytes | None = None


@dataclass(frozen=True)
class Dialect:
    """One way to write a list; make it with `dialect()`, so that what does not matter is left out.

    Attributes:
        format: one of `FORMATS`.
        fields: (field, name of its column or key); empty: the format's usual ones.
        cidrs: address ranges as minimal CIDRs.
        header: csv: whether the first line names the columns.
        bom: csv: whether a UTF-8 byte order mark comes first.
        formulas: csv: whether cells that a spreadsheet would calculate are made text.
        newest: what was seen last comes first.
        merged: the union of all addresses as CIDRs, instead of each indicator.
        compat: as MineMeld wrote it, also where that was wrong.
        options: the format's own options, as (name, value), sorted by name.
    """

    format: Format = "plain"
    fields: tuple[tuple[str, str], ...] = ()
    cidrs: bool = False
    header: bool = True
    bom: bool = False
    formulas: Formulas = "escape"
    newest: bool = False
    merged: bool = False
    compat: bool = False
    options: Options = ()

    def text(self) -> str:
        """The dialect as JSON: the same for equal dialects, in every process."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Dialect:
        """The dialect that `text()` wrote."""
        values = json.loads(text)
        pairs = {name: tuple((a, b) for a, b in values[name]) for name in ("fields", "options")}
        return cls(**{**values, **pairs})

    def option(self, name: str, default: str = "") -> str:
        """The (first) value of an option of its format."""
        return next((value for key, value in self.options if key == name), default)

    def values(self, name: str) -> list[str]:
        """All values of an option that may be repeated."""
        return [value for key, value in self.options if key == name]

    def flag(self, name: str) -> bool:
        """Whether an option is switched on."""
        return self.option(name, "0").strip("0") != ""


def dialect(
    kind: Format,
    fields: tuple[tuple[str, str], ...] = (),
    *,
    cidrs: bool = False,
    header: bool = True,
    bom: bool = False,
    formulas: Formulas = "escape",
    newest: bool = False,
    merged: bool = False,
    compat: bool = False,
    options: Iterable[tuple[str, str]] = (),
) -> Dialect:
    """A dialect with every option that its format does not know at its default.

    Raises:
        ValueError: an option of the format has a value that cannot be; the message says which can.
    """
    own = _own(kind, options)
    compat = compat and kind in _MINEMELDS
    merged = merged and kind in MERGEABLE and dict(own).get("t", "ip") == "ip"
    cidrs = (cidrs or (kind, dict(own).get("t")) == ("mwg", "ip")) and kind in RANGED and not merged
    if kind == "csv":
        fields = fields or (("indicator", "indicator"),)
        return Dialect(kind, fields, cidrs, header, bom, "keep" if compat else formulas, newest, False, compat)
    if kind not in FIELDED:
        fields = ()
    return Dialect(kind, fields, cidrs, newest=newest and not merged, merged=merged, compat=compat, options=own)


def _own(kind: Format, options: Iterable[tuple[str, str]]) -> Options:
    """The options that a format knows, checked; of those that cannot be repeated, the first."""
    known = OPTIONS.get(kind, {})
    kept: list[tuple[str, str]] = []
    for name, value in options:
        if name not in known or (name != "cd" and any(name == key for key, _ in kept)):
            continue
        if not known[name].fullmatch(value):
            raise ValueError(f"{name}={value[:80]!r} cannot be with v={kind}; {_wanted(known[name])}")
        kept.append((name, value))
    return tuple(sorted(set(kept)))


def _wanted(pattern: re.Pattern[str]) -> str:
    if pattern in {_FLAG, _NUMBER}:
        return "it must be 0 or 1" if pattern is _FLAG else "it must be a whole number, 1 or more"
    return f"it must match {pattern.pattern}"


def parse_field(text: str) -> tuple[str, str]:
    """`field` or `field|column` as (field, column).

    Raises:
        ValueError: it is neither; the message says what is wrong with it.
    """
    field, bar, column = text.partition("|")
    if not _FIELD.fullmatch(field):
        raise ValueError(f"{field[:80]!r} is no field; write f=indicator or f=indicator|column")
    if bar and not _COLUMN.fullmatch(column):
        raise ValueError(f"{column[:80]!r} cannot name a column; use 1 to 64 characters on one line")
    return field, column if bar else field
