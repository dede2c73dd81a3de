"""Suricata: rules that are about one value as a whole, files of datasets, and lists of reputation."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from tipline.formats.dialects.rows import ALLOWED, LINE, RULE, raw, trimmed

_RULE = re.compile(r"^(alert|drop|reject\w*|pass|config)\s+(\S+)\s+(.+?)\s+\((.*)\)\s*$")
_ARROW = re.compile(r"\s+(?:->|<>|=>)\s+")
_OPTION = re.compile(r'\s*([A-Za-z0-9_.-]+)\s*(?::\s*((?:"(?:[^"\\]|\\.)*"|\\.|[^;"\\])*))?;')
_HEX = re.compile(r"\|([0-9A-Fa-f ]+)\|")
_BUFFERS = {
    "dns.query": "domain",
    "dns_query": "domain",
    "tls.sni": "domain",
    "tls_sni": "domain",
    "http.host": "host",
    "http.host.raw": "host",
    "http.uri": "path",
    "http.uri.raw": "path",
    "ja3.hash": "ja3",
    "ja3_hash": "ja3",
    "tls.cert_fingerprint": "certificate-sha1",
    "tls_cert_fingerprint": "certificate-sha1",
}
# Of the method, and of what every download has: they narrow nothing.
_LOOSE = {"http.method", "file.data"}
_PATTERNS = {"pcre", "filemd5", "filesha1", "filesha256", "dataset", "iprep", "byte_test", "lua", "luajit", "dsize"}
_MEMBER = re.compile(r"[0-9A-Fa-f:.]+(?:/\d+|-[0-9A-Fa-f:.]+)?")
_SCORES = 127  # the highest score of a reputation


def rules(lines: pl.DataFrame) -> pl.DataFrame:
    """Rows of a rules file; a rule that is switched off stands behind `#`, and is none."""
    found: list[dict[str, Any]] = []
    kept = trimmed(lines, "#")["line"].to_list()
    for line in kept:
        found += _rows(line)
    schema = dict.fromkeys(("line", "value", "type", "drop", "description", "references"), pl.String())
    frame = pl.DataFrame(found, schema=schema)
    columns = [pl.col(name) for name in ("type", "description", "references")]
    return raw(frame, pl.col("value"), pl.col("drop"), **{c.meta.output_name(): c for c in columns})


def dataset(lines: pl.DataFrame) -> pl.DataFrame:
    """Rows of a dataset's file: hashes and addresses as they are, texts in base64; a reputation may follow."""
    kept = trimmed(lines, "#").with_columns(word=LINE.str.extract(r"^([^,\s]+)"))
    word = pl.col("word")
    text = word.map_elements(_from_base64, return_dtype=pl.String)
    plain = word.str.contains(r"^(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9]+(?:\.[0-9]+){3}|.*:.*)$")
    return raw(kept, pl.when(plain).then(word).otherwise(text), pl.lit(None, dtype=pl.String))


def reputation(lines: pl.DataFrame) -> pl.DataFrame:
    """Rows of a reputation list (`address,category,score`): a score of 127 is a confidence of 100."""
    parts = trimmed(lines, "#").with_columns(cells=LINE.str.split(","))
    cell = [pl.col("cells").list.get(number, null_on_oob=True).str.strip_chars() for number in range(3)]
    score = cell[2].cast(pl.Int32, strict=False)
    fits = score.is_between(0, _SCORES).fill_null(value=False)
    category = pl.struct(cell[1].alias("category")).struct.json_encode()
    return raw(
        parts,
        pl.when(fits).then(cell[0]),
        pl.lit(None, dtype=pl.String),
        confidence=(score * 100 / _SCORES).round().cast(pl.Int32, strict=False).cast(pl.String),
        type=pl.lit("ip"),
        extra=category,
    )


def _from_base64(word: str) -> str | None:
    try:
        return base64.b64decode(word, validate=True).decode()
    except ValueError:
        return None


