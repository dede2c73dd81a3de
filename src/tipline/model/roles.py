"""Roles and scopes: who may do what."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["reader", "viewer", "analyst", "editor", "admin"]
# From the least to the most powerful; each may do what those before it may.
ROLES: tuple[Role, ...] = get_args(Role)

# What a request does, and the least role that may do it. A key may be cut down to some of them.
SCOPES: dict[str, Role] = {
    "feeds": "reader",
    "read": "viewer",
    "indicators": "analyst",
    "holds": "analyst",
    "configuration": "editor",
    "accounts": "admin",
}
SCOPE_WORDS: dict[str, str] = {
    "feeds": "read lists and collections that are for feed readers",
    "read": "look at nodes, indicators, runs, deliveries and the configuration",
    "indicators": "add, remove and allow indicators",
    "holds": "release what guards keep back, poll and reconcile",
    "configuration": "change the configuration, and enter secrets",
    "accounts": "manage users and everybody's keys, and read the audit log",
}


def at_least(role: str, least: Role) -> bool:
    """Whether a role may do what another may."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(least)


def scopes_of(role: str) -> list[str]:
    """What a role may do."""
    return [scope for scope, least in SCOPES.items() if at_least(role, least)]
