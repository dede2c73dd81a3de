"""Defender as a far side: bodies, batches, and what the tenant shows of ours and others'."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from tipline.microsoft import explain
from tipline.microsoft.defender import DELETE_BATCH, IMPORT_BATCH, LIMITS, DefenderClient, odata_quote
from tipline.microsoft.defender_body import Action, IndicatorBody, Refusal, Severity, body_for, timestamp, type_name
from tipline.outputs.answers import checked, outcomes
from tipline.outputs.delivery import Check, FarItem, FarSide, Outcome, Parcel, Refused, Row, sooner
from tipline.outputs.microsoft_shared import connection, filled, limiter, same
from tipline.store.overrides import Override
from tipline.store.receipts import Receipt

if TYPE_CHECKING:
    from tipline.outputs.microsoft_defender import MicrosoftDefender

_OUR_TYPES = {
    "DomainName": "domain", "Url": "url", "FileMd5": "md5", "FileSha1": "sha1", "FileSha256": "sha256",
    "CertificateThumbprint": "certificate-sha1",
}  # fmt: skip
_COMPARED = (
    "title",
    "description",
    "severity",
    "generateAlert",
    "recommendedActions",
    "rbacGroupNames",
    "externalId",
)
_FEW = 5  # so many unknown ids are looked for one by one; more are found in one listing
_KEY = re.compile(r"[0-9a-f]{32}")


class DefenderSide(FarSide):
    """The indicators of one tenant.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    send_batch = IMPORT_BATCH
    withdraw_batch = DELETE_BATCH
    cycle_limit = 15_000  # a minute's worth of imports: the whole tenant

    def __init__(self, output: MicrosoftDefender, instance: str, stop: threading.Event) -> None:
        self.settings = output.settings
        self.prefix = f"tipline:{instance}:{output.name}:"
        credentials = self.settings.credentials
        link = connection(credentials, stop)
        shared = limiter("defender", credentials, LIMITS, link, stop)
        self.client = DefenderClient(credentials.endpoints, credentials, link, shared)
        self._app = credentials.client_id.lower()

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The body to import."""
        settings, by_hand = self.settings, row.override or Override(row.key, row.type, row.value)
        expires, own_end = (
            sooner(settings.lifetime, now, row.valid_until) if by_hand.expires is None else (by_hand.expires, True)
        )
        word = type_name(row.type) or row.type
        body = body_for(
            IndicatorBody(
                type=row.type,
                value=row.value,
                action=cast("Action | None", by_hand.action) or settings.action_for(row.type),
                severity=cast("Severity | None", by_hand.severity) or self._severity(row.confidence),
                title=by_hand.title or filled(settings.title, row, word),
                description=filled(settings.description, row, word),
                expiration=expires,
                generate_alert=settings.generate_alert,
                rbac_group_names=tuple(settings.rbac_groups),
                external_id=f"{self.prefix}{row.key}",
                recommended_actions=settings.recommended_actions or None,
                application="tipline",
                allow_md5=settings.md5,
            )
        )
        if isinstance(body, Refusal):
            return Refused(f"{body.code}: {body.text}")
        identity = identity_of(body)
        due = None if own_end else expires - settings.lifetime / 3
        foreign = {"foreign": True} if receipt and receipt.detail.get("foreign") else {}
        detail = {"severity": body["severity"], "title": body["title"], **foreign}
        return Parcel(row.key, row.type, row.value, body, identity=identity, expires=expires, due=due, detail=detail)

    def _severity(self, confidence: int) -> Severity:
        levels = self.settings.severity
        if isinstance(levels, dict):
            return levels[max(level for level in levels if level <= confidence)]
        return levels

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """Defender deletes by its own id."""
        del now, false_positive
        return Parcel(
            receipt.key,
            receipt.type,
            receipt.value,
            far_id=receipt.far_id,
            identity=receipt.identity,
            detail=dict(receipt.detail),
        )

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Import, up to 500."""
        return outcomes(self.client.import_indicators([parcel.payload for parcel in parcels]))

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Delete; what was sent without an answer is found by our externalId on it."""
        ids = self._ids(parcels)
        wanted = [each for parcel in parcels for each in ids[parcel.key]]
        results: dict[str, Outcome] = {}
        for start in range(0, len(wanted), DELETE_BATCH):
            part = wanted[start : start + DELETE_BATCH]
            results.update(zip(part, outcomes(self.client.delete(part)), strict=True))
        return [_worst([results[each] for each in ids[parcel.key]]) for parcel in parcels]

    def _ids(self, parcels: Sequence[Parcel]) -> dict[str, list[str]]:
        """Defender's ids of each parcel's indicator, by key; none where nothing of ours is there."""
        ids: dict[str, list[str]] = defaultdict(list)
        mine = [parcel for parcel in parcels if not parcel.detail.get("foreign")]
        unknown = [parcel for parcel in mine if not parcel.far_id]
        for parcel in mine:
            if parcel.far_id:
                ids[parcel.key].append(parcel.far_id)
        if not unknown:
            return ids
        filters: list[str | None] = [None]
        if len(unknown) <= _FEW:
            values = [_written(parcel) for parcel in unknown]
            filters = [f"indicatorValue eq {odata_quote(value)}" for value in values]
        sought = {parcel.key for parcel in unknown}
        for text in filters:
            for row in self.client.list_all(text):
                item = self.item(row)
                if item.key in sought:
                    ids[str(item.key)].append(item.far_id)
        return ids

    def listing(self, now: datetime) -> Iterator[FarItem]:
        """Every active indicator that the app may see."""
        del now
        return (self.item(row) for row in self.client.list_all())

    def earlier(self, source: str | None, now: datetime) -> Iterator[FarItem]:
        """Indicators that are not ours; `source`: the creator's id or name, or how their titles begin.

        What another output of tipline sent is somebody's too: it has to be named by its externalId. What this output
        sent over an item of somebody else's is still that somebody's.
        """
        for item in self.listing(now):
            if item.key is None and _left_by(item, source):
                yield item

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """Delete by id, whoever made them (needs Ti.ReadWrite.All for others')."""
        done: list[Outcome] = []
        for start in range(0, len(items), DELETE_BATCH):
            done += outcomes(self.client.delete([item.far_id for item in items[start : start + DELETE_BATCH]]))
        return done

    def item(self, row: Mapping[str, Any]) -> FarItem:
        """An indicator as the tenant shows it."""
        type_, value = _ours(str(row.get("indicatorType")), str(row.get("indicatorValue")))
        own_app = str(row.get("createdBy") or "").lower() == self._client_id()
        external = str(row.get("externalId") or "")
        tail = external.removeprefix(self.prefix) if external.startswith(self.prefix) else ""
        key = tail if _KEY.fullmatch(tail) else None
        return FarItem(
            far_id=str(row.get("id")),
            type=type_,
            value=value,
            key=key if own_app else None,
            bears=None if own_app else key,
            identity=identity_of(row),
            by=str(row.get("createdByDisplayName") or row.get("createdBy") or ""),
            own_app=own_app,
            allowed=row.get("action") == "Allowed",
            content=row,
        )

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """Fields that are not as we sent them; the end is compared with the receipt's."""
        found = ["identity"] if item.identity != parcel.identity else []
        found += [name for name in _COMPARED if not same(parcel.payload.get(name), item.content.get(name))]
        end = _moment(item.content.get("expirationTime"))
        if receipt.expires and (end is None or timestamp(end) != timestamp(receipt.expires)):
            found.append("expirationTime")
        return found

    def probe(self) -> list[Check]:
        """Sign in, and import nothing."""

        def write() -> str:
            held = self.client.probe()
            seen = "sees all indicators" if "Ti.ReadWrite.All" in held else "sees its own indicators only"
            return f"the app may write indicators, and {seen} ({', '.join(sorted(held)) or 'no roles shown'})"

        return [checked("Defender", write)]

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _client_id(self) -> str:
        if not self._app:  # a managed identity knows its id by its token only
            credentials = self.settings.credentials
            claims = explain.claims(credentials.token(credentials.endpoints.defender_scope))
            self._app = str(claims.get("appid") or claims.get("azp") or "unknown").lower()
        return self._app


def identity_of(body: Mapping[str, Any]) -> str:
    """What tells two of Defender's indicators on one value apart: action and device groups."""
    groups = body.get("rbacGroupNames") or []
    return f"{body.get('action')}|{','.join(sorted(map(str, groups)))}"[:200]


def _left_by(item: FarItem, source: str | None) -> bool:
    external = str(item.content.get("externalId") or "")
    if external.startswith("tipline:") and not item.bears:
        return source is not None and source.startswith("tipline:") and external.startswith(source)
    names = (item.by, str(item.content.get("createdBy") or ""))
    title = str(item.content.get("title") or "")
    return source is None or source in names or title.startswith(source)


def _ours(kind: str, value: str) -> tuple[str, str]:
    """Our type and canonical value of one of Defender's indicators; type is '' where we have none."""
    if kind == "IpAddress":
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return "", value
        return f"ipv{address.version}", str(address)
    type_ = _OUR_TYPES.get(kind, "")
    return type_, value if type_ in {"url", ""} else value.lower()


def _written(parcel: Parcel) -> str:
    if parcel.type == "ipv6":
        return ":".join(f"{int(part, 16):x}" for part in ipaddress.IPv6Address(parcel.value).exploded.split(":"))
    return parcel.value


def _worst(outcomes_: list[Outcome]) -> Outcome:
    return next((outcome for outcome in outcomes_ if not outcome.ok), Outcome(ok=True))


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        # Seven digits of a second are one more than Python reads.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
