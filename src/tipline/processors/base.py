"""What every processor kind shares: settings, and the one method that returns a query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import Field

from tipline.kinds import Kind, Names, NodeSettings, Sort
from tipline.processors.expression import Clock

# How far a touched indicator reaches: itself, the island of addresses around it, or everything.
Reach = Literal["key", "interval", "all"]


class ProcessorSettings(NodeSettings):
    """Settings of every processor."""

    inputs: Names = Field(min_length=1, description="The nodes whose indicators it reads.")


@dataclass(frozen=True)
class Query:
    """What a processor works on.

    Attributes:
        inputs: relations of the inputs' passed-on rows (view columns).
        allow: relations of the allow inputs.
        as_of: the moment of the evaluation, as a SQL literal.
        materialise: runs a query into a temporary table and returns its name.
        unique: whether the inputs together hold each key once.
        reliability: 0 to 100 of each source that is given one.
        networks: whether the allow inputs hold addresses or networks.
    """

    inputs: list[str]
    allow: list[str]
    as_of: str
    materialise: Callable[[str], str]
    unique: bool
    reliability: Mapping[str, int] = field(default_factory=dict)
    networks: bool = True

    def union(self) -> str:
        """All inputs' rows as one relation."""
        return union(self.inputs)


def union(relations: list[str]) -> str:
    """Rows of several view relations as one subquery."""
    return "(" + " UNION ALL BY NAME ".join(f"SELECT * FROM {name}" for name in relations) + ")"


class Processor(Kind[ProcessorSettings]):
    """A processor kind: `query` returns SQL whose rows carry `dropped` where it takes them out."""

    sort: ClassVar[Sort] = "processor"
    Settings: ClassVar[type[NodeSettings]] = ProcessorSettings
    reach: ClassVar[Reach] = "key"
    unique: ClassVar[bool | None] = None
    # Whether it does nothing to rows of which each key stands once, but for its allow-lists.
    merges: ClassVar[bool] = False

    @abstractmethod
    def query(self, query: Query) -> str:
        """SQL over the inputs: the view columns and `dropped`."""

    def clocks(self) -> list[Clock]:
        """Columns and offsets at which a row's result may change with time alone."""
        return []
