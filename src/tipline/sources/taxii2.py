"""Collections of TAXII 2.0 and 2.1 servers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tipline.errors import FetchError, FormatError
from tipline.formats.base import Context
from tipline.formats.stix2 import Reading, Stix2Settings
from tipline.kinds import NodeSettings
from tipline.sources.base import Poll, PollContext, Source, SourceSettings
from tipline.sources.fetch import FetchSettings
from tipline.sources.fetch_settings import Part
from tipline.sources.taxii_client import V20, V21, Client, Collection
from tipline.sources.taxii_find import Finder
from tipline.sources.taxii_pages import Position, TaxiiFaultError, Walk, last_added, server_time

_DIALECTS = {"auto": (V21, V20), "2.1": (V21,), "2.0": (V20,)}
_FILTERS = ("id", "type", "version", "spec_version")


class Taxii2Settings(SourceSettings, FetchSettings, Stix2Settings):
    """Settings of `taxii2`."""

    mode: Literal["snapshot", "append"] = Field(
        default="append",
        description="append: a poll asks for what was added since; snapshot: for the whole collection.",
    )
    collection: str | None = Field(
        default=None, description="Id, alias or title of the collection; unset: the only one there is."
    )
    api_version: Literal["auto", "2.0", "2.1"] = Field(default="auto", description="Version of TAXII.")
    match: dict[str, str] = Field(
        default_factory=dict,
        description="Filters, such as {type: indicator}; this one leaves out markings and names.",
    )
    page_size: int = Field(default=1000, ge=1, le=100_000, description="Objects to ask for at once.")
    max_pages: int = Field(
        default=10_000, ge=1, description="Pages that one poll reads at most; the next goes on behind them."
    )

    @field_validator("match")
    @classmethod
    def _known_filters(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in _FILTERS:
                raise ValueError(f"there is no filter {name!r}; there are {', '.join(_FILTERS)}")
        return value

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        if len(self.url) != 1 or not self.url[0].lower().startswith(("http://", "https://")):
            raise ValueError("url: one http(s) address, of the server, an API root or a collection")
        return self


class Taxii2(Source):
    """A TAXII 2.0 or 2.1 collection: what was added since the last poll, page by page."""

    kind: ClassVar[str] = "taxii2"
    Settings: ClassVar[type[NodeSettings]] = Taxii2Settings
    settings: Taxii2Settings
    example: ClassVar[str] = """\
kind: taxii2
url: https://taxii.example.org/taxii2/
collection: High Value Indicators
basic: {username: reader, password: "${env:TAXII_PASSWORD}"}
expire: added + 90d
"""

    def poll(self, context: PollContext) -> Poll:
        """Read what was added; if a page fails, what came before it is kept, and the next poll goes on."""
        client = Client(self.settings, context.spool, context.feed)
        wanted, dialects = self.settings.collection, _DIALECTS[self.settings.api_version]
        collection = Finder(client, wanted, dialects).find()
        before = Position.from_json(context.cursor)
        reading = Reading(self.settings, Context(feed=context.feed))
        run = _Run(self.settings, client, collection, reading)
        after = run.read(before if self.settings.mode == "append" else Position())
        return Poll(
            frames=reading.frames(),
            cursor=after.to_json() if self.settings.mode == "append" else {},
            unchanged=self.settings.mode == "append" and not reading.objects and after == before,
            bytes=client.bytes,
            warnings=run.warnings,
            whole_records=True,
        )


class _Run:
    """One poll's reading of a collection."""

    def __init__(self, settings: Taxii2Settings, client: Client, collection: Collection, reading: Reading) -> None:
        self.warnings: list[str] = []
        self._settings = settings
        self._client = client
        self._reading = reading
        self._walk = Walk(client, collection, "objects", settings.match, settings.page_size, reading.add)

    def read(self, at: Position) -> Position:
        """Read pages from a position on; returns the position for the next poll."""
        first: Part | None = None
        begin = at
        for number in range(self._settings.max_pages):
            try:
                at, _, part = self._page(at, number)
            except (FetchError, FormatError) as error:
                at = at if self._walk.keeps_place else at.restarted()
                idle = not number or (isinstance(error, TaxiiFaultError) and at == begin)
                if idle or self._settings.mode == "snapshot":
                    raise
                self.warnings.append(f"page {number + 1} failed; the next poll goes on: {error}")
                return at
            first = first or part
            if not at.is_between:
                return self._ended(at, first)
        if self._settings.mode == "snapshot":
            raise FetchError(
                f"the collection has more than {self._settings.max_pages} pages",
                where=self._client.feed,
                fix="raise max_pages or page_size",
            )
        self.warnings.append(f"stopped after {self._settings.max_pages} pages; the next poll reads on")
        return at

    def _page(self, at: Position, number: int) -> tuple[Position, object, Part | None]:
        try:
            return self._walk.page(at)
        except FetchError as error:
            # A place to go on from lives as long as the server likes: begin this reading anew.
            if number or not at.is_between or error.status not in (400, 404, 410, 422, 500):
                raise
            self.warnings.append("the server has forgotten where the last poll stopped; reading it anew")
            return self._walk.page(at.restarted())

    def _ended(self, at: Position, first: Part | None) -> Position:
        """The position behind a whole reading: the time of adding of the last object."""
        if not self._reading.objects and at.last is None:
            return at.restarted()
        last = at.last or last_added(self._walk, at, self._settings.max_pages)
        if last is None:
            last = server_time(first)
            self.warnings.append("the server does not say when objects were added; its clock is used instead")
        return Position(last or at.added_after)
