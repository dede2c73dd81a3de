"""Sentinel as a far side: objects, generations, batches, and reading back by Azure Resource Manager."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from tipline.errors import FarSideError
from tipline.microsoft.defender import fault_of
from tipline.microsoft.results import Fault
from tipline.microsoft.sentinel import LIMITS, UPLOAD_BATCH, SentinelClient
from tipline.microsoft.sentinel_arm import ArmClient, Workspace, resource_name, source_of
from tipline.microsoft.stix import StixIndicator, indicator_object, pattern_for, stix_id
from tipline.model.types import TYPES
from tipline.outputs.answers import checked, outcomes
from tipline.outputs.delivery import Check, FarItem, FarSide, Outcome, Parcel, Refused, Row, sooner
from tipline.outputs.microsoft_shared import connection, filled, limiter, same
from tipline.outputs.sentinel_items import earlier_items, far_item, moment, revocation
from tipline.store.receipts import Receipt

if TYPE_CHECKING:
    from tipline.outputs.microsoft_sentinel import MicrosoftSentinel

log = structlog.get_logger()
_COMPARED = (
    "name",
    "description",
    "pattern",
    "confidence",
    "labels",
    "indicator_types",
    "valid_until",
    "revoked",
)
_STEP = timedelta(milliseconds=1)  # STIX tells versions of an object apart by milliseconds


class SentinelSide(FarSide):
    """The indicators of one workspace.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    send_batch = UPLOAD_BATCH
    withdraw_batch = UPLOAD_BATCH
    cycle_limit = 10_000  # a minute's worth of uploads
    settle = timedelta(minutes=10)

    def __init__(self, output: MicrosoftSentinel, instance: str, stop: threading.Event) -> None:
        self.settings = output.settings
        self.instance = instance
        credentials = self.settings.credentials
        link = connection(credentials, stop)
        shared = limiter("sentinel", credentials, LIMITS, link, stop)
        ends = credentials.endpoints
        self._client: Callable[[str], SentinelClient] = lambda workspace: SentinelClient(
            ends, credentials, workspace, link, shared
        )
        self._uploads: dict[str, SentinelClient] = {}
        self.arm: ArmClient | None = None
        if self.settings.managed:
            place = Workspace(self.settings.subscription_id, self.settings.resource_group, self.settings.workspace_name)
            self.arm = ArmClient(ends, credentials, place, link)

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The object to upload; `created` stays with an identifier, `modified` always grows."""
        pattern = pattern_for(row.type, row.value)
        if pattern is None:
            return Refused(f"no-pattern: STIX cannot say {row.type} {row.value}")
        settings = self.settings
        generation = receipt.generation if receipt else 0
        far_id = stix_id(self.instance, settings.source_system, row.type, row.value, generation)
        before = receipt.detail if receipt and receipt.far_id == far_id else {}
        created = moment(before.get("created")) or now
        modified = _later(now, before.get("modified"))
        expires, own_end = sooner(settings.lifetime, now, row.valid_until)
        word = TYPES[row.type].title
        thing = indicator_object(
            StixIndicator(
                id=far_id,
                pattern=pattern,
                created=created,
                modified=modified,
                valid_from=created,
                valid_until=expires,
                name=filled(settings.name, row, word),
                description=filled(settings.description, row, word),
                confidence=row.confidence,
                tlp=row.tlp,
                labels=tuple(row.tags or ()),
                indicator_types=tuple(row.threat_types or ()) or tuple(settings.indicator_types),
                references=tuple(row.refs or ()),
            )
        )
        detail = {
            "created": created.isoformat(),
            "modified": modified.isoformat(),
            "confidence": row.confidence,
            "tlp": row.tlp,
        }
        due = None if own_end else expires - settings.refresh + _jitter(row.key) * settings.refresh / 2
        identity = identity_of(settings.workspace_id, settings.source_system, self.instance)
        return Parcel(
            row.key,
            row.type,
            row.value,
            thing,
            far_id,
            identity,
            expires,
            due,
            generation=generation,
            detail=detail,
        )

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """The object once more, ending now; revoked when it never was bad, which is for ever."""
        before = receipt.detail
        # A withdrawal begun as a revocation may have arrived: it is finished as one.
        revoked = false_positive or bool(before.get("revoked"))
        created = moment(before.get("created")) or now
        modified = _later(now, before.get("modified"))
        thing = indicator_object(
            StixIndicator(
                id=receipt.far_id or "",
                pattern=pattern_for(receipt.type, receipt.value) or "",
                created=created,
                modified=modified,
                valid_from=created,
                valid_until=now,
                name=receipt.value,
                description="False positive: allowed" if revoked else "No longer listed by any source",
                confidence=before.get("confidence"),
                tlp=before.get("tlp"),
                revoked=revoked,
            )
        )
        detail = {**before, "modified": modified.isoformat(), "revoked": revoked}
        return Parcel(
            receipt.key, receipt.type, receipt.value, thing, receipt.far_id, receipt.identity,
            generation=receipt.generation + revoked, detail=detail, kept=True,
        )  # fmt: skip

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Upload, up to 100; copies under another workspace or source system go there."""
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, parcel in enumerate(parcels):
            workspace, source, _ = parcel.identity.split("|", 2)
            groups[workspace, source].append(index)
        done: dict[int, Outcome] = {}
        for (workspace, source), indexes in groups.items():
            objects = [parcels[index].payload for index in indexes]
            answers = outcomes(self._upload(workspace).upload(objects, source))
            done.update(zip(indexes, map(_passing, answers), strict=True))
        return [done[index] for index in range(len(parcels))]

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Upload with the end now; then delete the resources too, if the output tidies."""
        results = self.send(parcels)
        if self.settings.tidy and self.arm:
            self._tidy(self.arm, [parcel for parcel, result in zip(parcels, results, strict=True) if result.ok])
        return results

    def listing(self, now: datetime) -> Iterator[FarItem] | None:
        """What the workspace has under our source system; None without Azure Resource Manager."""
        if self.arm is None:
            return None
        rows = self.arm.list_by_source(self.settings.source_system)
        return (far_item(row, self.instance, now) for row in rows)

    def earlier(self, source: str | None, now: datetime) -> Iterator[FarItem] | None:
        """What another tool has left under its own source system, which must be named."""
        if self.arm is None or not source or source == self.settings.source_system:
            return None
        return earlier_items(self.arm.list_by_source(source), self.instance, now)

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """Revoke what was uploaded, and delete the resources.

        Azure Resource Manager answers that it has deleted what was uploaded, and it goes on counting
        (https://github.com/cudeso/misp2sentinel, "How indicator deletion works"): only revoking ends it for sure.
        """
        uploaded = [item for item in items if source_of(str(item.content["resource"]))]
        ended = self._revoke(uploaded)
        return [ended.get(item.far_id) or self._erase(str(item.content["resource"])) for item in items]

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """Fields that are not as we sent them; the end is compared with the receipt's."""
        content, ours = dict(item.content), dict(parcel.payload)
        end, expires = moment(content.get("valid_until")), receipt.expires
        content["valid_until"] = end.isoformat(timespec="seconds") if end else None
        ours["valid_until"] = expires.isoformat(timespec="seconds") if expires else None
        return [name for name in _COMPARED if not same(ours.get(name), content.get(name))]

    def probe(self) -> list[Check]:
        """Upload nothing, and count by Azure Resource Manager where it is configured."""
        settings = self.settings

        def write() -> str:
            settings.credentials.token(settings.credentials.endpoints.arm_scope)
            return "the app signs in; an upload tells whether it may write"

        checks = [checked("Sentinel", write)]
        arm = self.arm
        if arm:
            checks.append(
                checked(
                    "Sentinel by ARM",
                    lambda: f"{arm.count(settings.source_system)} indicators are kept there",
                )
            )
        return checks

    def close(self) -> None:
        """Close the connections."""
        for client in self._uploads.values():
            client.close()
        if self.arm:
            self.arm.close()

    def _upload(self, workspace: str) -> SentinelClient:
        if workspace not in self._uploads:
            self._uploads[workspace] = self._client(workspace)
        return self._uploads[workspace]

    def _tidy(self, arm: ArmClient, parcels: Sequence[Parcel]) -> None:
        """Delete and read back; a failure is only noted, since the indicators no longer count anyway."""
        try:
            for parcel in parcels:
                name = resource_name(parcel.identity.split("|", 2)[1], parcel.far_id or "")
                arm.delete(name)
                if arm.get(name) is not None:
                    log.warning("deleted indicator is still there", value=parcel.value, resource=name)
        except FarSideError as error:
            log.warning("withdrawn indicators were not tidied", reason=str(error))

    def _revoke(self, items: Sequence[FarItem]) -> dict[str, Outcome]:
        """By id, what was revoked under the name that it was uploaded under; then its resource is deleted."""
        groups: dict[str, list[FarItem]] = defaultdict(list)
        for item in items:
            groups[item.by].append(item)
        now = datetime.now(UTC).replace(tzinfo=None)
        done: dict[str, Outcome] = {}
        for source, group in groups.items():
            for start in range(0, len(group), UPLOAD_BATCH):
                part = group[start : start + UPLOAD_BATCH]
                objects = [revocation(item, now) for item in part]
                answers = outcomes(self._upload(self.settings.workspace_id).upload(objects, source))
                done.update((item.far_id, answer) for item, answer in zip(part, answers, strict=True) if answer.ok)
        for item in items:
            if item.far_id in done and self.arm:
                self.arm.delete(str(item.content["resource"]))
        return done

    def _erase(self, name: str) -> Outcome:
        if self.arm is None:
            return Outcome(ok=False, reason="not configured for Azure Resource Manager")
        self.arm.delete(name)
        gone = self.arm.get(name) is None
        return Outcome(ok=gone, reason="" if gone else "still there after it was deleted", retryable=not gone)


def identity_of(workspace: str, source_system: str, instance: str) -> str:
    """What a copy of an indicator hangs on; the first two say where it is."""
    return f"{workspace}|{source_system}|{instance}"


def _passing(outcome: Outcome) -> Outcome:
    """Sentinel has no codes for refused objects: its words tell whether trying again can help."""
    if outcome.ok or fault_of(outcome.reason) is not Fault.TRANSIENT:
        return outcome
    return replace(outcome, retryable=True, certain=False)


def _jitter(key: str) -> float:
    """0 to 1, the same for a key for ever: spreads what was sent together."""
    return int(key[:4], 16) / 0xFFFF


def _later(now: datetime, before: Any) -> datetime:
    last = moment(before)
    return max(now, last + _STEP) if last else now
