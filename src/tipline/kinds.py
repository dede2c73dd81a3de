"""What every node kind is made of, and the registry that finds them.

A kind is a class with a docstring (its first line is the help text), a `Settings` model whose fields have
descriptions and defaults, an `example` (YAML), and one method. Validation, JSON Schema, the reference page and
the contract tests all come from that one declaration. Third parties add kinds through entry points
(`tipline.sources`, `tipline.processors`, `tipline.outputs`).
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from tipline.model import tlp

Sort = Literal["source", "processor", "output"]
TEAM = "default"  # the team of what does not say
PACKAGES: dict[Sort, str] = {
    "source": "tipline.sources",
    "processor": "tipline.processors",
    "output": "tipline.outputs",
}


def _tlp_level(word: Any) -> int:
    found = word if isinstance(word, int) and not isinstance(word, bool) else tlp.level(str(word))
    if found is None or not tlp.CLEAR <= found <= tlp.RED:
        raise ValueError(f"{word!r} is no TLP; write one of {', '.join(tlp.NAMES)}")
    return found


# A TLP level, written as its word.
Tlp = Annotated[
    int,
    BeforeValidator(_tlp_level, json_schema_input_type=Literal["clear", "green", "amber", "amber+strict", "red"]),
    PlainSerializer(tlp.name, return_type=str),
]
Names = Annotated[
    list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v, json_schema_input_type=str | list[str])
]


class NodeSettings(BaseModel):
    """Settings that every node has."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    kind: str = Field(description="What the node does: one of the kinds of its section.")
    team: str = Field(default=TEAM, description="The team that the node belongs to.")
    distribution: Literal["team", "server", "all"] = Field(
        default="team", description="Who may use what the node yields: its team, this server, or anyone."
    )
    note: str = Field(default="", description="A remark for people.")


SettingsT = TypeVar("SettingsT", bound=NodeSettings)


class Kind(Generic[SettingsT]):
    """One configured node; subclasses are the kinds.

    Attributes:
        retired: why a kind has no use in a new set-up, and what replaced it; `tipline check` warns with it.
    """

    sort: ClassVar[Sort]
    kind: ClassVar[str]
    retired: ClassVar[str] = ""
    example: ClassVar[str]
    Settings: ClassVar[type[NodeSettings]]

    def __init__(self, name: str, settings: SettingsT) -> None:
        self.name = name
        self.settings = settings

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring: the kind's help text."""
        return (cls.__doc__ or "").strip().splitlines()[0]


def kinds(sort: Sort) -> dict[str, type[Kind[NodeSettings]]]:
    """Every kind of one sort: our own modules first, then entry points of other packages."""
    found: dict[str, type[Kind[NodeSettings]]] = {}
    package = import_module(PACKAGES[sort])
    for module in iter_modules(package.__path__, PACKAGES[sort] + "."):
        for member in vars(import_module(module.name)).values():
            if isinstance(member, type) and issubclass(member, Kind) and "kind" in vars(member) and member.sort == sort:
                found[member.kind] = member
    for entry in entry_points(group=PACKAGES[sort]):
        member = entry.load()
        found.setdefault(member.kind, member)
    return dict(sorted(found.items()))
