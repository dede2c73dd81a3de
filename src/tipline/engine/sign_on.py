"""Single sign-on: what an issuer says of somebody becomes a user here, each time they come."""

from __future__ import annotations

import re
from typing import Any

from tipline.config.sign_on import GrantSettings, IssuerSettings
from tipline.engine.accounts import Accounts
from tipline.engine.operation import plain
from tipline.engine.people import RequestError
from tipline.oidc.tokens import Checked, RefusedError
from tipline.store import accounts as store
from tipline.store.accounts import USERS
from tipline.store.records import audit

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._@+-]+")
_LONGEST = 100


class NotGrantedError(RequestError):
    """An issuer vouches for somebody whom nothing lets in."""

    code = "forbidden"


class SignOn:
    """Lets in whom an issuer vouches for.

    Args:
        accounts: the users.
    """

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    def arrive(self, name: str, settings: IssuerSettings, found: Checked, address: str) -> store.Row:
        """The user that claims are about, made or brought up to date.

        Args:
            name: the issuer's, in the configuration.
            settings: the issuer's.
            found: the claims of a token that holds.
            address: where they ask from.

        Raises:
            NotGrantedError: no grant fits, or they are disabled here.
            RequestError: their name is another user's.
            RefusedError: the issuer tells no subject that can be kept.
        """
        subject = subject_of(settings, found.subject)
        user = store.one(self.accounts.control, USERS, USERS.c.subject == subject)
        grant = _grant(settings, found)
        shown = user["name"] if user else _name(settings, found)
        if grant is None:
            if user is not None:
                self.accounts.signin.end_all(user["name"])
            self._note("sign-in refused", name, shown, user, address, knows=subject, reason="no grant fits")
            raise _not_granted(settings, found, settings.title or name)
        if user is not None and user["disabled"]:
            self._note("sign-in refused", name, shown, user, address, knows=subject, reason="disabled")
            raise NotGrantedError(f"{shown} is disabled here", fix="ask an admin")
        wanted = {"role": grant.role, "team": grant.team, "tags": sorted(set(grant.tags))}
        display = _display(found)
        if user is None:
            return self._made(name, shown, subject, {**wanted, "display": display}, address)
        return self._followed(name, user, {**wanted, **({"display": display} if display else {})}, address)

    def left(self, name: str, settings: IssuerSettings, found: Checked, address: str) -> int:
        """End the sessions that an issuer says have ended; returns how many.

        Args:
            name: the issuer's.
            settings: the issuer's.
            found: the claims of a logout token that holds.
            address: where it came from.
        """
        subject = subject_of(settings, found.subject) if found.subject else None
        user = store.one(self.accounts.control, USERS, USERS.c.subject == subject) if subject else None
        ended = self.accounts.signin.end_at(name, sid=found.session, user=user["name"] if user else None)
        if ended:
            self._note("sessions end", name, user["name"] if user else name, user, address, ended=ended)
        return ended

    def _made(self, name: str, user: str, subject: str, values: dict[str, Any], address: str) -> store.Row:
        try:
            made = self.accounts.add(user, subject=subject, **values)
        except RequestError:
            self._note("sign-in refused", name, user, None, address, knows=subject, reason="the name is taken")
            what = f"there is another user {user} here"
            fix = f"an admin can say that it is you: on the page of {user}, as {subject}"
            raise NotGrantedError(what, fix=fix) from None
        row = store.one(self.accounts.control, USERS, USERS.c.name == user) or {}
        self._note("user add", name, user, row, address, before=None, after=made)
        return row

    def _followed(self, name: str, user: store.Row, wanted: dict[str, Any], address: str) -> store.Row:
        if all(user[word] == value for word, value in wanted.items()):
            return user
        before = self.accounts.user(user["name"])
        after = self.accounts.follow(user["name"], **wanted)
        self._note("user change", name, user["name"], user, address, before=before, after=after)
        return {**user, **wanted}

    def _note(
        self, action: str, issuer: str, subject: str, user: store.Row | None, address: str, **detail: Any
    ) -> None:
        accounts, team = self.accounts, user["team"] if user else "default"
        found = plain({"by": f"single sign-on {issuer}", **detail})
        actor = user["name"] if user else issuer
        audit(accounts.control, accounts.clock(), actor, team, action, subject, found, address=address)


def subject_of(settings: IssuerSettings, subject: str) -> str:
    """What is kept of who somebody is: the issuer and its word for them.

    Raises:
        RefusedError: there is no such word, or it is longer than the standard allows.
    """
    if not subject or len(subject) > 255 or not subject.isprintable():
        raise RefusedError("the issuer tells no subject", where=settings.issuer, fix="look at its claim sub")
    return f"{settings.issuer} {subject}"


def _grant(settings: IssuerSettings, found: Checked) -> GrantSettings | None:
    has = set(found.values(settings.claim) or ())
    return next((each for each in settings.grants if each.value in has), None)


def _not_granted(settings: IssuerSettings, found: Checked, title: str) -> NotGrantedError:
    who = _name(settings, found)
    if found.left_out_groups:
        what = f"{title} left the groups of {who} out, since there are too many"
        return NotGrantedError(what, fix="have it send the groups of this application alone, or roles: see the how-to")
    if found.values(settings.claim) is None:
        what = f"{title} says nothing about {settings.claim} of {who}"
        return NotGrantedError(what, fix=f"have it put {settings.claim} into the token")
    return NotGrantedError(
        f"{title} vouches for {who}, but nothing there lets you in", fix="ask for a group or role that does"
    )


def _name(settings: IssuerSettings, found: Checked) -> str:
    """The name of a new user: what the issuer calls them, in letters that names have."""
    mail = "" if found.claims.get("email_verified") is False else found.text("email")
    wanted = found.text(settings.name_claim) or mail or found.subject
    return _NOT_IN_NAMES.sub("-", wanted).lstrip("._@+-")[:_LONGEST] or "somebody"


def _display(found: Checked) -> str:
    return "".join(each for each in found.text("name") if each.isprintable())[:200]
