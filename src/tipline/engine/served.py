"""Outputs that are served over HTTP: where each can be read."""

from __future__ import annotations

from urllib.parse import quote

from tipline.engine.core import Engine
from tipline.outputs.access import AccessSettings
from tipline.outputs.list import ListKind
from tipline.outputs.misp_feed import MispFeedKind
from tipline.outputs.render import SPECS
from tipline.outputs.render.dialect import FORMATS, dialect
from tipline.outputs.taxii import TaxiiKind, root_of
from tipline.store.schema import published_table

FOR_MISP, FOR_TAXII = "misp-feed", "taxii"


def served(engine: Engine) -> dict[str, AccessSettings]:
    """The outputs that are served, with who may read each."""
    found = {name: output.settings for name, output in sorted(engine.graph.outputs.items())}
    return {name: settings for name, settings in found.items() if isinstance(settings, AccessSettings)}


def addresses(engine: Engine, name: str) -> dict[str, str]:
    """The address (below the server's) of each form that an output can be read in; none if it is not served."""
    output = engine.graph.outputs.get(name)
    if isinstance(output, TaxiiKind):
        return {FOR_TAXII: f"/taxii2/{quote(root_of(output.settings.team))}/collections/{quote(name)}/"}
    if isinstance(output, MispFeedKind):
        return {FOR_MISP: f"/misp/{quote(name)}/"}
    if not isinstance(output, ListKind):
        return {}
    table = published_table(engine.graph.ids[name])
    with engine.lake.reading() as con:
        types = {str(kind) for (kind,) in con.execute(f"SELECT DISTINCT type FROM {table}").fetchall()}
    return dialects(name, types)


def dialects(name: str, types: set[str]) -> dict[str, str]:
    """The address of each dialect that can carry something of these types; of no types (an empty list), of each."""
    plain = f"/feeds/{quote(name)}"
    found: dict[str, str] = {}
    for form in FORMATS:
        carried = SPECS[form].carried(dialect(form))
        if carried is None or not types or types & set(carried):
            found[form] = plain if form == "plain" else f"{plain}?v={form}"
    return found


def reader_of(form: str) -> str:
    """The program that reads a form, for people."""
    others = {FOR_MISP: "MISP, as a feed", FOR_TAXII: "TAXII 2.1, 2.0 and 1.1 clients"}
    return others.get(form) or next(spec.reader for name, spec in SPECS.items() if name == form)
