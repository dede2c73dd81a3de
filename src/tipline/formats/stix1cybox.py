"""CybOX objects of STIX 1 to values: which property of which object can be bad by itself.

Sources: CybOX 2.1 (Address, URI, Domain Name, Hostname, File, Email Message, Windows Registry Key, Mutex, Process,
AS, Socket Address, Network Connection, HTTP Session objects; conditions and lists of core and common); what feeds do
otherwise: lists without a condition, hashes without a type, registry keys with their hive inside the key.

Elements are matched by local name, since prefixes and versions of namespaces differ. All properties of one object must
hold at once. A file's hashes say it all; of other objects with several properties no value is bad by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from lxml import etree

from tipline.formats.base import cut
from tipline.formats.stixpattern import Found

#: An element of lxml, which has no types of its own.
Element: TypeAlias = Any
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_COMMA = "##comma##"
_CATEGORIES = {
    "ipv4-addr": "ip",
    "ipv6-addr": "ip",
    "ipv4-net": "ip",
    "ipv6-net": "ip",
    "cidr": "ip",
    "e-mail": "email",
    "asn": "asn",
}
_URIS = {"url": "url", "domain name": "domain", "": None}
_ALGORITHMS = {"md5": "md5", "sha1": "sha1", "sha256": "sha256", "sha512": "sha512", "ssdeep": "ssdeep"}
# Properties that are the value, by the name of their element; None of those whose surroundings decide.
_WORDS: dict[str, str] = {
    "Hostname_Value": "domain",
    "Fuzzy_Hash_Value": "ssdeep",
    "File_Name": "file-name",
    "Full_Path": "file-path",
    "File_Path": "file-path",
    "User_Agent": "user-agent",
    "Command_Line": "command-line",
    "Handle": "asn",
    "Number": "asn",
}
# The same names mean other things in other objects.
_OWN = {("Value", "DomainName"): "domain", ("Key", "Registry"): "registry-key", ("Name", "Mutex"): "mutex"}
#: Type words of file hashes: one of them says which file is meant.
HASHES = frozenset((*_ALGORITHMS.values(), "hash"))
# They say how a value is written or who gave it out, and restrict nothing.
_NEUTRAL = frozenset(("Type", "Naming_System", "Regional_Internet_Registry", "Fuzzy_Hash_Structure", "Block_Size"))
# Who was written to is a victim.
_VICTIMS = frozenset(("To", "CC", "BCC", "Recipient"))
_RANGES = {"inclusivebetween", "exclusivebetween"}
_REFUSED = {
    "doesnotequal": "negated-pattern",
    "doesnotcontain": "negated-pattern",
    "contains": "wildcard-pattern",
    "startswith": "wildcard-pattern",
    "endswith": "wildcard-pattern",
    "fitspattern": "regular-expression",
}


@lru_cache(maxsize=4096)
def _split(tag: str) -> tuple[str, str]:
    """Namespace and local name of `{namespace}name`."""
    space, _, name = tag.rpartition("}")
    return space[1:], name


def name_of(element: Element) -> str:
    """An element's local name; empty of comments and processing instructions."""
    return _split(element.tag)[1] if isinstance(element.tag, str) else ""


def kind_of(element: Element) -> str:
    """The local name of its xsi:type."""
    return str(element.get(XSI_TYPE, "")).rpartition(":")[2]


def text_of(element: Element | None) -> str:
    """An element's own text without blanks around it."""
    return ((element.text if element is not None else None) or "").strip()


def values(properties: Element) -> list[Found]:
    """What the properties of one object say: values, and rows with a reason for all else; perhaps empty."""
    found: dict[str, list[Found]] = {}
    hive = ""
    for element in properties.iter(etree.Element):
        name = name_of(element)
        if not text_of(element) or name in _NEUTRAL:
            continue
        if name == "Hive":
            hive = text_of(element)
            continue
        found.setdefault(_property(element, name), []).extend(_compared(element, *_word(element, name, properties)))
    _join_hive(found, hive)
    return _together(found)


