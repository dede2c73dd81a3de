"""TAXII as a client: requests to one server, in its dialect.

Sources: TAXII 2.1 (OASIS, sections 3 to 5) and TAXII 2.0; what servers do otherwise: plain
`application/json`, no `X-TAXII-Date-Added-Last`, API roots without slash at the end or with `http` behind a
proxy, `more` without `next`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import SecretStr

from tipline.errors import FetchError, FormatError
from tipline.formats.decode import decode
from tipline.sources.fetch_connect import Body, Hop
from tipline.sources.fetch_http import get
from tipline.sources.fetch_settings import FetchSettings, Part
from tipline.sources.guardrails import mask_url

Members = dict[str, Any]
_MAX_DOCUMENT = 16 << 20


@dataclass(frozen=True)
class Dialect:
    """What differs between the versions of the protocol: media types, and how pages are asked for."""

    version: str
    accept: str
    objects: str

    @property
    def by_range(self) -> bool:
        """Whether pages are ranges of items (2.0)."""
        return self.version == "2.0"


V21 = Dialect("2.1", "application/taxii+json;version=2.1", "application/taxii+json;version=2.1")
V20 = Dialect("2.0", "application/vnd.oasis.taxii+json; version=2.0", "application/vnd.oasis.stix+json; version=2.0")


@dataclass(frozen=True)
class Collection:
    """A collection: where it is, and how its server speaks."""

    url: str
    title: str
    dialect: Dialect


@dataclass
class Client:
    """Requests to one server.

    Args:
        settings: address, sign-in, limits.
        spool: directory for the answers.
        feed: name for messages.

    Attributes:
        bytes: received so far.
        digest: of the last answer.
    """

    settings: FetchSettings
    spool: Path
    feed: str
    bytes: int = 0
    digest: str | None = None

    @property
    def url(self) -> str:
        """The configured address."""
        return self.settings.url[0]

    def fetch(
        self,
        url: str,
        accept: str,
        span: str | None = None,
        *,
        body: Body | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Part:
        """An answer as UTF-8 text.

        Args:
            url: on the configured server.
            accept: media type.
            span: items of TAXII 2.0.
            body: makes it a POST.
            extra: more headers.

        Raises:
            FetchError: it cannot be had, or is on another server than the configured one.
        """
        told = {"Accept": accept, **({"Range": span} if span else {}), **(extra or {})}
        asked = {name: SecretStr(value) for name, value in told.items()}
        settings = self.settings.model_copy(update={"headers": {**asked, **self.settings.headers}})
        part, state, size = get(settings, self._here(url), None, self.spool, body)
        self.bytes, self.digest = self.bytes + size, state.sha256
        if part is None:
            raise FetchError("the server sent nothing", where=mask_url(url))
        decoded = decode(part.path, self.spool, hint=part.charset, feed=self.feed)
        if decoded.path != part.path:
            part.path.unlink(missing_ok=True)
        return replace(part, path=decoded.path)

    def _here(self, url: str) -> str:
        """The address on the configured server: the sign-in is for that one only."""
        configured, asked = urlsplit(self.url), urlsplit(url)
        if configured.scheme == "https" and asked.scheme == "http" and asked.hostname == configured.hostname:
            asked = asked._replace(scheme="https", netloc=configured.netloc)
        asked = asked._replace(query=urlencode(dict([*parse_qsl(configured.query), *parse_qsl(asked.query)])))
        if (
            Hop.of(self.url, self.settings, trusted=False).origin
            != Hop.of(urlunsplit(asked), self.settings, trusted=False).origin
        ):
            raise FetchError(
                f"the server names an address on another server: {mask_url(url)}",
                where=mask_url(self.url),
                fix="if this is meant, write that address into url",
            )
        # User name and password in the address count as a sign-in.
        return urlunsplit(asked._replace(netloc=configured.netloc))

    def document(self, url: str, accept: str) -> tuple[Members, Part]:
        """A small answer, parsed.

        Raises:
            FetchError: it cannot be had.
            FormatError: it is no JSON object.
        """
        part = self.fetch(url, accept)
        body = part.path.read_bytes()[:_MAX_DOCUMENT]
        part.path.unlink(missing_ok=True)
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise FormatError(
                "the answer is not a TAXII document",
                where=part.name,
                fix="is this the address of a TAXII server?",
            )
        return found, part


def below(url: str, path: str) -> str:
    """An address below another, whose query is left out."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/" + path, "", ""))
