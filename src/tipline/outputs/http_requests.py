"""A template's requests, filled: batches, pages, and what their answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tipline.errors import FarSideError
from tipline.microsoft.results import Fault, ItemResult, failed
from tipline.outputs.http_calls import Answer, HttpError, Request
from tipline.outputs.http_filling import Fill, filling, pieces, written
from tipline.outputs.http_template import Batch, Call, Confirm, Listing

_JSON, _NDJSON = "application/json", "application/x-ndjson"
Fields = Mapping[str, Any]


class Calls:
    """One call of a template.

    Args:
        call: the call.
        base: the address.
        names: what its expressions may start from.
    """

    def __init__(self, call: Call, base: str, names: set[str]) -> None:
        self.call = call
        self.accept = frozenset(call.answer.accept)
        self._base = base.rstrip("/")
        self._path = pieces(call.path, names)
        self._query: Fill = filling(call.query, names)
        self._headers: Fill = filling(call.headers, names)
        self._body: Fill | None = None if call.body is None else filling(call.body, names)

    def request(self, fields: Fields, content: bytes | None = None, kind: str = _JSON) -> Request:
        """The request; `content` in place of the template's body, and of this kind unless its headers name another."""
        if content is None and self._body is not None:
            content = orjson.dumps(self._body(fields))
        path = "".join(quote(part) if isinstance(part, str) else quote(written(part(fields)), safe="")
                       for part in self._path)  # fmt: skip
        query = {name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
                 for name, value in self._query(fields).items()}  # fmt: skip
        url = self._base + path + (f"?{urlencode(query)}" if query else "")
        headers = self._headers(fields)
        if content is not None and "content-type" not in map(str.lower, headers):
            headers = {"Content-Type": kind, **headers}
        return Request(self.call.method, url, content, headers)


class BatchCalls(Calls):
    """A call for batches."""

    def __init__(self, call: Batch, base: str, names: set[str]) -> None:
        super().__init__(call, base, names | {"items"})
        self.batch = call
        self.confirm = None if call.confirm is None else ConfirmCalls(call.confirm, base, names)
        self._item: Fill = filling(call.item, names)
        self._rules = call.answer.rules()

    def item(self, fields: Fields) -> bytes:
        """An indicator as it stands in a request."""
        made = self._item(fields)
        if self.batch.layout == "ndjson":
            return b"".join(orjson.dumps(line) + b"\n" for line in (made if isinstance(made, list) else [made]))
        return b"" if self.batch.item is None else orjson.dumps(made)

    def groups(self, items: Sequence[bytes]) -> Iterator[slice]:
        """The items that go together."""
        most = 1 if self.batch.layout == "single" else self.batch.batch
        start = size = 0
        for index, item in enumerate(items):
            if index > start and (index - start >= most or size + len(item) > self.batch.max_bytes):
                yield slice(start, index)
                start, size = index, 0
            size += len(item)
        if start < len(items):
            yield slice(start, len(items))

    def together(self, fields: Fields, items: Sequence[bytes]) -> Request:
        """The request for a group; `fields` are those of its first item."""
        layout = self.batch.layout
        if layout == "ndjson":
            return self.request(fields, b"".join(items), _NDJSON)
        if layout == "single":
            return self.request(fields, items[0] or None)
        if self.batch.body is None:
            return self.request(fields, b"[" + b",".join(items) + b"]")
        return self.request({**fields, "items": [orjson.loads(item) for item in items]})

    def results(self, answer: Answer, count: int, where: str) -> list[ItemResult]:
        """What the answer says of each item.

        Raises:
            HttpError: the batch was refused as a whole (it is worth halving).
            FarSideError: the answer does not tell.
        """
        if not self._rules:
            return [ItemResult(ok=True)] * count
        document = parsed(answer, where)
        if "items" not in self._rules:
            one = self._result(document)
            if one.ok:
                return [one] * count
            retryable = one.fault is Fault.TRANSIENT
            status = answer.status if retryable else 422
            raise HttpError(one.reason or "refused", where=where, status=status, retryable=retryable)
        found = self._rules["items"](document)
        if not isinstance(found, list) or len(found) != count:
            number = len(found) if isinstance(found, list) else "no"
            raise FarSideError(
                f"the answer has {number} results for {count} items",
                where=where,
                fix="is answer.items right, and is this the product that the template is for?",
            )
        return [self._result(each) for each in found]

    def _result(self, result: Any) -> ItemResult:
        def rule(name: str) -> Any:
            return self._rules[name](result) if name in self._rules else None

        identifier = rule("id")
        if "ok" not in self._rules or rule("ok"):
            return ItemResult(ok=True, id=None if identifier is None else str(identifier))
        reason = str(rule("reason") or orjson.dumps(result)[:200].decode())
        return failed(reason, Fault.TRANSIENT if rule("retry") else Fault.INVALID)


class ConfirmCalls(Calls):
    """Asking whether a batch is stored."""

    def __init__(self, call: Confirm, base: str, names: set[str]) -> None:
        super().__init__(call, base, names | {"ack"})
        self.confirm = call
        self._rules = call.rules()

    def asked_about(self, answer: Answer, where: str) -> Any:
        """What a batch's answer gives to ask about; None: nothing."""
        return self._rules["id"](parsed(answer, where))

    def is_done(self, answer: Answer, where: str) -> bool:
        """Whether the batch is stored."""
        return bool(self._rules["done"](parsed(answer, where)))


class ListCalls(Calls):
    """Reading back."""

    def __init__(self, call: Listing, base: str, names: set[str]) -> None:
        super().__init__(call, base, names | {"cursor", "offset", "page"})
        self._rules = call.rules()

    def read(self, name: str, data: Any) -> Any:
        """A rule applied; None where there is no such rule."""
        return self._rules[name](data) if name in self._rules else None


def parsed(answer: Answer, where: str) -> Any:
    """The answer as JSON; null when it is empty.

    Raises:
        FarSideError: it is something else.
    """
    try:
        return orjson.loads(answer.body) if answer.body.strip() else None
    except orjson.JSONDecodeError:
        raise FarSideError(
            f"the server answered {answer.status} with something that is not JSON",
            where=where,
            fix="look for a proxy or portal in between",
            retryable=True,
        ) from None
