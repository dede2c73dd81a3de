"""The formats by name."""

from __future__ import annotations

from tipline.outputs.render import (
    bluecoat,
    carbonblack,
    checkpoint,
    csv,
    ecs,
    ipset,
    json,
    lines,
    mwg,
    nftables,
    plain,
    rpz,
    stix1,
    stix2,
    suricata,
    tables,
    urls,
    wazuh,
    zeek,
)
from tipline.outputs.render.dialect import Dialect, Format, Layout
from tipline.outputs.render.spec import UNNAMED, Context, Spec

SPECS: dict[Format, Spec] = {
    "plain": plain.SPEC,
    "csv": csv.SPEC,
    "json": json.SPEC,
    "json-seq": json.SEQUENCE,
    "panosurl": urls.PANOSURL,
    "mwg": mwg.SPEC,
    "bluecoat": bluecoat.SPEC,
    "carbonblack": carbonblack.SPEC,
    "edl-url": urls.EDL,
    "checkpoint": checkpoint.SPEC,
    "nftables": nftables.SPEC,
    "ipset": ipset.SPEC,
    "rpz": rpz.SPEC,
    "suricata": suricata.SPEC,
    "zeek": zeek.SPEC,
    "wazuh": wazuh.SPEC,
    "splunk": tables.SPLUNK,
    "kql": tables.KQL,
    "ecs": ecs.SPEC,
    "stix1": stix1.SPEC,
    "stix2": stix2.SPEC,
    **lines.SPECS,
}
EXTENSIONS: dict[Format, str] = {name: spec.extension for name, spec in SPECS.items()}
MEDIA_TYPES: dict[Format, str] = {name: spec.media for name, spec in SPECS.items()}
# Raised when the text of an unchanged list would change, so that prepared files are made anew.
VERSION = 2


def layout(dialect: Dialect, context: Context = UNNAMED) -> Layout:
    """What stands around the records."""
    return SPECS[dialect.format].frame(dialect, context)