def _property(element: Element, name: str) -> str:
    """What is compared: alternatives of the same property are one."""
    if name in ("Simple_Hash_Value", "Fuzzy_Hash_Value"):
        return "hash"
    if name in ("Handle", "Number", "Name") and "ASObject" in space_of(element):
        return "as"
    parent = element.getparent()
    return f"{name_of(parent) if parent is not None else ''}/{name}"


def _word(element: Element, name: str, properties: Element) -> tuple[str | None, str | None]:
    """The type word of a property, and a reason if it is no value."""
    parent = element.getparent()
    kind = kind_of(properties)
    if name == "Address_Value":
        return _address(element, parent)
    if name == "Simple_Hash_Value":
        return _hash_word(parent), None
    if name == "Value" and ("URIObject" in kind or "URIObject" in space_of(element)):
        return _uri(properties if parent is None else parent)
    word = next((word for (of, part), word in _OWN.items() if name == of and part in kind), _WORDS.get(name))
    if word is None or (word == "asn" and "ASObject" not in space_of(element)):
        return None, "not-an-indicator"
    return word, None


def space_of(element: Element) -> str:
    """An element's namespace."""
    return _split(element.tag)[0] if isinstance(element.tag, str) else ""


def _address(element: Element, parent: Element | None) -> tuple[str | None, str | None]:
    if any(name_of(each) in _VICTIMS for each in element.iterancestors()):
        return "email", "not-an-indicator"
    category = (parent.get("category") or "" if parent is not None else "").lower()
    if not category:
        return None, None
    word = _CATEGORIES.get(category)
    return word, None if word else "unsupported-type"


def _uri(parent: Element) -> tuple[str | None, str | None]:
    kind = (parent.get("type") or "").lower()
    return (_URIS[kind], None) if kind in _URIS else (None, "unsupported-type")


def _hash_word(parent: Element | None) -> str:
    told = next((text_of(each) for each in parent if name_of(each) == "Type"), "") if parent is not None else ""
    name = "".join(character for character in told.lower() if character.isalnum())
    return _ALGORITHMS.get(name, "hash")


def _compared(element: Element, word: str | None, drop: str | None) -> Iterator[Found]:
    """The values of one property, by its condition."""
    text, condition = text_of(element), (element.get("condition") or "equals").lower()
    delimiter = element.get("delimiter") or _COMMA
    parts = [each.strip() for each in text.split(delimiter) if each.strip()]
    if condition in _RANGES and word == "ip" and len(parts) == 2:
        yield Found(word, "-".join(parts), drop)
        return
    reason = drop or _condition_refused(element, condition, len(parts))
    for part in parts:
        yield Found(word, cut(part) if reason else part, reason)


def _condition_refused(element: Element, condition: str, count: int) -> str | None:
    applied = (element.get("apply_condition") or "any").lower()
    if applied == "none":
        return "negated-pattern"
    if element.get("pattern_type"):
        return "regular-expression"
    if condition != "equals":
        return _REFUSED.get(condition, "composite-pattern")
    return "composite-pattern" if applied == "all" and count > 1 else None


def _join_hive(found: dict[str, list[Found]], hive: str) -> None:
    if not hive:
        return
    for name, group in found.items():
        found[name] = [
            each._replace(value=f"{hive}\\{each.value.lstrip(chr(92))}") if each.word == "registry-key" else each
            for each in group
        ]


def _together(found: dict[str, list[Found]]) -> list[Found]:
    """All properties must hold: hashes say it all, and one property alone says it."""
    if "hash" in found:
        return found["hash"]
    if "as" in found:
        numbers = [each for each in found["as"] if each.word == "asn"]
        return (numbers or found["as"])[:1]
    rows = [each for group in found.values() for each in group]
    if len(found) > 1:
        return [each if each.drop else each._replace(drop="composite-pattern") for each in rows]
    return rows
