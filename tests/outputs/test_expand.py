from __future__ import annotations

import duckdb
import pytest

from tipline.model.addresses import MAPPED
from tipline.outputs.expand import expanded, internal
from tipline.processors.iptext import LAST
from tipline.store.schema import VIEW


def rows(*values: tuple[str, str, int, int]) -> duckdb.DuckDBPyConnection:
    """A view relation `given` of (type, value, first number, number after the last)."""
    con = duckdb.connect()
    con.execute(f"CREATE TABLE given ({', '.join(f'{name} {kind}' for name, kind in VIEW.items())})")
    for type_, value, lo, up in values:
        bounds = [f"{lo:032x}", f"{up:032x}"] if up else [None, None]
        con.execute("INSERT INTO given (type, value, lo, up) VALUES (?, ?, ?::UUID, ?::UUID)", [type_, value, *bounds])
    return con


def v4(text: str) -> int:
    a, b, c, d = (int(part) for part in text.split("."))
    return MAPPED + (a << 24) + (b << 16) + (c << 8) + d


@pytest.mark.parametrize(
    ("type_", "value", "lo", "size", "limit", "expected"),
    [
        ("ipv4", "8.8.8.8", v4("8.8.8.8"), 1, 16, ["8.8.8.8"]),
        ("ipv4", "8.8.8.0/31", v4("8.8.8.0"), 2, 16, ["8.8.8.0", "8.8.8.1"]),
        ("ipv4", "8.8.8.255-8.8.9.1", v4("8.8.8.255"), 3, 16, ["8.8.8.255", "8.8.9.0", "8.8.9.1"]),
        ("ipv4", "8.8.8.0/28", v4("8.8.8.0"), 16, 16, [f"8.8.8.{n}" for n in range(16)]),
        ("ipv6", "2001:db8::/127", 0x20010DB8 << 96, 2, 16, ["2001:db8::", "2001:db8::1"]),
        ("ipv6", "2001:db8::ffff-2001:db8::1:0", (0x20010DB8 << 96) + 0xFFFF, 2, 2,
         ["2001:db8::ffff", "2001:db8::1:0"]),
    ],
)  # fmt: skip
def test_small_networks_become_their_addresses(
    type_: str, value: str, lo: int, size: int, limit: int, expected: list[str]
) -> None:
    con = rows((type_, value, lo, lo + size))
    found = con.execute(
        f"SELECT value, key, kh, dropped, lo, up FROM ({expanded('given', limit)}) ORDER BY lo"
    ).fetchall()
    assert [row[0] for row in found] == expected
    assert all(row[3] is None for row in found)
    if size > 1:
        made = "md5(? || '|' || v)::UUID, md5_number_lower(? || '|' || v)"
        keys = con.execute(f"SELECT {made} FROM unnest(?) t(v)", [type_, type_, expected]).fetchall()
        assert {row[1:3] for row in found} == set(keys)


def test_wider_networks_are_dropped_with_their_size_or_kept() -> None:
    con = rows(("ipv4", "8.8.8.0/27", v4("8.8.8.0"), v4("8.8.8.32")), ("domain", "a.example", 0, 0))
    found = con.execute(f"SELECT value, dropped FROM ({expanded('given', 16)}) ORDER BY value").fetchall()
    assert found == [
        ("8.8.8.0/27", "network-too-wide: 32 addresses; up to 16 are expanded"),
        ("a.example", None),
    ]
    kept = con.execute(f"SELECT count(dropped) FROM ({expanded('given', 16, keep_wide=True)})").fetchone()
    assert kept == (0,)


def test_the_last_address_of_all_stays_one() -> None:
    last = int(LAST.replace("-", ""), 16)
    con = rows(("ipv6", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", last, last))
    assert con.execute(f"SELECT count(*), count(dropped) FROM ({expanded('given', 16)})").fetchone() == (1, 0)


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.0.0.1", True), ("9.255.255.255", False), ("11.0.0.0", False),
     ("192.168.255.255", True), ("8.8.8.8", False),
     ("172.15.255.255", False), ("172.16.0.0", True), ("127.0.0.1", True), ("224.0.0.1", True)],
)  # fmt: skip
def test_internal_addresses_are_known(address: str, inside: bool) -> None:
    con = rows(("ipv4", address, v4(address), v4(address) + 1))
    assert con.execute(f"SELECT {internal()} FROM given").fetchone() == (inside,)


def test_what_is_no_address_is_not_internal() -> None:
    con = rows(("domain", "a.example", 0, 0))
    assert con.execute(f"SELECT {internal()} FROM given").fetchone() == (False,)
