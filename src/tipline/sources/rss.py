"""RSS and Atom feeds of reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import polars as pl
import structlog
from pydantic import BeforeValidator, Field

from tipline.durations import Duration
from tipline.errors import TiplineError
from tipline.formats import freetext, rss
from tipline.formats.base import Context
from tipline.formats.decode import Limits, decode
from tipline.kinds import NodeSettings
from tipline.sources import fetch_http
from tipline.sources.ageing import parse_expire
from tipline.sources.base import Poll, PollContext
from tipline.sources.feed import Feed, FeedSettings
from tipline.sources.fetch import FetchState, fetch

_log = structlog.get_logger()
_REMEMBERED = 5000
_TRIES = 5
sleep = time.sleep


class RssSettings(FeedSettings, freetext.FreetextSettings):
    """Settings of `rss`."""

    mode: Literal["append"] = Field(
        default="append", description="Always append: a feed lists its latest articles only."
    )
    expire: Annotated[list[str], BeforeValidator(parse_expire)] = Field(
        default_factory=lambda: ["added + 90d"],
        description="When indicators leave: never, added + 90d, last_seen + 7d, or a list (earliest wins).",
    )
    articles: bool = Field(
        default=False, description="Fetch each new article's page; else only what the feed itself holds is read."
    )
    max_articles: int = Field(
        default=20, ge=1, description="Pages to fetch in one poll; the others come with the next."
    )
    pause: Duration = Field(default=timedelta(seconds=1), description="Time between two pages of one host.")


@dataclass
class _Seen:
    """What was read: digest of each article by its id, and how often one's page could not be fetched."""

    digests: dict[str, str] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)


class Rss(Feed):
    """Indicators in the articles of RSS and Atom feeds, or of the pages that these link to."""

    kind: ClassVar[str] = "rss"
    Settings: ClassVar[type[NodeSettings]] = RssSettings
    settings: RssSettings
    whole_records: ClassVar[bool] = True
    example: ClassVar[str] = """\
kind: rss
url: https://blog.example.org/feed.xml
articles: true
types: [ipv4, ipv6, domain, url, md5, sha1, sha256]
expire: added + 60d
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of what the feed itself holds, one for each article."""
        for article in rss.articles(path.read_bytes(), context.feed):
            yield self._frame(article, f"{article.title}\n{article.text}")

    def poll(self, context: PollContext) -> Poll:
        """Read the articles that are new or have changed."""
        state = FetchState.from_json(context.cursor)
        fetched = fetch(self.settings, state, context.spool, base=context.base)
        seen = _Seen(dict(context.cursor.get("seen", {})), dict(context.cursor.get("failed", {})))
        waits = bool(seen.failed) or bool(context.cursor.get("more"))
        if fetched.not_modified and waits:
            fetched = fetch(self.settings, FetchState(), context.spool, base=context.base)
        poll = Poll(
            iter(()),
            cursor=fetched.state.to_json() | {"seen": seen.digests, "failed": seen.failed},
            unchanged=fetched.not_modified,
            whole_records=True,
            bytes=fetched.bytes,
            warnings=fetched.warnings,
        )
        if not fetched.not_modified:
            reading = Context(feed=context.feed, warnings=poll.warnings)
            poll.frames = self._new(self._decoded(fetched.parts, context, reading), context, seen, poll)
        return poll

    def _new(self, paths: Iterator[Path], context: PollContext, seen: _Seen, poll: Poll) -> Iterator[pl.DataFrame]:
        """Frames of new articles; the cursor is complete after the last."""
        pages, present = _Pages(self.settings, context, poll), set()
        more = False
        for path in paths:
            for article in rss.articles(path.read_bytes(), context.feed):
                present.add(article.id)
                if seen.digests.get(article.id) == article.digest:
                    continue
                if self.settings.articles and article.link and pages.count >= self.settings.max_articles:
                    more = True
                    continue
                frame = self._read_one(article, pages, seen)
                if frame is not None:
                    yield frame
        old = [name for name in seen.digests if name not in present]
        for name in old[: max(0, len(seen.digests) - _REMEMBERED)]:
            del seen.digests[name]
        for name in [name for name in seen.failed if name not in present]:
            del seen.failed[name]
        poll.cursor["more"] = more

    def _read_one(self, article: rss.Article, pages: _Pages, seen: _Seen) -> pl.DataFrame | None:
        text = f"{article.title}\n{article.text}"
        if self.settings.articles and article.link:
            page = pages.text(article.link)
            if page is None:
                seen.failed[article.id] = seen.failed.get(article.id, 0) + 1
                if seen.failed[article.id] < _TRIES:
                    return None
            else:
                text = page
        seen.failed.pop(article.id, None)
        seen.digests[article.id] = article.digest
        return self._frame(article, text)

    def _frame(self, article: rss.Article, text: str) -> pl.DataFrame:
        found = freetext.found_in(text, self.settings, own=[*self.settings.url, article.link])
        constants: dict[str, Any] = {
            "record": article.id,
            "references": article.link or None,
            "first_seen": article.published or None,
        }
        return found.with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in constants.items())


class _Pages:
    """Fetches linked pages: without the feed's sign-in unless they are of its host, and with a pause for each host."""

    def __init__(self, settings: RssSettings, context: PollContext, poll: Poll) -> None:
        self._settings, self._context, self._poll = settings, context, poll
        self._stranger = settings.model_copy(
            update={
                "headers": {},
                "basic": None,
                "bearer": None,
                "api_key": None,
                "client_cert": None,
                "client_key": None,
            }
        )
        self._hosts = {urlsplit(url).netloc.lower() for url in settings.url}
        self._asked: set[str] = set()
        self.count = 0

    def text(self, link: str) -> str | None:
        """The text of a page; None, with a warning, if it cannot be had."""
        try:
            host = urlsplit(link).netloc.lower()
        except ValueError:
            host = ""
        if not host or not link.lower().startswith(("http://", "https://")):
            self._warn(f"{link[:100]!r} is no address of a page")
            return None
        if host in self._asked:
            sleep(self._settings.pause.total_seconds())
        self._asked.add(host)
        self.count += 1
        try:
            return self._fetched(link, self._settings if host in self._hosts else self._stranger)
        except TiplineError as error:
            self._warn(f"{error}; tried again with the next poll")
            return None

    def _fetched(self, link: str, settings: RssSettings) -> str:
        part, _, size = fetch_http.get(settings, link, None, self._context.spool)
        self._poll.bytes += size
        if part is None:
            return ""
        limits = Limits(settings.max_document, settings.max_ratio)
        decoded = decode(
            part.path, self._context.spool, limits, hint=part.charset, opaque=(freetext.PDF,), feed=part.name
        )
        try:
            return freetext.document_text(decoded.path, settings, Context(feed=part.name))
        finally:
            decoded.path.unlink(missing_ok=True)
            part.path.unlink(missing_ok=True)

    def _warn(self, sentence: str) -> None:
        self._poll.warnings.append(sentence)
        _log.warning("feed", source=self._context.feed, message=sentence)
