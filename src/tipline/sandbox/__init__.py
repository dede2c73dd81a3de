"""A local stand-in for Microsoft's sign-in, Defender, Sentinel and ARM threat-intelligence APIs.

It shares nothing with the rest of tipline but the errors, so that it can judge tipline's deliveries.
Every behaviour is labelled documented, observed or guess (`behaviours()`); what is guessed can be switched.
"""

from __future__ import annotations

from .behaviours import Behaviour, behaviours
from .directory import App
from .faults import Faults, Plan
from .limits import Limits
from .objects import Workspace
from .portal import PortalError
from .server import Sandbox, serve
from .tables import QueryError

__all__ = [
    "App", "Behaviour", "Faults", "Limits", "Plan", "PortalError", "QueryError", "Sandbox", "Workspace",
    "behaviours",
    "serve",
]  # fmt: skip
