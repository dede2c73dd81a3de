"""Keeps the indicators that a filter expression accepts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from tipline.errors import ConfigError
from tipline.kinds import NodeSettings
from tipline.processors.base import Processor, ProcessorSettings, Query
from tipline.processors.expression import Clock, Filter, compile_filter
from tipline.store.schema import VIEW_COLUMNS


def checked_expression(text: str) -> str:
    """A filter expression in a setting, compiled once to find its errors.

    Raises:
        ValueError: it does not compile; the message has the place and a suggestion.
    """
    try:
        compile_filter(text)
    except ConfigError as exc:
        raise ValueError(str(exc)) from None
    return text


class FilterSettings(ProcessorSettings):
    """Settings of `filter`."""

    where: str = Field(description="The expression, such as confidence >= 75 and type in ('ipv4', 'ipv6').")

    _where = field_validator("where")(checked_expression)


class FilterKind(Processor):
    """Keeps what an expression accepts."""

    kind: ClassVar[str] = "filter"
    Settings: ClassVar[type[NodeSettings]] = FilterSettings
    settings: FilterSettings
    example: ClassVar[str] = """\
kind: filter
inputs: inbound
where: confidence >= 75 and 'phish' in tags and age < 30d
"""

    @property
    def filter(self) -> Filter:
        """The compiled expression."""
        return compile_filter(self.settings.where)

    def query(self, query: Query) -> str:
        """Every row; those that the expression refuses carry `dropped`."""
        return filtered(query.union(), self.filter, query.as_of)

    def clocks(self) -> list[Clock]:
        """The ages that the expression names."""
        return self.filter.clocks


def filtered(relation: str, where: Filter, as_of: str) -> str:
    """SQL: every row of `relation`, with `dropped` where the expression is not true."""
    return (
        f"SELECT {VIEW_COLUMNS}, CASE WHEN coalesce({where.sql(as_of)}, FALSE) THEN NULL ELSE 'filter' END AS dropped"
        f" FROM {relation}"
    )
