"""Client of Sentinel's upload API for STIX objects.

Facts: the page of the upload API (`stix-objects-api.md`). A 200 only says that one object or more was taken:
the body names the others. What an upload without one valid object gets is not documented; both 200 and 400
are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from tipline.errors import ConfigError, SignInError
from tipline.microsoft import explain
from tipline.microsoft.clouds import Endpoints
from tipline.microsoft.pace import RateLimiter, Window
from tipline.microsoft.results import Budget, Fault, ItemResult, by_status, divide, failed
from tipline.microsoft.signin import TokenSource
from tipline.microsoft.transport import Api, ApiError, Connection

UPLOAD_BATCH = 100
SPLIT_CALLS = 40  # calls spent on taking one refused batch apart, of the 100 a minute
LIMITS: dict[str, tuple[Window, ...]] = {"upload": (Window(100, 60.0),)}
RESTRICTED_SOURCE = "microsoft sentinel"


class SentinelClient:
    """Uploads STIX objects to one workspace.

    Args:
        endpoints: where the upload API is.
        tokens: the app's sign-in, usually a `Credentials`.
        workspace_id: the workspace's GUID.
        connection: how to reach it.
        limiter: shared by all clients of the same app; None makes one of its own.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        tokens: TokenSource,
        workspace_id: str,
        connection: Connection | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        connection = connection or Connection()
        self._endpoints = endpoints
        self._tokens = tokens
        self._workspace_id = workspace_id
        self._url = endpoints.upload_url(workspace_id)
        self._api = Api(
            service="Sentinel",
            base_url=endpoints.sentinel_url,
            scope=endpoints.arm_scope,
            tokens=tokens,
            limiter=limiter or RateLimiter(LIMITS, connection.clock),
            connection=connection,
            advise=self._advice,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def upload(self, objects: Sequence[Mapping[str, Any]], source_system: str) -> list[ItemResult]:
        """Upload up to 100 STIX objects; a result for each, in order, with its STIX id.

        Uploading the same object again changes nothing, so a failed call may simply be made again.

        Args:
            objects: as `stix.indicator_object` makes them.
            source_system: the name they are kept under; keep it constant, since it is a part of their key.

        Raises:
            ValueError: more than 100 objects.
            ConfigError: a source system that Sentinel does not accept.
            FarSideError: nothing is known to be done.
        """
        if len(objects) > UPLOAD_BATCH:
            raise ValueError(f"{len(objects)} objects in one call; at most {UPLOAD_BATCH}")
        check_source_system(source_system)
        if not objects:
            return []

        def send(part: Sequence[Mapping[str, Any]]) -> list[ItemResult]:
            return self._send(part, source_system)

        try:
            results = send(objects)
        except ApiError as refusal:
            if not by_status(refusal):
                raise
            budget = Budget(SPLIT_CALLS)
            results = divide(objects, refusal, send=send, judge=lambda _: Fault.INVALID, budget=budget)
        return [_named(result, each) for result, each in zip(results, objects, strict=True)]

    def _send(self, objects: Sequence[Mapping[str, Any]], source_system: str) -> list[ItemResult]:
        body = {"sourcesystem": source_system, self._endpoints.upload_array: list(objects)}
        try:
            answer = self._api.call("POST", self._url, "upload", body=body)
        except ApiError as refusal:
            named = item_errors(refusal.body, objects) if refusal.status == 400 else None
            if named and len(named) == len(objects):
                return _results(objects, named)
            raise
        named = item_errors(answer.body, objects)
        if named is None:
            # Some were refused, but not which: a smaller upload tells (the accepted ones change nothing).
            raise ApiError(f"errors of no known form: {str(answer.body)[:200]}", where="Sentinel", status=400)
        return _results(objects, named)

    def _advice(self, status: int, token: str) -> explain.Advice | None:
        if status == 404:
            return explain.sentinel_not_found(self._workspace_id)
        if status in {401, 403}:
            return explain.sentinel_forbidden(explain.roles(token) | self._graph_roles())
        return None

    def _graph_roles(self) -> frozenset[str]:
        """The app's roles in Graph, where the retired permission is; none when Graph cannot be asked."""
        try:
            return explain.roles(self._tokens.token(self._endpoints.graph_scope))
        except SignInError:
            return frozenset()


def check_source_system(source_system: str) -> None:
    """See that Sentinel accepts the name.

    Raises:
        ConfigError: it does not.
    """
    if not source_system.strip() or source_system.strip().casefold() == RESTRICTED_SOURCE:
        raise ConfigError(
            f"source system {source_system!r} is not accepted by Sentinel",
            fix="give it a name of your own, and keep it: changing it makes a second copy of everything",
        )


def item_errors(body: Any, objects: Sequence[Mapping[str, Any]]) -> dict[int, str] | None:
    """Reasons by index of the object, from an answer's `errors`; None when one cannot be told to an object.

    Args:
        body: the parsed answer, of any form; empty is no errors.
        objects: what was uploaded.
    """
    if body in (None, {}, [], ""):
        return {}
    errors = _field(body, "errors") if isinstance(body, Mapping) else body
    if errors is None or not isinstance(errors, list):
        return None if errors or not isinstance(body, Mapping) else {}
    positions = {str(each.get("id")): index for index, each in enumerate(objects)}
    reasons: dict[int, str] = {}
    for error in errors:
        index = _index(error, positions, len(objects))
        if index is None:
            return None
        words = _reason(error)
        reasons[index] = f"{reasons[index]}; {words}" if index in reasons else words
    return reasons


def _index(error: Any, positions: Mapping[str, int], count: int) -> int | None:
    if not isinstance(error, Mapping):
        return None
    identifier = _field(error, "id") or _field(error, "stixId")
    if str(identifier) in positions:
        return positions[str(identifier)]
    given = _field(error, "recordIndex")
    try:
        index = int(given)
    except (TypeError, ValueError):
        return None
    return index if 0 <= index < count else None


def _reason(error: Mapping[str, Any]) -> str:
    for name in ("errorMessages", "errorMessage", "messages", "message", "error"):
        words = _field(error, name)
        if isinstance(words, list):
            return "; ".join(str(each) for each in words) or "no reason given"
        if words:
            return str(words)
    return "no reason given"


def _field(body: Mapping[str, Any], name: str) -> Any:
    """A field by its name in any case."""
    return next((value for key, value in body.items() if str(key).casefold() == name.casefold()), None)


def _results(objects: Sequence[Mapping[str, Any]], reasons: Mapping[int, str]) -> list[ItemResult]:
    return [
        failed(reasons[index], Fault.INVALID) if index in reasons else ItemResult(ok=True)
        for index in range(len(objects))
    ]


def _named(result: ItemResult, item: Mapping[str, Any]) -> ItemResult:
    identifier = item.get("id")
    return ItemResult(
        ok=result.ok,
        id=str(identifier) if identifier else None,
        reason=result.reason,
        fault=result.fault,
        retry_after=result.retry_after,
    )
