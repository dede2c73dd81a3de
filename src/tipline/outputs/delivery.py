"""Delivered outputs: what a kind that sends to a far side declares, and what its far side has to do.

A kind declares settings and SQL (`shape`, `select`) and opens a `FarSide`. The engine does the rest: it plans
from the change log, keeps a receipt per indicator, and calls the far side in batches. Every call may be made
again, since a process can die between a call and its receipt: sending what is there and withdrawing what is
gone are successes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field

from tipline.kinds import NodeSettings, Tlp
from tipline.model.tlp import AMBER_STRICT
from tipline.outputs.base import Output, OutputSettings
from tipline.store.overrides import Override
from tipline.store.receipts import Receipt


class DeliveredSettings(OutputSettings):
    """Settings of every output that sends to a far side."""

    mode: Literal["live", "shadow"] = Field(
        default="live", description="shadow reads, plans and reports, and never writes to the far side."
    )
    max_tlp: Tlp = Field(
        default=AMBER_STRICT, description="Claims above this TLP are left out before merging (clear ... red)."
    )


@dataclass(frozen=True)
class Row:
    """A published indicator, as far as far sides show it; `override`: how people want this one to be."""

    key: str
    type: str
    value: str
    sources: Sequence[str] = ()
    confidence: int = 50
    tlp: int = 2
    direction: str | None = None
    threat_types: Sequence[str] = ()
    tags: Sequence[str] = ()
    description: str | None = None
    refs: Sequence[str] = ()
    first_seen: datetime | None = None
    valid_until: datetime | None = None
    override: Override | None = None


@dataclass(frozen=True)
class Parcel:
    """One indicator ready to be sent, or to be withdrawn.

    Attributes:
        key, type, value: the indicator.
        payload: what the far side is given.
        far_id: its identifier there, if it is known beforehand.
        identity: what tells two copies of the indicator apart there; a change needs a delete and a create.
        expires: when the far side forgets it by itself.
        due: when it is to be sent again so that it does not.
        generation: how often the indicator was withdrawn for ever.
        detail: what the receipt has to remember.
        kept: a withdrawal whose receipt is kept, since a return must count on from it.
    """

    key: str
    type: str
    value: str
    payload: Any = None
    far_id: str | None = None
    identity: str = ""
    expires: datetime | None = None
    due: datetime | None = None
    generation: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False


@dataclass(frozen=True)
class Refused:
    """An indicator that cannot be sent as it is, and why."""

    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of one parcel.

    Attributes:
        ok: the far side has it (or, withdrawn, has it no longer).
        far_id: its identifier there.
        reason: the far side's words when it refused.
        retryable: whether the same parcel may be accepted later.
        certain: whether a refusal is sure to have changed nothing.
        retry_after: seconds to wait, if the far side said so.
        confirmed: whether the far side said that it has it; otherwise it was only handed to the network.
    """

    ok: bool
    far_id: str | None = None
    reason: str = ""
    retryable: bool = False
    certain: bool = True
    retry_after: float | None = None
    confirmed: bool = True


@dataclass(frozen=True)
class FarItem:
    """What the far side shows of one item.

    Attributes:
        far_id: its identifier there.
        type, value: the indicator in our words; type is '' where we have none.
        key: the key that our identifier on it names; None if it is not ours.
        bears: the key that it names although somebody else made it, and our sending only changed it.
        identity: as in `Parcel`.
        by: who made it, for people.
        own_app: made by the identity we sign in with.
        allowed: it lets its value through instead of alerting.
        ended: it no longer counts (lapsed, revoked).
        spent: its identifier can never count again (revoked).
        content: its fields, for comparison and for people.
    """

    far_id: str
    type: str
    value: str
    key: str | None = None
    bears: str | None = None
    identity: str = ""
    by: str = ""
    own_app: bool = False
    allowed: bool = False
    ended: bool = False
    spent: bool = False
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One thing that `doctor` looked at."""

    name: str
    ok: bool
    message: str
    fix: str = ""


class FarSide(ABC):
    """One far side, signed in; used by one thread at a time.

    Attributes:
        send_batch, withdraw_batch: parcels a call.
        cycle_limit: parcels after which a cycle ends if something new came up, so that withdrawals never wait
            long behind a backlog.
        settle: how long the far side may take until its listing shows what it has accepted.
    """

    send_batch: int = 100
    withdraw_batch: int = 100
    cycle_limit: int = 10_000
    settle: timedelta = timedelta(0)

    @abstractmethod
    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """What to send for an indicator; `receipt` is that of the copy that is or was there."""

    @abstractmethod
    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """What to send to take an indicator back; `false_positive`: it was allowed, so it never was bad."""

    @abstractmethod
    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Create or update; an outcome for each, in order.

        Raises:
            FarSideError: the call failed as a whole and after repetition; nobody knows what was done.
        """

    @abstractmethod
    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Take back; what is not there any more counts as taken back. `far_id` may be unknown.

        Raises:
            FarSideError: as in `send`.
        """

    def finished(self) -> int:
        """Put into force what a cycle sent, where sending alone does not (publish an event).

        It comes at the end of each cycle that had something to do, and again until one has ended well: a process
        can die before it, so that it must not count on what it remembers of the cycle.

        Returns:
            how many things were published.

        Raises:
            FarSideError: it is done again in the next cycle.
        """
        return 0

    def preview(self, parcels: Sequence[Parcel]) -> list[str]:
        """The requests that `send` would make of parcels, for people and without secrets; none is made."""
        return [json.dumps(parcel.payload, indent=2, ensure_ascii=False, default=str) for parcel in parcels]

    def preview_withdrawal(self, parcels: Sequence[Parcel]) -> list[str]:
        """The requests that `withdraw` would make; none is made."""
        return self.preview(parcels)

    def listing(self, now: datetime) -> Iterator[FarItem] | None:
        """Everything that takes room there, ours and others'; None if it cannot be read.

        Raises:
            FarSideError: the list is incomplete and must not be used.
        """
        del now
        return None

    def earlier(self, source: str | None, now: datetime) -> Iterator[FarItem] | None:
        """What an earlier tool left, by its name there (None: all that is not ours); None if unreadable."""
        del source, now
        return None

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """Delete items for good, whoever made them (only after a person has approved).

        Raises:
            FarSideError: as in `send`.
        """
        return [Outcome(ok=False, reason="this kind has no way to delete what it lists")] * len(items)

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """What of an item differs from what we would send (`parcel`) or were told (`receipt`)."""
        del receipt
        return ["identity"] if item.identity != parcel.identity else []

    def probe(self) -> list[Check]:
        """Sign in and see that we may write, without writing anything."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""


