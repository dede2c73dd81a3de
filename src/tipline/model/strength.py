"""How strong a password is: judged by how long guessing would take."""

from __future__ import annotations

from zxcvbn import zxcvbn

LEAST_LENGTH, MOST_LENGTH = 10, 256
_LEAST_SCORE = 3  # of 4: safely unguessable by whoever has the hash and one ordinary computer
_JUDGED = 72  # characters; what comes after makes guessing no easier


def weakness(password: str, words: list[str]) -> str:
    """What is wrong with a password, in words; empty if nothing is.

    Args:
        password: as it was entered.
        words: what an attacker would try first: the user's names, and the like.
    """
    if len(password) < LEAST_LENGTH:
        return f"it is shorter than {LEAST_LENGTH} characters"
    if len(password) > MOST_LENGTH:
        return f"it is longer than {MOST_LENGTH} characters"
    found = zxcvbn(password[:_JUDGED], user_inputs=words)
    if found["score"] >= _LEAST_SCORE:
        return ""
    feedback = found["feedback"]
    hints = " ".join([feedback["warning"] or "", *feedback["suggestions"]]).strip()
    return f"it is easy to guess. {hints}".strip()
