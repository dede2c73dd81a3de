"""One poll of one source: fetch, stage, guard, compare, commit; the account goes to the ledger."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import structlog

from tipline import __version__
from tipline.engine import guard
from tipline.engine.claims import Difference, compare, compare_withdrawn, write_changes
from tipline.engine.ledger import Ledger
from tipline.engine.lines import Lines
from tipline.engine.rawbody import keep_head
from tipline.engine.stage import INCOMING, name_groups, small, stage
from tipline.errors import StoreError, TiplineError
from tipline.sources.ageing import expiries
from tipline.sources.base import Poll, PollContext, Source
from tipline.store.allowance import INTAKE, lacked_memory
from tipline.store.control import Control
from tipline.store.lake import Lake
from tipline.store.records import Hold, end_hold, open_hold, record_run, set_hold
from tipline.store.schema import ADDED, claims_table, columns_sql

log = structlog.get_logger()
# Folder of the data directory for what is pushed to sources.
INBOX = "inbox"
# Bodies of so many bytes, as they are fetched, are taken in with little memory.
LARGE_BODY = 100_000_000


@dataclass
class PollResult:
    """What a poll did."""

    source: str
    state: str  # ok, unchanged, held, failed
    message: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    added: int = 0
    changed: int = 0
    removed: int = 0
    held: int = 0
    hold_started: bool = False
    bytes: int = 0
    more: bool = False
    settled: Callable[[], None] | None = None

    @property
    def committed(self) -> bool:
        """Whether claims changed."""
        return bool(self.added or self.changed or self.removed)

    def as_dict(self) -> dict[str, Any]:
        """For people and programs: what was done, without what the engine has to do next."""
        return {
            "source": self.source,
            "state": self.state,
            "message": self.message,
            "ledger": self.ledger.as_dict(),
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "held": self.held,
            "hold_started": self.hold_started,
            "bytes": self.bytes,
        }


@dataclass
class Poller:
    """Polls sources into the lake."""

    lake: Lake
    control: Control
    spool: Path
    base: Path = Path()

    def poll(self, source: Source, number: int, at: datetime, *, allow_list: bool = False) -> PollResult:
        """Poll once; a failure is a result, and leaves the claims as they are."""
        spool = self.spool / f"{source.name}-{number}"
        try:
            result = self._tried(source, number, at, spool, allow_list=allow_list)
        except TiplineError as exc:
            result = PollResult(source.name, "failed", str(exc))
        except OSError as exc:
            what = f"{source.name}: {exc.strerror or exc} (check the disk that holds {self.spool})"
            result = PollResult(source.name, "failed", what)
        except Exception as exc:
            # Kinds are other people's code too: one that breaks fails alone, and says so.
            log.exception("poll broke", source=source.name)
            what = (
                f"{source.name}: {type(exc).__name__}: {str(exc).partition(chr(10))[0]} (report it: the log has more)"
            )
            result = PollResult(source.name, "failed", what)
        finally:
            keep_head(spool, self.spool.parent, source.name)
            shutil.rmtree(spool, ignore_errors=True)
        try:
            self._note(result, source, number, at)
        except StoreError as exc:
            # Nothing can be written now, so that the log is all there is; what was committed stays committed.
            log.error(
                "poll not recorded", source=source.name, state=result.state, message=result.message, error=str(exc)
            )
            return result
        _settle(result)
        return result

    def _tried(self, source: Source, number: int, at: datetime, spool: Path, *, allow_list: bool) -> PollResult:
        try:
            with closing(self.lake.connection()) as con:
                return self._poll(con, source, number, at, spool, allow_list=allow_list)
        except (duckdb.OutOfMemoryException, StoreError) as exc:
            if not lacked_memory(exc):
                raise
        log.warning("polled again with more memory", source=source.name)
        with self.lake.memory.ample(), closing(self.lake.connection()) as con:
            return self._poll(con, source, number, at, spool, allow_list=allow_list)

    def _poll(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        number: int,
        at: datetime,
        spool: Path,
        *,
        allow_list: bool,
    ) -> PollResult:
        spool.mkdir(parents=True, exist_ok=True)
        context = self._context(source, number, at, spool)
        poll = source.poll(context)
        for warning in poll.warnings:
            log.warning("feed", source=source.name, message=warning)
        if poll.unchanged:
            return self._unchanged(source, number, at, poll)
        large = poll.large or poll.bytes >= LARGE_BODY
        if large:
            poll.frames = small(poll.frames)
        with self.lake.memory.sparing(INTAKE, wanted=large):
            return self._take_in(con, source, number, at, context, poll, allow_list=allow_list)

    def _take_in(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        number: int,
        at: datetime,
        context: PollContext,
        poll: Poll,
        *,
        allow_list: bool,
    ) -> PollResult:
        settings = source.settings
        snapshot = settings.mode == "snapshot"
        policy = settings.policy(allow_list=allow_list)
        lines = Lines(con, number, policy) if snapshot else None
        by_record = poll.whole_records and not snapshot
        ledger = stage(con, poll.frames, policy, lines, records=by_record)
        if by_record and poll.superseded:
            name_groups(con, number, poll.superseded, poll.kept)
        result = PollResult(
            source.name, "ok", poll.note, ledger, bytes=poll.bytes, more=poll.more, settled=poll.settled
        )
        rules = expiries(settings.expire)
        hold = open_hold(self.control, source.name)
        with self.lake.writing(con):
            refresh = not snapshot and any(rule.base == "last_seen" for rule in rules)
            if poll.withdraws is None:
                diff = compare(con, number, snapshot=snapshot, refresh=refresh, by_line=snapshot, by_record=by_record)
            else:
                diff = compare_withdrawn(con, number, poll.withdraws)
            # Claims that left meanwhile (by age) may have come again in a line that was not judged.
            state = "SELECT commit_no, accepted_share, held_since FROM source_state WHERE source = ?"
            commit, share, held_since = con.execute(state, [number]).fetchone() or (0, None, None)
            raced = lines is not None and lines.commit != commit
            guarded = snapshot or bool(poll.superseded)
            trip = _trip(con, source, number, ledger, diff, share, hold, at, allow_list=allow_list) if guarded else None
            if held_since is not None:
                con.execute("DELETE FROM held WHERE source = ?", [number])
            if trip:
                result.state, result.message, result.held = "held", trip.reason, trip.count
                _keep_back(con, number, trip.what)
            counts = write_changes(con, number, at, rules, approved=bool(hold and not trip), append=not snapshot)
            # Held additions are not in the claims, so the next poll must see the whole body again.
            cursor = {} if raced or (trip and trip.what == guard.ADDITIONS) else poll.cursor
            if trip and not snapshot:
                # Only a poll from the same place names the same groups again.
                cursor = context.cursor
            kept = {"settings": _reading(source), "cursor": cursor}
            self._advance(con, number, at, kept, ledger, held=bool(trip))
        result.added, result.changed, result.removed = counts["added"], counts["changed"], counts["removed"]
        if allow_list and result.removed:
            result.message = f"{result.removed:,} entries left the allow-list: what they covered may be published again"
            log.warning("allow-list shrank", source=source.name, removed=result.removed)
        if trip:
            result.hold_started = set_hold(self.control, source.name, "source", trip.values(at), restart=trip.restart)
        elif hold:
            end_hold(self.control, source.name, at, "released" if hold.approved_at else "the feed agrees again")
        return result

    def _unchanged(self, source: Source, number: int, at: datetime, poll: Poll) -> PollResult:
        hold = open_hold(self.control, source.name)
        if hold is not None and source.settings.mode == "append":
            # The cursor is that of before the hold, so that the feed is again what it was then.
            return self._agreed(source, number, at, poll)
        ripe = (
            hold is not None
            and hold.what == guard.WITHDRAWALS
            and (hold.approved_at or at - hold.since >= source.settings.guard.release_after)
        )
        if ripe:
            removed = self.release(source, number, at, "what was held stayed the same")
            return PollResult(source.name, "ok", "held withdrawals were released", removed=removed, bytes=poll.bytes)
        # The same bytes may come with new validators: kept, so that the next answer can be 304.
        kept = json.dumps({"settings": _reading(source), "cursor": poll.cursor}) if poll.cursor else None
        with self.lake.writing() as con:
            _note_success(con, number, at, "cursor = coalesce(?, cursor)", kept)
        if hold is not None:
            return PollResult(source.name, "held", hold.reason, held=hold.count, bytes=poll.bytes)
        return PollResult(source.name, "unchanged", bytes=poll.bytes)

    def _agreed(self, source: Source, number: int, at: datetime, poll: Poll) -> PollResult:
        """End a hold whose withdrawals the feed took back."""
        with self.lake.writing() as con:
            con.execute("DELETE FROM held WHERE source = ?", [number])
            _note_success(con, number, at, "held_since = NULL")
        end_hold(self.control, source.name, at, "the feed agrees again")
        return PollResult(source.name, "unchanged", bytes=poll.bytes)

    def release(self, source: Source, number: int, at: datetime, reason: str) -> int:
        """Let held withdrawals go, as a poll would have; returns how many claims left the feed."""
        with self.lake.writing() as con:
            con.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({columns_sql(INCOMING)})")
            compare(con, number, snapshot=False, refresh=False)
            con.execute("INSERT INTO missing SELECT key, record FROM held WHERE source = ?", [number])
            counts = write_changes(con, number, at, expiries(source.settings.expire), approved=True)
            con.execute("DELETE FROM held WHERE source = ?", [number])
            con.execute("UPDATE source_state SET held_since = NULL WHERE source = ?", [number])
        end_hold(self.control, source.name, at, reason)
        return counts["removed"] + counts["changed"]

    def _context(self, source: Source, number: int, at: datetime, spool: Path) -> PollContext:
        """What the poll may know; a cursor left under other settings says nothing of what these would read.

        Nor does one whose hold was not noted, or not ended, since the process died in between: the feed is read again.
        """
        with self.lake.reading() as con:
            row = con.execute("SELECT cursor, held_since FROM source_state WHERE source = ?", [number]).fetchone()
        text, held_since = row or (None, None)
        kept = json.loads(text) if text else {}
        agree = (held_since is not None) == (open_hold(self.control, source.name) is not None)
        cursor = kept["cursor"] if agree and kept.get("settings") == _reading(source) else {}
        inbox = self.spool.parent / INBOX / source.name
        return PollContext(spool=spool, cursor=cursor, as_of=at, feed=source.name, base=self.base, inbox=inbox)

    def _advance(
        self,
        con: duckdb.DuckDBPyConnection,
        number: int,
        at: datetime,
        cursor: dict[str, Any],
        ledger: Ledger,
        *,
        held: bool,
    ) -> None:
        share = ledger.accepted / ledger.read if ledger.read and not held else None
        also = (
            "cursor = ?, held_since = CASE WHEN ? THEN coalesce(held_since, ?) END,"
            " accepted_share = coalesce(?, accepted_share)"
        )
        _note_success(con, number, at, also, json.dumps(cursor), held, at, share)

    def _note(self, result: PollResult, source: Source, number: int, at: datetime) -> None:
        if result.state == "failed":
            with self.lake.writing() as con:
                con.execute(
                    "UPDATE source_state SET last_poll = ?, failing_since = coalesce(failing_since, ?), message = ?"
                    " WHERE source = ?",
                    [at, at, result.message, number],
                )
        ledger = result.ledger
        record_run(
            self.control,
            {
                "node": source.name,
                "sort": "source",
                "started": at,
                "finished": at,
                "state": result.state,
                "message": result.message,
                "read": ledger.read,
                "accepted": ledger.accepted,
                "duplicate": ledger.duplicate,
                "dropped": dict(ledger.dropped),
                "samples": ledger.samples,
                "added": result.added,
                "changed": result.changed,
                "removed": result.removed,
                "held": result.held,
                "bytes": result.bytes,
            },
        )
        log.info(
            "poll",
            source=source.name,
            state=result.state,
            read=ledger.read,
            accepted=ledger.accepted,
            added=result.added,
            changed=result.changed,
            removed=result.removed,
            held=result.held,
            message=result.message,
        )


def _note_success(con: duckdb.DuckDBPyConnection, number: int, at: datetime, also: str, *values: Any) -> None:
    """Put down that a poll went well; `also` sets more columns, to `values`."""
    con.execute(
        "UPDATE source_state SET last_poll = ?, last_success = ?, failing_since = NULL, message = '',"
        f" {also} WHERE source = ?",
        [at, at, *values, number],
    )


def _settle(result: PollResult) -> None:
    """Let the source put away what is committed; that it cannot does not undo the poll."""
    try:
        if result.settled:
            result.settled()
    except (TiplineError, OSError) as exc:
        log.warning("what was read could not be put away", source=result.source, error=str(exc))


def _reading(source: Source) -> str:
    """A digest of what decides how a feed is read: its settings, and this program's version."""
    settings = source.settings.model_dump(
        mode="json", exclude={"note", "every", "enabled", "guard", "stale_after", "event"}
    )
    return hashlib.sha256(json.dumps([__version__, settings], sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Trip:
    """Why a poll is held back, what of it, and whether that differs from what was held before."""

    what: str
    reason: str
    count: int
    samples: list[str]
    restart: bool

    def values(self, at: datetime) -> dict[str, Any]:
        """For the holds table."""
        return {"what": self.what, "reason": self.reason, "count": self.count, "samples": self.samples, "seen": at}


def _trip(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    number: int,
    ledger: Ledger,
    diff: Difference,
    share: float | None,
    hold: Hold | None,
    at: datetime,
    *,
    allow_list: bool,
) -> Trip | None:
    """What the guard holds back of this poll; None also when a person or time has released it."""
    settings = source.settings.guard
    if allow_list:
        found = guard.check_allow_list(settings, diff)
    elif source.settings.mode == "append":
        found = guard.check_withdrawals(settings, diff)
    else:
        found = guard.check_poll(settings, ledger, diff, share)
    if found is None:
        return None
    what, reason = found
    count = diff.missing if what == guard.WITHDRAWALS else diff.added
    if hold is None or hold.what != what or _agreement(con, number, hold, count) < settings.agreement:
        return Trip(what, reason, count, _samples(con, number, what), restart=True)
    if hold.approved_at or at - hold.since >= settings.release_after:
        return None
    return Trip(what, reason, count, _samples(con, number, what), restart=False)


def _keep_back(con: duckdb.DuckDBPyConnection, number: int, what: str) -> None:
    if what == guard.WITHDRAWALS:
        con.execute("INSERT INTO held SELECT ?, key, record FROM missing", [number])
        con.execute("DELETE FROM missing")
    else:
        con.execute(f"DELETE FROM change WHERE op = {ADDED}")


def _samples(con: duckdb.DuckDBPyConnection, number: int, what: str) -> list[str]:
    rows = (
        f"missing JOIN {claims_table(number)} USING (key, record)"
        if what == guard.WITHDRAWALS
        else f"change JOIN incoming USING (key, record) WHERE op = {ADDED}"
    )
    return [value for (value,) in con.execute(f"SELECT value FROM {rows} ORDER BY value LIMIT 5").fetchall()]


def _agreement(con: duckdb.DuckDBPyConnection, number: int, hold: Hold, count: int) -> float:
    """How alike what is held now is to what was held: shared over all (by number where rows are not kept)."""
    if hold.what != guard.WITHDRAWALS:
        return float(min(count, hold.count) / max(count, hold.count, 1))
    row = con.execute(
        f"WITH b AS (SELECT key, record FROM held WHERE source = {number})"
        " SELECT (SELECT count(*) FROM b SEMI JOIN missing USING (key, record)),"
        " (SELECT count(*) FROM (FROM b UNION SELECT key, record FROM missing))"
    ).fetchone()
    shared, total = row or (0, 0)
    return float(shared / total) if total else 1.0
