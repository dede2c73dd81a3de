from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tipline.store.control import METADATA, Control
from tipline.store.receipts import (
    Receipt,
    by_keys,
    count,
    delivery,
    drop,
    forget_output,
    note,
    parked,
    plan_columns,
    prune,
    put,
    reasons,
    restless,
    scan,
    tally,
)

NOW = datetime.fromisoformat("2026-01-01")


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control(None)
    METADATA.create_all(made.engine)
    yield made
    made.close()


def receipt(number: int, state: str = "accepted", **values: object) -> Receipt:
    return Receipt(f"{number:032x}", "domain", f"d{number}.example", state, **values)  # type: ignore[arg-type]


def write(control: Control, *receipts: Receipt, output: str = "out") -> None:
    with control.transaction() as con:
        put(con, output, receipts)


def test_a_receipt_is_written_over_and_read_back(control: Control) -> None:
    write(control, receipt(1, detail={"a": 1}, due=NOW))
    write(control, receipt(1, "parked", reason="no"))
    assert by_keys(control, "out", [receipt(1).key]) == {receipt(1).key: receipt(1, "parked", reason="no")}
    assert by_keys(control, "other", [receipt(1).key]) == {}


def test_many_keys_are_asked_for_in_parts(control: Control) -> None:
    many = [receipt(number) for number in range(1, 1301)]
    write(control, *many)
    keys = [each.key for each in many]
    assert len(by_keys(control, "out", keys)) == 1300
    assert sum(len(part) for part in scan(control, "out", 100)) == 1300
    assert sum(len(part) for part in plan_columns(control, "out", keys[:700])) == 700
    with control.transaction() as con:
        drop(con, "out", keys[:1000])
    assert sum(len(part) for part in plan_columns(control, "out", None, 7)) == 300


def test_restless_are_the_due_and_the_unanswered(control: Control) -> None:
    later = NOW + timedelta(hours=1)
    write(
        control,
        receipt(1, due=NOW),
        receipt(2, due=later),
        receipt(3, "sending"),
        receipt(4, "withdrawing"),
        receipt(5, "withdrawing", due=later),
        receipt(6, "parked"),
    )
    assert sorted(restless(control, "out", NOW)) == [receipt(n).key for n in (1, 3, 4)]


def test_a_delivery_is_noted_counted_and_forgotten(control: Control) -> None:
    assert delivery(control, "out").resync == 1
    with control.transaction() as con:
        note(con, "out", state="ok", detail={"a": 1})
        count(con, "out", NOW, sent=3, accepted=2, errors=1)
        note(con, "out", detail={"b": 2})
        count(con, "out", NOW, deleted=0)
    found = delivery(control, "out")
    assert (found.state, found.sent, found.accepted, found.errors, found.deleted) == ("ok", 3, 2, 1, 0)
    assert found.detail == {"a": 1, "b": 2}
    write(control, receipt(1))
    with control.transaction() as con:
        forget_output(con, "out")
    assert (delivery(control, "out").state, tally(control, "out")) == ("new", {"held": 0})


def test_what_is_parked_is_told_with_reasons(control: Control) -> None:
    write(
        control,
        receipt(1, "parked", reason="bad"),
        receipt(2, "parked", reason="bad"),
        receipt(3, "withdrawing", due=NOW, holds="yes"),
        receipt(4, holds="yes"),
    )
    assert reasons(control, "out") == {"bad": 2}
    assert {each.value for each in parked(control, "out")} == {"d1.example", "d2.example", "d3.example"}
    assert tally(control, "out") == {"parked": 2, "withdrawing": 1, "accepted": 1, "held": 2}


def test_pruning_keeps_what_a_return_counts_on_from(control: Control) -> None:
    old = NOW - timedelta(days=100)
    write(
        control,
        receipt(1, "withdrawn", last_sent=old),
        receipt(2, "withdrawn", last_sent=old, generation=1),
        receipt(3, "withdrawn", last_sent=NOW),
        receipt(4, last_sent=old),
    )
    assert prune(control, NOW - timedelta(days=30)) == 1
    assert {each.value for part in scan(control, "out") for each in part} == {
        "d2.example",
        "d3.example",
        "d4.example",
    }
