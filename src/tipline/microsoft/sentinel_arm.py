"""Client of Sentinel's management API for threat intelligence: reading back, counting, deleting.

Facts: the swagger of Microsoft.SecurityInsights and its examples. It needs the subscription, the resource
group and the workspace's name, which the upload API does not; everything here is optional for a delivery.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from tipline.microsoft import explain
from tipline.microsoft.clouds import Endpoints
from tipline.microsoft.pace import RateLimiter
from tipline.microsoft.signin import TokenSource
from tipline.microsoft.transport import Api, ApiError, Connection

PAGE = 100
QUERY_IDS = 100  # ids asked for in one query


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a workspace is in Azure.

    Args:
        subscription_id: GUID.
        resource_group: name.
        name: the workspace's name (not its GUID).
    """

    subscription_id: str
    resource_group: str
    name: str

    @property
    def path(self) -> str:
        """Path of its threat intelligence."""
        return (
            f"/subscriptions/{quote(self.subscription_id, safe='')}"
            f"/resourceGroups/{quote(self.resource_group, safe='')}"
            f"/providers/Microsoft.OperationalInsights/workspaces/{quote(self.name, safe='')}"
            "/providers/Microsoft.SecurityInsights/threatIntelligence/main"
        )


class ArmClient:
    """Reads and deletes the indicators of one workspace.

    Args:
        endpoints: where Azure Resource Manager is.
        tokens: the app's sign-in, usually a `Credentials`.
        workspace: which workspace.
        connection: how to reach it.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        tokens: TokenSource,
        workspace: Workspace,
        connection: Connection | None = None,
    ) -> None:
        connection = connection or Connection()
        self._version = {"api-version": endpoints.arm_api_version}
        self._api = Api(
            service="Azure Resource Manager",
            base_url=f"{endpoints.arm_url}{workspace.path}",
            scope=endpoints.arm_scope,
            tokens=tokens,
            limiter=RateLimiter({}, connection.clock),  # no limits documented: 429 is heeded
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

    def get(self, name: str) -> dict[str, Any] | None:
        """One indicator by its resource name (see `resource_name`); None when there is none.

        Raises:
            FarSideError: refused or not reached.
        """
        answer = self._api.call("GET", f"/indicators/{quote(name, safe='')}", "arm", params=self._version, accept={404})
        if answer.status == 404:
            return None
        return answer.body if isinstance(answer.body, dict) else {}

    def delete(self, name: str) -> bool:
        """Delete one indicator by its resource name; False when it was gone already.

        Raises:
            FarSideError: refused or not reached.
        """
        answer = self._api.call(
            "DELETE", f"/indicators/{quote(name, safe='')}", "arm", params=self._version, accept={404}
        )
        return answer.status == 200

    def query(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The resources of STIX ids, of whichever source system; unknown ids are left out.

        Raises:
            FarSideError: refused or not reached.
        """
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), QUERY_IDS):
            found += self._query_pages("/query", _condition("id", ids[start : start + QUERY_IDS]))
        return found

    def count(self, source_system: str) -> int:
        """How many indicators a source system has.

        Raises:
            FarSideError: refused or not reached, or an answer without a count.
        """
        answer = self._api.call(
            "POST", "/count", "arm", params=self._version, body=_condition("source", [source_system])
        )
        body = answer.body
        number = body.get("count", body.get("value")) if isinstance(body, dict) else body
        if isinstance(number, int):
            return number
        raise ApiError("the answer to a count has no number", where="Azure Resource Manager")

    def list_by_source(self, source_system: str) -> Iterator[dict[str, Any]]:
        """Every indicator of a source system, expired and revoked ones too.

        Raises:
            FarSideError: refused or not reached; the list is then incomplete.
        """
        try:
            pages = self._query_pages("/query", _condition("source", [source_system]))
            first = next(pages, None)
        except ApiError as error:
            if error.status not in {400, 404, 405}:
                raise
            # A service that cannot query by source still has the older call.
            body = {"pageSize": PAGE, "sources": [source_system], "includeDisabled": True}
            yield from self._query_pages("/queryIndicators", body)
            return
        if first is not None:
            yield first
            yield from pages

    def _query_pages(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        link: str | None = None
        seen: set[str] = set()
        while link is None or link not in seen:
            if link:
                seen.add(link)  # a link that leads back to itself would never end
            page = self._page(link or path, body, None if link else self._version)
            yield from (row for row in page["value"] if isinstance(row, dict))
            link = page.get("nextLink") or None
            if link is None:
                return

    def _page(self, path: str, body: dict[str, Any], params: dict[str, str] | None) -> dict[str, Any]:
        # The swagger does not say with which method the next page of a query is asked for.
        answer = self._api.call("POST", path, "arm", params=params, body=body, accept={405})
        if answer.status == 405:
            answer = self._api.call("GET", path, "arm", params=params)
        if not isinstance(answer.body, dict) or not isinstance(answer.body.get("value"), list):
            raise ApiError("the answer to a query has no `value`", where="Sentinel by ARM", retryable=True)
        return answer.body


def resource_name(source_system: str, stix_id: str) -> str:
    """The name of an indicator's resource, which is also the tables' `Id`: base64(source)---STIX id."""
    return f"{base64.b64encode(source_system.encode()).decode()}---{stix_id}"


def source_of(name: str) -> tuple[str, str] | None:
    """Source system and STIX id of a resource name; None when it has another form."""
    encoded, dashes, identifier = name.partition("---")
    if not dashes:
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode(), identifier
    except ValueError:
        return None


def _condition(field: str, values: Sequence[str]) -> dict[str, Any]:
    return {
        "condition": {
            "clauses": [{"field": field, "operator": "Equals", "values": list(values)}],
            "conditionConnective": "And",
            "stixObjectType": "indicator",
        },
        "maxPageSize": PAGE,
    }


def _advice(status: int, token: str) -> explain.Advice | None:
    return explain.sentinel_forbidden(explain.roles(token)) if status in {401, 403} else None
