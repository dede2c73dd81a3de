"""MISP's attribute types: what parts a value has, and why a type is left out.

Source of the names: MISP's `describeTypes` (194 types). A type that is named nowhere here stands for itself,
and `tipline.model.types` knows it or does not; so types that MISP adds later are dropped as unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

#: Types whose values are kept as references of the indicators beside them.
REFERENCE = "link"

_CONTEXT = """
comment text other hex float counter integer datetime boolean uuid anonymised size-in-bytes port http-method
mime-type attachment cortex cpe weakness git-commit-id gene process-state email-body email-header
threat-actor campaign-name campaign-id malware-type
target-user target-email target-machine target-org target-location target-external
whois-registrant-phone whois-registrant-name whois-registrant-org whois-registrar whois-creation-date
identity-card-number phone-number first-name middle-name last-name full-name date-of-birth place-of-birth
gender passport-number passport-country passport-expiration redress-number nationality visa-number
issue-date-of-the-visa primary-residence country-of-residence special-service-request frequent-flyer-number
travel-details payment-details place-port-of-original-embarkation place-port-of-clearance
place-port-of-onward-foreign-destination passenger-name-record-locator-number pgp-public-key pgp-private-key
"""

#: Types that say something about an indicator and are none, to their reason.
REFUSED: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(_CONTEXT.split(), "not-an-indicator"), REFERENCE: "reference"}
)


class Part(NamedTuple):
    """One indicator of an attribute.

    Attributes:
        word: the type word for `tipline.model.types`.
        value: its text.
        beside: what else the attribute says, for `extra`.
    """

    word: str
    value: str
    beside: tuple[tuple[str, str], ...] = ()


Splitter = Callable[[str, str], list[Part]]


def _file_word(name: str) -> str:
    """MISP keeps paths under `filename` too."""
    return "file-path" if "\\" in name or "/" in name else "filename"


def _file(kind: str, value: str) -> list[Part]:
    return [Part(_file_word(value) if kind == "filename" else kind, value)]


def _file_and_hash(kind: str, value: str) -> list[Part]:
    """`filename|sha256` and its kin; a file name may hold a bar, a hash never does."""
    word = "md5" if kind == "malware-sample" else kind.partition("|")[2]
    name, bar, digest = value.rpartition("|")
    name, digest = name.strip(), digest.strip()
    if not bar or not name:
        return [Part(word, digest)]
    named = Part(_file_word(name), name, ((word, digest),))
    return [named, Part(word, digest, (("filename", name),))] if digest else [Part(named.word, name)]


def _with_port(kind: str, value: str) -> list[Part]:
    """`ip-dst|port`, `ip-src|port`, `hostname|port`."""
    word = kind.partition("|")[0]
    host, bar, port = value.rpartition("|")
    return [Part(word, host.strip(), (("port", port.strip()),))] if bar else [Part(word, value)]


def _domain_and_address(_kind: str, value: str) -> list[Part]:
    domain, bar, address = (text.strip() for text in value.partition("|"))
    if not bar:
        return [Part("domain", value)]
    both = Part("domain", domain, (("ip", address),)), Part("ip", address, (("domain", domain),))
    return [part for part in both if part.value]


def _key_and_data(_kind: str, value: str) -> list[Part]:
    key, bar, data = value.partition("|")
    return [Part("regkey", key, (("data", data),) if bar else ())]


_HASHES = """
md5 sha1 sha224 sha256 sha384 sha512 sha512/224 sha512/256 sha3-224 sha3-256 sha3-384 sha3-512
authentihash vhash ssdeep imphash impfuzzy pehash tlsh
"""

#: Types whose values have parts, or whose word depends on the value.
SPLITTERS: Mapping[str, Splitter] = MappingProxyType(
    {
        **dict.fromkeys((f"filename|{name}" for name in _HASHES.split()), _file_and_hash),
        "malware-sample": _file_and_hash,
        "filename": _file,
        "ip-src|port": _with_port,
        "ip-dst|port": _with_port,
        "hostname|port": _with_port,
        "domain|ip": _domain_and_address,
        "regkey|value": _key_and_data,
    }
)


def parts(kind: str, value: str) -> list[Part]:
    """The indicators of an attribute, at least one.

    >>> [part[:2] for part in parts("ip-dst|port", "203.0.113.7|443")]
    [('ip-dst', '203.0.113.7')]
    """
    split = SPLITTERS.get(kind)
    return split(kind, value) if split else [Part(kind, value)]
