"""What is pushed to a source and waits to be read: one file a submission; its name says all there is to know of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

_BETWEEN = "~"
_SUFFIX = ".body"
# What the note of a run ends with if the process ended after the commit, so that the account may be lost.
RECOVERED = "; committed before a restart"
_ADD, _WITHDRAW = "add", "withdraw"
# The longest name of a file, less what stands before the sender.
_MOST_SENDER = 120


@dataclass(frozen=True)
class Submission:
    """A body that was pushed.

    Attributes:
        id: sorts by the time of arrival.
        kind: the kind of feed that reads it.
        sender: who pushed it.
        withdraw: whether it takes back what it names.
    """

    id: str
    kind: str
    sender: str
    withdraw: bool = False

    @property
    def file(self) -> str:
        """The name of its file."""
        action = _WITHDRAW if self.withdraw else _ADD
        return _BETWEEN.join([self.id, self.kind, action, _word(self.sender)]) + _SUFFIX

    @property
    def note(self) -> str:
        """How the run that reads it is marked."""
        return f"submission {self.id} from {self.sender}"

    @property
    def recovered_note(self) -> str:
        """How a run is marked that stands for one that may not have been noted."""
        return self.note + RECOVERED

    @property
    def prefix(self) -> str:
        """What the records of its sender's claims begin with; no other sender's do."""
        return quote(self.sender, safe="@ ") + "/"


def user_sender(name: str) -> str:
    """The sender that a user of this server is; no name of a sender with a key of a source looks like it."""
    return f"user {name or 'local'}"


def new_submission(kind: str, sender: str, *, withdraw: bool = False) -> Submission:
    """A submission that arrives now.

    Raises:
        ValueError: the sender's name is empty or too long.
    """
    if not 0 < len(_word(sender)) <= _MOST_SENDER:
        raise ValueError(f"a sender's name has 1 to {_MOST_SENDER} characters")
    return Submission(f"{time.time_ns():020d}-{secrets.token_hex(4)}", kind, sender, withdraw)


def waiting(inbox: Path) -> list[Submission]:
    """The submissions that wait in a folder, oldest first; the folder need not exist."""
    return sorted(_found(inbox), key=lambda submission: submission.id)


def waiting_bytes(inbox: Path) -> int:
    """How large they are together."""
    total = 0
    for file in inbox.glob(f"*{_SUFFIX}"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # it has just been read
    return total


def _word(sender: str) -> str:
    """A sender's name for the name of a file."""
    return quote(sender, safe="@+")


def _found(inbox: Path) -> Iterator[Submission]:
    for file in inbox.glob(f"*{_SUFFIX}"):
        parts = file.name.removesuffix(_SUFFIX).split(_BETWEEN)
        if len(parts) == 4:
            name, kind, action, sender = parts
            yield Submission(name, kind, unquote(sender), action == _WITHDRAW)
