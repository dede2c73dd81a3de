from __future__ import annotations

import duckdb
import pytest

from tipline.model import key, kh


@pytest.mark.parametrize(("kind", "value"), [("ipv4", "1.2.3.4"), ("url", "http://a/ü"), ("mutex", ""), ("md5", "x|y")])
def test_keys_equal_duckdbs(kind: str, value: str) -> None:
    with duckdb.connect() as connection:
        row = connection.execute(
            "SELECT md5(t)::UUID, md5_number_lower(t) FROM (SELECT ? || '|' || ? AS t)", [kind, value]
        ).fetchone()
    assert row == (key(kind, value), kh(kind, value))
