"""Why a row is dropped: one table of codes and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

#: Reason code to a sentence for people. Formats and processors may add rows with these codes only.
DROP_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "empty": "the value is empty",
        "too-long": "the value is longer than any indicator (4,096 bytes)",
        "unknown-type": "the value looks like no kind of indicator; set the source's type if it is one",
        "unsupported-type": "the source's type word names nothing that tipline holds",
        "unwanted-type": "the source's settings leave this type out",
        "bad-ipv4": "not an IPv4 address (four numbers 0 to 255 without leading zeros)",
        "bad-ipv6": "not an IPv6 address",
        "bad-cidr": "not a network: a full address, a slash and a prefix length",
        "bad-range": "not an address range: two full addresses of one family, the lower first",
        "not-routable": "private, loopback, link-local, multicast, reserved or documentation address, "
        "or a network that overlaps such addresses",
        "too-wide": "wider than an IPv4 /8 or an IPv6 /16",
        "bad-domain": "not a host name that DNS can hold",
        "unknown-tld": "the last label is no top-level domain",
        "public-suffix": "a public suffix such as co.uk, under which unrelated people register names",
        "wildcard": "a wildcard stands for many names; set allow_wildcards to take the name itself",
        "bad-url": "not a URL with a scheme tipline knows and a host",
        "path-only": "a path without a host",
        "truncated": "cut by its source: it ends in an ellipsis",
        "placeholder": "holds a placeholder such as [e-mail address], so it is a template, not a value",
        "version": "a number of a version or section, written like an address",
        "file-name": "the name of a file or of something in code, written like a domain; defang it if it is a domain",
        "regular-expression": "a regular expression, not a value",
        "several-values": "one cell holds several values; split it in the source's settings",
        "malformed": "still defanged after ten rounds of refanging",
        "bad-hash": "wrong length or alphabet for this hash",
        "bad-email": "not an e-mail address",
        "not-a-file-path": "a command line or a pattern, not a file path",
        "not-a-file-name": "a path or a pattern, not a file name",
        "bad-registry-key": "does not start with a registry hive",
        "bad-asn": "not an autonomous system number (1 to 4294967295)",
        "bad-cve": "not a CVE identifier (CVE-YYYY-NNNN)",
        "bad-text": "holds control characters",
        "not-an-indicator": "says something about an indicator, as its type says (a text, a port, a size)",
        "reference": "a link to a report, kept as a reference of the indicators beside it",
        "unreadable": "a body that was pushed or dropped into a folder and could not be read; nothing of it was taken",
        "no-stix1": "a content block of a TAXII 1 answer that holds no STIX 1 but something else, or nothing",
        "deleted": "marked as deleted by its source",
        "revoked": "revoked by its publisher",
        "superseded": "an older version of an object that came with a newer one",
        "allow-entry": "an exception of its list, which says what is let through and not what is bad",
        "list-rule": "a rule of its list about more or other than one value (a path, a page's element, a name "
        "server, a condition)",
        "redirected": "its list answers this name with another address or name (a page, safe search); set "
        "redirects if such names are bad",
        "bad-pattern": "not a STIX pattern",
        "unsupported-pattern": "a rule in another language than STIX patterns (YARA, Sigma, Snort, ...)",
        "composite-pattern": "part of a condition on several things; no value of it is bad by itself",
        "negated-pattern": "a STIX pattern with a negation, which says what is not bad",
        "wildcard-pattern": "a LIKE with wildcards, which many values match",
        "related-object": "only related to what is bad (an address that a domain resolved to)",
        "unresolved-reference": "refers to an object that the document does not hold",
    }
)


class Reason(NamedTuple):
    """One reason: who gives it, and what it means."""

    by: str
    meaning: str


# What a node says of an indicator that it does not pass on; details follow the code after a colon.
NODE_REASONS: dict[str, Reason] = {
    "expired": Reason("every node", "the claim is over: its own end, or the source's `expire`"),
    "tlp": Reason("every output", "above the output's `max_tlp`, or red of another team"),
    "not-actionable": Reason("every output", "the source says not to act on it (`to_ids` off)"),
    "on warning list": Reason("every output", "it stands on a warning list in use that drops; the list is named"),
    "filter": Reason("filter, `where`", "the expression is not true for it"),
    "not-an-address": Reason("ranges", "only addresses, networks and ranges pass"),
    "allowed by": Reason("`allow`", "an allow-list holds it, or a domain or network above it; the entry is named"),
    "cut": Reason("`allow`", "an allow-list covers part of the range; its pieces go on as ranges of their own"),
    "network-too-wide": Reason("Defender, Sentinel", "more addresses than `expand` allows"),
    "unsupported-type": Reason("Defender, Sentinel", "the far side has no indicators of this type"),
    "md5-refused": Reason("Defender", "MD5 hashes are sent only with `md5: true`"),
    "action-not-allowed": Reason("Defender", "the configured action does not exist for this type"),
    "internal-address": Reason("Defender", "a private or reserved address; Defender takes those of the Internet"),
    "too-long": Reason("Defender", "longer than Defender takes (800 characters)"),
    "wildcard": Reason("Defender", "a domain with `*`; a domain covers its sub-domains anyway"),
}


def meaning(reason: str) -> str:
    """What a reason for dropping means, as a sentence; itself if there is none (details follow the code after a colon).

    >>> meaning("filter")
    'the expression is not true for it'
    """
    code = reason.partition(":")[0]
    found = NODE_REASONS.get(code)
    return DROP_REASONS.get(code) or (found.meaning if found else reason)
