"""What our own lists write in a dialect, the source of that dialect reads back as it was."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import polars as pl
import pytest

from outputs.dialects import GOOD, good_rows, of, written
from outputs.publishing import engine_of, list_output
from tipline.formats import lines
from tipline.formats.base import Context
from tipline.formats.lines import LinesSettings
from tipline.model import Policy, conform
from tipline.outputs.render.dialect import Format

_ADDRESSES = ("ipv4", "ipv6")
_NAMES = ("domain",)
# Dialect of the output, its `t`, dialect of the source, and the types that come back.
CASES: list[tuple[Format, str, str, tuple[str, ...]]] = [
    ("edl-ip", "", "plain", _ADDRESSES),
    ("edl-domain", "", "plain", _NAMES),
    ("hosts", "", "hosts", _NAMES),
    ("dnsmasq", "", "dnsmasq", _NAMES),
    ("unbound", "", "unbound", _NAMES),
    ("rpz", "", "rpz", (*_NAMES, *_ADDRESSES)),
    ("adblock", "", "adblock", _NAMES),
    ("zeek", "", "zeek", (*_ADDRESSES, *_NAMES, "email", "md5", "sha1", "sha256", "file-name", "user-agent")),
    ("suricata", "", "suricata", (*_ADDRESSES, *_NAMES)),
    ("suricata-dataset", "domain", "suricata-dataset", _NAMES),
    ("suricata-dataset", "url", "suricata-dataset", ("url",)),
    ("suricata-dataset", "sha256", "suricata-dataset", ("sha256",)),
    ("ipset", "", "ipset", _ADDRESSES),
]
_POLICY = Policy(allow_non_routable=True, allow_unknown_tld=True, allow_wide=True)


def _addresses(values: list[str]) -> set[tuple[int, int]]:
    """Intervals, of which neighbours and overlaps are one: dialects write ranges as networks."""
    spans = []
    for value in values:
        first, _, last = value.partition("-")
        network = ipaddress.ip_network(first)
        end = int(ipaddress.ip_address(last)) if last else int(network[-1])
        spans.append((int(network[0]), end))
    made: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if made and low <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], high))
        else:
            made.append((low, high))
    return set(made)


@pytest.mark.parametrize(("form", "t", "dialect", "types"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_what_is_written_is_read_back(
    form: Format, t: str, dialect: str, types: tuple[str, ...], tmp_path: Path
) -> None:
    with engine_of(tmp_path, list_output("x")) as engine:
        body, _ = written(engine, good_rows(), of(form, t))
    path = tmp_path / "list"
    path.write_bytes(body)
    settings = LinesSettings.model_validate({"dialect": dialect})
    frames = [conform(frame, _POLICY) for frame in lines.read(path, settings, Context("x"))]
    claims = pl.concat(frames).filter(pl.col("drop").is_null())
    found = {kind: claims.filter(pl.col("type") == kind)["value"].to_list() for kind in types}
    for kind in types:
        if kind in _ADDRESSES:
            expected = [v for v in GOOD[kind] if not (dialect == "suricata-dataset" and {"/", "-"} & set(v))]
            assert _addresses(found[kind]) == _addresses(expected), kind
        else:
            assert sorted(found[kind]) == sorted(GOOD[kind]), kind