def _rows(line: str) -> Iterator[dict[str, Any]]:
    """Rows of one rule: one for each value that it names."""
    rule = _RULE.match(line)
    if rule is None:
        yield {"line": line}
        return
    options = [(name, value or "") for name, value in _OPTION.findall(rule[4])]
    said = {
        "line": line,
        "description": next((_text(value) for name, value in options if name == "msg"), None),
        "references": next((_link(value) for name, value in options if name == "reference"), None),
    }
    if rule[1] == "pass":
        yield {**said, "drop": ALLOWED}
        return
    values = _in_content(options)
    if values is None:
        values = _in_addresses(rule[3])
    if not values:
        yield {**said, "drop": RULE}
    for type_, value in values:
        yield {**said, "type": type_, "value": value}


def _in_addresses(header: str) -> list[tuple[str, str]]:
    """The addresses that a rule without content names; none if it excludes some."""
    found: list[tuple[str, str]] = []
    for side in _ARROW.split(header):
        # Address and port, of which the address may hold blanks within its brackets.
        part = side.strip()
        end = part.rfind("]", 0, part.rfind(" ") + 1) + 1 if part.startswith(("[", "![")) else part.find(" ")
        group = part[:end] if end > 0 else part
        if "!" in group:
            return []
        found += [("ip", member) for member in re.split(r"[\[\],\s]+", group) if _MEMBER.fullmatch(member)]
    return found


def _in_content(options: list[tuple[str, str]]) -> list[tuple[str, str]] | None:
    """What a rule's content names as a whole: a name, a URL, a fingerprint; None if it has no content."""
    if any(name in _PATTERNS for name, _ in options):
        return []
    parts = list(_contents(options))
    if not parts:
        return None
    known: dict[str, str] = {}
    for buffer, text, whole in parts:
        if buffer in _LOOSE:
            continue
        kind = _BUFFERS.get(buffer)
        if kind is None or not whole or kind in known:
            return []
        known[kind] = text
    return _named(known)


def _named(known: dict[str, str]) -> list[tuple[str, str]]:
    if known.keys() == {"host", "path"}:
        return [("url", f"http://{known['host']}{known['path']}")]
    if len(known) != 1 or "path" in known:
        return []
    ((kind, text),) = known.items()
    if kind == "certificate-sha1":
        return [(kind, text.replace(":", ""))]
    return [("domain" if kind == "host" and not _MEMBER.fullmatch(text) else "ip" if kind == "host" else kind, text)]


def _contents(options: list[tuple[str, str]]) -> Iterator[tuple[str, str, bool]]:
    """Each content of a rule: its buffer, its text, and whether that is all of the buffer."""
    buffer, dotted = "", False
    for place, (name, value) in enumerate(options):
        if "." in name or name in _BUFFERS:
            buffer, dotted = name, False
        elif name == "dotprefix":
            dotted = True
        elif name == "content":
            text = _decoded(value)
            yield buffer, text.removeprefix(".") if dotted else text, _whole(text, value, options[place + 1 :], dotted)


def _whole(text: str, value: str, after: list[tuple[str, str]], dotted: bool) -> bool:
    """Whether the options of a content say that it is the whole buffer (or a name and all below it)."""
    own: dict[str, str] = {}
    for name, said in after:
        if name == "content" or "." in name or name in _BUFFERS:
            break
        own[name] = said.strip()
    ends = "endswith" in own or own.get("isdataat", "").startswith("!1")
    begins = "startswith" in own or (own.get("depth") == str(len(text)) and own.get("offset", "0") == "0")
    if value.strip().startswith("!"):
        return False
    return own.get("bsize") == str(len(text)) or (ends and (begins or (dotted and text.startswith("."))))


def _decoded(value: str) -> str:
    text = _HEX.sub(lambda found: bytes.fromhex(found[1].replace(" ", "")).decode("latin-1"), value.strip().strip('"'))
    return re.sub(r"\\(.)", r"\1", text)


def _text(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value.strip().strip('"'))


def _link(value: str) -> str | None:
    kind, _, rest = value.partition(",")
    return f"https://{rest.strip().removeprefix('https://')}" if kind.strip() == "url" else None
