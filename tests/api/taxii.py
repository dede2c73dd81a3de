"""A TAXII server on loopback over an engine that tests steer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from api.listening import listening
from engine.support import Given, Time, configuration, source
from tipline.api import taxii
from tipline.engine.core import Engine
from tipline.outputs.taxii import TaxiiKind, TaxiiSettings

KEY = "correct-horse-battery"
V21 = {"accept": "application/taxii+json;version=2.1"}
STIX_20 = {"accept": "application/vnd.oasis.stix+json; version=2.0"}
TAXII_20 = {"accept": "application/vnd.oasis.taxii+json; version=2.0"}


@dataclass
class Lab:
    """An engine with one feed and some collections, and its server's address."""

    engine: Engine
    feed: Given
    time: Time
    url: str

    def publish(self, rows: list[dict[str, Any]]) -> None:
        """Make this what the feed says, a minute later."""
        self.time.forward(minutes=1)
        self.feed.rows = rows
        self.engine.poll("feed")
        self.engine.evaluate()

    def id(self, name: str) -> str:
        """The identifier of a collection."""
        output = self.engine.graph.outputs[name]
        assert isinstance(output, TaxiiKind)
        return output.collection_id("lab")

    def address(self, name: str, *parts: str) -> str:
        """The address of a collection of the default team."""
        return "/".join([f"{self.url}/taxii2/api/collections/{self.id(name)}", *parts, ""])

    def get(self, address: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        """Ask."""
        names = {name.replace("match_", "match[") + "]" * name.startswith("match_"): v for name, v in query.items()}
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.get(address, headers=V21 if headers is None else headers, params=names)


def collection(name: str, **settings: Any) -> TaxiiKind:
    """A collection without a guard."""
    given = {"kind": "taxii", "inputs": "feed", "guard": {"enabled": False}, **settings}
    return TaxiiKind(name, TaxiiSettings.model_validate(given))


@contextmanager
def lab(directory: Path, *outputs: TaxiiKind) -> Iterator[Lab]:
    """A lab whose feed says nothing yet."""
    feed, time = source("feed"), Time()
    made = configuration(directory, feed, *outputs)
    made.settings = made.settings.model_copy(update={"instance": "lab"})
    with Engine(made, clock=time) as engine, listening(taxii.router(engine, engine.poll)) as url:
        yield Lab(engine, feed, time, url)


def domains(*numbers: int, **attributes: Any) -> list[dict[str, Any]]:
    """Rows of a feed."""
    return [{"value": f"host-{number}.example.com", "type": "domain", **attributes} for number in numbers]


def names(objects: list[dict[str, Any]]) -> list[str]:
    """The names of the indicators among objects."""
    return [each["name"] for each in objects if each["type"] == "indicator"]
