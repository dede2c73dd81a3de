"""Declared HTTP deliveries: the model of a template, which says how a product is spoken to."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from ruamel.yaml import YAML

from tipline.model.types import TYPES
from tipline.outputs.http_filling import Fill, expression, filling

#: Fields that expressions start from, besides a template's values and words.
FIELDS = (
    "event", "event_id", "id", "key", "type", "value", "of", "confidence", "tlp", "direction", "threat_types", "tags",
    "sources", "description", "references", "valid_until", "expires", "reason", "far_id", "digest", "now", "instance",
    "output", "owner", "channel",
)  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignIn(_Part):
    """Where the `token` of the settings goes."""

    header: str = Field(default="Authorization", description="Name of the header.")
    prefix: str = Field(default="Bearer ", description="What stands before the token.")


class Words(_Part):
    """A field of its own, made from another one word by word."""

    by: str = Field(description="The field whose value is looked up, such as type or tlp.")
    words: dict[str, str] = Field(description="Word here -> word there; a word that is missing comes to nothing.")


class Answer(_Part):
    """How an answer is read; every rule is a JMESPath."""

    accept: list[int] = Field(default_factory=list, description="Statuses that are no failure, besides 2xx.")
    items: str | None = Field(
        default=None, description="The list of results, one for each item and in order; unset: one result for all."
    )
    ok: str | None = Field(default=None, description="Of a result: whether it was taken; unset: the status tells.")
    id: str | None = Field(default=None, description="Of a result: the identifier that the product gave.")
    reason: str | None = Field(default=None, description="Of a result: why it was refused.")
    retry: str | None = Field(default=None, description="Of a result: whether the same item may be taken later.")

    def rules(self) -> dict[str, Fill]:
        """The rules that are given, compiled, by name."""
        return _rules(self, "items", "ok", "id", "reason", "retry")


class Call(_Part):
    """One request."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(default="POST", description="HTTP method.")
    path: str = Field(default="", description="Appended to the address; what is filled in is percent-encoded.")
    query: dict[str, Any] = Field(default_factory=dict, description="Query; a structure is written as JSON.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers besides the sign-in's.")
    body: Any = Field(default=None, description="The body, as a structure; {items} are the items of a batch.")
    answer: Answer = Field(default_factory=Answer, description="How the answer is read.")


class Confirm(Call):
    """Asking until the product says that a batch is stored, where that it was taken is not enough."""

    id: str = Field(description="JMESPath of the batch's answer: what is asked about, as {ack}; null: nothing to ask.")
    done: str = Field(description="JMESPath of the answer: whether it is stored.")
    pause: float = Field(default=1, gt=0, le=60, description="Seconds between two questions.")
    wait: float = Field(default=60, gt=0, le=3600, description="Seconds after which the batch counts as unanswered.")

    def rules(self) -> dict[str, Fill]:
        """The rules, compiled, by name."""
        return _rules(self, "id", "done")


class Batch(Call):
    """A request for a batch of indicators."""

    layout: Literal["array", "ndjson", "single"] = Field(
        default="array",
        description="array: one list (or body with {items}); ndjson: JSON a line; single: a request for each item.",
    )
    item: Any = Field(default=None, description="An indicator, as a structure; ndjson: a list has a line for each.")
    batch: int = Field(default=100, ge=1, le=10_000, description="Most items in a request.")
    max_bytes: int = Field(default=5_000_000, ge=1000, description="Most bytes in a request's items.")
    confirm: Confirm | None = Field(
        default=None, description="How to ask whether a batch is stored; unset: not at all."
    )


class Listing(Call):
    """Reading back what the product holds, page after page; every rule is a JMESPath."""

    items: str = Field(description="Of an answer: its items. A page without items is the last.")
    next: str | None = Field(
        default=None, description="Of an answer: what the next page is asked for with, as {cursor}; null ends."
    )
    key: str = Field(description="Of an item: the {key} that was sent.")
    owner: str | None = Field(default=None, description="Of an item: the {owner} that was sent; others are foreign.")
    id: str = Field(description="Of an item: its {id}, or the product's own.")
    type: str = Field(description="Of an item: its {type}.")
    value: str = Field(description="Of an item: its {value}.")
    digest: str | None = Field(default=None, description="Of an item: the {digest} that was sent, to find changes.")
    settle: int = Field(default=60, ge=0, description="Seconds after which the listing shows what was accepted.")

    def rules(self) -> dict[str, Fill]:
        """The rules that are given, compiled, by name."""
        return _rules(self, "items", "next", "key", "owner", "id", "type", "value", "digest")


class Limit(_Part):
    """Calls in a time."""

    calls: int = Field(ge=1, description="Most calls.")
    seconds: float = Field(gt=0, description="In so many seconds.")


class Template(_Part):
    """How a product is spoken to."""

    description: str = Field(default="", description="What the product is, and what has to be known of it.")
    values: dict[str, str | int | bool | None] = Field(
        default_factory=dict, description="Fields of its own with their defaults; an output's values replace them."
    )
    words: dict[str, Words] = Field(default_factory=dict, description="Fields of its own, looked up word by word.")
    sign_in: SignIn = Field(default_factory=SignIn, description="Where the token goes.")
    types: list[str] = Field(default_factory=list, description="Types that the product takes; none: all.")
    networks: Literal["keep", "cidr", "addresses"] = Field(
        default="keep", description="Networks and ranges: as they are, as CIDRs, or as single addresses."
    )
    limits: list[Limit] = Field(default_factory=list, description="How often it may be called.")
    prepare: Call | None = Field(default=None, description="Asked once before the first batch; must bear repetition.")
    check: Call | None = Field(default=None, description="Asked by doctor; must write nothing.")
    send: Batch = Field(description="How indicators are created and updated.")
    remove: Batch = Field(description="How they are taken back; one that is gone must count as taken back.")
    listing: Listing | None = Field(default=None, description="How they are read back; unset: they cannot be.")

    @model_validator(mode="after")
    def _expressions(self) -> Self:
        """Every expression compiles and starts from something that exists."""
        unknown = sorted({*self.types} - {*TYPES})
        if unknown:
            raise ValueError(f"types: there is no {unknown[0]}")
        names = self.names()
        for word in self.words.values():
            expression(word.by, names)
        for call in (self.prepare, self.check, self.send, self.remove, self.listing):
            if call is not None:
                _check(call, names)
        return self

    def names(self) -> set[str]:
        """What expressions start from."""
        return {*FIELDS, *self.values, *self.words}


def _check(call: Call, names: set[str]) -> None:
    more = {"items"} if isinstance(call, Batch) else {"cursor", "offset", "page"} if isinstance(call, Listing) else ()
    filling([call.path, call.query, call.headers, call.body], {*names, *more})
    if isinstance(call, Confirm):
        call.rules()
    if isinstance(call, Batch):
        filling(call.item, names)
        if call.confirm is not None:
            _check(call.confirm, names | {"ack"})
    call.answer.rules()
    if isinstance(call, Listing):
        call.rules()


def _rules(model: BaseModel, *names: str) -> dict[str, Fill]:
    return {name: expression(rule) for name in names if (rule := getattr(model, name)) is not None}


@cache
def shipped() -> dict[str, Template]:
    """The templates that come with tipline, by name."""
    folder = resources.files("tipline.outputs") / "templates"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yml")), key=lambda file: file.name)
    yaml = YAML(typ="safe")
    return {
        file.name.removesuffix(".yml"): Template.model_validate(yaml.load(file.read_text(encoding="utf-8")))
        for file in files
    }
