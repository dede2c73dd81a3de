"""Logging: readable on a terminal, JSON elsewhere, to standard error and for searching, and never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from tipline.engine.logbook import LogBook

MASK = "***"
_SECRET_KEYS = re.compile(r"secret|token|passw|authori[sz]ation|api_?key|credential|cookie", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]*@")
_PARAMETER = re.compile(r"(?i)([?&;][a-z0-9_-]*(?:key|token|secret|passw|auth|sig)[a-z0-9_-]*=)[^&#\s\"']+")
_BEARER = re.compile(r"(?i)(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


def configure(level: int = logging.WARNING, folder: Path | None = None) -> None:
    """Set logging up.

    Args:
        level: least level that is written, as in `logging`.
        folder: where the log is kept for being searched, too; None: nowhere.
    """
    terminal = sys.stderr.isatty()
    kept = [_kept(LogBook(folder))] if folder else []
    renderer: Any = structlog.processors.JSONRenderer()
    if terminal:
        # Prettier formatters show variables, and these hold secrets.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            masked,
            *kept,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries log addresses and headers at lower levels than this.
    logging.basicConfig(
        level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True
    )


def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that hides secrets, by their key and inside texts."""
    return {key: _hidden(key, value) for key, value in event.items()}


def _kept(book: LogBook) -> Any:
    """A structlog processor that writes each event to a log book."""

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        book.write(event)
        return event

    return keep


def _hidden(key: str, value: Any) -> Any:
    if _SECRET_KEYS.search(key):
        return MASK
    if isinstance(value, dict):
        return {inner: _hidden(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden("", item) for item in value]
    if isinstance(value, str):
        return _PARAMETER.sub(rf"\1{MASK}", _BEARER.sub(rf"\1 {MASK}", _USER_INFO.sub(f"{MASK}@", value)))
    return value
