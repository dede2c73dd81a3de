"""Calls to HTTP far sides of the operator's choice: sign-in, TLS, limits, retries, and failures in words.

The address comes from the configuration alone, never from a feed, and redirects are not followed; so it may
also be a private one.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx
import structlog

from tipline import __version__
from tipline.errors import FarSideError
from tipline.microsoft.explain import redact
from tipline.microsoft.pace import Clock, RateLimiter, SystemClock, Window
from tipline.microsoft.transport import MAX_WORDS, Patience, retry_after
from tipline.outputs.http_settings import CallSettings
from tipline.sources.guardrails import mask_url

log = structlog.get_logger()
MASK = "***"
_MAX_ANSWER = 64 << 20
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_jitter = random.SystemRandom()
make_clock = SystemClock


class HttpError(FarSideError):
    """A refusal; `body` is the answer's beginning."""

    def __init__(
        self, what: str, *, where: str, status: int, retryable: bool, wait: float | None = None, body: bytes = b""
    ) -> None:
        fix = {
            401: "check the sign-in (basic, bearer, api_key, headers)",
            403: "is the sign-in right, and may it write there?",
            404: "check url",
            407: "the proxy wants a sign-in: put it into proxy",
        }.get(status, "")
        super().__init__(what, where=where, fix=fix, retryable=retryable, retry_after=wait, status=status)
        self.body = body


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True)
class Request:
    """One request, as it is sent: the sign-in is added by the caller."""

    method: str
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def shown(self, signed: Collection[str] = ()) -> str:
        """The request for people, without secrets: headers that sign in are masked."""
        lines = [f"{self.method} {mask_url(self.url)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name not in signed]
        lines += [f"{name}: {MASK}" for name in signed]
        text = self.content.decode(errors="replace") if self.content else ""
        return "\n".join([*lines, "", text] if text else lines)


class Caller:
    """Calls to one server, one at a time.

    Args:
        settings: of the output.
        stop: set at shutdown; waits end at once.
        windows: calls allowed in a time.
    """

    def __init__(self, settings: CallSettings, stop: threading.Event, windows: tuple[Window, ...] = ()) -> None:
        self.settings = settings
        self.clock: Clock = make_clock(stop)
        self._limiter = RateLimiter({"": windows}, self.clock, slack=0.0)
        self._patience = Patience(attempts=settings.retries + 1, longest_wait=settings.max_wait)
        self._signed = settings.signed()
        self._secrets = settings.secrets()
        given = settings.proxy
        self._client = httpx.Client(
            verify=settings.context(),
            proxy=None if given in {None, "none"} else given,
            trust_env=given is None,
            timeout=settings.timeout,
            follow_redirects=False,
            headers={"User-Agent": f"tipline/{__version__}", "Accept": "application/json"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def signing(self) -> list[str]:
        """Names of the headers that are added to each request."""
        return list(self._signed)

    def call(self, request: Request, *, accept: Collection[int] = ()) -> Answer:
        """Make a call, again and again while that can help; it may so be made twice.

        Args:
            request: what to send.
            accept: statuses that are answers too, besides 2xx.

        Raises:
            HttpError: refused.
            FarSideError: not reached.
            StoppedError: the program is shutting down.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._once(request, accept)
            except FarSideError as failure:
                self._pause(failure, attempt)

    def _once(self, request: Request, accept: Collection[int]) -> Answer:
        self._limiter.acquire("")
        shown = mask_url(request.url)
        try:
            with self._client.stream(
                request.method, request.url, content=request.content, headers={**request.headers, **self._signed}
            ) as response:
                body = _read(response, shown)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreached(error, shown) from None
        if response.is_success or response.status_code in accept:
            return Answer(response.status_code, response.headers, body)
        raise self._refused(response, body, shown)

    def _pause(self, failure: FarSideError, attempt: int) -> None:
        if not failure.retryable or attempt >= self._patience.attempts:
            raise failure
        delay = failure.retry_after
        if delay is None:
            delay = self._patience.backoff(attempt, _jitter.random())
        if delay > self._patience.longest_wait:
            raise failure
        log.warning("far side call repeated", where=failure.where, attempt=attempt, wait=round(delay, 2),
                    reason=failure.what)  # fmt: skip
        self.clock.wait(delay)

    def _refused(self, response: httpx.Response, body: bytes, shown: str) -> HttpError:
        status = response.status_code
        words = redact(" ".join(body[:MAX_WORDS].decode(errors="replace").split()), self._secrets)
        what = f"the server answered {status} {response.reason_phrase}".strip()
        if response.has_redirect_location:
            words = "it redirects, which is not followed; give the final address"
        return HttpError(
            f"{what}: {words}" if words else what,
            where=shown,
            status=status,
            retryable=status in _AGAIN,
            wait=retry_after(response.headers, "", self.clock.wall()),
            body=body,
        )

    def _unreached(self, error: Exception, shown: str) -> FarSideError:
        text = redact(str(error) or type(error).__name__, self._secrets)
        untrusted = "CERTIFICATE_VERIFY_FAILED" in text
        return FarSideError(
            f"the server cannot be reached: {text}",
            where=shown,
            fix="set ca_file to the authority that signs there" if untrusted else "is it up, and reachable from here?",
            retryable=not untrusted,
        )


def _read(response: httpx.Response, shown: str) -> bytes:
    body = bytearray()
    for block in response.iter_bytes():
        body += block
        if len(body) > _MAX_ANSWER:
            raise FarSideError(f"the answer is larger than {_MAX_ANSWER >> 20} MiB", where=shown)
    return bytes(body)
