"""Reads and writes of deliveries and receipts: what each far side was given, and what it answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, insert, or_, select, update

from tipline.store import delivery_counts
from tipline.store.control import DELIVERIES, RECEIPTS, Control

# A receipt's state: `sending` and `withdrawing` are intents, committed before the far side is called.
SENDING, ACCEPTED, PARKED, WITHDRAWING, WITHDRAWN = (
    "sending",
    "accepted",
    "parked",
    "withdrawing",
    "withdrawn",
)
# Whether the far side has a copy: after a call without an answer nobody knows.
NO, YES, PERHAPS = "no", "yes", "perhaps"
_KEYS_A_QUERY = 500  # well below the number of variables that SQLite takes in a statement


@dataclass(frozen=True)
class Receipt:
    """What a far side holds of one indicator, as far as it has answered; the columns of the table."""

    key: str
    type: str
    value: str
    state: str
    holds: str = NO
    identity: str = ""
    far_id: str | None = None
    sent: str = ""
    generation: int = 0
    attempts: int = 0
    reason: str = ""
    first_sent: datetime | None = None
    last_sent: datetime | None = None
    accepted_at: datetime | None = None
    expires: datetime | None = None
    due: datetime | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """One output's journey; the columns of the table."""

    output: str
    cursor: int = 0
    state: str = "new"
    message: str = ""
    resync: int = 1
    sent: int = 0
    accepted: int = 0
    errors: int = 0
    deleted: int = 0
    last_cycle: datetime | None = None
    last_success: datetime | None = None
    last_reconcile: datetime | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


_FIELDS = [each.name for each in fields(Receipt)]


def delivery(control: Control, output: str) -> Delivery:
    """An output's delivery, as it was left; a fresh one if there was none."""
    with control.reading() as con:
        row = con.execute(select(DELIVERIES).where(DELIVERIES.c.output == output)).mappings().first()
    return Delivery(**row) if row else Delivery(output)


def deliveries(control: Control) -> list[Delivery]:
    """Every delivery, by output."""
    with control.reading() as con:
        return [Delivery(**row) for row in con.execute(select(DELIVERIES).order_by("output")).mappings()]


def note(con: Connection, output: str, **values: Any) -> None:
    """Set columns of a delivery, making its row if there is none; `detail` is merged into what is there."""
    where = DELIVERIES.c.output == output
    row = con.execute(select(DELIVERIES.c.detail).where(where)).first()
    if "detail" in values:
        values["detail"] = {**(row.detail if row else {}), **values["detail"]}
    if row is None:
        con.execute(insert(DELIVERIES).values(output=output, **values))
    elif values:
        con.execute(update(DELIVERIES).where(where).values(**values))


def count(con: Connection, output: str, now: datetime, **more: int) -> None:
    """Add to the counters of a delivery (`sent`, `accepted`, `errors`, `deleted`), in all and over time."""
    values = {name: DELIVERIES.c[name] + number for name, number in more.items() if number}
    if values:
        con.execute(update(DELIVERIES).where(DELIVERIES.c.output == output).values(**values))
        delivery_counts.add(con, output, now, more)


def by_keys(control: Control, output: str, keys: Iterable[str]) -> dict[str, Receipt]:
    """Receipts of some keys (32 hex digits), by key."""
    found: dict[str, Receipt] = {}
    with control.reading() as con:
        for part in _parts(keys):
            query = select(RECEIPTS).where(RECEIPTS.c.output == output, RECEIPTS.c.key.in_(part))
            found.update({row["key"]: _receipt(row) for row in con.execute(query).mappings()})
    return found


def scan(control: Control, output: str, chunk: int = 50_000) -> Iterator[list[Receipt]]:
    """Every receipt of an output, in chunks."""
    with control.reading() as con:
        rows = iter(con.execute(select(RECEIPTS).where(RECEIPTS.c.output == output)).mappings())
        while part := [_receipt(row) for row in islice(rows, chunk)]:
            yield part


def plan_columns(
    control: Control, output: str, keys: Sequence[str] | None, chunk: int = 50_000
) -> Iterator[list[tuple[Any, ...]]]:
    """What planning needs of the receipts of some keys (None: all), in chunks.

    Yields:
        rows of (key, state, holds, identity, sent, expires, due).
    """
    c = RECEIPTS.c
    query = select(c.key, c.state, c.holds, c.identity, c.sent, c.expires, c.due).where(c.output == output)
    with control.reading() as con:
        for part in [None] if keys is None else _parts(keys):
            rows = con.execute(query if part is None else query.where(c.key.in_(part)))
            while page := rows.fetchmany(chunk):
                yield [tuple(row) for row in page]


def restless(control: Control, output: str, now: datetime) -> list[str]:
    """Keys that need a look whatever the log says: due, or an intent without an answer."""
    c = RECEIPTS.c
    open_intent = (c.state.in_([SENDING, WITHDRAWING])) & c.due.is_(None)
    with control.reading() as con:
        due = con.execute(select(c.key).where(c.output == output, c.due <= now)).scalars().all()
        intents = con.execute(select(c.key).where(c.output == output, open_intent)).scalars().all()
    return list(dict.fromkeys([*due, *intents]))


def put(con: Connection, output: str, receipts: Iterable[Receipt]) -> None:
    """Write receipts over those of the same keys."""
    for part in _chunks(receipts):
        drop(con, output, [receipt.key for receipt in part])
        con.execute(insert(RECEIPTS), [{"output": output, **_values(receipt)} for receipt in part])


