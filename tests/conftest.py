"""Quiet logs (events are dropped at the end, so that a test can still capture them), and no test that is timed."""

from __future__ import annotations

from typing import Any, NoReturn

import structlog
from hypothesis import settings


def _drop(_logger: Any, _method: str, _event: Any) -> NoReturn:
    raise structlog.DropEvent


structlog.configure(processors=[_drop])
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
