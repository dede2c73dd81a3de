"""Secrets that the configuration names: they go in, and never come out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from tipline.api.v1.asking import Body, Configuring

router = APIRouter(tags=["configuration"])
Secret = Annotated[str, Path(max_length=100)]


class Value(Body):
    """A secret's value; it is never shown again."""

    value: str = Field(max_length=64 * 1024, description="The secret.", repr=False)
    team: str | None = Field(default=None, max_length=200, description="Whose nodes may use it; the asker's team.")


@router.get("/secrets")
def secrets(asked: Configuring) -> dict[str, Any]:
    """The secrets' names, teams, and when they were changed; never their values."""
    return asked.call("secrets")


@router.put("/secrets/{name}")
def secret_set(asked: Configuring, name: Secret, body: Value) -> dict[str, Any]:
    """Keep a secret; the configuration names it as `${secret:NAME}`."""
    return asked.call("secret_set", name=name, **dict(body))


@router.delete("/secrets/{name}")
def secret_remove(asked: Configuring, name: Secret) -> dict[str, Any]:
    """Forget a secret."""
    return asked.call("secret_remove", name=name)
