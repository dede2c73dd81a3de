"""The library and the kinds of nodes, in the shape of MineMeld's prototypes; they are read only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from tipline.api.minemeld.calls import Call, MissingError, Route
from tipline.config.library import Entry, entries
from tipline.engine.people import RequestError
from tipline.kinds import Sort, kinds
from tipline.model.types import TYPES

_HOME = "https://github.com/PaloAltoNetworks/minemeld-node-prototypes"
_SORTS: dict[Sort, str] = {"source": "miner", "processor": "processor", "output": "output"}
_SHARE = {"clear": "White", "green": "Green", "amber": "Amber", "amber+strict": "Amber", "red": "Red"}
_KEYS = {
    "class": "class", "developmentStatus": "development_status", "config": "config", "nodeType": "node_type",
    "description": "description", "indicatorTypes": "indicator_types", "tags": "tags",
}  # fmt: skip
Prototype = dict[str, Any]


def listed(_call: Call) -> dict[str, Any]:
    """The library (`library`, and under MineMeld's names) and the kinds of nodes, as prototypes."""
    return _libraries()


def shown(call: Call) -> Prototype:
    """One prototype, such as `library.dshield-block`, `dshield.block` or `sources.lines`."""
    library, _, name = call.part("name").partition(".")
    found = _libraries().get(library, {}).get("prototypes", {}).get(name)
    if found is None:
        raise MissingError("Unknown prototype")
    return {word: _yaml(found[key]) if key == "config" else found[key] for word, key in _KEYS.items()}


def refused(_call: Call) -> None:
    """Prototypes are not changed."""
    raise RequestError("prototypes are read only: write settings into the configuration")


@lru_cache(maxsize=1)
def _libraries() -> dict[str, Any]:
    """Libraries by name, as `/prototype` lists them."""
    found: dict[str, Any] = {}
    for library, about, name, prototype in (*_ready_made(), *_kinds()):
        place = found.setdefault(library, {"description": about, "url": _HOME, "prototypes": {}})
        place["prototypes"].setdefault(name, prototype)
    return found


def _ready_made() -> Iterator[tuple[str, str, str, Prototype]]:
    for name, entry in entries().items():
        prototype = _of_entry(entry)
        yield "library", "Ready-made sources", name, prototype
        for stock in entry.minemeld:
            library, _, old = stock.partition(".")
            yield library, entry.provider, old, prototype


def _of_entry(entry: Entry) -> Prototype:
    kind = TYPES.get(str(entry.source.get("type")))
    share = _SHARE.get(str(entry.source.get("tlp")))
    return {
        "author": entry.provider,
        "development_status": "DEPRECATED" if entry.status == "dead" else "STABLE",
        "node_type": "miner",
        "indicator_types": [kind.minemeld or kind.name] if kind else ["any"],
        "tags": [*entry.source.get("tags", []), *([f"ShareLevel{share}"] if share else [])],
        "description": entry.description,
        "class": f"tipline.sources.{entry.source['kind']}",
        "config": {word: value for word, value in entry.source.items() if word != "kind"},
    }


def _kinds() -> Iterator[tuple[str, str, str, Prototype]]:
    for sort, word in _SORTS.items():
        for name, kind in kinds(sort).items():
            example = YAML(typ="safe").load(kind.example)
            yield f"{sort}s", f"Kinds of {sort}s", name, {
                "author": "tipline",
                "development_status": "STABLE",
                "node_type": word,
                "indicator_types": ["any"],
                "tags": [],
                "description": kind.summary(),
                "class": f"tipline.{sort}s.{name}",
                "config": {key: value for key, value in example.items() if key not in {"kind", "inputs"}},
            }  # fmt: skip


def _yaml(config: Any) -> str:
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(config, text)
    return text.getvalue()


ROUTES = (
    Route("/prototype", "read", listed),
    Route("/prototype/{name}", "read", shown),
    Route("/prototype/{name}", "read", refused, ("POST", "DELETE")),
)
