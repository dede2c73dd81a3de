"""Graph's tiIndicators as a far side."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tipline.errors import FarSideError
from tipline.microsoft.pace import Window
from tipline.microsoft.results import Fault, ItemResult, failed
from tipline.microsoft.stix import NAMESPACE
from tipline.microsoft.transport import Api
from tipline.model.keys import key
from tipline.model.types import TYPES
from tipline.outputs.answers import checked, outcomes, sent
from tipline.outputs.delivery import Check, FarItem, FarSide, Outcome, Parcel, Refused, Row, sooner, spread
from tipline.outputs.microsoft_shared import connection, limiter
from tipline.store.receipts import Receipt

if TYPE_CHECKING:
    from tipline.outputs.microsoft_graph import MicrosoftGraph

DEFENDER = "Microsoft Defender ATP"
RETIRED = "Microsoft retired this API in April 2026; microsoft-sentinel and microsoft-defender replace it"
_LIMITS = {"graph": (Window(150, 60.0),)}
_MOST_DESCRIPTION = 100
_TLP = ("white", "green", "amber", "amber", "red")
_THREATS = {
    "botnet": "Botnet", "c2": "C2", "command-and-control": "C2", "cryptomining": "CryptoMining", "darknet": "Darknet",
    "ddos": "DDoS", "malware": "Malware", "phishing": "Phishing", "proxy": "Proxy", "pua": "PUA",
}  # fmt: skip
_MOST_PAGES = 100_000


class GraphSide(FarSide):
    """The indicators of one app at one endpoint.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    def __init__(self, output: MicrosoftGraph, instance: str, stop: threading.Event) -> None:
        self.settings = output.settings
        self.owner = f"{instance}/{output.name}"
        self.identity = output.identity("", instance)
        self.send_batch = self.withdraw_batch = self.settings.batch
        credentials = self.settings.credentials
        link = connection(credentials, stop)
        self._api = Api(
            service="Graph",
            base_url=f"{self.settings.graph_url}/beta/security/tiIndicators",
            scope=credentials.endpoints.graph_scope,
            tokens=credentials,
            limiter=limiter("graph", credentials, _LIMITS, link, stop),
            connection=link,
        )

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The tiIndicator; its externalId is always the same, so that sending twice changes nothing."""
        settings = self.settings
        expires, own_end = sooner(settings.lifetime, now, row.valid_until)
        description = (row.description or row.value)[:_MOST_DESCRIPTION]
        thing = {
            **_observable(row, defender=settings.target_product == DEFENDER),
            "action": settings.action,
            "targetProduct": settings.target_product,
            "passiveOnly": settings.passive_only,
            "threatType": next((_THREATS[t] for t in row.threat_types or () if t in _THREATS), settings.threat_type),
            "tlpLevel": _TLP[row.tlp],
            "confidence": row.confidence,
            "severity": settings.severity,
            "description": description,
            "expirationDateTime": expires.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "externalId": self._outside(row.key),
            "tags": sorted(row.tags or ()),
            "additionalInformation": json.dumps({"type": row.type, "value": row.value}),
        }
        refreshed = settings.lifetime - settings.refresh
        due = None if own_end else now + spread(refreshed, row.key)
        return Parcel(row.key, row.type, row.value, thing, None, self.identity, expires, due)

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """Its externalId: the identifier may not be known."""
        outside = self._outside(receipt.key)
        return Parcel(receipt.key, receipt.type, receipt.value, outside, receipt.far_id, receipt.identity)

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """By `submitTiIndicators`; a batch that is refused as a whole is halved."""
        return outcomes(sent(parcels, self._submit))

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """By `deleteTiIndicatorsByExternalId`."""
        return self._delete("deleteTiIndicatorsByExternalId", [parcel.payload for parcel in parcels])

    def listing(self, now: datetime) -> Iterator[FarItem] | None:
        """What the app has there; others' indicators it does not see."""
        del now
        return self._pages()

    def _pages(self) -> Iterator[FarItem]:
        path: str | None = ""
        for _ in range(_MOST_PAGES):
            page = self._api.call("GET", path or "", "graph").body or {}
            yield from map(self._item, page.get("value", []))
            path = page.get("@odata.nextLink")
            if not path:
                return
        raise FarSideError("Graph's list has no end", where="tiIndicators")

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """By `deleteTiIndicators`."""
        found: list[Outcome] = []
        for start in range(0, len(items), self.settings.batch):
            part = items[start : start + self.settings.batch]
            found += self._delete("deleteTiIndicators", [item.far_id for item in part])
        return found

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """Fields that are not as we sent them; the end is the receipt's."""
        names = ("action", "threatType", "tlpLevel", "confidence", "description")
        return [name for name in names if item.content.get(name) != parcel.payload[name]]

    def probe(self) -> list[Check]:
        """List, and say that the API is retired."""

        def work() -> str:
            next(self._pages(), None)
            return f"it answers. {RETIRED}"

        found = checked("Graph tiIndicators", work)
        fix = found.fix if found.ok else f"{RETIRED}. {found.fix}"
        return [Check(found.name, ok=found.ok, message=found.message, fix=fix)]

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _submit(self, parcels: Sequence[Parcel]) -> list[ItemResult]:
        return [_result(each) for each in self._posted("submitTiIndicators", [parcel.payload for parcel in parcels])]

    def _delete(self, call: str, names: list[str]) -> list[Outcome]:
        return [
            Outcome(ok=True)
            if each.get("code") in {200, 204, 404}
            else Outcome(ok=False, reason=str(each.get("message") or each.get("code")), retryable=True, certain=False)
            for each in self._posted(call, names)
        ]

    def _posted(self, call: str, values: list[Any]) -> list[Any]:
        """What became of each of some values, in order."""
        found = (self._api.call("POST", f"/{call}", "graph", body={"value": values}).body or {}).get("value")
        if not isinstance(found, list) or len(found) != len(values):
            raise FarSideError("Graph's answer does not tell what became of each indicator", where=call)
        return found

    def _item(self, entity: dict[str, Any]) -> FarItem:
        try:
            said = json.loads(entity.get("additionalInformation") or "")
            type_, value = str(said["type"]), str(said["value"])
        except (ValueError, KeyError, TypeError):
            type_, value = "", ""
        known = key(type_, value).hex
        ours = bool(type_) and entity.get("externalId") == self._outside(known)
        return FarItem(
            str(entity["id"]), type_, value or str(entity.get("externalId")), known if ours else None,
            identity=self.identity, by="this app", own_app=True, content=entity,
        )  # fmt: skip

    def _outside(self, identifier: str) -> str:
        return str(uuid.uuid5(NAMESPACE, json.dumps(["graph", self.owner, self.settings.target_product, identifier])))


def _observable(row: Row, *, defender: bool) -> dict[str, Any]:
    """The property that holds the value; Defender takes destinations only."""
    known = TYPES[row.type]
    name = str(known.graph)
    if name in {"networkIPv4", "networkIPv6"} and defender:
        name = name.replace("network", "networkDestination")
    return {name: row.value, **({"fileHashType": known.graph_hash} if known.graph_hash else {})}


def _result(entity: Any) -> ItemResult:
    said = entity.get("Error") if isinstance(entity, dict) else "the item is missing in the answer"
    if not said:
        return ItemResult(ok=True, id=str(entity.get("id")))
    try:
        inner = json.loads(said)["error"]
        code, reason = str(inner.get("code", "")), f"{inner.get('code')}: {inner.get('message')}"
    except (ValueError, KeyError, TypeError, AttributeError):
        code, reason = "", str(said)
    return failed(reason, Fault.INVALID if code == "InvalidInput" else Fault.UNKNOWN)
