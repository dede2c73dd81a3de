"""A product that a template speaks to, as a far side."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tipline.errors import FarSideError
from tipline.microsoft.pace import Window
from tipline.microsoft.results import Fault, ItemResult, failed
from tipline.outputs.answers import checked, outcomes, sent
from tipline.outputs.delivery import Check, FarItem, FarSide, Outcome, Parcel, Refused, Row, sooner, spread
from tipline.outputs.events import moment, taken_back, told
from tipline.outputs.http_calls import Answer, Caller, Request
from tipline.outputs.http_filling import expression
from tipline.outputs.http_requests import BatchCalls, Calls, ConfirmCalls, ListCalls, parsed
from tipline.outputs.http_template import Call, Listing, Template
from tipline.sources.guardrails import mask_url
from tipline.store.receipts import Receipt

if TYPE_CHECKING:
    from tipline.outputs.http import Http

_NAMES = uuid.UUID("0d0d1f0c-6f7e-5a0e-9d57-3c1f0e6f6d53")


class HttpSide(FarSide):
    """One product at one address.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    def __init__(self, output: Http, instance: str, stop: threading.Event) -> None:
        self.output = output
        self.settings = output.settings
        self.template: Template = self.settings.spoken()
        self.identity = output.identity("", instance)
        self.fixed = {**self.template.values, **self.settings.values, "instance": instance, "output": output.name,
                      "owner": f"{instance}/{output.name}",
                      "channel": str(uuid.uuid5(_NAMES, f"{instance}/{output.name}"))}  # fmt: skip
        names, base = self.template.names(), self.settings.url
        self._words = {
            name: (expression(word.by, names), word.words) for name, word in self.template.words.items()
        }  # fmt: skip
        self._send = BatchCalls(self.template.send, base, names)
        self._remove = BatchCalls(self.template.remove, base, names)
        self.send_batch, self.withdraw_batch = self._send.batch.batch, self._remove.batch.batch
        windows = tuple(Window(limit.calls, limit.seconds) for limit in self.template.limits)
        self.caller = Caller(self.settings, stop, windows)
        self._prepared = False
        if self.template.listing is not None:
            self.settle = timedelta(seconds=self.template.listing.settle)

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The fields that fill the template, and the item that comes of them."""
        event, detail = told(row, receipt)
        expires, own_end = None, True
        if self.settings.lifetime is not None:
            expires, own_end = sooner(self.settings.lifetime, now, row.valid_until)
        refreshed = self.output.refreshed()
        due = None if own_end or refreshed is None else now + spread(refreshed, row.key)
        name = self._id(row.key)
        known = receipt.far_id if receipt is not None and receipt.identity == self.identity else None
        fields = self._fields(
            {**event.content, "event": event.event, "event_id": event.id, "id": name, "far_id": known,
             "digest": detail["digest"], "expires": moment(expires), "now": moment(now)},
        )  # fmt: skip
        far_id = None if self.template.send.answer.id else name
        return Parcel(
            row.key, row.type, row.value, (fields, self._send.item(fields)), far_id, self.identity, expires, due,
            detail=detail,
        )  # fmt: skip

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """The fields that a removal has."""
        event, detail = taken_back(receipt, false_positive=false_positive)
        name = self._id(receipt.key)
        fields = self._fields(
            {**event.content, "event": event.event, "event_id": event.id, "id": name,
             "far_id": receipt.far_id or name, "now": moment(now)},
        )  # fmt: skip
        payload = (fields, self._remove.item(fields))
        return Parcel(receipt.key, receipt.type, receipt.value, payload, receipt.far_id, receipt.identity,
                      detail={**receipt.detail, **detail})  # fmt: skip

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """The template's `send`."""
        if self.template.prepare is not None and not self._prepared:
            self._asked(self.template.prepare, "it cannot be prepared")
            self._prepared = True
        return outcomes(self._batches(self._send, parcels))

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """The template's `remove`."""
        return outcomes(self._batches(self._remove, parcels))

    def preview(self, parcels: Sequence[Parcel]) -> list[str]:
        """The requests of `send`, and the one before them."""
        first = [] if self.template.prepare is None else [self._calls(self.template.prepare).request(self.fixed)]
        return [self._shown(request) for request in [*first, *self._requests(self._send, parcels)]]

    def preview_withdrawal(self, parcels: Sequence[Parcel]) -> list[str]:
        """The requests of `remove`."""
        return [self._shown(request) for request in self._requests(self._remove, parcels)]

    def listing(self, now: datetime) -> Iterator[FarItem] | None:
        """What the product holds; None if the template cannot read it back."""
        del now
        return None if self.template.listing is None else self._pages(self.template.listing)

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """Take back copies that nobody wants."""
        parcels = [Parcel(item.key or "", item.type, item.value, self._erasing(item)) for item in items]
        return self.withdraw(parcels)

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """Whether its digest is another than what we would send."""
        theirs = item.content.get("digest")
        return ["content"] if theirs is not None and theirs != parcel.payload[0]["digest"] else []

    def probe(self) -> list[Check]:
        """The template's `check`, if it has one."""
        call = self.template.check
        if call is None:
            return []

        def work() -> str:
            self._asked(call, "the answer is not what the template expects")
            return "it answers, and takes the sign-in"

        return [checked(self.settings.template or "http", work)]

    def close(self) -> None:
        """Close the connections."""
        self.caller.close()

    def _fields(self, content: dict[str, Any]) -> dict[str, Any]:
        fields = {**self.fixed, **content, "of": {content["type"]: content["value"]}}
        found = {name: words.get(str(by(fields))) for name, (by, words) in self._words.items()}
        return {**fields, **found}

    def _id(self, key: str) -> str:
        return str(uuid.uuid5(_NAMES, f"{self.fixed['owner']}/{key}"))

    def _calls(self, call: Call) -> Calls:
        return Calls(call, self.settings.url, self.template.names())

    def _asked(self, call: Call, refusal: str) -> None:
        """A call that is not about indicators: its answer has to be as the template says."""
        calls, rules = self._calls(call), call.answer.rules()
        request = calls.request(self.fixed)
        where = mask_url(request.url)
        answer = self.caller.call(request, accept=calls.accept)
        if "ok" in rules and not rules["ok"](document := parsed(answer, where)):
            reason = rules["reason"](document) if "reason" in rules else None
            raise FarSideError(f"{refusal}: {reason or answer.status}", where=where)

    def _requests(self, calls: BatchCalls, parcels: Sequence[Parcel]) -> Iterator[Request]:
        items = [parcel.payload[1] for parcel in parcels]
        for group in calls.groups(items):
            yield calls.together(parcels[group][0].payload[0], items[group])

    def _shown(self, request: Request) -> str:
        return request.shown(self.caller.signing)

    def _batches(self, calls: BatchCalls, parcels: Sequence[Parcel]) -> list[ItemResult]:
        """Each group's results; what is acknowledged is not lost with a later group's failure."""
        results: list[ItemResult] = []
        for group in calls.groups([parcel.payload[1] for parcel in parcels]):
            try:
                results += self._group(calls, parcels[group])
            except FarSideError as error:
                if not results or error.code == "stopped":
                    raise
                rest = len(parcels) - len(results)
                fault = Fault.TRANSIENT if error.retryable else Fault.UNKNOWN
                return results + [failed(error.what, fault, retry_after=error.retry_after)] * rest
        return results

    def _group(self, calls: BatchCalls, parcels: Sequence[Parcel]) -> list[ItemResult]:
        def post(some: Sequence[Parcel]) -> list[ItemResult]:
            request = calls.together(some[0].payload[0], [parcel.payload[1] for parcel in some])
            answer = self.caller.call(request, accept=calls.accept)
            if answer.status in calls.accept and not answer.body.strip():
                return [ItemResult(ok=True)] * len(some)
            found = calls.results(answer, len(some), mask_url(request.url))
            if calls.confirm is not None and all(each.ok for each in found):
                self._confirmed(calls.confirm, answer, mask_url(request.url))
            return found

        return sent(parcels, post)

    def _confirmed(self, calls: ConfirmCalls, answer: Answer, where: str) -> None:
        """Wait until the product says that a batch is stored.

        Raises:
            FarSideError: it has not said so for too long: the batch is sent again, with the same numbers.
        """
        ack = calls.asked_about(answer, where)
        if ack is None:
            return
        request = calls.request({**self.fixed, "ack": ack})
        waited = 0.0
        while not calls.is_done(self.caller.call(request, accept=calls.accept), mask_url(request.url)):
            if waited >= calls.confirm.wait:
                what = f"it took a batch, and has not said for {calls.confirm.wait:g} s that it is stored"
                raise FarSideError(what, where=mask_url(request.url), retryable=True)
            self.caller.clock.wait(calls.confirm.pause)
            waited += calls.confirm.pause

    def _pages(self, listing: Listing) -> Iterator[FarItem]:
        calls = ListCalls(listing, self.settings.url, self.template.names())
        cursor, offset, page, before = None, 0, 1, None
        while True:
            request = calls.request({**self.fixed, "cursor": cursor, "offset": offset, "page": page})
            document = parsed(self.caller.call(request, accept=calls.accept), mask_url(request.url))
            found = calls.read("items", document) or []
            if found and found == before:
                raise FarSideError("the server gives the same page for ever", where=mask_url(request.url))
            yield from (self._item(calls, each) for each in found)
            after = calls.read("next", document)
            if not found or (listing.next is not None and after is None):
                return
            cursor, offset, page, before = after, offset + len(found), page + 1, found

    def _item(self, calls: ListCalls, each: Any) -> FarItem:
        owner, key = calls.read("owner", each), calls.read("key", each)
        ours = key is not None and (self.template.listing is None or not self.template.listing.owner
                                    or owner == self.fixed["owner"])  # fmt: skip
        return FarItem(
            far_id=str(calls.read("id", each)),
            type=str(calls.read("type", each) or ""),
            value=str(calls.read("value", each) or ""),
            key=str(key) if ours else None,
            identity=self.identity,
            by=str(owner or ""),
            content={"digest": calls.read("digest", each)},
        )

    def _erasing(self, item: FarItem) -> tuple[dict[str, Any], bytes]:
        fields = self._fields({"key": item.key, "type": item.type, "value": item.value, "event": "remove",
                               "event_id": str(uuid.uuid4()), "id": item.far_id, "far_id": item.far_id})  # fmt: skip
        return fields, self._remove.item(fields)
