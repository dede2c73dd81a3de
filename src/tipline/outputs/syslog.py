"""Syslog: added, changed and removed indicators as messages that SIEMs read."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from string import Formatter
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tipline.durations import Duration
from tipline.kinds import NodeSettings
from tipline.outputs.answers import checked
from tipline.outputs.base import Carries
from tipline.outputs.delivery import Check, Delivered, DeliveredSettings, FarSide, Outcome, Parcel, Refused, Row, spread
from tipline.outputs.events import SHOWN, Event, taken_back, told
from tipline.outputs.syslog_formats import FORMATS, TEXTS, Origin
from tipline.outputs.syslog_link import Link
from tipline.outputs.tls import TlsSettings
from tipline.store.receipts import Receipt

_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
_INFORMATIONAL = 6
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_LARGEST_DATAGRAM = 65_000
# What is left out of a message that is too long, one after the other.
_SPARE = ("description", "references", "tags", "threat_types", "sources")


class SyslogSettings(DeliveredSettings, TlsSettings):
    """Settings of `syslog`; those of TLS count with `transport: tls`."""

    host: str = Field(default="", description="The server's name or address.")
    port: int = Field(default=514, ge=1, le=65535, description="Its port; 6514 is usual for TLS.")
    transport: Literal["udp", "tcp", "tls"] = Field(
        default="tcp", description="How messages travel; udp loses some without a word."
    )
    format: Literal["cef", "leef", "json"] = Field(default="cef", description="What a message says.")
    header: Literal["rfc5424", "rfc3164"] = Field(default="rfc5424", description="What stands before it.")
    framing: Literal["octet-counting", "newline"] = Field(
        default="octet-counting", description="tcp and tls: how messages are told apart (RFC 6587)."
    )
    facility: str = Field(
        default="local0", json_schema_extra={"enum": list(_FACILITIES)}, description="Syslog facility, such as local0."
    )
    hostname: str = Field(
        default="", pattern=r"^[!-~]{0,255}$", description="Host name in the header; the instance's name unless set."
    )
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="Further keys, or others in place of the usual ones, as templates such as {value}; empty: none.",
    )
    max_message: int = Field(
        default=8192, ge=480, le=1 << 20, description="Longest message in bytes; longer ones are shortened or refused."
    )
    rate: int = Field(default=2000, ge=1, description="Most messages in a second.")
    repeat: Duration | None = Field(
        default=None, description="Tell each indicator again so often, since messages can be lost; unset: once."
    )
    timeout: float = Field(default=30, gt=0, description="Longest wait for the server, in seconds.")

    @field_validator("facility")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _FACILITIES:
            raise ValueError(f"there is no facility {value!r}; there are {', '.join(_FACILITIES)}")
        return value

    @field_validator("fields")
    @classmethod
    def _templates(cls, value: dict[str, str]) -> dict[str, str]:
        for key, text in value.items():
            if not _KEY.fullmatch(key):
                raise ValueError(f"{key!r} is no key: letters, digits, dots and underscores")
            for _, name, spec, conversion in Formatter().parse(text):
                if name is not None and (name not in TEXTS or spec or conversion):
                    raise ValueError(f"there is no field {{{name}}}; there are {', '.join(TEXTS)}")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.transport == "udp" and self.max_message > _LARGEST_DATAGRAM:
            raise ValueError(f"max_message is at most {_LARGEST_DATAGRAM} over udp")
        return self


class Syslog(Delivered):
    """Tells a syslog server of added, changed and removed indicators, as CEF, LEEF or JSON."""

    kind: ClassVar[str] = "syslog"
    Settings: ClassVar[type[NodeSettings]] = SyslogSettings
    settings: SyslogSettings
    carries: ClassVar[Carries] = Carries(
        types="all",
        confidence="severity 0 to 10, and 0 to 100",
        tlp="word",
        expiry="date",
        removal="a `remove` message",
        limits="`max_message` bytes; CEF: values up to 4,000 characters",
        receipt="perhaps: syslog has no acknowledgement",
    )
    example: ClassVar[str] = """\
kind: syslog
inputs: inbound
host: siem.example.org
port: 6514
transport: tls
format: cef
"""

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The server."""
        return SyslogSide(self, instance, stop)

    def missing(self) -> list[str]:
        """The server, if it is not set."""
        return [] if self.settings.host else ["host"]

    def shown(self) -> list[str]:
        """What messages show."""
        return SHOWN

    def sent_settings(self) -> dict[str, Any]:
        """Another server, or another form, has to be told everything."""
        return self.settings.model_dump(mode="json", include={"host", "port", "format", "fields"})


class SyslogSide(FarSide):
    """One syslog server.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    def __init__(self, output: Syslog, instance: str, stop: threading.Event) -> None:
        self.settings = output.settings
        self.origin = Origin(instance, output.name, self.settings.fields)
        self.link = Link(self.settings, stop)
        self._priority = 8 * _FACILITIES.index(self.settings.facility) + _INFORMATIONAL
        name = self.settings.hostname or instance
        self._hostname = re.sub(r"[^!-~]", "-", name)[:255] or "-"

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The message of an indicator."""
        event, detail = told(row, receipt)
        try:
            message = self._message(event, now)
        except ValueError as error:
            return Refused(f"message-too-long: {error}")
        due = now + spread(self.settings.repeat, row.key) if self.settings.repeat else None
        return Parcel(row.key, row.type, row.value, message, due=due, detail=detail)

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """The message of one that left; it is shorter than the one that was sent."""
        event, detail = taken_back(receipt, false_positive=false_positive)
        return Parcel(receipt.key, receipt.type, receipt.value, self._message(event, now), detail=detail)

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Hand the messages over; that they arrived is nowhere said."""
        self.link.send([parcel.payload for parcel in parcels])
        return [Outcome(ok=True, confirmed=False)] * len(parcels)

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """As `send`: a removal is a message too."""
        return self.send(parcels)

    def preview(self, parcels: Sequence[Parcel]) -> list[str]:
        """The messages, without their framing."""
        return [parcel.payload.decode() for parcel in parcels]

    def probe(self) -> list[Check]:
        """Connect, and send nothing."""

        def work() -> str:
            self.link.reach()
            udp = self.settings.transport == "udp"
            return "the name is known; nobody can tell whether it listens" if udp else "connected"

        return [checked("syslog", work)]

    def close(self) -> None:
        """Close the connection."""
        self.link.close()

    def _message(self, event: Event, now: datetime) -> bytes:
        """The message, shortened if it has to be.

        Raises:
            ValueError: it is too long all the same.
        """
        form = FORMATS[self.settings.format]
        head = self._head(event, now)
        for left in range(len(_SPARE) + 1):
            spared = {name: value for name, value in event.content.items() if name not in _SPARE[:left]}
            made = (head + form(replace(event, content=spared), self.origin, now)).encode()
            if len(made) <= self.settings.max_message:
                return made
        raise ValueError(f"{len(made)} bytes; max_message is {self.settings.max_message}")

    def _head(self, event: Event, now: datetime) -> str:
        if self.settings.header == "rfc5424":
            stamp = now.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return f"<{self._priority}>1 {stamp} {self._hostname} tipline - {event.event} - "
        stamp = f"{now:%b} {now.day:2d} {now:%H:%M:%S}"
        # CEF and LEEF stand where others have a tag.
        tag = "tipline: " if self.settings.format == "json" else ""
        return f"<{self._priority}>{stamp} {self._hostname} {tag}"
