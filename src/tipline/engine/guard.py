"""The checks that stop a bad poll or a bad evaluation."""

from __future__ import annotations

from tipline.engine.claims import Difference
from tipline.engine.ledger import Ledger
from tipline.outputs.base import OutputGuard
from tipline.sources.base import GuardSettings

WITHDRAWALS, ADDITIONS, REMOVALS = "withdrawals", "additions", "removals"


def check_poll(
    guard: GuardSettings, ledger: Ledger, diff: Difference, last_share: float | None
) -> tuple[str, str] | None:
    """Whether a snapshot poll must be held back: (what is held, why), or None.

    Only withdrawals or only additions are held; whatever else the poll brings flows.
    """
    if not guard.enabled:
        return None
    if diff.present and ledger.accepted == 0:
        return WITHDRAWALS, f"the feed lists no indicator, where it had {diff.present:,}"
    if _collapsed(guard, ledger, last_share) and diff.missing >= guard.min_withdrawn:
        share = ledger.accepted / ledger.read
        return (
            WITHDRAWALS,
            (
                f"only {share:.0%} of its lines could be used, where it was {last_share or 0:.0%};"
                f" {diff.missing:,} of {diff.present:,} indicators would go"
            ),
        )
    if found := check_withdrawals(guard, diff):
        return found
    if diff.present >= guard.min_growth and diff.present + diff.added > guard.max_growth * diff.present:
        return ADDITIONS, f"the feed grew from {diff.present:,} to {diff.present + diff.added:,} indicators at once"
    return None


def check_withdrawals(guard: GuardSettings, diff: Difference) -> tuple[str, str] | None:
    """Whether too much would go at once; all that can be said of a poll that lists only what changed."""
    many = diff.missing >= guard.min_withdrawn and diff.missing > guard.max_withdrawn * diff.present
    if guard.enabled and many:
        return WITHDRAWALS, f"{diff.missing:,} of {diff.present:,} indicators would go at once"
    return None


def check_allow_list(guard: GuardSettings, diff: Difference) -> tuple[str, str] | None:
    """Whether an allow-list's poll must be held: its growth lets things through, so that is what is held."""
    grown = diff.added >= guard.min_withdrawn and diff.added > guard.max_withdrawn * diff.present
    if guard.enabled and diff.present and grown:
        return ADDITIONS, f"the allow-list grew by {diff.added:,} entries from {diff.present:,}"
    return None


def may_trip(guard: OutputGuard, added: int, removed: int) -> bool:
    """Whether an evaluation must be looked at more closely at all, whatever the output publishes."""
    return guard.enabled and (removed >= guard.min_removed or added > (guard.max_growth - 1) * guard.min_growth)


def check_evaluation(guard: OutputGuard, published: int, added: int, removed: int) -> tuple[str, str] | None:
    """Whether an evaluation must be held back: (what is held, why), or None."""
    if not guard.enabled:
        return None
    if removed >= guard.min_removed and removed > guard.max_removed * published:
        return REMOVALS, f"{removed:,} of {published:,} published indicators would be removed at once"
    if published >= guard.min_growth and published + added > guard.max_growth * published:
        return ADDITIONS, f"the published set would grow from {published:,} to {published + added:,} at once"
    return None


def _collapsed(guard: GuardSettings, ledger: Ledger, last_share: float | None) -> bool:
    if last_share is None or not ledger.read:
        return False
    return ledger.accepted / ledger.read < last_share * (1 - guard.accepted_drop)
