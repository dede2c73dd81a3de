r"""Rules for everything that is neither address, host, URL nor hash.

* E-mail: the domain is canonical, the local part as it came (it may be case-sensitive).
* File path: a Windows or UNIX path. Doubled backslashes, which are left-overs of JSON escaping, become
  single; a leading `\\server` stays. A text with quotes, redirections or switches after a program is a
  command line in the wrong column and is refused: part of it would match nothing, or too much.
* Registry key: the hive written out (`HKLM\` becomes `HKEY_LOCAL_MACHINE\`), case kept.
* Command line: blanks of any sort become one plain blank. One that holds a bracketed placeholder
  (`/tr [File] /sc`) is a template, which no process ever ran, and is refused; PowerShell's
  `[Convert]::` is not one.
* ASN: `AS64500`. CVE: upper case.
* Mutex, user agent, file name: as they are, trimmed.
"""

from __future__ import annotations

import re

from tipline.model import hosts
from tipline.model.policy import Policy
from tipline.model.refang import strip_edges
from tipline.model.verdict import Rule, Verdict, refuse

_HIVES = {
    "HKLM": "HKEY_LOCAL_MACHINE",
    "HKCU": "HKEY_CURRENT_USER",
    "HKCR": "HKEY_CLASSES_ROOT",
    "HKU": "HKEY_USERS",
    "HKCC": "HKEY_CURRENT_CONFIG",
    "HKPD": "HKEY_PERFORMANCE_DATA",
}
_HIVE_NAMES = "|".join((*_HIVES, *_HIVES.values()))

#: Texts recognised where no type is given.
EMAIL = r"\A(?:mailto:)?[^@\s/:\\\[\](){}<>,;]+@[^@\s/:]+\.[^@\s/:]+\z"
REGISTRY_KEY = rf"\A(?i:(?:Registry::)?\\?(?:{_HIVE_NAMES}):?\\+\S)"
WINDOWS_PATH = r"\A(?:[A-Za-z]:\\|\\\\[^\\\s]+\\|%[A-Za-z_()0-9]+%\\)"
ASN = r"\A(?i:AS)\s?[0-9]{1,10}\z"
CVE = r"\A(?i:CVE)-[0-9]{4}-[0-9]{4,19}\z"

_LOCAL = re.compile(r"[^\x00-\x20\x7f-\xa0@\"(),:;<>\[\\\]]{1,64}")
_REGISTRY = re.compile(rf"(?:Registry::)?\\?({_HIVE_NAMES}):?\\+(.*)", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COMMAND = re.compile(r"[\"<>|]|\.(?:exe|com|bat|cmd|ps1|vbs|dll)\s+[/\-\"']", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?]")
_ASN = re.compile(r"(?:AS)?\s?([0-9]{1,10})", re.IGNORECASE)
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_PLACEHOLDER = re.compile(r"\[([A-Za-z][A-Za-z0-9 _-]*)\](?=[\s\"']|$)")
#: What PowerShell writes in brackets: types, not placeholders.
_TYPE_NAMES = frozenset(
    (
        "array",
        "bool",
        "byte",
        "char",
        "convert",
        "datetime",
        "decimal",
        "double",
        "enum",
        "environment",
        "float",
        "guid",
        "hashtable",
        "int",
        "int16",
        "int32",
        "int64",
        "io",
        "long",
        "math",
        "object",
        "psobject",
        "psvariable",
        "ref",
        "regex",
        "scriptblock",
        "sbyte",
        "short",
        "single",
        "string",
        "switch",
        "timespan",
        "type",
        "uint16",
        "uint32",
        "uint64",
        "uri",
        "void",
        "wmi",
        "xml",
    )
)


def email(text: str, policy: Policy) -> Verdict:
    """Judge an e-mail address, with or without `mailto:`."""
    local, at, domain = text.removeprefix("mailto:").rpartition("@")
    if not at or not _LOCAL.fullmatch(local):
        return refuse("email", "bad-email")
    host = hosts.canonical_host(domain)
    if host is None:
        return refuse("email", "bad-email")
    reason = hosts.objection(host, policy, suffix_allowed=True)
    return refuse("email", reason) if reason else Verdict("email", f"{local}@{host}")


def _single_backslashes(text: str) -> str:
    return re.sub(r"(?<!^)\\{2,}", lambda _: "\\", text)


def file_path(text: str, _policy: Policy) -> Verdict:
    """Judge a full or relative path of a file or folder."""
    windows = "\\" in text
    if not (windows or "/" in text) or "://" in text:
        return refuse("file-path", "not-a-file-path")
    if _CONTROL.search(text) or (windows and (_COMMAND.search(text) or _WILDCARD.search(text))):
        return refuse("file-path", "not-a-file-path")
    return Verdict("file-path", _single_backslashes(text) if windows else text)


def file_name(text: str, _policy: Policy) -> Verdict:
    """Judge the name of a file, without folder."""
    bad = re.search(r"[\\/:*?\"<>|]", text) or _CONTROL.search(text) or len(text) > 255
    return refuse("file-name", "not-a-file-name") if bad else Verdict("file-name", text)


def registry_key(text: str, _policy: Policy) -> Verdict:
    """Judge a registry key with its hive."""
    found = _REGISTRY.fullmatch(text)
    if found is None or _CONTROL.search(text):
        return refuse("registry-key", "bad-registry-key")
    hive, path = found[1].upper(), strip_edges(_single_backslashes(found[2]), "\\")
    if not path:
        return refuse("registry-key", "bad-registry-key")
    return Verdict("registry-key", f"{_HIVES.get(hive, hive)}\\{path}")


def command_line(text: str, _policy: Policy) -> Verdict:
    """Judge a command line."""
    plain = _BLANKS.sub(" ", text)
    if any(found[1].lower() not in _TYPE_NAMES for found in _PLACEHOLDER.finditer(plain)):
        return refuse("command-line", "placeholder")
    return refuse("command-line", "bad-text") if _CONTROL.search(plain) else Verdict("command-line", plain)


def asn(text: str, _policy: Policy) -> Verdict:
    """Judge an autonomous system number."""
    found = _ASN.fullmatch(text)
    number = int(found[1]) if found else 0
    return Verdict("asn", f"AS{number}") if 0 < number < 1 << 32 else refuse("asn", "bad-asn")


def cve(text: str, _policy: Policy) -> Verdict:
    """Judge a CVE identifier."""
    return Verdict("cve", text.upper()) if _CVE.fullmatch(text) else refuse("cve", "bad-cve")


def free_text(kind: str) -> Rule:
    """Rule of a type that is any text without control characters."""

    def rule(text: str, _policy: Policy) -> Verdict:
        return refuse(kind, "bad-text") if _CONTROL.search(text) else Verdict(kind, text)

    return rule
