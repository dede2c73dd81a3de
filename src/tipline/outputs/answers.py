"""What far sides answer, in the engine's words; shared by all that send batches or are probed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tipline.errors import ConfigError, FarSideError
from tipline.microsoft.results import Budget, Fault, ItemResult, by_status, divide
from tipline.outputs.delivery import Check, Outcome, Parcel

_SPLITS = 64  # calls that may be spent on one refused batch


def outcomes(results: Sequence[ItemResult]) -> list[Outcome]:
    """The clients' results in the engine's words."""
    return [
        Outcome(
            ok=result.ok,
            far_id=result.id,
            reason=result.reason or "",
            retryable=result.retryable,
            certain=result.fault in {None, Fault.INVALID, Fault.QUOTA},
            retry_after=result.retry_after,
        )
        for result in results
    ]


def sent(parcels: Sequence[Parcel], send: Callable[[Sequence[Parcel]], list[ItemResult]]) -> list[ItemResult]:
    """Send a batch; one that is refused for its content is halved until the culprits are found.

    Raises:
        FarSideError: refused for another reason, or not reached.
    """
    try:
        return send(parcels)
    except FarSideError as error:
        if not by_status(error):
            raise
        return divide(parcels, error, send=send, judge=_judge, budget=Budget(_SPLITS))


def checked(name: str, work: Callable[[], str]) -> Check:
    """Run one check; a far side's refusal becomes its message."""
    try:
        return Check(name, ok=True, message=work())
    except (FarSideError, ConfigError) as error:
        return Check(
            name,
            ok=False,
            message=f"{error.where}: {error.what}" if error.where else error.what,
            fix=error.fix,
        )


def _judge(error: FarSideError) -> Fault:
    return Fault.TRANSIENT if error.retryable else Fault.INVALID
