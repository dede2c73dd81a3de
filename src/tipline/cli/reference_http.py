"""The reference page of HTTP addresses: lists, health, metrics, and the operations behind the commands."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

from tipline.api.app import create_app
from tipline.cli.reference_settings import table, value_words
from tipline.config.check import check_text
from tipline.config.declared import type_words
from tipline.engine.core import Engine
from tipline.engine.operations import NAMES, NewEntry, Operations

# What the address of a list may carry, and what that means.
LIST_PARAMETERS = {
    "v": "The [dialect](list-dialects.md): nothing for one value a line, `csv`, `json`, `edl-ip` and others.",
    "f": "A field, as `field` or `field|column`; up to 32 of them. csv: the columns; json: the keys.",
    "h": "csv: `0` leaves the header out.",
    "tr": "`1` writes address ranges as minimal CIDRs.",
    "d": "`1` brings what was seen last first.",
    "sum": "plain, edl-ip, fortigate, cisco, nginx, haproxy: `1` writes the union of all addresses as CIDRs.",
    "s": "The first record to send, counted from 0.",
    "n": "How many records to send.",
    "ubom": "csv: `1` begins with a UTF-8 byte order mark.",
    "compat": "`minemeld`: as MineMeld wrote it, even where that was wrong; `none`: not so.",
    "t": "fortigate, cisco, squid, haproxy, suricata-dataset: what to write; mwg: the list's type.",
    "most": "edl-ip, edl-url, edl-domain, fortigate: how many records the reader takes.",
    "sp": "panosurl, edl-url: `1` strips ports instead of leaving such entries out.",
    "nsl": "panosurl: `1` adds no slash to bare hosts.",
    "di": "panosurl: `1` leaves out what would have to be rewritten.",
    "ca": "bluecoat: the attribute that holds the categories; usually `bc_category`.",
    "cd": "bluecoat: a category for indicators without one; may be repeated.",
    "rt": "carbonblack: the title of the report.",
    "rs": "carbonblack: the score of the report, usually 100.",
    "sub": "rpz: `1` takes in every name below a listed one.",
    "sid": "suricata: the number of the first rule, usually 1000000.",
    "key": "A key of a list with `access: key`; it may also come as a bearer token or a basic password.",
}

# What a list can show of an indicator.
LIST_FIELDS = {
    "indicator": "The value.",
    "indicator_type": "Its [type](types.md), as it is called here.",
    "type": "Its type, in MineMeld's words where MineMeld has it (`IPv4`, `URL`).",
    "confidence": "0 to 100.",
    "sources": "Names of the sources.",
    "tlp": "clear, green, amber, amber+strict or red.",
    "share_level": "The TLP in the words of its first version: white, green, amber or red.",
    "direction": "inbound or outbound.",
    "actionable": "Whether the sources say to act on it.",
    "tags": "Tags.",
    "threat_types": "Threat types.",
    "description": "Description.",
    "references": "References (URLs).",
    "first_seen": "By the source's word.",
    "last_seen": "By the source's word.",
    "valid_until": "The indicator's own end.",
    "added": "When tipline first had it.",
    "since": "Since when this list has had it.",
    **{
        f"{name}_iso": f"The same as `{name}`, as ISO 8601 in UTC."
        for name in ("first_seen", "last_seen", "valid_until", "added", "since")
    },
}


def endpoints_page() -> str:
    """Every HTTP address, with its parameters."""
    blocks = ["# HTTP addresses", dedent(_HTTP).strip()]
    for path, methods in _described()["paths"].items():
        for method, route in methods.items():
            blocks.append(f"## {method.upper()} {path}")
            blocks.append(str(route.get("description") or route.get("summary") or ""))
            if path == "/feeds/{name}":
                blocks += _list_blocks()
    blocks += ["## Operations", dedent(_OPERATIONS).strip()]
    for name, method in NAMES.items():
        blocks += _operation(name, getattr(Operations, method))
    entry = ((f"`{n}`", type_words(f.annotation), f.description or "") for n, f in NewEntry.model_fields.items())
    blocks += ["### An entry of `add`", table(("Field", "Type", "Meaning"), entry)]
    return "\n\n".join(blocks)


def _list_blocks() -> Iterator[str]:
    for word, meanings in (("Parameter", LIST_PARAMETERS), ("Field", LIST_FIELDS)):
        yield table((word, "Meaning"), ((f"`{name}`", meaning) for name, meaning in meanings.items()))
    yield "Other fields are looked up in what else the source said (`extra`). Times: milliseconds since 1970."
    yield dedent(_LISTS).strip()


def _described() -> Any:
    """The application's own description of its routes; it needs an engine, so an empty one is made."""
    with tempfile.TemporaryDirectory() as place:
        empty = check_text("sources: {}\n", Path(place) / "tipline.yml").usable()
        with Engine(empty) as engine, closing(Operations(engine)) as operations:
            return create_app(operations, "").openapi()


_HTTP = """
`tipline serve` listens where `http:` says. `/feeds`, `/health` and `/metrics` ask for no sign-in (a
list may ask for a key); what is pushed asks for a key of its source; operations are for commands of the same
machine. Errors of operations are problem documents (RFC 9457) with `what`, `where`, `fix` and `code`.
"""
_LISTS = """
`d`, `sum`, `sp`, `di`, `nsl`, `t`, `ca`, `cd`, `rt` and `rs`, which MineMeld knew, are taken and
ignored. HEAD works too. Answers carry a strong `ETag`, `Last-Modified`, `X-Feed-Version`,
`X-Feed-Count`, and `X-Feed-Left-Out` when something could not be written in the format asked for.
`If-None-Match` and `If-Modified-Since` get 304; gzip and zstd are sent where `Accept-Encoding`
allows; byte ranges work on whole lists. 401: the list asks for a key. 503 with `Retry-After`: the
list is not ready; never an empty list instead.
"""
_OPERATIONS = """
`POST /api/v1/operations/NAME` with a JSON object of arguments, over loopback, with the bearer token
that `server.json` in the data directory holds (readable by its owner). The commands use these.
"""


def _operation(name: str, method: Any) -> Iterator[str]:
    text = inspect.getdoc(method) or ""
    yield f"### {name}"
    yield " ".join(text.split("\n\n", maxsplit=1)[0].split())
    meanings = _arguments(text)
    parameters = list(inspect.signature(method, eval_str=True).parameters.values())[1:]
    rows = [
        (
            f"`{p.name}`",
            type_words(p.annotation),
            "required" if p.default is p.empty else value_words(p.default),
            meanings.get(p.name, ""),
        )
        for p in parameters
    ]
    if rows:
        yield table(("Argument", "Type", "Default", "Meaning"), rows)


def _arguments(text: str) -> dict[str, str]:
    """The `Args:` of a docstring."""
    _, found, rest = text.partition("Args:\n")
    lines = rest.split("\n\n")[0].splitlines() if found else []
    pairs = (line.strip().partition(": ") for line in lines)
    return {name: meaning for name, _, meaning in pairs}
