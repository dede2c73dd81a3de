"""Settings of the kind `misp`, and the search that they stand for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from tipline.durations import Duration
from tipline.formats.misp import MispSettings
from tipline.kinds import Names
from tipline.sources.feed import FeedSettings
from tipline.sources.misp_rules import EventRules
from tipline.sources.misp_search import rule_filters


class MispServerSettings(FeedSettings, MispSettings, EventRules):
    """Settings of `misp`."""

    mode: Literal["snapshot", "append"] = Field(
        default="append", description="Always append: a poll reads what changed; what is gone is withdrawn."
    )
    key: SecretStr = Field(description="Authentication key of a MISP user; as ${env:NAME} or ${file:PATH}.")
    key_header: str = Field(
        default="Authorization", description="Header for the key; X-MISP-AUTH where a proxy takes the other."
    )
    scope: Literal["events", "attributes"] = Field(
        default="events",
        description="What is searched: whole events, or attributes, which filters choose one by one.",
    )
    published: bool = Field(default=True, description="Take published events only, and withdraw what is unpublished.")
    to_ids: bool | None = Field(
        default=None,
        description="Take only attributes with this to_ids flag; unset: all.",
    )
    attribute_types: Names = Field(
        default_factory=list, description="MISP's types to search for (scope: attributes), such as ip-dst."
    )
    enforce_warninglists: bool = Field(
        default=False,
        description="Leave out attributes that the server's warning lists hold. These lists change without the events,"
        " so that everything is read again with each full listing.",
    )
    search: dict[str, Any] = Field(
        default_factory=dict,
        description="Further parameters of restSearch, such as {category: Network activity}.",
    )
    page_size: int = Field(default=1000, ge=1, description="Heads of events, or attributes, to ask for at once.")
    full_every: Duration = Field(
        default=timedelta(hours=24),
        description="How often everything is listed, to see what is gone without trace (deleted events).",
    )
    overlap: Duration = Field(
        default=timedelta(minutes=10), description="How far before the last change a poll looks again."
    )

    @model_validator(mode="after")
    def _sound(self) -> MispServerSettings:
        if len(self.url) != 1 or not self.url[0].lower().startswith(("http://", "https://")):
            raise ValueError("url: give the address of one MISP server")
        if self.mode != "append":
            raise ValueError("mode: leave it out, since a poll reads only what changed")
        if self.attribute_types and self.scope == "events":
            raise ValueError("attribute_types needs scope: attributes; with events use types")
        return self

    def filters(self) -> dict[str, Any]:
        """Parameters of a search for everything that is wanted."""
        found: dict[str, Any] = {**rule_filters(self)}
        if self.published:
            found["published"] = 1
        if self.to_ids is not None:
            found["to_ids"] = int(self.to_ids)
        if self.attribute_types:
            found["type"] = list(self.attribute_types)
        if self.enforce_warninglists:
            found["enforceWarninglist"] = 1
        return {**found, **self.search}

    @property
    def narrows(self) -> bool:
        """Whether a change can make the filters leave out what they chose before."""
        return bool(self.search or self.filters().keys() - {"published"})