class Delivered(Output):
    """A kind whose published set is sent to a far side."""

    Settings: ClassVar[type[NodeSettings]] = DeliveredSettings
    settings: DeliveredSettings
    # Whether what is wanted depends on the whole published set (slots), so that every plan compares in full.
    ranked: ClassVar[bool] = False
    # Whether items at the far side bear the output's name, so that one that takes them over sends them again.
    signed_items: ClassVar[bool] = False

    @abstractmethod
    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The far side; no call is made yet.

        Args:
            instance: the installation's name, part of the identifiers.
            stop: set at shutdown; waits end at once.
        """

    def missing(self) -> list[str]:
        """Settings without which nobody can sign in; empty when complete."""
        return []

    def identity(self, type_: str, instance: str) -> str:
        """What tells copies of an indicator apart at the far side; a change needs a delete and a create."""
        del type_, instance
        return ""

    def identity_with(self, override: Override, instance: str) -> str:
        """As `identity`, of an indicator that people want otherwise."""
        return self.identity(override.type, instance)

    def refuses(self, override: Override) -> str | None:
        """Why an indicator cannot be as an override says; None if it can.

        A kind whose far side can hold single indicators otherwise overrides this, and heeds `Row.override` in `pack`.
        """
        del override
        return f"{self.kind} sends every indicator alike"

    def drastic(self, override: Override) -> str | None:
        """What an override does that somebody has to confirm, such as `blocks`; None if nothing."""
        del override
        return None

    def place(self) -> tuple[str, ...]:
        """Which far side it is, where a copy cannot be taken back from another one; nothing: any will do."""
        return ()

    def sent_settings(self) -> dict[str, Any]:
        """The settings that what is sent depends on: when one changes, everything is sent again."""
        return {}

    def sent_columns(self) -> list[str] | None:
        """The columns that are sent, if `shown` has others too (what is ranked by); None: all of them."""
        return None

    def select(self, ranked: Ranking) -> str:
        """SQL over the published rows: (key, waiting): why a row is not sent now, or NULL for one that is."""
        return f"SELECT key, {ended(ranked.as_of)} AS waiting FROM {ranked.published}"

    def settings_digest(self, instance: str) -> str:
        """16 hex digits over `sent_settings` and the installation's name, which identifiers carry."""
        text = json.dumps([instance, self.sent_settings()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Ranking:
    """What `select` works on.

    Attributes:
        published: relation of the published rows; `current` is the digest one would be sent with, `identity` what
            would tell it apart there.
        had: relation of receipts: key, state, holds, identity, sent (a digest), expires, due.
        as_of: the moment, as a SQL literal.
        slots_taken: how much of the far side's room others take.
        pinned: sources whose indicators come first.
    """

    published: str
    had: str
    as_of: str
    slots_taken: int = 0
    pinned: Sequence[str] = ()


def ended(as_of: str) -> str:
    """SQL: `ended` for a row past its own end, which no far side would take; else NULL."""
    return f"CASE WHEN valid_until <= {as_of} THEN 'ended' END"


def sooner(lifetime: timedelta, now: datetime, own_end: datetime | None) -> tuple[datetime, bool]:
    """When an item is to lapse, and whether that is its own end (then it is not refreshed)."""
    end = now + lifetime
    return (own_end, True) if own_end is not None and own_end <= end else (end, False)


def spread(pause: timedelta, key: str) -> timedelta:
    """A pause for an indicator, shortened by up to a quarter: spreads what was sent together, for ever alike."""
    return pause * (1 - int(key[:4], 16) / 0xFFFF / 4)
