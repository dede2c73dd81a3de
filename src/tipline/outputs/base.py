"""What every output kind shares: settings, what the far side shows, and the shape of what is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tipline.kinds import Kind, Names, NodeSettings, Sort, Tlp
from tipline.model.tlp import CLEAR
from tipline.processors.base import Reach
from tipline.processors.expression import Clock
from tipline.processors.filter import checked_expression
from tipline.store.schema import VIEW


class OutputGuard(BaseModel):
    """When an evaluation is stopped that would change too much outside an approved plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Whether evaluations are guarded at all.")
    max_removed: float = Field(default=0.3, ge=0, le=1, description="Share of the published set that may go at once.")
    min_removed: int = Field(default=20, ge=0, description="Removals below this number never trip the guard.")
    max_growth: float = Field(default=10, gt=1, description="Factor by which the published set may grow at once.")
    min_growth: int = Field(default=100, ge=0, description="A set smaller than this may grow at will.")


class OutputSettings(NodeSettings):
    """Settings of every output."""

    inputs: Names = Field(min_length=1, description="The nodes whose indicators it publishes.")
    where: str | None = Field(default=None, description="A filter expression, such as confidence >= 75.")
    max_tlp: Tlp = Field(
        default=CLEAR, description="Claims above this TLP are left out before merging (clear ... red)."
    )
    actionable_only: bool = Field(default=True, description="Leave out claims that are not actionable (to_ids off).")
    allow: Names = Field(default_factory=list, description="Allow-list sources applied to what is published.")
    urls: Literal["host-only", "all"] = Field(
        default="host-only", description="Whether an allowed domain also takes out URLs that have a path."
    )
    guard: OutputGuard = Field(default_factory=OutputGuard, description="Stops evaluations that change too much.")

    @field_validator("where")
    @classmethod
    def _expression(cls, text: str | None) -> str | None:
        return None if text is None else checked_expression(text)


@dataclass(frozen=True)
class Carries:
    """What a kind can carry, and its limits, in a few words each (for the table of all kinds).

    Attributes:
        types: which types.
        confidence, tlp: in what form.
        expiry: what the far side knows of an indicator's end.
        removal: how it learns that an indicator left.
        receipt: what is known of the far side; empty for what is read, not sent.
        limits: numbers, and what is left out.
    """

    types: str
    confidence: str
    tlp: str
    expiry: str
    removal: str
    limits: str
    receipt: str = ""


def unsupported(taken: Iterable[str], why: str) -> str:
    """SQL: the reason that a row of any other type than those taken is dropped for, or NULL."""
    known = ", ".join(f"'{name}'" for name in sorted(taken))
    return f"CASE WHEN type NOT IN ({known}) THEN 'unsupported-type: {why} ' || type END"


class Output(Kind[OutputSettings]):
    """An output kind: what it takes (`shape`), what its far side shows (`shown`)."""

    sort: ClassVar[Sort] = "output"
    Settings: ClassVar[type[NodeSettings]] = OutputSettings
    reach: ClassVar[Reach] = "key"
    # Types it can carry; None: all.
    types: ClassVar[frozenset[str] | None] = None
    # Whether what it publishes is also kept as objects in the order of their last change, to be paged through.
    paged: ClassVar[bool] = False
    # For the table of all kinds; each declares its own.
    carries: ClassVar[Carries]

    def shown(self) -> list[str]:
        """The view columns that the far side shows: only a change in one of these is a change."""
        return [name for name in VIEW if name not in {"key", "kh", "lo", "up", "rhost"}]

    def blocking(self) -> bool:
        """Whether the far side blocks (then the shipped never-block list is applied)."""
        return False

    def territory(self) -> tuple[str, ...] | None:
        """What it writes at its far side that no other output may write; None: nothing, or unknown."""
        return None

    def shape(self, relation: str, as_of: str) -> str | None:
        """SQL that turns merged rows into rows as the far side holds them (with `dropped`); None: as they are."""
        return None

    def clocks(self) -> list[Clock]:
        """Columns and offsets at which a row's shape changes with time alone."""
        return []
