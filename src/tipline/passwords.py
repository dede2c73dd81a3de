"""Hashes of readers' passwords: argon2id for new ones; bcrypt and Apache's MD5 as web servers' files have them."""

from __future__ import annotations

import hashlib
import hmac
import re

import argon2
import bcrypt

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_APR1 = re.compile(r"\$apr1\$([^$]{1,8})\$([./0-9A-Za-z]{22})")
_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./0-9A-Za-z]{53}")
_ARGON2 = re.compile(r"\$argon2(?:id|i|d)\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
# A hash of these costs takes about a second; one that asks for more would stop the server.
_MOST_MEMORY, _MOST_PASSES, _MOST_LANES, _MOST_ROUNDS = 1 << 20, 16, 16, 15
# What is longer is no password; bcrypt reads 72 bytes at most.
_LONGEST = 1024
_BCRYPT_BYTES = 72
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def hash_password(password: str) -> str:
    """A new hash (argon2id)."""
    return argon2.PasswordHasher().hash(password)


def is_hash(text: str) -> bool:
    """Whether `verify` understands a hash, and it can be verified in a moment."""
    if found := _ARGON2.fullmatch(text):
        memory, passes, lanes = (int(number) for number in found.groups())
        return memory <= _MOST_MEMORY and passes <= _MOST_PASSES and lanes <= _MOST_LANES
    if found := _BCRYPT.fullmatch(text):
        return int(found[1]) <= _MOST_ROUNDS
    return _APR1.fullmatch(text) is not None


def verify(password: bytes, hashed: str) -> bool:
    """Whether a password has this hash; takes a tenth of a second or so, on purpose."""
    if len(password) > _LONGEST or not is_hash(hashed):
        return False
    if hashed.startswith("$argon2"):
        try:
            return argon2.PasswordHasher().verify(hashed, password)
        except argon2.exceptions.VerificationError:
            return False
    if found := _APR1.fullmatch(hashed):
        return hmac.compare_digest(_apr1(password, found[1].encode()), found[2])
    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.replace("$2y$", "$2b$", 1).encode())
    except ValueError:
        return False


def _apr1(password: bytes, salt: bytes) -> str:
    """Apache's variant of the MD5 crypt, a thousand rounds, as htpasswd writes it."""
    inner = hashlib.md5(password + salt + password).digest()
    text = password + b"$apr1$" + salt + (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        text += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = hashlib.md5(text).digest()
    for number in range(1000):
        odd = number & 1
        mixed = password if odd else digest
        mixed += salt if number % 3 else b""
        mixed += password if number % 7 else b""
        digest = hashlib.md5(mixed + (digest if odd else password)).digest()
    return "".join(_letters(int.from_bytes(bytes(digest[i] for i in order)), 4) for order in _ORDER) + _letters(
        digest[11], 2
    )


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(count))
