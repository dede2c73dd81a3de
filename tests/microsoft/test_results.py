from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tipline.microsoft.results import Budget, Fault, ItemResult, divide
from tipline.microsoft.transport import ApiError


def refusal(status=400, **more):
    return ApiError("refused", status=status, **more)


def sender(bad, sent):
    def send(items):
        if any(item in bad for item in items):
            raise refusal()
        sent.extend(items)
        return [ItemResult(ok=True, id=str(item)) for item in items]

    return send


@given(st.integers(2, 200), st.sets(st.integers(0, 199), max_size=5))
def test_only_the_bad_items_fail_and_each_good_one_is_sent_once(count, bad):
    items, sent = list(range(count)), []
    results = divide(items, refusal(), send=sender(bad, sent), judge=lambda _: Fault.INVALID, budget=Budget(1000))
    assert [r.ok for r in results] == [item not in bad for item in items]
    assert sent == [item for item in items if item not in bad]


@given(st.integers(2, 100), st.integers(0, 30))
def test_no_item_is_lost_when_the_budget_ends(count, calls):
    results = divide(
        list(range(count)),
        refusal(),
        send=sender(set(range(count)), []),
        judge=lambda _: Fault.INVALID,
        budget=Budget(calls),
    )
    assert len(results) == count
    assert all(r.fault is Fault.INVALID or (r.fault is Fault.UNKNOWN and r.retryable) for r in results)


def test_what_was_acknowledged_survives_a_failure_of_the_other_half():
    def send(items):
        if 0 in items:
            return [ItemResult(ok=True)] * len(items)
        raise refusal(503, retryable=True, retry_after=9.0)

    results = divide([0, 1], refusal(), send=send, judge=lambda _: Fault.INVALID, budget=Budget(10))
    assert results[0].ok
    assert (results[1].fault, results[1].retry_after) == (Fault.TRANSIENT, 9.0)


def test_faults_tell_whether_trying_again_can_help():
    assert not ItemResult(ok=True).retryable
    assert not ItemResult(ok=False, fault=Fault.INVALID).retryable
    assert ItemResult(ok=False, fault=Fault.QUOTA).retryable
