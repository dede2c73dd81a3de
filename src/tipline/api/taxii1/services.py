"""The services of the TAXII 1.1 server: discovery, collection information, poll and poll fulfilment.

A result is a stretch of positions in a collection, cut into parts of equal length: which objects a part has needs no
memory between requests, and an object that changes meanwhile comes with the next poll.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tipline.api.access import gate
from tipline.api.taxii1.messages import (
    BINDING,
    SERVICES,
    STIX_1,
    Asked,
    StatusError,
    answer,
    closed,
    element,
    headers_for,
    moment_text,
    opened,
)  # fmt: skip
from tipline.engine.core import Engine
from tipline.engine.taxiistore import Span, TaxiiStore, Wanted
from tipline.outputs.render import stix1
from tipline.outputs.taxii import TaxiiKind

# Indicators in a part of a result, and in a content block.
_PART, _BLOCK = 10_000, 500
_RESULT = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_REALM = {"www-authenticate": 'Basic realm="tipline TAXII", charset="UTF-8"'}
_DISCOVERY, _MANAGEMENT, _POLL = (
    "/taxii-discovery-service", "/taxii-collection-management-service", "/taxii-poll-service",
)  # fmt: skip


@dataclass(frozen=True)
class Services:
    """Answers over an engine's collections."""

    engine: Engine
    store: TaxiiStore

    def discovery(self, request: Request, asked: Asked) -> Response:
        """Which services there are."""
        base, kind = _base(request), _protocol(request)
        services = "".join(
            f'<taxii_11:Service_Instance service_type="{name}" service_version="{SERVICES}" available="true">'
            + element("Protocol_Binding", kind)
            + element("Address", base + path)
            + element("Message_Binding", BINDING)
            + "</taxii_11:Service_Instance>"
            for name, path in (
                ("DISCOVERY", _DISCOVERY),
                ("COLLECTION_MANAGEMENT", _MANAGEMENT),
                ("POLL", _POLL),
            )
        )
        return answer(request, opened("Discovery_Response", asked) + services + closed("Discovery_Response"))

    def collections(self, request: Request, asked: Asked) -> Response:
        """Which collections the asker may read, and where they are polled."""
        every = [each for each in self.engine.graph.outputs.values() if isinstance(each, TaxiiKind)]
        found = [each for each in every if gate(self.engine).admits(each.settings, request)]
        if every and not found:
            raise _shut()
        described = "".join(
            f'<taxii_11:Collection collection_name="{name}" collection_type="DATA_FEED" available="true">'
            + element("Description", each.settings.description or each.settings.title or name)
            + f'<taxii_11:Content_Binding binding_id="{STIX_1}"/><taxii_11:Polling_Service>'
            + element("Protocol_Binding", _protocol(request))
            + element("Address", _base(request) + _POLL)
            + element("Message_Binding", BINDING)
            + "</taxii_11:Polling_Service></taxii_11:Collection>"
            for name, each in sorted((each.name, each) for each in found)
        )
        name = "Collection_Information_Response"
        return answer(request, opened(name, asked) + described + closed(name))

    def poll(self, request: Request, asked: Asked) -> Response:
        """What came into a collection in a span of time; large results come in parts."""
        output = self._collection(request, asked)
        if asked.begin and asked.end and asked.begin > asked.end:
            raise StatusError("BAD_MESSAGE", "the span ends before it begins")
        span = self.store.span(output, Wanted(asked.begin), asked.end)
        return self._answered(request, asked, output, span, 1)

    def part(self, request: Request, asked: Asked) -> Response:
        """A further part of a result."""
        output = self._collection(request, asked)
        found = _RESULT.fullmatch(asked.members.get("result_id", ""))
        number = asked.members.get("result_part_number", "")
        if found is None or not re.fullmatch(r"[0-9]{1,9}", number) or int(number) < 1:
            raise StatusError(
                "NOT_FOUND", "there is no such result", detail={"ITEM": asked.members.get("result_id", "")}
            )
        first, last, count = map(int, found.groups())
        return self._answered(request, asked, output, Span(first, last, count, self.engine.clock()), int(number))

    def _collection(self, request: Request, asked: Asked) -> TaxiiKind:
        name = asked.members.get("collection_name", "")
        output = self.engine.graph.outputs.get(name)
        if not isinstance(output, TaxiiKind):
            raise StatusError("NOT_FOUND", "there is no such collection", detail={"ITEM": name})
        if not gate(self.engine).admits(output.settings, request):
            raise _shut()
        return output

    def _answered(self, request: Request, asked: Asked, output: TaxiiKind, span: Span | None, number: int) -> Response:
        """One part of a result."""
        end = span.stamp if span else asked.begin or self.store.created(output)
        attributes = {"collection_name": output.name}
        if asked.count_only or span is None:
            content = self._head(asked, attributes, end, span.count if span else 0)
            return answer(request, content + closed("Poll_Response"))
        length, more = _cut(span, number)
        first = span.first + (number - 1) * length
        attributes |= {
            "more": "true" if more else "false",
            "result_id": f"{span.first}-{span.last}-{span.count}",
            "result_part_number": str(number),
        }
        is_first = asked.name == "Poll_Request"
        head = self._head(asked, attributes, end if is_first else None, span.count if is_first else None)
        blocks = self._blocks(output, first, min(first + length - 1, span.last))
        return StreamingResponse(_streamed(head, blocks), headers=headers_for(request), media_type="application/xml")

    def _head(self, asked: Asked, attributes: dict[str, str], end: datetime | None, count: int | None) -> str:
        begin = element("Exclusive_Begin_Timestamp", moment_text(asked.begin)) if asked.begin else ""
        until = element("Inclusive_End_Timestamp", moment_text(end)) if end else ""
        records = element("Record_Count", str(count)) if count is not None else ""
        return opened("Poll_Response", asked, **attributes) + begin + until + records

    def _blocks(self, output: TaxiiKind, first: int, last: int) -> Iterator[str]:
        """Content blocks, each with a package."""
        after = first - 1
        while found := self.store.texts(output, after, last, _BLOCK, _expression(output)):
            yield self._block(output, [each for _, each in found if each], str(after + 1))
            after = found[-1][0]

    def _block(self, output: TaxiiKind, texts: list[str], identity: str) -> str:
        now = self.engine.clock()
        settings = output.settings
        head, tail = stix1.package(
            f"{output.name}-{identity}", now, settings.title or output.name, settings.description
        )
        return (
            f'<taxii_11:Content_Block><taxii_11:Content_Binding binding_id="{STIX_1}"/><taxii_11:Content>'
            + head + "".join(texts) + tail
            + "</taxii_11:Content>" + element("Timestamp_Label", moment_text(now)) + "</taxii_11:Content_Block>"
        )  # fmt: skip


