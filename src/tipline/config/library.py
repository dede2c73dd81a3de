"""The library: ready-made sources by name, from the files `tipline/library/<provider>.yml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from ruamel.yaml import YAML

from tipline.config.check import suggest
from tipline.errors import ConfigError

Status = Literal["live", "needs-key", "dead"]


class Entry(BaseModel):
    """One ready-made source.

    Attributes:
        name: unique, such as `abusech-feodo-ip`.
        provider, home, terms: who publishes it, where, and under which licence or terms.
        title, description: for people.
        status: live, needs-key (`needs` says what to give), or dead (`since` when, `instead` what to take).
        misp: numbers of MISP's default feeds that read the same address.
        minemeld: MineMeld's stock prototypes that read the same feed.
        sample: file of the same form in the tests.
        source: settings of the source, as under `sources:`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    provider: str
    home: str
    terms: str
    title: str
    description: str
    status: Status = "live"
    since: str | None = None
    instead: str | None = None
    needs: list[str] = Field(default_factory=list)
    misp: list[int] = Field(default_factory=list)
    minemeld: list[str] = Field(default_factory=list)
    sample: str | None = None
    source: dict[str, Any]

    @model_validator(mode="after")
    def _status_is_explained(self) -> Entry:
        if (self.status == "dead") != (self.since is not None):
            raise ValueError("an entry is dead since something, and only then")
        if (self.status == "needs-key") != bool(self.needs):
            raise ValueError("needs says what a needs-key entry needs")
        return self

    @property
    def urls(self) -> list[str]:
        """The addresses that it reads."""
        url = self.source.get("url", [])
        return [url] if isinstance(url, str) else list(url)

    @property
    def tlp(self) -> str:
        """The TLP of what the feed holds, unless it says so itself."""
        return str(self.source.get("tlp", "amber"))

    def reads(self, urls: Iterable[str]) -> bool:
        """Whether it reads one of some addresses, whatever their scheme and trailing slash."""
        return not set(map(_same, self.urls)).isdisjoint(map(_same, urls))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return self.model_dump(exclude_none=True)


@lru_cache(maxsize=1)
def entries() -> Mapping[str, Entry]:
    """Every entry by its name.

    Raises:
        ConfigError: two files use one name.
    """
    found: dict[str, Entry] = {}
    yaml = YAML(typ="safe")
    for file in sorted(files("tipline.library").iterdir(), key=lambda each: each.name):
        if not file.name.endswith(".yml"):
            continue
        document = yaml.load(file.read_text(encoding="utf-8"))
        shared = {key: document[key] for key in ("provider", "home", "terms")}
        for name, body in document["entries"].items():
            if name in found:
                raise ConfigError(f"the library has {name} twice", where=file.name, fix="rename one")
            found[name] = Entry.model_validate({"name": name, **shared, **body})
    return found


def entry(name: str) -> Entry:
    """One entry.

    Raises:
        ConfigError: there is none of that name.
    """
    known = entries()
    if name not in known:
        close = suggest(name, list(known))
        hint = close if close.startswith("did you mean") else "look for it: tipline library search WORDS"
        raise ConfigError(f"the library has no {name}", fix=hint)
    return known[name]


def source_of(name: str, over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a source made of an entry, with others laid over them; its note says whose it is.

    Args:
        name: of the entry.
        over: settings, laid over mapping by mapping; `None` takes one out.

    Raises:
        ConfigError: there is no such entry.
    """
    found = entry(name)
    note = f"{found.title}; {found.provider}, {found.home}; {found.terms}"
    return _merged({**found.source, "note": note}, over)


def search(words: str) -> list[Entry]:
    """The entries in which every word occurs (name, provider, title, description, tags, status), by name."""
    wanted = words.lower().split()
    return [each for each in entries().values() if all(word in _text(each) for word in wanted)]


def by_prototype(prototype: str) -> Entry | None:
    """The entry that reads what a stock prototype of MineMeld's reads (`dshield.block`)."""
    return next((each for each in entries().values() if prototype in each.minemeld), None)


def by_url(url: str) -> Entry | None:
    """The entry that reads an address, whatever its scheme and trailing slash."""
    return next((each for each in entries().values() if each.reads([url])), None)


def same_address(url: str, other: str) -> bool:
    """Whether two addresses are one, whatever their scheme and trailing slash."""
    return _same(url) == _same(other)


def _merged(settings: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(settings)
    for key, value in over.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(made.get(key), Mapping):
            made[key] = _merged(made[key], value)
        else:
            made[key] = value
    return made


def _same(url: str) -> str:
    return url.removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/").lower()


def _text(found: Entry) -> str:
    tags = found.source.get("tags", [])
    type_ = found.source.get("type", "")
    parts = [found.name, found.provider, found.title, found.description, found.status, str(type_), str(tags)]
    return " ".join([*parts, *found.minemeld, *found.urls]).lower()
