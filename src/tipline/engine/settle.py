"""How receipts change: the intent before a call, and what its answer makes of it; pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tipline.outputs.delivery import Outcome, Parcel, Refused, Row
from tipline.store.receipts import (
    ACCEPTED,
    NO,
    PARKED,
    PERHAPS,
    SENDING,
    WITHDRAWING,
    WITHDRAWN,
    YES,
    Receipt,
)

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=6)


def sending(before: Receipt | None, parcel: Parcel, digest: str, now: datetime) -> Receipt:
    """The intent to send: from now on the far side may have a copy."""
    old = before or Receipt(parcel.key, parcel.type, parcel.value, SENDING)
    return replace(
        old,
        state=SENDING,
        holds=PERHAPS if old.holds == NO else old.holds,
        identity=parcel.identity,
        far_id=parcel.far_id or (old.far_id if old.holds != NO else None),
        sent=digest,
        generation=parcel.generation,
        attempts=old.attempts + 1,
        first_sent=old.first_sent or now,
        last_sent=now,
        due=None,
        detail=dict(parcel.detail),
    )


def answered(before: Receipt | None, intent: Receipt, parcel: Parcel, outcome: Outcome, now: datetime) -> Receipt:
    """The receipt after the far side's answer.

    Args:
        before: the receipt before the intent.
        intent: the intent.
        parcel: what was sent.
        outcome: the answer.
        now: the moment.
    """
    if outcome.ok:
        return replace(
            intent,
            state=ACCEPTED,
            holds=YES if outcome.confirmed else PERHAPS,
            far_id=parcel.far_id or outcome.far_id or intent.far_id,
            attempts=0,
            reason="",
            accepted_at=now,
            expires=parcel.expires,
            due=parcel.due,
        )
    untouched = outcome.certain and (before is None or before.holds == NO)
    return replace(
        intent,
        state=PARKED,
        holds=NO if untouched else intent.holds,
        reason=outcome.reason[:1000],
        due=retry(intent.attempts, outcome, now) if outcome.retryable else None,
    )


def refused(before: Receipt | None, row: Row, digest: str, why: Refused, now: datetime) -> Receipt:
    """The receipt of an indicator that is not even sent; tried again when it or the settings change."""
    old = before or Receipt(row.key, row.type, row.value, PARKED)
    return replace(old, state=PARKED, sent=digest, reason=why.reason, last_sent=now, due=None)


def withdrawing(before: Receipt, parcel: Parcel, now: datetime) -> Receipt:
    """The intent to take back."""
    attempts = before.attempts + 1 if before.state == WITHDRAWING else 1
    return replace(
        before,
        state=WITHDRAWING,
        attempts=attempts,
        last_sent=now,
        due=None,
        detail=dict(parcel.detail) or before.detail,
    )


def withdrawn(intent: Receipt, parcel: Parcel, outcome: Outcome, now: datetime) -> Receipt | None:
    """The receipt after the answer; None when it has no more to say."""
    if not outcome.ok:
        return replace(intent, reason=outcome.reason[:1000], due=retry(intent.attempts, outcome, now))
    if not parcel.kept:
        return None
    return replace(
        intent, state=WITHDRAWN, holds=NO, attempts=0, reason="", generation=parcel.generation,
        expires=None, due=None,
        detail={name: value for name, value in intent.detail.items() if name != "revoked"},
    )  # fmt: skip


def forgotten(receipt: Receipt) -> Receipt | None:
    """The receipt of what lapsed or was never taken; None unless a return has to count on from it."""
    if not receipt.generation and not receipt.detail.get("created"):
        return None
    return replace(receipt, state=WITHDRAWN, holds=NO, attempts=0, reason="", due=None, expires=None)


def retry(attempts: int, outcome: Outcome, now: datetime) -> datetime:
    """When to try again: doubling from a minute to six hours, never sooner than the far side asked for."""
    pause: timedelta = min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LAST_RETRY)
    return now + max(pause, timedelta(seconds=outcome.retry_after or 0))
