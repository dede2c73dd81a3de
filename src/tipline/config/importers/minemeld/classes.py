"""Every class of MineMeld's: what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tipline.config.importers.minemeld import miners
from tipline.config.importers.minemeld.miners import Reader

Sort = Literal["miner", "processor", "output"]


@dataclass(frozen=True)
class Class:
    """One class.

    Attributes:
        sort: what it does in MineMeld.
        becomes: for the table in the documentation.
        reader: makes a miner's source; None: the library has it, or nothing does.
        kind: of an output or processor.
    """

    sort: Sort
    becomes: str
    reader: Reader | None = None
    kind: str = ""


_PUSH = "an empty `local` source of its name: let a script push what the service gives ([how](push-indicators-in.md))"
_EDL = "`list`: let PAN-OS read it as an external dynamic list (`v=edl-ip`)"
_LIBRARY = "the library's entry for the same feed"


def _miner(becomes: str, reader: Reader | None = None) -> Class:
    return Class("miner", becomes, reader)


CLASSES: dict[str, Class] = {
    "http.HttpFT": _miner("`lines`; a regular expression becomes `pattern`", miners.http),
    "csv.CSVFT": _miner("`csv`", miners.csv),
    "bambenek.Miner": _miner("`csv` with basic sign-in", miners.csv),
    "json.SimpleJSON": _miner("`json`", miners.json),
    "mm.JSONSEQMiner": _miner("`json`, which reads the other MineMeld's feed as `v=json`", miners.minemeld),
    "local.YamlFT": _miner("`local`, its entries as a file for `tipline add`", miners.local),
    "local.YamlIPv4FT": _miner("`local`, its entries as a file for `tipline add`", miners.local),
    "local.YamlIPv6FT": _miner("`local`, its entries as a file for `tipline add`", miners.local),
    "local.YamlURLFT": _miner("`local`, its entries as a file for `tipline add`", miners.local),
    "local.YamlDomainFT": _miner("`local`, its entries as a file for `tipline add`", miners.local),
    "localdb.Miner": _miner("`local`, its entries with what is left of their time to live", miners.local),
    "taxii.TaxiiClient": _miner("`taxii1`", miners.taxii1),
    "taxii2.Taxii2Client": _miner("`taxii2`; the certificate is checked now", miners.taxii2),
    "auscert.MaliciousURLFeed": _miner("`lines` with the key in a header", miners.auscert),
    "threatq.Export": _miner("`csv` of type and value; the address is a secret", miners.threatq),
    "recordedfuture.IPRiskList": _miner("`csv` with the token in a header", miners.recordedfuture),
    "recordedfuture.DomainRiskList": _miner("`csv` with the token in a header", miners.recordedfuture),
    "recordedfuture.MasterRiskList": _miner("`csv` with the token in a header", miners.recordedfuture),
    "o365.O365API": _miner(_LIBRARY),
    "o365.O365XML": _miner("nothing: Microsoft ended the feed in 2018; `tipline library search microsoft 365`"),
    "azure.AzureJSON": _miner(_LIBRARY),
    "azure.AzureXML": _miner("nothing: Microsoft ended the feed; `tipline library search azure`"),
    "google.GoogleNetBlocks": _miner(_LIBRARY),
    "google.GoogleCloudNetBlocks": _miner(_LIBRARY),
    "anomali.Intelligence": _miner(_PUSH),
    "autofocus.ExportList": _miner(f"{_PUSH}; AutoFocus has ended"),
    "cif.Feed": _miner(_PUSH),
    "ciscoise.ErsSgt": _miner(_PUSH),
    "cofense.Triage": _miner(_PUSH),
    "phishme.Intelligence": _miner(_PUSH),
    "proofpoint.EmergingThreatsIP": _miner(_PUSH),
    "proofpoint.EmergingThreatsDomain": _miner(_PUSH),
    "threatconnect.IndicatorsMiner": _miner(_PUSH),
    "threatconnect.GroupsMiner": _miner(_PUSH),
    "tmt.DTIAPI": _miner(_PUSH),
    "visa.VTI": _miner(_PUSH),
    "vt.Notifications": _miner(_PUSH),
    "syslog.SyslogMiner": _miner(_PUSH),
    "mmmisp.Miner": _miner("`misp`", miners.misp),
    "taxiing.Miner": _miner("`taxii1`", miners.taxii1),
    "mmprismaaccess.Miner": _miner(_PUSH),
    "op.AggregateFT": Class("processor", "`filter` and `aggregate`", kind="aggregate"),
    "ipop.AggregateIPv4FT": Class("processor", "`filter` and `ranges`: disjoint, minus the allowed", kind="ranges"),
    "syslog.SyslogMatcher": Class("processor", "`aggregate`: what it passes on is not matched with syslog any more",
                                  kind="aggregate"),
    "redis.RedisSet": Class("output", "`list` at the same address, as MineMeld wrote it", kind="list"),
    "taxii.DataFeed": Class("output", "`taxii`, served over TAXII 1.1 at the same addresses, and over 2", kind="taxii"),
    "logstash.LogstashOutput": Class("output", "`syslog` with JSON over TCP, in shadow mode", kind="syslog"),
    "cef.Output": Class("output", "`syslog` with CEF, in shadow mode", kind="syslog"),
    "dag.DagPusher": Class("output", _EDL, kind="list"),
    "dag_ng.DagPusher": Class("output", _EDL, kind="list"),
    "microsoft_wd_atp.Output": Class("output", "`microsoft-defender` in shadow mode", kind="microsoft-defender"),
    "microsoft_wd_atp.OutputBatch": Class("output", "`microsoft-defender` in shadow mode", kind="microsoft-defender"),
    "microsoft_graph_secapi.Output": Class("output", "`microsoft-sentinel` in shadow mode", kind="microsoft-sentinel"),
}  # fmt: skip


def class_of(name: str) -> Class:
    """A class by its name; extensions name theirs by several paths. Unknown ones are miners that nothing reads."""
    short = name.removeprefix("minemeld.ft.")
    for known, found in CLASSES.items():
        package, _, last = known.partition(".")
        if short == known or (short.startswith(f"{package}.") and short.endswith(f".{last}")):
            return found
    return _miner(_PUSH)
