"""The type table: what each indicator type is, how it is judged, and what other systems call it.

Nothing else in the code knows these names. Sources: STIX 2.1 patterning and cyber-observable objects; CybOX
2.1; MISP's describeTypes; MineMeld's indicator schema; Microsoft's Defender Ti Indicator, Graph tiIndicator
and the columns of ThreatIntelligenceIndicator (the newer ThreatIntelIndicators keys rows by the STIX path).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from tipline.model import hashes, others
from tipline.model.hosts import normalise_domains
from tipline.model.intervals import normalise_addresses
from tipline.model.urls import normalise_urls
from tipline.model.verdict import Normaliser, by_rule


@dataclass(frozen=True, slots=True)
class Cybox:
    """Where STIX 1 keeps a value: CybOX object, property path, and the category or hash type."""

    object: str
    path: str
    category: str | None = None


@dataclass(frozen=True, slots=True)
class IndicatorType:
    """One row of the table; None or empty where the other system has no such thing.

    Attributes:
        name: canonical type.
        title: for people.
        normalise: judges a frame of texts.
        literal: texts are trimmed only, never refanged.
        stix2: object path left of `=` in a pattern; the value is a number there if `stix2_number`.
        stix1: CybOX object and property.
        misp: attribute types; the first is written.
        minemeld: `type` of MineMeld.
        defender: `indicatorType` of Defender for Endpoint.
        graph: property of Graph's tiIndicator.
        graph_hash: `fileHashType` to go with it.
        sentinel: column of ThreatIntelligenceIndicator.
        sentinel_hash: `FileHashType` to go with it.
        words: other words that sources use for it.
    """

    name: str
    title: str
    normalise: Normaliser
    literal: bool = False
    stix2: str | None = None
    stix2_number: bool = False
    stix1: Cybox | None = None
    misp: tuple[str, ...] = ()
    minemeld: str | None = None
    defender: str | None = None
    graph: str | None = None
    graph_hash: str | None = None
    sentinel: str | None = None
    sentinel_hash: str | None = None
    words: tuple[str, ...] = ()


def _file_hash(name: str, title: str, stix: str, defender: str | None, graph: str) -> IndicatorType:
    """Row of one of the plain file hashes, which every system names alike."""
    return IndicatorType(
        name,
        title,
        hashes.hash_normaliser(name),
        stix2=f"file:hashes.{stix}",
        stix1=Cybox("FileObj:FileObjectType", "Hashes/Hash/Simple_Hash_Value", title.replace("-", "")),
        misp=(name, f"filename|{name}", *(("malware-sample",) if name == "md5" else ())),
        minemeld=name,
        defender=defender,
        graph="fileHashValue",
        graph_hash=graph,
        sentinel="FileHashValue",
        sentinel_hash=title if name != "md5" else "MD5",
        words=(f"filehash-{name}", f"hash-{name}", f"{name}-hash", f"file-{name}", f"{name}sum"),
    )


_ROWS = (
    IndicatorType(
        "ipv4",
        "IPv4 address, network or range",
        normalise_addresses,
        stix2="ipv4-addr:value",
        stix1=Cybox("AddressObj:AddressObjectType", "Address_Value", "ipv4-addr"),
        misp=("ip-dst", "ip-src", "ip-dst|port", "ip-src|port"),
        minemeld="IPv4",
        defender="IpAddress",
        graph="networkIPv4",
        sentinel="NetworkIP",
        words=("ipv4-net", "ipv4-address", "ip4", "ipv4cidr"),
    ),
    IndicatorType(
        "ipv6",
        "IPv6 address, network or range",
        normalise_addresses,
        stix2="ipv6-addr:value",
        stix1=Cybox("AddressObj:AddressObjectType", "Address_Value", "ipv6-addr"),
        misp=("ip-dst", "ip-src", "ip-dst|port", "ip-src|port"),
        minemeld="IPv6",
        defender="IpAddress",
        graph="networkIPv6",
        sentinel="NetworkIP",
        words=("ipv6-net", "ipv6-address", "ip6", "ipv6cidr"),
    ),
    IndicatorType(
        "domain",
        "Domain or host name",
        normalise_domains,
        stix2="domain-name:value",
        stix1=Cybox("DomainNameObj:DomainNameObjectType", "Value", "FQDN"),
        misp=("domain", "hostname", "hostname|port", "onion-address"),
        minemeld="domain",
        defender="DomainName",
        graph="domainName",
        sentinel="DomainName",
        words=(
            "host",
            "hosts",
            "domains",
            "hostnames",
            "fqdn",
            "fqdns",
            "dns",
            "dns-name",
            "domain-names",
            "intel-domain",
        ),
    ),
    IndicatorType(
        "url",
        "URL",
        normalise_urls,
        stix2="url:value",
        stix1=Cybox("URIObj:URIObjectType", "Value", "URL"),
        misp=("url", "uri"),
        minemeld="URL",
        defender="Url",
        graph="url",
        sentinel="Url",
        words=("urls", "intel-url", "website", "web-address"),
    ),
    _file_hash("md5", "MD5", "MD5", "FileMd5", "md5"),
    _file_hash("sha1", "SHA-1", "'SHA-1'", "FileSha1", "sha1"),
    _file_hash("sha256", "SHA-256", "'SHA-256'", "FileSha256", "sha256"),
    _file_hash("sha512", "SHA-512", "'SHA-512'", None, "unknown"),
    IndicatorType(
        "ssdeep",
        "ssdeep fuzzy hash",
        by_rule(hashes.ssdeep),
        stix2="file:hashes.SSDEEP",
        stix1=Cybox("FileObj:FileObjectType", "Hashes/Hash/Fuzzy_Hash_Value", "SSDEEP"),
        misp=("ssdeep", "filename|ssdeep"),
        minemeld="ssdeep",
        graph="fileHashValue",
        graph_hash="ctph",
        words=("fuzzy-hash", "ctph", "filehash-ssdeep"),
    ),
    IndicatorType(
        "email",
        "E-mail address",
        by_rule(others.email),
        stix2="email-addr:value",
        stix1=Cybox("AddressObj:AddressObjectType", "Address_Value", "e-mail"),
        misp=(
            "email-src",
            "email",
            "email-dst",
            "email-reply-to",
            "whois-registrant-email",
            "dns-soa-email",
            "eppn",
        ),
        minemeld="email-addr",
        graph="emailSenderAddress",
        sentinel="EmailSenderAddress",
        words=("email-address", "e-mail", "mail", "intel-email", "emails", "sender"),
    ),
    IndicatorType(
        "file-name",
        "File name",
        by_rule(others.file_name),
        literal=True,
        stix2="file:name",
        stix1=Cybox("FileObj:FileObjectType", "File_Name"),
        misp=("filename", "email-attachment"),
        minemeld="file.name",
        graph="fileName",
        sentinel="FileName",
        words=("intel-file-name", "filenames"),
    ),
    IndicatorType(
        "file-path",
        "File path",
        by_rule(others.file_path),
        literal=True,
        stix1=Cybox("FileObj:FileObjectType", "File_Path"),
        graph="filePath",
        sentinel="FilePath",
        words=("filepath", "path", "full-path", "directory", "folder", "directory:path", "file:path"),
    ),
    IndicatorType(
        "registry-key",
        "Registry key",
        by_rule(others.registry_key),
        literal=True,
        stix2="windows-registry-key:key",
        stix1=Cybox("WinRegistryKeyObj:WindowsRegistryKeyObjectType", "Key"),
        misp=("regkey", "regkey|value"),
        minemeld="windows-registry-value",
        words=("registry", "registrykey", "reg-key", "windows-registry-key"),
    ),
    IndicatorType(
        "mutex",
        "Mutex",
        by_rule(others.free_text("mutex")),
        literal=True,
        stix2="mutex:name",
        stix1=Cybox("MutexObj:MutexObjectType", "Name"),
        misp=("mutex",),
        minemeld="mutex",
        graph="fileMutexName",
        sentinel="FileMutexName",
        words=("mutant", "mutexname"),
    ),
    IndicatorType(
        "user-agent",
        "HTTP user agent",
        by_rule(others.free_text("user-agent")),
        literal=True,
        stix2="network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
        stix1=Cybox(
            "HTTPSessionObj:HTTPSessionObjectType",
            "HTTP_Request_Response/HTTP_Client_Request/HTTP_Request_Header/Parsed_Header/User_Agent",
        ),
        misp=("user-agent",),
        minemeld="user-agent.fragment",
        graph="userAgent",
        sentinel="UserAgent",
        words=("useragent", "http-user-agent", "intel-software"),
    ),
    IndicatorType(
        "command-line",
        "Command line",
        by_rule(others.command_line),
        literal=True,
        stix2="process:command_line",
        stix1=Cybox("ProcessObj:ProcessObjectType", "Image_Info/Command_Line"),
        minemeld="process.command_line",
        words=("commandline", "cmdline", "cmd-line", "process-command-line"),
    ),
    IndicatorType(
        "asn",
        "Autonomous system",
        by_rule(others.asn),
        stix2="autonomous-system:number",
        stix2_number=True,
        stix1=Cybox("ASObj:ASObjectType", "Number"),
        misp=("AS",),
        minemeld="autonomous-system",
        graph="networkDestinationAsn",
        sentinel="NetworkDestinationAsn",
        words=("as-number", "autonomous-system-number"),
    ),
    IndicatorType(
        "ja3",
        "JA3 fingerprint",
        by_rule(hashes.ja3),
        misp=("ja3-fingerprint-md5",),
        words=("ja3-fingerprint", "ja3-hash", "ja3-md5", "ja3-digest"),
    ),
    IndicatorType(
        "certificate-sha1",
        "Certificate thumbprint (SHA-1)",
        by_rule(hashes.certificate_sha1),
        stix2="x509-certificate:hashes.'SHA-1'",
        stix1=Cybox("X509CertificateObj:X509CertificateObjectType", "Certificate/Thumbprint"),
        misp=("x509-fingerprint-sha1",),
        defender="CertificateThumbprint",
        words=(
            "certificate",
            "thumbprint",
            "cert-sha1",
            "intel-cert-hash",
            "ssl-cert-fingerprint",
            "x509-sha1",
        ),
    ),
    IndicatorType(
        "cve",
        "Vulnerability (CVE)",
        by_rule(others.cve),
        stix2="vulnerability:name",
        misp=("vulnerability",),
        words=("cve-id", "cves"),
    ),
)

#: The table, by canonical type.
TYPES: Mapping[str, IndicatorType] = MappingProxyType({row.name: row for row in _ROWS})

#: Words that narrow detection without naming a type, and what judges them.
NARROWING: Mapping[str, Normaliser] = MappingProxyType(
    {"ip": normalise_addresses, "hash": hashes.hash_normaliser(None)}
)

#: The types that a value of such a word may turn out to be.
NARROWED: Mapping[str, tuple[str, ...]] = MappingProxyType({"ip": ("ipv4", "ipv6"), "hash": tuple(hashes.LENGTHS)})

_IP_WORDS = (
    "ip",
    "ips",
    "ip-addr",
    "ip-address",
    "ip-addresses",
    "address",
    "addr",
    "ipaddr",
    "netblock",
    "cidr",
    "network",
    "subnet",
    "ip-range",
    "iprange",
    "ip-port",
    "ip|port",
    "ip-src",
    "ip-dst",
    "ip-src|port",
    "ip-dst|port",
    "source-ip",
    "destination-ip",
    "src-ip",
    "dst-ip",
    "intel-addr",
    "intel-subnet",
    "ipv4|port",
    "ipv6|port",
)
_HASH_WORDS = (
    "hash",
    "hashes",
    "file-hash",
    "filehash",
    "file",
    "checksum",
    "intel-file-hash",
    "file:hashes",
)
_INBOUND = frozenset({"ipsrc", "ipsrc|port", "sourceip", "srcip"})
_OUTBOUND = frozenset({"ipdst", "ipdst|port", "destinationip", "dstip"})


def _squash(word: str) -> str:
    """A word without case, blanks and punctuation: `FileHash-SHA256` and `filehash_sha-256` alike."""
    return re.sub(r"[^a-z0-9|]", "", word.lower())


@cache
def _words() -> Mapping[str, str]:
    table: dict[str, str] = {}
    for row in _ROWS:
        stix = (row.stix2, row.stix2.partition(":")[0]) if row.stix2 and row.stix2.endswith(":value") else (row.stix2,)
        names = (row.name, row.minemeld, row.defender, *stix, *row.misp, *row.words)
        table.update({_squash(name): row.name for name in names if name})
    table.update(dict.fromkeys(map(_squash, _HASH_WORDS), "hash"))
    table.update(dict.fromkeys(map(_squash, _IP_WORDS), "ip"))
    return MappingProxyType(table)


def type_of_word(word: str) -> str | None:
    """What a source's type word means.

    Args:
        word: any spelling: `IP`, `FileHash-SHA256`, `hostname`, `ip-dst`, `file:hashes.'SHA-256'`, `Email`.

    Returns: A canonical type; `ip` or `hash` where the word leaves the type to the value; None if the word
        is unknown or means something that tipline does not hold (`process`, `imphash`).
    """
    return _words().get(_squash(word))


def direction_of_word(word: str) -> str | None:
    """Direction that a type word implies: `ip-src` is inbound, `ip-dst` outbound (as MineMeld reads MISP)."""
    squashed = _squash(word)
    if squashed in _INBOUND:
        return "inbound"
    return "outbound" if squashed in _OUTBOUND else None
