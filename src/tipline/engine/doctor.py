"""Checks what the program stands on: configuration, data directory, database, secrets, far sides, clock."""

from __future__ import annotations

import shutil
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from tipline.config.check import Checked, check
from tipline.config.schema import Configuration
from tipline.engine.core import Engine
from tipline.engine.times import utc_now
from tipline.errors import TiplineError
from tipline.outputs.delivery import Delivered
from tipline.store.control import FILE as CONTROL_FILE
from tipline.store.control import Control, integrity
from tipline.store.lake import FILE as LAKE_FILE
from tipline.store.lake import Lake
from tipline.store.lock import DirectoryLock
from tipline.store.records import last_runs

_LITTLE, _TOO_LITTLE = 2 << 30, 256 << 20  # bytes of free disk
_SKEW = timedelta(minutes=5)  # tokens are refused beyond about this
_TIMEOUT = 10.0
_WARN_DAYS = 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warning", "failed"]
    what: str
    where: str = ""
    fix: str = ""


def diagnose(path: Path, data: Path, *, engine: Engine | None = None, output: str | None = None) -> dict[str, Any]:
    """Look at everything, or at one output's far side only.

    Args:
        path: the configuration file.
        data: the data directory.
        engine: the one that runs in this process; without it, the data directory is opened here.
        output: look at this output's far side only.

    Returns:
        ok (nothing failed) and findings: name, state (ok, warning, failed), what, where, fix.
    """
    checked = check(path)
    findings = [*_configuration(checked)]
    if output is None:
        findings += [*_directory(data), *_disk(data)]
        findings += _stores(engine.control) if engine else _opened(data)
    configuration = engine.configuration if engine else checked.configuration
    if configuration is not None:
        findings += _far_sides(configuration, output)
    return {
        "ok": all(finding.state != "failed" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def far_side(configuration: Configuration, output: str) -> dict[str, Any]:
    """Whether one output's far side can be signed in to and written to; nothing is written."""
    findings = list(_far_sides(configuration, output))
    return {
        "ok": bool(findings) and all(finding.state == "ok" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def _configuration(checked: Checked) -> Iterator[Finding]:
    for problem in checked.problems:
        state: Literal["failed", "warning"] = "failed" if problem.severity == "error" else "warning"
        yield Finding("configuration", state, problem.what, problem.where, problem.fix)
    if checked.configuration is not None and not checked.errors:
        found = checked.configuration
        numbers = f"{len(found.sources)} sources, {len(found.processors)} processors, {len(found.outputs)} outputs"
        yield Finding("configuration", "ok", numbers, str(found.path))


def _directory(data: Path) -> Iterator[Finding]:
    where = str(data)
    if not data.exists():
        yield Finding("data directory", "warning", "it does not exist yet: it is made at the first run", where)
        return
    fix = "make it writable for the user that runs tipline, or set another one with data:"
    try:
        with tempfile.TemporaryFile(dir=data) as file:
            file.write(b"x")
    except OSError as exc:
        yield Finding("data directory", "failed", f"it cannot be written: {exc.strerror}", where, fix)
        return
    mode = data.stat().st_mode & 0o077
    if mode:
        yield Finding(
            "data directory", "warning", "others on this machine can look into it", where, f"chmod 700 {data}"
        )
    else:
        yield Finding("data directory", "ok", "writable, and private to its user", where)


def _disk(data: Path) -> Iterator[Finding]:
    place = next(parent for parent in (data, *data.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    words = f"{free / (1 << 30):,.1f} GiB free"
    if free >= _LITTLE:
        yield Finding("disk", "ok", words, str(place))
        return
    fix = "make room: a full replacement of the data needs as much again"
    yield Finding("disk", "failed" if free < _TOO_LITTLE else "warning", words, str(place), fix)


def _opened(data: Path) -> Iterator[Finding]:
    """The databases of a directory that no process has."""
    if not (data / LAKE_FILE).exists() and not (data / CONTROL_FILE).exists():
        yield Finding("database", "ok", "there is none yet", str(data))
        return
    try:
        lock = DirectoryLock(data)
    except TiplineError as exc:
        yield _failed("database", exc)
        return
    try:
        try:
            Lake(data).close()
            yield Finding("database", "ok", "it opens", str(data / LAKE_FILE))
        except TiplineError as exc:
            yield _failed("database", exc)
        try:
            control = Control(data)
        except TiplineError as exc:
            yield _failed("control database", exc)
            return
        try:
            yield from _stores(control)
        finally:
            control.close()
    finally:
        lock.release()


def _stores(control: Control) -> Iterator[Finding]:
    found = integrity(control)
    where = str(control.path or "")
    if found == "ok":
        yield Finding("control database", "ok", "sound", where)
    else:
        fix = "restore it from a backup, or move it away: receipts are rebuilt by `tipline reconcile`"
        yield Finding("control database", "failed", f"it is damaged: {found}", where, fix)
        return
    ahead = [run["started"] for run in last_runs(control).values() if run["started"] > utc_now() + _SKEW]
    if ahead:
        yield Finding(
            "clock",
            "failed",
            f"the clock of this machine went back: a run is dated {max(ahead):%Y-%m-%d %H:%M} UTC",
            fix="set the clock (NTP); nothing expires or is polled in time until then",
        )


def _far_sides(configuration: Configuration, only: str | None) -> Iterator[Finding]:
    asked: set[str] = set()
    for name, output in configuration.outputs.items():
        if not isinstance(output, Delivered) or (only is not None and name != only):
            continue
        if missing := output.missing():
            what = f"needs credentials: {', '.join(missing)} missing"
            yield Finding(f"output {name}", "warning", what, fix="set them; until then it accumulates its state")
            continue
        credentials = getattr(output.settings, "credentials", None)
        if credentials is not None:
            yield from _expiry(name, credentials)
            login = str(credentials.endpoints.login_url)
            if login not in asked:
                asked.add(login)
                yield from _skew(login, credentials.ca_file)
        yield from _probe(name, output, configuration.settings.instance)


def _expiry(name: str, credentials: Any) -> Iterator[Finding]:
    expires: date | None = credentials.secret_expires
    if expires is None:
        return
    left = (expires - utc_now().date()).days
    fix = "make a new secret in the portal, put it in place, and set secret_expires"
    if left < 0:
        yield Finding(f"secret of {name}", "failed", f"it expired on {expires}", fix=fix)
    elif left <= _WARN_DAYS:
        yield Finding(f"secret of {name}", "warning", f"it expires on {expires}, in {left} days", fix=fix)
    else:
        yield Finding(f"secret of {name}", "ok", f"it expires on {expires}, in {left} days")


def _probe(name: str, output: Delivered, instance: str) -> Iterator[Finding]:
    """Sign in, and see that we may write, without writing anything."""
    far_side = output.open(instance, threading.Event())
    try:
        checks = far_side.probe()
    except TiplineError as exc:
        yield _failed(f"output {name}", exc)
        return
    finally:
        far_side.close()
    for found in checks:
        yield Finding(f"output {name}: {found.name}", "ok" if found.ok else "failed", found.message, fix=found.fix)


def _skew(url: str, ca_file: Path | None) -> Iterator[Finding]:
    """How far this machine's clock is from that of the sign-in service."""
    try:
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
        answer = httpx.get(url, timeout=_TIMEOUT, verify=verify, follow_redirects=False)
        there = parsedate_to_datetime(answer.headers["date"])
    except (httpx.HTTPError, OSError, KeyError, ValueError) as exc:
        what = f"the clock could not be compared with the sign-in service: {type(exc).__name__}"
        yield Finding("clock", "warning", what, url, "check the network, the proxy settings and login_url")
        return
    off = datetime.now(UTC) - there
    side = "ahead of" if off > timedelta() else "behind"
    words = f"{abs(off.total_seconds()):.0f} s {side} the sign-in service"
    if abs(off) > _SKEW:
        yield Finding("clock", "failed", words, url, "set the clock (NTP): tokens are refused otherwise")
    else:
        yield Finding("clock", "ok", words, url)


def _failed(name: str, exc: TiplineError) -> Finding:
    return Finding(name, "failed", exc.what, exc.where, exc.fix)
