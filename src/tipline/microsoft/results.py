"""What the far side answered for one item of a batch, and how a refused batch is taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tipline.errors import FarSideError

Item = TypeVar("Item")


class Fault(StrEnum):
    """Why an item failed, as far as it decides what to do next."""

    INVALID = "invalid"  # the item itself is refused: the same item will be refused again
    QUOTA = "quota"  # the tenant is full: trying again helps once others have left
    TRANSIENT = "transient"  # the far side could not be reached or broke down
    UNKNOWN = "unknown"  # the far side's answer does not tell


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The outcome of one item; a batch's results come in the order of the batch.

    Args:
        ok: the far side has it as asked (for a deletion: it is gone).
        id: the far side's identifier, if it gave or knows one.
        reason: the far side's words when it refused.
        fault: the sort of refusal; None when ok.
        retry_after: seconds after which a transient fault may have passed, if the far side said so.
    """

    ok: bool
    id: str | None = None
    reason: str | None = None
    fault: Fault | None = None
    retry_after: float | None = None

    @property
    def retryable(self) -> bool:
        """Whether sending the same item again can help."""
        return self.fault in {Fault.QUOTA, Fault.TRANSIENT, Fault.UNKNOWN}


def failed(reason: str, fault: Fault, **more: str | float | None) -> ItemResult:
    """A refused item."""
    identifier, wait = more.get("id"), more.get("retry_after")
    return ItemResult(
        ok=False,
        id=str(identifier) if identifier is not None else None,
        reason=reason,
        fault=fault,
        retry_after=float(wait) if wait is not None else None,
    )


@dataclass(slots=True)
class Budget:
    """How many more calls may be spent on taking one refused batch apart."""

    calls: int

    def take(self, count: int) -> bool:
        """Reserve that many calls; False when they are not there."""
        if self.calls < count:
            return False
        self.calls -= count
        return True


def by_status(error: FarSideError) -> bool:
    """Whether a smaller batch can help, judged by the status alone."""
    return error.status in {400, 413, 422}


def divide(
    items: Sequence[Item],
    refusal: FarSideError,
    *,
    send: Callable[[Sequence[Item]], list[ItemResult]],
    judge: Callable[[FarSideError], Fault],
    budget: Budget,
    splits: Callable[[FarSideError], bool] = by_status,
) -> list[ItemResult]:
    """Isolate the bad items of a refused batch by halving it.

    The far sides' calls are idempotent, so sending a half again is safe whether or not the refused call
    did part of its work. No item is ever dropped: what cannot be isolated within the budget is reported
    as unknown, or as a matter of quota when that is what the far side said.

    Args:
        items: the refused batch.
        refusal: how it was refused.
        send: sends a batch; raises FarSideError when it is refused as a whole.
        judge: the fault of a single refused item.
        budget: calls that may be spent, shared by all levels.
        splits: whether a refusal may be due to some items only, so that a smaller batch can help.
    """
    if len(items) == 1:
        return [failed(refusal.what, judge(refusal))]
    if not budget.take(2):
        fault = Fault.QUOTA if judge(refusal) is Fault.QUOTA else Fault.UNKNOWN
        return [failed(f"sent among {len(items)} items: {refusal.what}", fault)] * len(items)
    middle = len(items) // 2
    results: list[ItemResult] = []
    for half in (items[:middle], items[middle:]):
        try:
            results += send(half)
        except FarSideError as error:
            if splits(error):
                results += divide(half, error, send=send, judge=judge, budget=budget, splits=splits)
            else:
                # The other half may be acknowledged: its results must not be lost with this error.
                fault = Fault.TRANSIENT if error.retryable else Fault.UNKNOWN
                results += [failed(error.what, fault, retry_after=error.retry_after)] * len(half)
    return results
