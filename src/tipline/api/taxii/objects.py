"""Objects, manifest and versions, page after page (2.1).

Facts: TAXII 2.1 section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.taxii.collections import Collections
from tipline.api.taxii.media import STIX_21, TAXII_21, TaxiiError, answer, not_found, wants
from tipline.api.taxii.numbered import Numbered
from tipline.api.taxii.query import MOST, Cursor, Filters, filters, limit
from tipline.engine.taxiistore import TaxiiStore
from tipline.outputs.taxii import TaxiiKind
from tipline.outputs.taxii_objects import Maker, Row, Spec, date_added, version_of


class Entry(NamedTuple):
    """One object of a page: its position, when it came, and what it says."""

    position: int
    added: datetime
    content: dict[str, Any]


@dataclass(frozen=True)
class Shelf:
    """One collection as one asker sees it."""

    store: TaxiiStore
    output: TaxiiKind
    maker: Maker
    created: datetime
    spec: Spec

    def fixed(self, asked: Filters) -> list[Entry]:
        """The objects that every other one refers to: they come first, before any position of the store."""
        made = self.maker.fixed(self.spec)
        numbered = [Entry(place - len(made), self.created, each) for place, each in enumerate(made)]
        return [entry for entry in numbered if asked.lets(entry.content, self.created)]

    def entries(self, rows: list[Row]) -> list[Entry]:
        """Objects of the store."""
        return [Entry(row.seq, row.stamp, self.maker.indicator(row, self.spec)) for row in rows]

    def page(self, asked: Filters, after: int | None, count: int) -> tuple[list[Entry], bool]:
        """The next objects, and whether there are more."""
        if self.spec == "2.1" and asked.specs is not None and "2.1" not in asked.specs:
            return [], False
        found = [entry for entry in self.fixed(asked) if after is None or entry.position > after]
        wanted = asked.wanted(self.spec)
        if wanted is not None and len(found) <= count:
            rows = self.store.page(self.output, max(after or 0, 0), count + 1 - len(found), wanted)
            found += self.entries(rows)
        return found[:count], len(found) > count


@dataclass(frozen=True)
class Objects:
    """Answers for what is in a collection."""

    collections: Collections
    store: TaxiiStore
    numbered: Numbered

    def objects(self, request: Request) -> Response:
        """The objects of a collection, a page at a time."""
        shelf = self._shelf(request, stix=True)
        asked = filters(request.query_params)
        if shelf.spec == "2.0":
            return self.numbered.bundle(request, shelf, asked)
        return self._page(request, shelf, asked, "objects", lambda entry: entry.content)

    def one(self, request: Request) -> Response:
        """One object by its identifier."""
        shelf = self._shelf(request, stix=True)
        asked = self._named(request, shelf)
        if shelf.spec == "2.0":
            return self.numbered.bundle(request, shelf, asked)
        return self._page(request, shelf, asked, "objects", lambda entry: entry.content)

    def manifest(self, request: Request) -> Response:
        """Identifiers, moments and versions of the objects, a page at a time."""
        shelf = self._shelf(request)
        asked = filters(request.query_params)
        if shelf.spec == "2.0":
            return self.numbered.manifest(request, shelf, asked)
        return self._page(request, shelf, asked, "objects", _record)

    def versions(self, request: Request) -> Response:
        """The versions that there are of one object."""
        shelf = self._shelf(request)
        if shelf.spec == "2.0":
            raise TaxiiError(HTTPStatus.NOT_ACCEPTABLE, f"versions are part of TAXII 2.1: accept {TAXII_21}")
        asked = self._named(request, shelf)
        return self._page(request, shelf, asked, "versions", lambda entry: version_of(entry.content))

    def _shelf(self, request: Request, *, stix: bool = False) -> Shelf:
        spec = wants(request, stix=stix)
        output = self.collections.one(request)
        maker = Maker(output, self.collections.instance)
        return Shelf(self.store, output, maker, self.store.created(output), spec)

    def _named(self, request: Request, shelf: Shelf) -> Filters:
        """The filters for the object that the address names.

        Raises:
            TaxiiError: 404, there is none.
        """
        identifier = request.path_params["object"]
        if not shelf.page(Filters().for_object(identifier), None, 1)[0]:
            raise not_found("object")
        return filters(request.query_params).for_object(identifier)

    def _page(
        self,
        request: Request,
        shelf: Shelf,
        asked: Filters,
        name: str,
        said: Callable[[Entry], Any],
    ) -> Response:
        query = request.query_params
        made = f"{shelf.output.collection_id(shelf.maker.instance)} {shelf.created.isoformat()}"
        cursor = Cursor(made, asked)
        count = min(limit(query), MOST)
        found, more = shelf.page(asked, cursor.read(query.get("next", "")), count)
        if not found:
            return answer({}, shelf.spec)
        going_on = {"more": True, "next": cursor.write(found[-1].position)} if more else {"more": False}
        if name == "versions":
            going_on.pop("next", None)
        headers = {
            "x-taxii-date-added-first": date_added(found[0].added),
            "x-taxii-date-added-last": date_added(found[-1].added),
        }
        return answer({**going_on, name: [said(entry) for entry in found]}, shelf.spec, headers=headers)


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.content["id"],
        "date_added": date_added(entry.added),
        "version": version_of(entry.content),
        "media_type": STIX_21,
    }
