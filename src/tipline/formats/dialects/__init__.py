"""Lists with a syntax of their own, as firewalls, resolvers, ad blockers and sensors read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tipline.formats.dialects import adblock, dnsmasq, hosts, ipset, rpz, suricata, unbound, zeek
from tipline.formats.dialects.rows import Reader

Dialect = Literal[
    "plain", "hosts", "dnsmasq", "unbound", "rpz", "adblock", "zeek", "suricata", "suricata-dataset",
    "suricata-iprep", "ipset",
]  # fmt: skip

#: Dialect to what makes the reader of one file, told whether names that are redirected are meant.
READERS: dict[str, Callable[[bool], Reader]] = {
    "hosts": hosts.reader,
    "dnsmasq": dnsmasq.reader,
    "unbound": unbound.reader,
    "rpz": rpz.Zone,
    "adblock": adblock.reader,
    "zeek": zeek.Intel,
    "suricata": lambda _: suricata.rules,
    "suricata-dataset": lambda _: suricata.dataset,
    "suricata-iprep": lambda _: suricata.reputation,
    "ipset": lambda _: ipset.entries,
}