def drop(con: Connection, output: str, keys: Iterable[str]) -> None:
    """Forget receipts."""
    for part in _parts(keys):
        con.execute(delete(RECEIPTS).where(RECEIPTS.c.output == output, RECEIPTS.c.key.in_(part)))


def forget_output(con: Connection, output: str) -> None:
    """Forget an output's delivery and all its receipts."""
    con.execute(delete(RECEIPTS).where(RECEIPTS.c.output == output))
    con.execute(delete(DELIVERIES).where(DELIVERIES.c.output == output))


def prune(control: Control, before: datetime) -> int:
    """Drop receipts of what was withdrawn before a moment; those of revoked indicators count on."""
    c = RECEIPTS.c
    gone = (c.state == WITHDRAWN) & (c.generation == 0) & (c.last_sent < before)
    with control.transaction() as con:
        return con.execute(delete(RECEIPTS).where(gone)).rowcount


def tally(control: Control, output: str) -> dict[str, int]:
    """How many receipts an output has in each state, and `held`: how many copies the far side has."""
    c = RECEIPTS.c
    with control.reading() as con:
        rows = con.execute(select(c.state, func.count()).where(c.output == output).group_by(c.state))
        counts: dict[str, int] = {row[0]: row[1] for row in rows}
        held = con.execute(select(func.count()).where(c.output == output, c.holds != NO)).scalar_one()
    return {**counts, "held": held}


def parked(control: Control, output: str, limit: int = 100) -> list[Receipt]:
    """What waits for another try or for a person, the oldest first."""
    c = RECEIPTS.c
    stuck = or_(c.state == PARKED, (c.state == WITHDRAWING) & c.due.is_not(None))
    query = select(RECEIPTS).where(c.output == output, stuck).order_by(c.last_sent).limit(limit)
    with control.reading() as con:
        return [_receipt(row) for row in con.execute(query).mappings()]


def reasons(control: Control, output: str) -> dict[str, int]:
    """How many receipts are parked, by the far side's reason."""
    c = RECEIPTS.c
    query = select(c.reason, func.count()).where(c.output == output, c.state == PARKED).group_by(c.reason)
    with control.reading() as con:
        return {row[0]: row[1] for row in con.execute(query)}


def copies(control: Control, output: str, now: datetime) -> int:
    """How many indicators an output's far side may hold; what has ended there by itself does not count."""
    with control.reading() as con:
        return con.execute(select(func.count()).where(*_held(output, now))).scalar_one()


def copies_of(control: Control, output: str, limit: int) -> list[str]:
    """Some of the values of which a far side has a copy."""
    c = RECEIPTS.c
    query = select(c.value).where(c.output == output, c.holds != NO).order_by(c.key).limit(limit)
    with control.reading() as con:
        return list(con.execute(query).scalars())


def hand_over(con: Connection, old: str, new: str, keys: Iterable[str], *, again: bool) -> int:
    """Make receipts those of another output, which writes the same items; where it has one, that one counts.

    Args:
        con: a transaction.
        old: whose they are.
        new: whose they become.
        keys: of which indicators.
        again: whether the new one is to send them again, since its name stands on the items.

    Returns:
        how many have become the new one's.
    """
    c, moved = RECEIPTS.c, 0
    query = select(c.key, c.identity)
    values = {"output": new, **({"sent": ""} if again else {})}
    for part in _parts(keys):
        there, mine = (
            {row.key: row.identity for row in con.execute(query.where(c.output == output, c.key.in_(part)))}
            for output in (new, old)
        )
        free = [key for key in mine if key not in there]
        con.execute(update(RECEIPTS).where(c.output == old, c.key.in_(free)).values(**values))
        drop(con, old, [key for key, identity in mine.items() if there.get(key) == identity])
        moved += len(free)
    return moved


def spent_keys(control: Control, output: str) -> list[str]:
    """Keys of what was withdrawn for ever: whoever sends them next counts on from these receipts."""
    c = RECEIPTS.c
    with control.reading() as con:
        return list(con.execute(select(c.key).where(c.output == output, c.holds == NO)).scalars())


def held_keys(control: Control, output: str) -> list[str]:
    """Keys of what a far side may hold."""
    c = RECEIPTS.c
    with control.reading() as con:
        return list(con.execute(select(c.key).where(c.output == output, c.holds != NO)).scalars())


def other_identities(control: Control, output: str, identities: Iterable[str]) -> int:
    """How many copies the far side has under another identity than these: a change would replace them."""
    c = RECEIPTS.c
    query = select(func.count()).where(c.output == output, c.holds != NO, c.identity.not_in(list(identities)))
    with control.reading() as con:
        return con.execute(query).scalar_one()


def _held(output: str, now: datetime) -> list[ColumnElement[bool]]:
    c = RECEIPTS.c
    lapsed = (c.state == ACCEPTED) & c.expires.is_not(None) & (c.expires <= now)
    return [c.output == output, c.holds != NO, ~lapsed]


def _values(receipt: Receipt) -> dict[str, Any]:
    # `asdict` copies deeply, which a million receipts feel.
    return {name: getattr(receipt, name) for name in _FIELDS}


def _receipt(row: RowMapping) -> Receipt:
    return Receipt(**{name: row[name] for name in _FIELDS})


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while part := list(islice(rest, _KEYS_A_QUERY)):
        yield part


def _chunks(receipts: Iterable[Receipt]) -> Iterator[list[Receipt]]:
    rest = iter(receipts)
    while part := list(islice(rest, _KEYS_A_QUERY)):
        yield part
