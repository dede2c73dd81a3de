"""Declared HTTP deliveries: to any product with an HTTP interface, by a template of a few lines."""

from __future__ import annotations

import threading
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from tipline.durations import Duration
from tipline.kinds import NodeSettings
from tipline.outputs.base import Carries, unsupported
from tipline.outputs.delivery import Delivered, FarSide
from tipline.outputs.events import SHOWN
from tipline.outputs.expand import expanded
from tipline.outputs.http_settings import CallSettings
from tipline.outputs.http_side import HttpSide
from tipline.outputs.http_template import Template, shipped
from tipline.processors.base import Reach
from tipline.processors.iptext import to_cidrs
from tipline.store.schema import VIEW_COLUMNS


class HttpKindSettings(CallSettings):
    """Settings of `http`."""

    template: str = Field(default="", description="A shipped template: elasticsearch, splunk-hec or splunk-kvstore.")
    definition: Template | None = Field(default=None, description="A template of your own, in place of a shipped one.")
    values: dict[str, str | int | bool | None] = Field(
        default_factory=dict, description="The template's own fields, such as {index: threat-intel}."
    )
    token: SecretStr | None = Field(
        default=None, description="The key or token; the template says which header has it."
    )
    expand: int = Field(
        default=16, ge=1, le=1024, description="Networks up to so many addresses are sent as addresses, if need be."
    )
    lifetime: Duration | None = Field(
        default=None, description="{expires} is so long from now, and the indicator is sent again before; unset: none."
    )

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if bool(self.template) == (self.definition is not None):
            raise ValueError("give one of template and definition")
        if self.template and self.template not in shipped():
            close = get_close_matches(self.template, shipped(), n=1) or sorted(shipped())
            raise ValueError(f"there is no template {self.template!r}; did you mean {', '.join(close)}?")
        unknown = sorted({*self.values} - {*self.spoken().values})
        if unknown:
            raise ValueError(f"values: the template has no {unknown[0]}; it has: {', '.join(self.spoken().values)}")
        return self

    def spoken(self) -> Template:
        """The template."""
        return self.definition or shipped()[self.template]

    def signed(self) -> dict[str, str]:
        """The configured headers, with the sign-in and the token."""
        found = super().signed()
        if self.token is not None:
            place = self.spoken().sign_in
            found[place.header] = place.prefix + self.token.get_secret_value()
        return found

    def secrets(self) -> list[str]:
        """What must appear in no message."""
        return [*super().secrets(), *([self.token.get_secret_value()] if self.token else [])]


class Http(Delivered):
    """Delivers to any product with an HTTP interface, as a template declares."""

    kind: ClassVar[str] = "http"
    Settings: ClassVar[type[NodeSettings]] = HttpKindSettings
    settings: HttpKindSettings
    reach: ClassVar[Reach] = "interval"
    carries: ClassVar[Carries] = Carries(
        types="those of the template",
        confidence="as the template says",
        tlp="as the template says",
        expiry="as the template says; `lifetime`",
        removal="the template's `remove`",
        limits="the template's; networks as it takes them",
        receipt="yes, for each item if the product tells",
    )
    example: ClassVar[str] = """\
kind: http
inputs: inbound
template: elasticsearch
url: https://elastic.example.org:9200
token: ${env:ELASTIC_API_KEY}
values: {index: threat-intel}
"""

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The product."""
        return HttpSide(self, instance, stop)

    def missing(self) -> list[str]:
        """The address, if it is not set."""
        return [] if self.settings.url else ["url"]

    def shown(self) -> list[str]:
        """What templates can show."""
        return SHOWN

    def shape(self, relation: str, as_of: str) -> str | None:
        """Networks as the product takes them, and a reason for types that it does not take."""
        template = self.settings.spoken()
        if template.networks == "addresses":
            rows = expanded(relation, self.settings.expand)
        else:
            source = f"({to_cidrs(relation)})" if template.networks == "cidr" else relation
            rows = f"SELECT {VIEW_COLUMNS}, NULL::VARCHAR AS dropped FROM {source}"
        if not template.types:
            return rows
        why = unsupported(template.types, "the template does not take")
        return f"SELECT {VIEW_COLUMNS}, coalesce(dropped, {why}) AS dropped FROM ({rows})"

    def place(self) -> tuple[str, ...]:
        """The server."""
        return (self.settings.url,)

    def identity(self, type_: str, instance: str) -> str:
        """Where copies are: with another address, or other values, an indicator is another copy."""
        values = {**self.settings.spoken().values, **self.settings.values}
        return "|".join([self.settings.url, instance, *(f"{name}={value}" for name, value in sorted(values.items()))])

    def sent_settings(self) -> dict[str, Any]:
        """What every item is made of."""
        found = self.settings.model_dump(mode="json", include={"values", "lifetime"})
        return {**found, "template": self.settings.spoken().model_dump(mode="json")}

    def refreshed(self) -> timedelta | None:
        """After how long an item is sent again: when a third of its lifetime is left."""
        lifetime = self.settings.lifetime
        return None if lifetime is None else lifetime * 2 / 3
