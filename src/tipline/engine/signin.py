"""Signing in: passwords with throttling, and browser sessions; what is kept is persistent and hashed."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from tipline.engine.times import Clock
from tipline.errors import TiplineError
from tipline.passwords import hash_password, verify
from tipline.store import accounts as store
from tipline.store.accounts import SESSIONS, THROTTLE, USERS
from tipline.store.control import Control
from tipline.store.records import audit

IDLE, ABSOLUTE = timedelta(hours=8), timedelta(days=7)
_NOTED = timedelta(minutes=1)  # a session's use is written down once in this time
# After so many failures each further one doubles the wait.
_FREE = {"name": 5, "address": 20}
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=15)
_FORGET = timedelta(hours=1)
# A hash takes 64 MiB: so many are made at the same time.
_HASHING = threading.BoundedSemaphore(2)


class SignInRefusedError(TiplineError):
    """Name or password is wrong, or there were too many tries; `wait` in seconds, if trying again has to wait."""

    code = "sign-in-refused"

    def __init__(self, what: str, *, fix: str, wait: float = 0) -> None:
        super().__init__(what, fix=fix)
        self.wait = wait


@dataclass(frozen=True)
class Session:
    """A browser session that is in force."""

    digest: str
    user: str
    csrf: str
    issuer: str = ""


def digest_of(text: str) -> str:
    """What the store keeps of a random text in place of it."""
    return hashlib.sha256(text.encode()).hexdigest()


class SignIn:
    """Passwords and sessions of an engine's users."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self.control = control
        self.clock = clock

    def check(self, name: str, password: str, address: str) -> store.Row:
        """The user with this name and password.

        Raises:
            SignInRefusedError: there is none, it is disabled, or there were too many failures.
        """
        subjects = [f"name:{name[:200].casefold()}", f"address:{address}"]
        self._wait_is_over(subjects)
        user = store.one(self.control, USERS, USERS.c.name == name)
        hashed = user["password"] if user else None
        with _HASHING:
            right = verify(password.encode(), hashed or _nobody())
        if user is None or not (right and hashed and password) or user["disabled"]:
            now = self.clock()
            store.failed(self.control, subjects, now, now - _FORGET)
            if user is not None:
                # The waits bound how many there are of a user; names that do not exist could fill the disk.
                audit(
                    self.control, now, user["name"], user["team"], "sign-in refused", user["name"], {}, address=address
                )
            raise SignInRefusedError("name or password is wrong", fix="try again, or ask an admin for a new password")
        store.drop(self.control, THROTTLE, THROTTLE.c.subject == subjects[0])
        return user

    def tried(self, subjects: list[str], right: Callable[[], bool]) -> bool:
        """Whether a password that is no user's is right, with the waits that users have.

        Args:
            subjects: what failures are counted for, as `name:...` and `address:...`; the first begins anew when it is.
            right: verifies the password.

        Raises:
            SignInRefusedError: there were too many failures.
        """
        failed_before = self._wait_is_over(subjects)
        if right():
            if subjects[0] in failed_before:
                store.drop(self.control, THROTTLE, THROTTLE.c.subject == subjects[0])
            return True
        now = self.clock()
        store.failed(self.control, subjects, now, now - _FORGET)
        return False

    def begin(self, user: str, address: str, agent: str, *, issuer: str = "", sid: str = "") -> str:
        """Begin a session; returns its secret, which is kept nowhere.

        Args:
            user: whose.
            address: where they ask from.
            agent: what their browser calls itself.
            issuer: who vouched for them, by single sign-on.
            sid: the issuer's word for its own session.
        """
        token, now = secrets.token_urlsafe(32), self.clock()
        row = {"digest": digest_of(token), "user": user, "csrf": secrets.token_urlsafe(32), "created": now}
        row |= {"issuer": issuer, "sid": sid}
        store.put(self.control, SESSIONS, {**row, "seen": now, "address": address, "agent": agent[:300]})
        store.seen(self.control, digest_of(token), user, now)
        return token

    def session(self, token: str) -> tuple[Session, store.Row] | None:
        """The session with a secret, and its user; None: there is none, or it has expired."""
        row = store.one(self.control, SESSIONS, SESSIONS.c.digest == digest_of(token))
        if row is None:
            return None
        now = self.clock()
        if now - row["seen"] > IDLE or now - row["created"] > ABSOLUTE:
            self.end(row["digest"])
            return None
        user = store.one(self.control, USERS, USERS.c.name == row["user"])
        if user is None or user["disabled"]:
            return None
        if now - row["seen"] > _NOTED:
            store.seen(self.control, row["digest"], row["user"], now)
        return Session(row["digest"], row["user"], row["csrf"], row["issuer"]), user

    def end(self, digest: str) -> None:
        """End one session."""
        store.drop(self.control, SESSIONS, SESSIONS.c.digest == digest)

    def end_all(self, user: str) -> int:
        """End every session of a user; returns how many there were."""
        return store.drop(self.control, SESSIONS, SESSIONS.c.user == user)

    def end_at(self, issuer: str, *, sid: str, user: str | None) -> int:
        """End what an issuer says has ended: its session `sid`, or without one every session it vouched for.

        Args:
            issuer: the issuer's name.
            sid: its session; empty: all of the user's.
            user: whose; None: it names nobody, or nobody who was here.

        Returns:
            how many there were.
        """
        if not sid and user is None:
            return 0
        which = SESSIONS.c.sid == sid if sid else SESSIONS.c.user == user
        return store.drop(self.control, SESSIONS, SESSIONS.c.issuer == issuer, which)

    def of(self, user: str) -> Sequence[store.Row]:
        """The sessions of a user: id (a part of the digest), created, seen, address, agent, issuer."""
        rows = store.some(self.control, SESSIONS, SESSIONS.c.user == user)
        keep = ("created", "seen", "address", "agent", "issuer")
        return [{"id": row["digest"][:16], **{word: row[word] for word in keep}} for row in rows]

    def prune(self) -> None:
        """Forget what has expired."""
        now = self.clock()
        store.prune_accounts(self.control, now - IDLE, now - _FORGET)

    def _wait_is_over(self, subjects: list[str]) -> set[str]:
        """Raise unless trying is allowed; returns which of the subjects have failed before."""
        now = self.clock()
        found = store.some(self.control, THROTTLE, THROTTLE.c.subject.in_(subjects))
        for row in found:
            left = (row["last"] + _wait(row["subject"], row["failures"]) - now).total_seconds()
            if left > 0:
                what = f"there were too many failed sign-ins; wait {int(left) + 1} seconds"
                raise SignInRefusedError(what, fix="then try again", wait=left)
        return {row["subject"] for row in found}


@lru_cache(maxsize=1)
def _nobody() -> str:
    """A hash that is checked for names that do not exist, so that they take as long as others."""
    return hash_password("")


def _wait(subject: str, failures: int) -> timedelta:
    over = failures - _FREE[subject.partition(":")[0]]
    # 2 to the power of 10 is more than the longest wait.
    return min(_FIRST_WAIT * 2 ** min(over, 10), _LONGEST_WAIT) if over >= 0 else timedelta()


def expired(moment: datetime | None, now: datetime) -> bool:
    """Whether a moment has passed; None never does."""
    return moment is not None and moment <= now
