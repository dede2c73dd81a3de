"""Client of the Defender for Endpoint Indicators API.

Facts: the API's pages on the list, import, delete and batch delete of indicators, and on its common errors.
What they leave open (whether a batch delete refused for one unknown id deletes the others) is handled both
ways.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any, Self

from tipline.errors import ConfigError, FarSideError
from tipline.microsoft import explain
from tipline.microsoft.clouds import Endpoints
from tipline.microsoft.pace import RateLimiter, Window
from tipline.microsoft.results import Budget, Fault, ItemResult, by_status, divide, failed
from tipline.microsoft.signin import TokenSource
from tipline.microsoft.transport import Api, ApiError, Connection

IMPORT_BATCH = 500
DELETE_BATCH = 500
PAGE = 10_000
CONFIRM_UP_TO = 50  # ids that are asked for one by one before they are believed to be gone
SPLIT_CALLS = 64  # calls spent on taking one refused batch apart: about two minutes of the import budget
QUOTA_SPLIT_CALLS = 20  # the same when the tenant is full: enough to find out how many still fit
LIMITS: dict[str, tuple[Window, ...]] = {
    "import": (Window(30, 60.0),),
    "list": (Window(100, 60.0), Window(1500, 3600.0)),
    "delete": (Window(100, 60.0), Window(1500, 3600.0)),
    "batch-delete": (Window(30, 60.0), Window(1500, 3600.0)),
}
_QUOTA = re.compile(r"quota|15[,.]?000|(?:maximum|limit).{0,40}indicators|limit.{0,20}reached", re.IGNORECASE)
_TRANSIENT = re.compile(
    r"internal ?(?:server ?)?error|timed? ?out|try again|throttl|too ?many|unavailable|busy", re.IGNORECASE
)
_INVALID = re.compile(
    r"invalid|not (?:valid|supported|allowed)|missing|required|cannot|can't|must |internal ip|empty|too long",
    re.IGNORECASE,
)


class DefenderClient:
    """Reads and writes the indicators of one tenant.

    Args:
        endpoints: where Defender's API is.
        tokens: the app's sign-in, usually a `Credentials`.
        connection: how to reach it.
        limiter: shared by all clients of the same app; None makes one of its own.

    Raises:
        ConfigError: the cloud has no Defender API.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        tokens: TokenSource,
        connection: Connection | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        if not endpoints.defender_url:
            raise ConfigError("Defender's API is not offered in this cloud", fix="use another `cloud`")
        connection = connection or Connection()
        self._api = Api(
            service="Defender",
            base_url=f"{endpoints.defender_url}/api/indicators",
            scope=endpoints.defender_scope,
            tokens=tokens,
            limiter=limiter or RateLimiter(LIMITS, connection.clock),
            connection=connection,
            advise=_advice,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def roles(self) -> frozenset[str]:
        """The application roles in the app's token (not verified).

        Raises:
            SignInError: sign-in failed.
        """
        return explain.roles(self._api.tokens.token(self._api.scope))

    def probe(self) -> frozenset[str]:
        """Test that the app may write, by importing nothing; the roles its token has.

        Raises:
            SignInError: sign-in failed.
            ApiError: the app may not write, or Defender cannot be reached; the message says what to do.
        """
        self._api.call("POST", "/import", "import", body={"Indicators": []}, accept={400})
        return self.roles()

    def list_all(self, filter_: str | None = None) -> Iterator[dict[str, Any]]:
        """Every active indicator the app may see (with `Ti.ReadWrite` only its own), each once.

        Args:
            filter_: OData, such as "indicatorValue eq 'a.example'"; quote values with `odata_quote`.

        Raises:
            ApiError: refused or not reached; the list is then incomplete and must not be used as one.
        """
        seen: set[str] = set()
        link, skip = "", 0
        while True:
            page = self._page(link, filter_, skip)
            fresh = [row for row in page["value"] if str(row.get("id")) not in seen]
            yield from fresh
            seen.update(str(row.get("id")) for row in fresh)
            skip += len(page["value"])
            link = page.get("@odata.nextLink") or ""
            # Without a link the end is only certain at a page that brings nothing new: a service that caps
            # pages below what was asked for would otherwise look like a tenant that lost its indicators.
            if not link and not fresh:
                return

    def _page(self, link: str, filter_: str | None, skip: int) -> dict[str, Any]:
        params = {"$top": str(PAGE)}
        if skip:
            params["$skip"] = str(skip)
        if filter_:
            params["$filter"] = filter_
        answer = self._api.call("GET", link, "list", params=None if link else params)
        if not isinstance(answer.body, dict) or not isinstance(answer.body.get("value"), list):
            raise ApiError("the list of indicators has no `value`", where="Defender", retryable=True)
        return answer.body

    def import_indicators(self, items: Sequence[dict[str, Any]]) -> list[ItemResult]:
        """Create or update up to 500 indicators; a result for each, in order.

        An import that is refused as a whole is taken apart to isolate the bad items; the good ones are sent.

        Args:
            items: bodies as `body_for` makes them.

        Raises:
            ValueError: more than 500 items.
            FarSideError: nothing is known to be done; sending the same items again does no harm.
        """
        _within(items, IMPORT_BATCH)
        if not items:
            return []
        try:
            return self._import(items)
        except ApiError as refusal:
            if refusal.status not in {400, 413}:
                raise
            full = _single_fault(refusal) is Fault.QUOTA
            budget = Budget(QUOTA_SPLIT_CALLS if full else SPLIT_CALLS)
            return divide(items, refusal, send=self._import, judge=_single_fault, budget=budget)

    def _import(self, items: Sequence[dict[str, Any]]) -> list[ItemResult]:
        answer = self._api.call("POST", "/import", "import", body={"Indicators": list(items)})
        rows = answer.body.get("value") if isinstance(answer.body, dict) else None
        if not isinstance(rows, list):
            raise ApiError("the answer to an import has no `value`", where="Defender", retryable=True)
        values = [str(item.get("indicatorValue", "")) for item in items]
        return [_item_result(row) for row in matched(values, rows)]

    def delete(self, ids: Sequence[str]) -> list[ItemResult]:
        """Delete up to 500 indicators by Defender's id; one that is gone already counts as deleted.

        Raises:
            ValueError: more than 500 ids.
            FarSideError: nothing is known to be done; deleting the same ids again does no harm.
        """
        _within(ids, DELETE_BATCH)
        unique = list(dict.fromkeys(ids))
        if not unique:
            return []
        try:
            results = self._delete(unique)
        except ApiError as refusal:
            if not self._may_isolate(refusal):
                raise
            results = divide(
                unique,
                refusal,
                send=self._delete,
                judge=_single_fault,
                budget=Budget(SPLIT_CALLS),
                splits=self._may_isolate,
            )
        by_id = dict(zip(unique, results, strict=True))
        return [by_id[each] for each in ids]

    def _delete(self, ids: Sequence[str]) -> list[ItemResult]:
        try:
            return self._delete_batch(ids)
        except ApiError as refusal:
            if refusal.status == 404:
                return self._delete_known(ids)
            raise

    def _delete_batch(self, ids: Sequence[str]) -> list[ItemResult]:
        self._api.call("POST", "/BatchDelete", "batch-delete", body={"IndicatorIds": list(ids)})
        return [ItemResult(ok=True, id=each) for each in ids]

    def _may_isolate(self, refusal: FarSideError) -> bool:
        """Whether some ids only are to blame: malformed ones, or ones outside the device groups."""
        if refusal.status == 403:
            return bool(explain.DEFENDER_ROLES & self.roles())
        return by_status(refusal)

    def _delete_known(self, ids: Sequence[str]) -> list[ItemResult]:
        """Delete the ids that exist, after a batch was refused because some do not.

        Nobody says whether the refused batch deleted the others. The list, read after it, tells: what it
        still shows is deleted in a batch. What it no longer shows is gone; a few of them are asked for one by
        one to be sure, many are not, since that would eat the hour's calls.
        """
        present = {str(row.get("id")) for row in self.list_all()}
        visible = [each for each in ids if each in present]
        hidden = [each for each in ids if each not in present]
        results = {each: ItemResult(ok=True, id=each) for each in hidden}
        if len(hidden) <= CONFIRM_UP_TO:
            results.update({each: self._delete_one(each) for each in hidden})
        if visible:
            results.update(zip(visible, self._delete_visible(visible), strict=True))
        return [results[each] for each in ids]

    def _delete_visible(self, ids: Sequence[str]) -> list[ItemResult]:
        try:
            return self._delete_batch(ids)
        except ApiError as refusal:
            if refusal.status in {400, 403, 404}:
                return [self._delete_one(each) for each in ids]
            return [_refused(refusal, each) for each in ids]

    def _delete_one(self, identifier: str) -> ItemResult:
        try:
            self._api.call("DELETE", f"/{identifier}", "delete", accept={404})
        except FarSideError as error:
            return _refused(error, identifier)
        return ItemResult(ok=True, id=identifier)


def odata_quote(value: str) -> str:
    """A string literal for a `$filter`: in single quotes, those inside doubled."""
    return "'" + value.replace("'", "''") + "'"


def matched(values: Sequence[str], rows: Sequence[Any]) -> list[dict[str, Any] | None]:
    """The answer's row for each value of the request; None where the answer has none.

    Rows are documented to come in the order of the request, but they name their indicator, so the name counts
    first; rows whose name was changed on the way are taken in order if they are as many as the values left.
    """
    by_name: defaultdict[str, deque[int]] = defaultdict(deque)
    for index, row in enumerate(rows):
        if isinstance(row, dict):
            by_name[str(row.get("indicator") or "").casefold()].append(index)
    found = [queue.popleft() if (queue := by_name.get(v.casefold())) else None for v in values]
    taken = {index for index in found if index is not None}
    left = [index for index, row in enumerate(rows) if index not in taken and isinstance(row, dict)]
    if len(left) == found.count(None):
        spare = iter(left)
        found = [next(spare) if index is None else index for index in found]
    return [None if index is None else rows[index] for index in found]


def fault_of(reason: str) -> Fault:
    """The sort of a refusal by Microsoft's words; there is no documented list of them."""
    for pattern, fault in ((_QUOTA, Fault.QUOTA), (_TRANSIENT, Fault.TRANSIENT), (_INVALID, Fault.INVALID)):
        if pattern.search(reason):
            return fault
    return Fault.UNKNOWN


def _item_result(row: dict[str, Any] | None) -> ItemResult:
    if row is None:
        return failed("Defender's answer does not mention this indicator", Fault.UNKNOWN)
    identifier = str(row["id"]) if row.get("id") else None
    if not row.get("isFailed"):
        return ItemResult(ok=True, id=identifier)
    reason = str(row.get("failureReason") or "no reason given")
    return failed(reason, fault_of(reason), id=identifier)


def _single_fault(refusal: FarSideError) -> Fault:
    """The fault of an item that was refused alone: its own, unless it says the tenant is full."""
    return Fault.QUOTA if _QUOTA.search(refusal.what) else Fault.INVALID


def _refused(error: FarSideError, identifier: str) -> ItemResult:
    fault = Fault.TRANSIENT if error.retryable else Fault.INVALID
    return failed(error.what, fault, id=identifier, retry_after=error.retry_after)


def _advice(status: int, token: str) -> explain.Advice | None:
    return explain.defender_forbidden(explain.roles(token)) if status in {401, 403} else None


def _within(items: Sequence[object], limit: int) -> None:
    if len(items) > limit:
        raise ValueError(f"{len(items)} items in one call; at most {limit}")
