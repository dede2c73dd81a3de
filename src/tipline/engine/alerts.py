"""Alerts: told once when something starts and once when it ends, over webhook, syslog or e-mail."""

from __future__ import annotations

import json
import smtplib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

import httpx
import structlog
from sqlalchemy import insert, select, update

from tipline.config.schema import AlertSettings
from tipline.engine.times import iso
from tipline.store.control import ALERTS, Control

log = structlog.get_logger()
_TIMEOUT = 10.0
# Facility local0; severities of RFC 5424.
_PRIORITY = {"critical": 130, "warning": 132, "info": 134}


@dataclass(frozen=True)
class Condition:
    """Something that is the case now and that people must know of."""

    name: str
    severity: str  # critical, warning
    message: str


class Alerts:
    """Keeps track of conditions and tells each channel when one starts and when it ends.

    A channel that cannot be reached is tried again at the next round; nothing is told twice.
    """

    def __init__(self, control: Control, channels: list[AlertSettings], instance: str) -> None:
        self.control = control
        self.channels = [_Channel(number, settings, instance) for number, settings in enumerate(channels)]

    def update(self, conditions: list[Condition], at: datetime) -> None:
        """Compare what is the case with what was, and tell the difference."""
        now = {condition.name: condition for condition in conditions}
        with self.control.transaction() as con:
            running = {row.name: row for row in con.execute(select(ALERTS).where(ALERTS.c.ended.is_(None)))}
            for name, condition in now.items():
                if name not in running:
                    con.execute(
                        insert(ALERTS).values(
                            name=name, severity=condition.severity, message=condition.message, started=at, told={}
                        )
                    )
                elif running[name].message != condition.message:
                    con.execute(update(ALERTS).where(ALERTS.c.id == running[name].id).values(message=condition.message))
            for name, row in running.items():
                if name not in now:
                    con.execute(update(ALERTS).where(ALERTS.c.id == row.id).values(ended=at))
        self._tell()

    def running(self) -> list[dict[str, str | None]]:
        """Alerts that have started and not ended."""
        with self.control.reading() as con:
            rows = con.execute(select(ALERTS).where(ALERTS.c.ended.is_(None)).order_by(ALERTS.c.id)).all()
        return [{"name": r.name, "severity": r.severity, "message": r.message, "started": iso(r.started)} for r in rows]

    def _tell(self) -> None:
        with self.control.reading() as con:
            rows = con.execute(select(ALERTS).order_by(ALERTS.c.id)).all()
        for row in rows:
            told = dict(row.told)
            for channel in self.channels:
                known = told.get(channel.name, [])
                for phase in ("start", "end") if row.ended else ("start",):
                    if phase not in known and channel.send(_event(row, phase)):
                        known = [*known, phase]
                if known:
                    told[channel.name] = known
            if told != row.told:
                with self.control.transaction() as con:
                    con.execute(update(ALERTS).where(ALERTS.c.id == row.id).values(told=told))


def _event(row: object, phase: str) -> dict[str, str | None]:
    return {
        "event": phase,
        "name": getattr(row, "name", ""),
        "severity": getattr(row, "severity", "warning"),
        "message": getattr(row, "message", ""),
        "started": iso(getattr(row, "started", None)),
        "ended": iso(getattr(row, "ended", None)) if phase == "end" else None,
    }


class _Channel:
    """One way of telling."""

    def __init__(self, number: int, settings: AlertSettings, instance: str) -> None:
        self.name = f"{number} {settings.kind}"
        self.settings = settings
        self.instance = instance
        ways: dict[str, Callable[[dict[str, str | None]], None]] = {
            "webhook": self._webhook,
            "syslog": self._syslog,
            "email": self._email,
        }
        self._way = ways[settings.kind]

    def send(self, event: dict[str, str | None]) -> bool:
        """Tell; returns whether it worked (the reason for a failure is logged, without the address)."""
        try:
            self._way({"instance": self.instance, **event})
        except (OSError, httpx.HTTPError, smtplib.SMTPException) as exc:
            log.warning("alert not sent", channel=self.name, alert=event["name"], error=type(exc).__name__)
            return False
        return True

    def _webhook(self, event: dict[str, str | None]) -> None:
        url = self.settings.url.get_secret_value() if self.settings.url else ""
        httpx.post(url, json=event, timeout=_TIMEOUT).raise_for_status()

    def _syslog(self, event: dict[str, str | None]) -> None:
        address = self.settings.address or ""
        stream = address.startswith("tcp://")
        host, _, port = address.removeprefix("tcp://").removeprefix("udp://").rpartition(":")
        ended = event["event"] == "end"
        priority = _PRIORITY["info" if ended else str(event["severity"])]
        moment = event["ended"] or event["started"]
        text = f"<{priority}>1 {moment} {socket.gethostname()} tipline - - - {json.dumps(event)}"
        if stream:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT) as connection:
                data = text.encode()
                connection.sendall(f"{len(data)} ".encode() + data)
            return
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as datagram:
            datagram.sendto(text.encode()[:8000], (host.strip("[]"), int(port)))

    def _email(self, event: dict[str, str | None]) -> None:
        settings = self.settings
        message = EmailMessage()
        word = "ended" if event["event"] == "end" else str(event["severity"])
        message["Subject"] = f"[tipline {self.instance}] {word}: {event['name']}"
        message["From"] = settings.sender or "tipline@localhost"
        message["To"] = ", ".join(settings.to)
        message.set_content("\n".join(f"{key}: {value}" for key, value in event.items() if value))
        host, _, port = (settings.host or "").partition(":")
        with smtplib.SMTP(host, int(port or 25), timeout=_TIMEOUT) as server:
            if settings.starttls:
                server.starttls()
            if settings.username:
                server.login(settings.username, settings.password.get_secret_value() if settings.password else "")
            server.send_message(message)
