"""Users and their keys: who there is, what they may do, and keys that are shown once."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from tipline.engine.core import Engine
from tipline.engine.people import RequestError
from tipline.engine.signin import SignIn, digest_of, expired
from tipline.engine.times import Clock
from tipline.model.roles import ROLES, scopes_of
from tipline.model.strength import weakness
from tipline.passwords import hash_password
from tipline.store import accounts as store
from tipline.store.accounts import KEYS, USERS
from tipline.store.control import Control

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
# As long as MISP's, and of the same letters: programs made for MISP take it. 8 characters name it, 32 are secret.
KEY_LENGTH, _SHOWN = 40, 8
_LETTERS = string.ascii_letters + string.digits
RATE = 600  # requests a minute
_NOTED = timedelta(minutes=1)  # a key's use is written down once in this time


_FIRST: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


def first_token(engine: Engine) -> str:
    """The one-time token that makes the first admin of a running engine; empty when there is a user."""
    if store.count_users(engine.control):
        return ""
    return _FIRST.setdefault(engine, secrets.token_urlsafe(18))


class Accounts:
    """The users of an engine and their keys. Whoever calls has checked that the asker may."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self.control = control
        self.clock = clock
        self.signin = SignIn(control, clock)

    def is_new(self) -> bool:
        """Whether there is no user yet."""
        return store.count_users(self.control) == 0

    def users(self, team: str | None = None) -> list[dict[str, Any]]:
        """The users (of one team), by name, without their passwords."""
        where = [] if team is None else [USERS.c.team == team]
        return [_shown(row) for row in store.some(self.control, USERS, *where)]

    def user(self, name: str) -> dict[str, Any]:
        """One user.

        Raises:
            RequestError: there is none.
        """
        return _shown(self._row(name))

    def add(
        self,
        name: str,
        *,
        role: str,
        team: str,
        password: str | None = None,
        display: str = "",
        tags: Iterable[str] = (),
        subject: str | None = None,
    ) -> dict[str, Any]:
        """Make a user; without a password, they sign in by keys or single sign-on alone.

        Raises:
            RequestError: the name is taken, or something is not what it has to be.
        """
        if not _NAME.fullmatch(name):
            raise RequestError(f"{name[:100]!r} is no name", fix="use letters, digits and . _ @ + -, at most 100")
        _check(role=role, display=display)
        values = {"name": name, "role": role, "team": team, "display": display, "tags": sorted(set(tags))}
        hashed = self._hashed(password, name, display) if password is not None else None
        row = {**values, "password": hashed, "subject": subject, "disabled": False, "created": self.clock()}
        if not store.put(self.control, USERS, row):
            raise RequestError(f"there is a user {name} already", fix="choose another name")
        return self.user(name)

    def change(self, name: str, **values: Any) -> dict[str, Any]:
        """Change a user's display, role, team, tags, disabled, password or subject; sessions end where they must.

        Raises:
            RequestError: there is no such user, a value cannot be, or no admin would be left.
        """
        before = self._row(name)
        _check(role=str(values.get("role", before["role"])), display=str(values.get("display", "")))
        if values.get("disabled") or values.get("role", "admin") != "admin":
            self._not_the_last_admin(before)
        password = values.pop("password", None)
        if password is not None:
            values["password"] = self._hashed(password, name, before["display"])
        if "subject" in values:
            values["subject"] = self._free_subject(name, str(values["subject"]))
        values = {word: value for word, value in values.items() if before[word] != value}
        if values:
            store.change(self.control, USERS, values, USERS.c.name == name)
        if {"password", "disabled", "role", "team", "subject"} & values.keys():
            self.signin.end_all(name)
        return self.user(name)

    def follow(self, name: str, **values: Any) -> dict[str, Any]:
        """Give a user the role, team, tags and display that an issuer says; sessions end where they may do less.

        The last admin may lose the role: whoever runs commands on this machine can make another.

        Raises:
            RequestError: there is no such user.
        """
        before = self._row(name)
        store.change(self.control, USERS, values, USERS.c.name == name)
        if any(before[word] != values.get(word, before[word]) for word in ("role", "team")):
            self.signin.end_all(name)
        return self.user(name)

    def remove(self, name: str) -> None:
        """Delete a user with their keys and sessions.

        Raises:
            RequestError: there is no such user, or no admin would be left.
        """
        self._not_the_last_admin(self._row(name))
        store.drop(self.control, USERS, USERS.c.name == name)

    def keys(self, user: str | None = None) -> list[dict[str, Any]]:
        """The keys (of one user): id, user, label, scopes, rate, created, expires, used, used_from."""
        where = [] if user is None else [KEYS.c.user == user]
        return [_key_shown(row) for row in store.some(self.control, KEYS, *where)]

    def make_key(
        self, user: str, *, label: str = "", scopes: Sequence[str] = (), ttl: timedelta | None = None, rate: int = RATE
    ) -> dict[str, Any]:
        """Make a key; `key` in the answer is the only time that it is shown.

        Raises:
            RequestError: there is no such user, or a scope that they have not.
        """
        mine = scopes_of(self._row(user)["role"])
        for scope in scopes:
            if scope not in mine:
                raise RequestError(f"{user} has no scope {scope[:40]!r}", fix=f"there are: {', '.join(mine)}")
        _check(label=label)
        text, now = "".join(secrets.choice(_LETTERS) for _ in range(KEY_LENGTH)), self.clock()
        row = {"id": text[:_SHOWN], "user": user, "label": label, "scopes": sorted(set(scopes)), "rate": rate}
        times = {"created": now, "expires": now + ttl if ttl else None}
        store.put(self.control, KEYS, {**row, **times, "digest": digest_of(text)})
        return {**self.key(text[:_SHOWN]), "key": text}

    def key(self, number: str) -> dict[str, Any]:
        """One key, by its id.

        Raises:
            RequestError: there is none.
        """
        row = store.one(self.control, KEYS, KEYS.c.id == number)
        if row is None:
            raise RequestError(f"there is no key {number[:40]!r}", fix="list them")
        return _key_shown(row)

    def revoke(self, number: str) -> None:
        """Delete a key."""
        self.key(number)
        store.drop(self.control, KEYS, KEYS.c.id == number)

    def by_key(self, text: str, address: str) -> tuple[dict[str, Any], store.Row] | None:
        """The key with this text, and its user; None: there is none that is in force."""
        if len(text) != KEY_LENGTH:
            return None
        row = store.one(self.control, KEYS, KEYS.c.digest == digest_of(text))
        now = self.clock()
        if row is None or expired(row["expires"], now):
            return None
        user = store.one(self.control, USERS, USERS.c.name == row["user"])
        if user is None or user["disabled"]:
            return None
        if row["used"] is None or now - row["used"] > _NOTED or row["used_from"] != address:
            store.change(self.control, KEYS, {"used": now, "used_from": address}, KEYS.c.id == row["id"])
        return _key_shown(row), user

    def _row(self, name: str) -> store.Row:
        row = store.one(self.control, USERS, USERS.c.name == name)
        if row is None:
            raise RequestError(f"there is no user {name[:100]!r}", fix="list them with `tipline user list`")
        return row

    def _free_subject(self, name: str, text: str) -> str | None:
        """What single sign-on knows a user by, if it is nobody else's; empty: nothing."""
        if not text:
            return None
        if " " not in text or not text.isprintable():
            fix = "write the issuer's address, a space, and its word for the user"
            raise RequestError("that is nobody in single sign-on", fix=fix)
        other = store.one(self.control, USERS, USERS.c.subject == text, USERS.c.name != name)
        if other is not None:
            raise RequestError(f"that is {other['name']} already", fix="take it from them first")
        return text

    def _hashed(self, password: str, name: str, display: str) -> str:
        wrong = weakness(password, ["tipline", name, *display.split()])
        if wrong:
            raise RequestError(f"the password is refused: {wrong}", fix="take a few unrelated words, or a manager's")
        return hash_password(password)

    def _not_the_last_admin(self, row: store.Row) -> None:
        if row["role"] != "admin" or row["disabled"]:
            return
        others = (USERS.c.role == "admin", USERS.c.disabled.is_(False), USERS.c.name != row["name"])
        if store.one(self.control, USERS, *others) is None:
            raise RequestError(f"{row['name']} is the only admin", fix="make another one first")


def _check(*, role: str = "viewer", display: str = "", label: str = "") -> None:
    if role not in ROLES:
        raise RequestError(f"there is no role {role[:40]!r}", fix=f"there are: {', '.join(ROLES)}")
    for text in (display, label):
        if len(text) > 200 or not text.isprintable():
            raise RequestError("a name for people is too long, or has control characters", fix="200 characters at most")


def _shown(row: store.Row) -> dict[str, Any]:
    keep = ("name", "display", "role", "team", "tags", "disabled", "created", "seen", "subject")
    ways = {"has_password": row["password"] is not None, "single_sign_on": row["subject"] is not None}
    return {**{word: row[word] for word in keep}, **ways}


def _key_shown(row: store.Row) -> dict[str, Any]:
    return {word: value for word, value in row.items() if word != "digest"}