def _expression(output: TaxiiKind) -> str:
    """SQL: the element of an object; what was removed ended then, which is all that STIX 1 can say."""
    lifetime = output.settings.lifetime
    own = (
        "valid_until"
        if lifetime is None
        else f"coalesce(valid_until, stamp + INTERVAL {lifetime.total_seconds():.0f} SECOND)"
    )
    end = f"CASE WHEN removed THEN stamp ELSE {own} END"
    cases = " ".join(
        f"WHEN '{name}' THEN {stix1.element(name, 'id::VARCHAR', 'stamp', 'since', end)}" for name in stix1.TYPES_1
    )
    return f"CASE type {cases} END"


def _cut(span: Span, number: int) -> tuple[int, bool]:
    """The length of a part in positions, and whether there is one behind it."""
    stretch = span.last - span.first + 1
    length = max(1, stretch * _PART // max(span.count, 1))
    return length, number * length < stretch


def _streamed(head: str, blocks: Iterator[str]) -> Iterator[bytes]:
    yield head.encode()
    for block in blocks:
        yield block.encode()
    yield closed("Poll_Response").encode()


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _protocol(request: Request) -> str:
    return f"urn:taxii.mitre.org:protocol:{'https' if request.url.scheme == 'https' else 'http'}:1.0"


def _shut() -> StatusError:
    return StatusError("UNAUTHORIZED", "this asks for a key", HTTPStatus.UNAUTHORIZED, _REALM)
