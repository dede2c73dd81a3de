"""One way to call Microsoft's APIs: tokens, limits, retries, and failures that say what they are."""

from __future__ import annotations

import json
import random
import re
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import structlog

from tipline.errors import ConfigError, FarSideError
from tipline.microsoft.explain import Advice, redact
from tipline.microsoft.pace import Clock, RateLimiter, SystemClock
from tipline.microsoft.signin import TokenSource

log = structlog.get_logger()

TIMEOUT = httpx.Timeout(120.0, connect=10.0)
MAX_WORDS = 500  # characters of the far side's own words that are kept
_TRY_AGAIN = re.compile(r"try again in (\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
# Failures in which no byte of the request has been acted upon.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class ApiError(FarSideError):
    """A far side's refusal.

    Args:
        what: the far side's words, or what they mean.
        error_code: its own code, such as `InvalidInput`; empty when it gave none.
        body: its whole answer, parsed; None when it cannot be.
    """

    def __init__(self, what: str, *, error_code: str = "", body: Any = None, **more: Any) -> None:
        super().__init__(what, **more)
        self.error_code = error_code
        self.body = body


class Answer(NamedTuple):
    """A far side's acceptance: the status, and the parsed body (None when empty)."""

    status: int
    body: Any


class _Request(NamedTuple):
    method: str
    url: str
    route: str
    content: bytes | None
    params: Mapping[str, str] | None
    accept: Collection[int]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried.

    Args:
        attempts: calls made before giving up.
        longest_wait: seconds; a far side that asks for more is left to the caller's own schedule.
        first_backoff: seconds before the first repetition when the far side names none; doubled each time.
        backoff_cap: seconds, the longest such pause.
    """

    attempts: int = 6
    longest_wait: float = 300.0
    first_backoff: float = 1.0
    backoff_cap: float = 60.0

    def backoff(self, attempt: int, jitter: float) -> float:
        """Seconds to pause after the given attempt (1 is the first); jitter is 0..1."""
        pause = min(self.backoff_cap, self.first_backoff * 2.0 ** (attempt - 1))
        return float(pause * (0.5 + jitter / 2))


@dataclass(frozen=True, slots=True)
class Connection:
    """What all clients share about how to reach a far side.

    Args:
        ca_file: PEM file of the authorities to trust; None trusts the public ones.
        clock: time and waits; give `SystemClock(stop)` so that a shutdown is quick.
        patience: how long a call is tried.
        transport: in place of the network, for tests.
        jitter: a number from 0 to 1, for back-off.
    """

    ca_file: Path | None = None
    clock: Clock = field(default_factory=SystemClock)
    patience: Patience = field(default_factory=Patience)
    transport: httpx.BaseTransport | None = None
    jitter: Callable[[], float] = random.SystemRandom().random


class Api:
    """Calls to one service with one scope.

    Args:
        service: its name in messages, such as `Defender`.
        base_url: what paths are appended to.
        scope: what tokens are asked for.
        tokens: where they come from.
        limiter: the limits to keep to.
        connection: how to reach it.
        advise: words for a refusal by status and token; None leaves the far side's own.
    """

    def __init__(
        self,
        *,
        service: str,
        base_url: str,
        scope: str,
        tokens: TokenSource,
        limiter: RateLimiter,
        connection: Connection,
        advise: Callable[[int, str], Advice | None] = lambda _status, _token: None,
    ) -> None:
        self.service = service
        self.scope = scope
        self.tokens = tokens
        self._base = base_url
        self._limiter = limiter
        self._connection = connection
        self._advise = advise
        self._client = httpx.Client(
            timeout=TIMEOUT,
            transport=connection.transport,
            verify=_trust(connection.ca_file) if connection.transport is None else True,
            headers={"Accept": "application/json", "User-Agent": "tipline"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        route: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        safe: bool = True,
        accept: Collection[int] = (),
    ) -> Answer:
        """Make a call, again and again while that can help.

        Args:
            method: HTTP method.
            path: appended to the base; an absolute address of the same service is taken as it is.
            route: whose limits apply.
            body: sent as JSON.
            params: query.
            safe: doing it twice does no harm, so that it is repeated even when nobody knows if it was done.
            accept: statuses that are answers too, besides 2xx.

        Raises:
            ApiError: refused, or not reached; `retryable`, `retry_after` and `status` tell what may help.
            SignInError: no token.
            StoppedError: the program is shutting down.
        """
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        request = _Request(method, self._url(path), route, content, params, accept)
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._try(request)
            except (httpx.RequestError, ApiError) as error:
                failure = error if isinstance(error, ApiError) else self._unreached(error)
                known_undone = isinstance(error, _NOT_SENT) or failure.status == 429
                self._pause(failure, route, attempt, may_repeat=safe or known_undone)

    def _try(self, request: _Request) -> Answer:
        token = self.tokens.token(self.scope)
        response = self._send(request, token)
        if response.status_code == 401:
            fresh = self.tokens.token(self.scope, rejected=token)
            if fresh != token:
                token = fresh
                response = self._send(request, token)
        if response.is_success or response.status_code in request.accept:
            return Answer(response.status_code, self._parsed(response))
        raise self._refused(response, token)

    def _send(self, request: _Request, token: str) -> httpx.Response:
        self._limiter.acquire(request.route)
        return self._client.request(
            request.method,
            request.url,
            content=request.content,
            params=request.params,
            headers=_headers(token, request.content),
        )

    def _pause(self, failure: ApiError, route: str, attempt: int, *, may_repeat: bool) -> None:
        """Wait before the next attempt, or raise the failure when there is to be none."""
        patience = self._connection.patience
        if not (failure.retryable and may_repeat) or attempt >= patience.attempts:
            raise failure
        delay = failure.retry_after
        if delay is None:
            delay = patience.backoff(attempt, self._connection.jitter())
        if delay > patience.longest_wait:
            raise failure
        log.warning(
            "far side call repeated",
            service=self.service,
            route=route,
            status=failure.status,
            attempt=attempt,
            wait=round(delay, 2),
            reason=failure.what,
        )
        if failure.status == 429:
            self._limiter.hold(route, delay)  # other threads would only be refused as well
        else:
            self._connection.clock.wait(delay)

    def _url(self, path: str) -> str:
        """The address of a path, or of a link the far side gave, kept on the host that was configured.

        A link to another host is not followed there: the token is meant for ours (regional and emulated
        hosts answer with links to the global one).
        """
        if not path.startswith("https://"):
            return self._base + path
        link = httpx.URL(path)
        ours = httpx.URL(self._base)
        return str(link.copy_with(host=ours.host, port=ours.port))

    def _parsed(self, response: httpx.Response) -> Any:
        if not response.content.strip():
            return None
        try:
            return response.json()
        except ValueError:
            raise ApiError(
                f"{self.service} answered {response.status_code} with something that is not JSON",
                where=str(response.request.url.copy_with(query=None)),
                fix="look for a proxy or portal in between",
                retryable=True,
                status=response.status_code,
            ) from None

    def _refused(self, response: httpx.Response, token: str) -> ApiError:
        status = response.status_code
        code, words, body = _words(response)
        words = redact(words, [token])[:MAX_WORDS]
        advice = self._advise(status, token)
        said = f"{code}: {words}" if code and words else code or words or "no reason given"
        return ApiError(
            f"{advice.what} ({self.service} said {status} {said})" if advice else said,
            where=f"{self.service} {response.request.method} {response.request.url.path}",
            fix=advice.fix if advice else "",
            error_code=code,
            body=body,
            retryable=status in {408, 429} or (status >= 500 and status not in {501, 505}),
            retry_after=retry_after(response.headers, words, self._connection.clock.wall()),
            status=status,
        )

    def _unreached(self, error: httpx.RequestError) -> ApiError:
        text = str(error) or type(error).__name__
        untrusted = "CERTIFICATE_VERIFY_FAILED" in text
        return ApiError(
            f"{self.service} cannot be reached: {text}",
            where=self._base,
            fix="set ca_file to the authority that signs there" if untrusted else "check the network and the proxy",
            retryable=not untrusted,
        )


def retry_after(headers: Mapping[str, str], words: str, now: float) -> float | None:
    """Seconds the far side wants us to wait: its header first (seconds or a date), then its words.

    Args:
        headers: of the response.
        words: the message in the body, such as "Rate limit is exceeded. Try again in 37 seconds."
        now: seconds since the epoch.
    """
    value = headers.get("Retry-After", "").strip()
    if value:
        try:
            return max(float(value), 0.0)
        except ValueError:
            pass
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            when = None
        if when is not None:
            return max(when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now, 0.0)
    found = _TRY_AGAIN.search(words)
    return float(found.group(1)) if found else None


def _words(response: httpx.Response) -> tuple[str, str, Any]:
    """Code, message and parsed body of a refusal in any of Microsoft's shapes."""
    try:
        body = response.json()
    except ValueError:
        return "", response.text.strip(), None
    if not isinstance(body, dict):
        return "", response.text.strip(), body
    inner = body.get("error")
    shape = inner if isinstance(inner, dict) else body
    code = shape.get("code") or (inner if isinstance(inner, str) else "")
    words = shape.get("message") or shape.get("error_description") or shape.get("title") or ""
    if not code and not words:
        words = response.text.strip()
    return str(code), str(words), body


def _headers(token: str, content: bytes | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    return headers if content is None else headers | {"Content-Type": "application/json"}


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"ca_file {str(ca_file)!r} cannot be used: {error}", fix="give a PEM file that exists"
        ) from error
