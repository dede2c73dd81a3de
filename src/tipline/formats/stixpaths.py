"""STIX object paths to type words: which property of which object holds a value that can be bad by itself.

Sources: STIX 2.1 sections 6 (cyber-observable objects) and 10.7 (hash algorithms); spellings met in feeds
(`file:hashes.SHA256`, `hashes."sha-256"`, `file:path`, `ipv4addr:value`, `win-registry-key:key`).
"""

from __future__ import annotations

from functools import lru_cache

#: A path's object type and its steps, without list indices.
Path = tuple[str, tuple[str, ...]]

_VALUES = {
    "ipv4-addr": "ip",
    "ipv4addr": "ip",
    "ipv6-addr": "ip",
    "ipv6addr": "ip",
    "domain-name": "domain",
    "domain": "domain",
    "hostname": "domain",
    "url": "url",
    "email-addr": "email",
    "emailaddr": "email",
}
_PATHS: dict[Path, str] = {
    ("file", ("name",)): "file-name",
    ("file", ("path",)): "file-path",
    ("directory", ("path",)): "file-path",
    ("windows-registry-key", ("key",)): "registry-key",
    ("win-registry-key", ("key",)): "registry-key",
    ("mutex", ("name",)): "mutex",
    ("process", ("command_line",)): "command-line",
    ("autonomous-system", ("number",)): "asn",
    ("vulnerability", ("name",)): "cve",
    ("artifact", ("url",)): "url",
    ("email-message", ("from_ref", "value")): "email",
    ("email-message", ("sender_ref", "value")): "email",
    ("network-traffic", ("src_ref", "value")): "ip-src",
    ("network-traffic", ("dst_ref", "value")): "ip-dst",
    ("network-traffic", ("extensions", "http-request-ext", "request_header", "User-Agent")): "user-agent",
}
_HASHED = ("file", "artifact", "process", "email-message")
_ALGORITHMS = {
    "md5": "md5",
    "sha1": "sha1",
    "sha256": "sha256",
    "sha512": "sha512",
    "ssdeep": "ssdeep",
    "ssdeepwhirlpool": "ssdeep",  # misp2sentinel's name of it
}
#: Type words of plain file hashes: one of them says which file is meant.
HASHES = frozenset({*_ALGORITHMS.values(), "hash"})


@lru_cache(maxsize=4096)
def word_of(object_type: str, steps: tuple[str, ...]) -> str | None:
    """The type word of a path; None where its value is none that tipline holds.

    Args:
        object_type: left of the colon.
        steps: right of it, without quotes and list indices (`*` for `[*]` behind `hashes`).
    """
    kind = object_type.lower()
    if steps == ("value",):
        return _VALUES.get(kind)
    if len(steps) > 1 and steps[-2].lower() == "hashes":
        return _hash_word(kind, steps[-1])
    return _PATHS.get((kind, steps))


def _hash_word(kind: str, algorithm: str) -> str | None:
    name = "".join(character for character in algorithm.lower() if character.isalnum())
    if kind == "x509-certificate":
        return "certificate-sha1" if name == "sha1" else None
    if kind not in _HASHED:
        return None
    return "hash" if algorithm == "*" else _ALGORITHMS.get(name)
