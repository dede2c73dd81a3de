"""The key of an indicator, and the 64-bit hash that look-ups bind.

Both derive from `md5(type || '|' || value)`. In DuckDB they are `md5(...)::UUID` and `md5_number_lower(...)`;
the test suite compares them with DuckDB's own.
"""

from __future__ import annotations

import hashlib
from uuid import UUID


def _digest(kind: str, value: str) -> bytes:
    text = f"{kind}|{value}".encode()
    return hashlib.md5(text, usedforsecurity=False).digest()


def key(kind: str, value: str) -> UUID:
    """Key of the indicator (type, canonical value)."""
    return UUID(bytes=_digest(kind, value))


def kh(kind: str, value: str) -> int:
    """The 64-bit hash stored beside the key: the digest's last 8 bytes, little-endian."""
    return int.from_bytes(_digest(kind, value)[8:], "little")


def kh_of(key: UUID) -> int:
    """The 64-bit hash of the indicator with this key."""
    return int.from_bytes(key.bytes[8:], "little")
