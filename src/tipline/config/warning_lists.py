"""Warning lists: those that ship, those of one's own, and what is done with indicators that stand on one."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import as_file, files
from typing import Literal

from pydantic import Field
from ruamel.yaml import YAML

from tipline.config.section import Section
from tipline.durations import Duration
from tipline.sources.fetch_settings import FetchSettings, Urls

Action = Literal["tag", "drop"]
Category = Literal["false_positive", "known"]
PREFIX = "warning-list:"  # of the tags
_FOLDER = files("tipline.library") / "warning-lists"


class WarningListSettings(FetchSettings):
    """One warning list: how one that ships is used, or where one of your own comes from."""

    url: Urls = Field(
        default_factory=list,
        description="Your own list: address or path of a file in the form of MISP's list.json. It may have the name of"
        " a list that ships, which it then takes the place of.",
    )
    every: Duration = Field(default=timedelta(days=1), description="Your own list: time between fetches.")
    enabled: bool | None = Field(default=None, description="Whether it is used; a list of your own is unless it says.")
    action: Action | None = Field(
        default=None,
        description="tag: indicators on it get the tag warning-list:NAME; drop: they go no further, with the reason.",
    )
    category: Category | None = Field(
        default=None, description="false_positive: bad by mistake alone; known: known to be something, good or bad."
    )


class WarningSettings(Section):
    """Warning lists, and what is done with indicators that stand on one."""

    recommended: bool = Field(
        default=False,
        description="Whether the recommended ones of those that ship are used: services of the whole world, and files"
        " that everybody has. Without it, only the two that drop are.",
    )
    drop: list[Category] = Field(
        default_factory=list,
        description="Categories whose lists drop what stands on them, unless a list says otherwise itself.",
    )
    lists: dict[str, WarningListSettings] = Field(
        default_factory=dict, description="Lists by name: those that ship and are used differently, and your own."
    )


@dataclass(frozen=True)
class Shipped:
    """A list that ships: what is known of it without reading it."""

    name: str
    title: str
    description: str
    version: str
    match: str
    types: tuple[str, ...]
    entries: int
    digest: str
    category: Category
    recommended: bool
    action: Action

    def used(self, *, recommended: bool) -> bool:
        """Whether it is used unless the configuration says otherwise of this list."""
        return self.action == "drop" or (recommended and self.recommended)


@dataclass(frozen=True)
class WarningList:
    """A list as it is configured.

    Attributes:
        name: its name.
        enabled: whether it is used.
        action: what is done with indicators on it.
        category: of what sort it is.
        shipped: what is known of it, if its entries ship.
        settings: where it comes from, if it is one's own.
    """

    name: str
    enabled: bool
    action: Action
    category: Category
    shipped: Shipped | None = None
    settings: WarningListSettings | None = None

    @property
    def tag(self) -> str:
        """The tag of indicators on it."""
        return f"{PREFIX}{self.name}"


@cache
def shipped() -> Mapping[str, Shipped]:
    """The lists that ship, by name."""
    choices = YAML(typ="safe").load(_FOLDER.joinpath("choices.yml").read_text(encoding="utf-8"))
    with as_file(_FOLDER / "lists.zip") as path, zipfile.ZipFile(path) as pack:
        index = json.loads(pack.read("index.json"))
    return {
        name: Shipped(
            name=name, **{**facts, "types": tuple(facts["types"])},
            category="known" if name in choices["known"] else "false_positive",
            recommended=name in choices["recommended"],
            action="drop" if name in choices["drop"] else "tag",
        )
        for name, facts in index.items()
    }  # fmt: skip


def shipped_body(name: str) -> bytes:
    """The list.json of a list that ships."""
    with as_file(_FOLDER / "lists.zip") as path, zipfile.ZipFile(path) as pack:
        return pack.read(f"{name}.json")


def warning_lists(settings: WarningSettings) -> dict[str, WarningList]:
    """Every list as it is configured, by name, in the order of names."""
    found = {}
    for name in sorted({*shipped(), *settings.lists}):
        own, packed = settings.lists.get(name), shipped().get(name)
        mine = own if own is not None and own.url else None
        category: Category = (own and own.category) or (packed.category if packed else "false_positive")
        usual: Action = "drop" if category in settings.drop else packed.action if packed else "tag"
        enabled = mine is not None or bool(packed and packed.used(recommended=settings.recommended))
        found[name] = WarningList(
            name,
            enabled if own is None or own.enabled is None else own.enabled,
            (own and own.action) or usual,
            category,
            packed if mine is None else None,
            mine,
        )
    return found
