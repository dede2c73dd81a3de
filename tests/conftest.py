"""Quiet logs: events are dropped at the end, so that a test can still capture them."""

from __future__ import annotations

from typing import Any, NoReturn

import structlog


def _drop(_logger: Any, _method: str, _event: Any) -> NoReturn:
    raise structlog.DropEvent


structlog.configure(processors=[_drop])
