"""TAXII 2.0: objects and manifest by the numbers of a Range header.

Numbers shift when objects change while a client reads. So the order that a client began with is remembered,
and what changes is appended to it: an object that moved leaves a hole, and comes again at the end.
Facts: TAXII 2.0 sections 3.4 and 5.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from array import array
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.taxii.media import STIX_20, TaxiiError, answer
from tipline.api.taxii.query import DEFAULT_LIMIT, MOST, Filters
from tipline.outputs.taxii_objects import date_added, version_of

if TYPE_CHECKING:
    from tipline.api.taxii.objects import Entry, Shelf

_RANGE = re.compile(r"items[ =](\d{1,18})-(\d{1,18})", re.ASCII)
# How long, and of how many clients, an order is remembered: a million positions take 8 MB.
_SECONDS, _MOST_ORDERS = 3_600.0, 8


@dataclass(frozen=True)
class Numbered:
    """Answers by number; remembers the orders that clients began with."""

    _orders: OrderedDict[Hashable, tuple[float, array[int]]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bundle(self, request: Request, shelf: Shelf, asked: Filters) -> Response:
        """Objects as a STIX 2.0 bundle."""
        found, status, headers = self._cut(request, shelf, asked)
        content = {
            "type": "bundle",
            "id": f"bundle--{uuid.uuid4()}",
            "spec_version": "2.0",
            **({"objects": [entry.content for entry in found]} if found else {}),
        }
        return answer(content, shelf.spec, stix=True, status=status, headers=headers)

    def manifest(self, request: Request, shelf: Shelf, asked: Filters) -> Response:
        """Identifiers, moments and versions."""
        found, status, headers = self._cut(request, shelf, asked)
        records = [_record(entry) for entry in found]
        return answer({"objects": records} if records else {}, shelf.spec, status=status, headers=headers)

    def _cut(self, request: Request, shelf: Shelf, asked: Filters) -> tuple[list[Entry], int, dict[str, str]]:
        """The objects of the numbers asked for, with the status and the headers that say which they are."""
        text = request.headers.get("range")
        start, end = (0, DEFAULT_LIMIT - 1) if text is None else _numbers(text)
        fixed = shelf.fixed(asked)
        order = self._order(request, shelf, asked, fresh=start == 0)
        total = len(fixed) + len(order)
        accepts = {"accept-ranges": "items"}
        if start >= total and start > 0:
            raise TaxiiError(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "the range starts past the end",
                {**accepts, "content-range": f"items */{total}"},
            )
        if not total:
            return [], HTTPStatus.OK, {**accepts, "content-range": "items */0"}
        end = min(end, total - 1, start + MOST - 1)
        found = fixed[start : end + 1]
        places = order[max(start - len(fixed), 0) : max(end + 1 - len(fixed), 0)]
        wanted = asked.wanted(shelf.spec)
        if wanted is not None:
            found += shelf.entries(shelf.store.at(shelf.output, places, wanted))
        whole = text is None and end == total - 1
        headers = {**accepts, "content-range": f"items {start}-{end}/{total}"}
        if found:
            headers |= {
                "x-taxii-date-added-first": date_added(found[0].added),
                "x-taxii-date-added-last": date_added(found[-1].added),
            }
        return found, HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT, headers

    def _order(self, request: Request, shelf: Shelf, asked: Filters, *, fresh: bool) -> array[int]:
        """The positions of all objects in the order that this client began with, and what came since."""
        wanted = asked.wanted(shelf.spec)
        if wanted is None:
            return array("q")
        host = request.client.host if request.client else ""
        key = (host, request.headers.get("authorization", ""), shelf.output.name, asked)
        with self._lock:
            made, known = self._orders.pop(key, (0.0, array("q")))
        if fresh or time.monotonic() - made > _SECONDS:
            known = array("q")
        newer = shelf.store.positions(shelf.output, known[-1] if known else 0, wanted)
        order = known + newer if newer else known
        with self._lock:
            self._orders[key] = (time.monotonic(), order)
            while len(self._orders) > _MOST_ORDERS:
                self._orders.popitem(last=False)
        return order


def _numbers(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text.strip())
    start, end = (int(match[1]), int(match[2])) if match else (1, 0)
    if end < start:
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        raise TaxiiError(status, "Range must be such as items 0-99", {"accept-ranges": "items"})
    return start, end


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.content["id"],
        "date_added": date_added(entry.added),
        "versions": [version_of(entry.content)],
        "media_types": [STIX_20],
    }
