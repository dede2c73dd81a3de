"""What a source accepts, and how its words are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tipline.errors import ConfigError

#: MineMeld's reading of the words low, medium and high (its TAXII miner), with the usual synonyms.
CONFIDENCE_WORDS: Mapping[str, int] = MappingProxyType(
    {
        "none": 0,
        "unlikely": 20,
        "low": 40,
        "moderate": 60,
        "medium": 60,
        "med": 60,
        "likely": 70,
        "high": 80,
        "very high": 90,
        "certain": 100,
        "confirmed": 100,
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of one source that decide which rows `conform` accepts.

    Attributes:
        allow_non_routable: accept private, loopback, link-local, multicast, reserved and
            documentation addresses, and networks that overlap them even partly.
        allow_wide: accept intervals of more addresses than an IPv4 /8 or an IPv6 /16.
        allow_public_suffixes: accept a domain that is itself an ICANN public suffix (`co.uk`).
        allow_unknown_tld: accept a host whose last label is not in the public suffix list.
        allow_wildcards: read `*.example.com` and `.example.com` as `example.com`; refused otherwise,
            because the indicator would mean less than the source said.
        fixed_type: type (or `ip`, `hash`, or any source's word) of every row; the column `type` is then not
        read.
        types: accept only these types; the rest is dropped as `unwanted-type`. None: all.
        time_format: strptime pattern of the time columns; None: the shapes in `times` are tried.
        time_zone: IANA zone of times that carry none.
        confidence_map: word (lower case) to confidence, 0 to 100.
        max_value_length: longest value, in bytes of UTF-8.
        max_description: longest description, in characters; more is cut.
        max_extra: largest `extra`, in bytes; more is left out.
        max_items: most tags, threat types or references of one claim; more is cut.
    """

    allow_non_routable: bool = False
    allow_wide: bool = False
    allow_public_suffixes: bool = False
    allow_unknown_tld: bool = False
    allow_wildcards: bool = False
    fixed_type: str | None = None
    types: frozenset[str] | None = None
    time_format: str | None = None
    time_zone: str = "UTC"
    confidence_map: Mapping[str, int] = field(default_factory=lambda: CONFIDENCE_WORDS)
    max_value_length: int = 4096
    max_description: int = 2000
    max_extra: int = 16_384
    max_items: int = 100

    @classmethod
    def allow_list(cls, **settings: Any) -> Self:
        """A policy that accepts everything an allow-list may hold.

        Private networks, 0.0.0.0/0 and ::/0, public suffixes, internal names and wildcards.

        Args:
            settings: other attributes to set, by name.
        """
        allows = dict.fromkeys(
            (
                "allow_non_routable",
                "allow_wide",
                "allow_public_suffixes",
                "allow_unknown_tld",
                "allow_wildcards",
            ),
            True,
        )
        return cls(**{**allows, **settings})

    def __post_init__(self) -> None:
        """Refuse settings that could only fail later.

        Raises:
            ConfigError: unknown time zone or confidence outside 0 to 100.
        """
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            msg = f"time zone {self.time_zone!r} is not known"
            raise ConfigError(msg, fix="use an IANA name such as Europe/Rome or UTC") from error
        for word, confidence in self.confidence_map.items():
            if not 0 <= confidence <= 100:
                msg = f"confidence {confidence} for {word!r} is not between 0 and 100"
                raise ConfigError(msg, fix="give a number from 0 to 100")
