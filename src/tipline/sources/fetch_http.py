"""One address over HTTP: tries, redirects, conditional requests; each hop's address is checked and pinned."""

from __future__ import annotations

import email.utils
import hashlib
import random
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import structlog

from tipline.errors import FetchError
from tipline.formats.spool import spooled
from tipline.sources.fetch_connect import Body, Deadline, Hop, connected, explain, host_slot
from tipline.sources.fetch_settings import FetchSettings, Part, PartState
from tipline.sources.guardrails import mask_url

_log = structlog.get_logger()
_BLOCK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTS_AS_GET = (301, 302, 303)
_RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "zstd")
_random = random.SystemRandom()
sleep = time.sleep


class _LaterError(FetchError):
    """The server asks to come back after some seconds."""

    def __init__(self, what: str, *, where: str, fix: str, after: float | None, status: int) -> None:
        super().__init__(what, where=where, fix=fix, retryable=True, status=status)
        self.after = after


def get(
    settings: FetchSettings, url: str, before: PartState | None, spool: Path, body: Body | None = None
) -> tuple[Part | None, PartState, int]:
    """Fetch one address, with tries where they can help.

    Args:
        settings: of the source.
        url: http:// or https://.
        before: validators for a conditional request; None for an unconditional one.
        spool: directory for the answer's body.
        body: makes the request a POST. It may be sent several times, so it must only ask, not change.

    Returns:
        The file (None: not modified), what to remember, and the bytes received.

    Raises:
        FetchError: it cannot be had; see `fetch`.
    """
    attempt = 0
    while True:
        try:
            return _follow(settings, url, before, spool, body)
        except FetchError as error:
            wait = _wait(settings, attempt, error)
            if wait is None:
                raise
            _log.info("fetch tried again", url=mask_url(url), seconds=round(wait, 1), reason=error.what)
            sleep(wait)
            attempt += 1


def _wait(settings: FetchSettings, attempt: int, error: FetchError) -> float | None:
    """Seconds until the next try; None if it cannot help, there were enough, or the wait is too long."""
    if not error.retryable or attempt >= settings.retries:
        return None
    if isinstance(error, _LaterError) and error.after is not None:
        return error.after if error.after <= settings.max_wait else None
    return min(settings.max_wait, 2.0**attempt * _random.uniform(0.5, 1.5))


def _follow(
    settings: FetchSettings, url: str, before: PartState | None, spool: Path, body: Body | None
) -> tuple[Part | None, PartState, int]:
    """One try: requests along the redirects, within one deadline."""
    first = Hop.of(url, settings, trusted=True)
    hop, conditions = first, _conditions(before)
    # The slot comes first: waiting for others must not count as this transfer's time.
    with host_slot(first.host, settings.per_host), Deadline(settings.max_time) as deadline:
        for _ in range(settings.max_redirects + 1):
            with _answer(settings, hop, conditions, deadline, body) as response:
                if response.status_code == 304 and before is not None:
                    return None, _remember(response, before), 0
                if response.status_code not in _REDIRECTS:
                    _refuse_status(response, hop)
                    part, digest, size = _save(response, settings, hop, spool, deadline)
                    return part, _remember(response, PartState(sha256=digest)), size
                if body is not None and response.status_code in _REDIRECTS_AS_GET:
                    raise FetchError(
                        "the server redirects, which a request with a body cannot follow",
                        where=hop.shown,
                        fix="give the final address",
                    )
                hop = _next_hop(response, hop, first, settings)
    raise FetchError(f"more than {settings.max_redirects} redirects", where=first.shown, fix="give the final address")


def _conditions(before: PartState | None) -> dict[str, str]:
    headers = {}
    if before and before.etag:
        headers["If-None-Match"] = before.etag
    if before and before.last_modified:
        headers["If-Modified-Since"] = before.last_modified
    return headers


def _remember(response: httpx.Response, known: PartState) -> PartState:
    etag = response.headers.get("etag", known.etag)
    return PartState(etag, response.headers.get("last-modified", known.last_modified), known.sha256)


@contextmanager
def _answer(
    settings: FetchSettings, hop: Hop, conditions: dict[str, str], deadline: Deadline, body: Body | None
) -> Iterator[httpx.Response]:
    """The response to one request; what fails underneath is explained in words."""
    try:
        with connected(settings, hop, conditions, deadline, body) as response:
            yield response
    except httpx.HTTPError as error:
        raise explain(error, settings, hop, deadline) from error


def _next_hop(response: httpx.Response, hop: Hop, first: Hop, settings: FetchSettings) -> Hop:
    location = response.headers.get("location", "")
    target = urljoin(str(hop.url), location)
    scheme = urlsplit(target).scheme.lower()
    shown = mask_url(target)
    if not location or scheme not in ("http", "https"):
        raise FetchError(f"redirected to {shown or 'nowhere'}, which is not followed", where=hop.shown)
    if hop.secure and scheme == "http":
        raise FetchError(
            f"redirected from https to http: {shown}",
            where=hop.shown,
            fix="ask the publisher, or give an http address",
        )
    found = Hop.of(target, settings, trusted=False)
    return found if found.origin != first.origin else Hop.of(target, settings, trusted=True)


def _refuse_status(response: httpx.Response, hop: Hop) -> None:
    """Raise for any answer but 200, and 206 where a range was asked for."""
    status = response.status_code
    if status == 200 or (status == 206 and "range" in response.request.headers):
        return
    words = f"the server answered {status} {response.reason_phrase}".strip()
    fix = {
        401: "the sign-in is missing or wrong: check basic, bearer or api_key",
        403: "access is refused: check the sign-in, and whether this machine's address is permitted",
        404: "the feed has moved or gone: check the address",
        410: "the feed is gone for good: remove or replace the source",
        407: "the proxy wants a sign-in: put it into proxy",
        429: "polled too often: raise `every`",
    }.get(status, "")
    if status in _RETRY_STATUS:
        after = _retry_after(response)
        asks = f", and asks to wait {after:.0f} s" if after else ""
        raise _LaterError(words + asks, where=hop.shown, fix=fix, after=after, status=status)
    raise FetchError(words, where=hop.shown, fix=fix, status=status)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait: a number, or a date."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _save(
    response: httpx.Response, settings: FetchSettings, hop: Hop, spool: Path, deadline: Deadline
) -> tuple[Part, str, int]:
    """Stream the body to the spool as it was sent; `decode` undoes a content encoding, within limits."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise FetchError(f"the server sent the content encoding {encoding!r}, which was not asked for", where=hop.shown)
    _refuse_size(int(response.headers.get("content-length", "0")), settings, hop)
    target = spool / f"{uuid.uuid4().hex}.body"
    digest, size = hashlib.sha256(), 0
    with spooled(target, hop.shown) as out:
        for block in response.iter_raw(_BLOCK):
            size += len(block)
            _refuse_size(size, settings, hop)
            if deadline.passed:
                raise httpx.ReadTimeout("the whole transfer took too long")
            digest.update(block)
            out.write(block)
    charset = _CHARSET.search(response.headers.get("content-type", ""))
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Part(target, hop.shown, charset[1] if charset else None, headers), digest.hexdigest(), size


def _refuse_size(size: int, settings: FetchSettings, hop: Hop) -> None:
    if size > settings.max_bytes:
        raise FetchError(
            f"the body is larger than {settings.max_bytes:,} bytes",
            where=hop.shown,
            fix="raise max_bytes if the feed is that large",
        )
