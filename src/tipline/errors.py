"""One hierarchy of errors; each message says what, where, and what to do."""

from __future__ import annotations


class TiplineError(Exception):
    """Base of every error that tipline raises on purpose.

    Args:
        what: what went wrong, in words (never a secret).
        where: file:line, feed, node or record it happened at.
        fix: what the reader can do about it.
    """

    code = "error"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        """One line: where, what and what to do."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} ({self.fix})" if self.fix else head


class ConfigError(TiplineError):
    """The configuration cannot be used."""

    code = "config"


class ServerError(TiplineError):
    """Somebody else's server refused or did not answer.

    `retryable` says whether trying again can help, `status` what the server answered, if it did.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        fix: str = "",
        retryable: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.retryable = retryable
        self.status = status


class FetchError(ServerError):
    """A feed could not be fetched."""

    code = "fetch"


class FormatError(TiplineError):
    """A feed's body is not what its settings say it is."""

    code = "format"


class StoreError(TiplineError):
    """The data directory cannot be used."""

    code = "store"


class FarSideError(ServerError):
    """A far side (Defender, Sentinel, ...) refused or could not be reached; `retry_after` in seconds, if it said so."""

    code = "far-side"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        fix: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(what, where=where, fix=fix, retryable=retryable, status=status)
        self.retry_after = retry_after


class SignInError(FarSideError):
    """Microsoft's sign-in refused; the message explains what to do in the portal."""

    code = "sign-in"
