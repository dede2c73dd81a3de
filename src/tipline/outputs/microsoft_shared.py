"""What the outputs to Microsoft's services share: sign-in, limits and templates."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from string import Formatter
from typing import Any

from pydantic import Field

from tipline.microsoft.credentials import Credentials
from tipline.microsoft.pace import RateLimiter, SystemClock, Window
from tipline.microsoft.transport import Connection
from tipline.outputs.delivery import DeliveredSettings, Row

TEMPLATE_FIELDS = ("value", "type", "sources", "confidence", "tags", "description")

_LIMITERS: dict[tuple[str, ...], tuple[RateLimiter, threading.Event]] = {}
_LIMITERS_LOCK = threading.Lock()


class MicrosoftSettings(DeliveredSettings):
    """Settings of outputs to Microsoft's services."""

    credentials: Credentials = Field(
        default_factory=lambda: Credentials.model_validate({}), description="How to sign in to the tenant."
    )


def connection(credentials: Credentials, stop: threading.Event) -> Connection:
    """How to reach the services; waits end when `stop` is set."""
    return Connection(ca_file=credentials.ca_file, clock=SystemClock(stop))


def limiter(
    service: str,
    credentials: Credentials,
    windows: Mapping[str, tuple[Window, ...]],
    link: Connection,
    stop: threading.Event,
) -> RateLimiter:
    """The limiter of one app at one service: outputs that use the same app share its limits.

    A limiter whose waits were ended by a shutdown is not used again.
    """
    name = (service, credentials.tenant_id, credentials.client_id, credentials.endpoints.login_url)
    with _LIMITERS_LOCK:
        found = _LIMITERS.get(name)
        if found is None or found[1].is_set():
            found = _LIMITERS[name] = (RateLimiter(windows, link.clock), stop)
        return found[0]


def template(text: str) -> str:
    """A template, checked.

    Raises:
        ValueError: it has a field that does not exist.
    """
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as exc:
        raise ValueError(f"{text!r} is no template: {exc}; write a brace of your own twice") from None
    for name in names:
        if name not in TEMPLATE_FIELDS:
            raise ValueError(f"there is no field {{{name}}}; there are {', '.join(TEMPLATE_FIELDS)}")
    return text


def fields_of(*templates: str) -> set[str]:
    """The fields that templates use."""
    return {name for text in templates for _, name, _, _ in Formatter().parse(text) if name}


def filled(text: str, row: Row, type_word: str) -> str:
    """A template with an indicator's words; `type_word` is the far side's name of its type."""
    return text.format(
        value=row.value,
        type=type_word,
        sources=", ".join(row.sources),
        confidence=row.confidence,
        tags=", ".join(row.tags or ()),
        description=row.description or "",
    )


def same(ours: Any, theirs: Any) -> bool:
    """Whether a field we send and a field the far side shows agree; lists in any order, nothing as empty."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return sorted(map(str, ours)) == sorted(map(str, theirs))
    return (ours or None) == (theirs or None)
