"""The whole configuration: its sections, and the nodes made from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from tipline.config.section import Section
from tipline.config.sign_on import SignOnSettings, is_safe
from tipline.config.warning_lists import WarningSettings
from tipline.durations import Duration
from tipline.kinds import Kind, Names, NodeSettings
from tipline.outputs.access import KEY_LENGTH, network_text
from tipline.outputs.base import Output
from tipline.passwords import is_hash
from tipline.processors.base import Processor
from tipline.sources.base import Source


class TeamSettings(Section):
    """A team (an organisation) on this server."""

    title: str = Field(default="", description="Its name for people.")


class HttpSettings(Section):
    """Where lists, health and metrics are served."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    url: str | None = Field(
        default=None,
        description="Where people's browsers reach this server, such as https://tipline.example; as they ask unless"
        " set. Single sign-on leads back there.",
    )
    trusted_proxies: Names = Field(
        default_factory=list,
        description="Addresses and networks of proxies whose X-Forwarded-For is believed, for `access: network`.",
    )

    @field_validator("url")
    @classmethod
    def _is_whole(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not is_safe(url) or urlsplit(url).path.strip("/") or urlsplit(url).query:
            raise ValueError("url is an https address without a path (http on this machine alone)")
        return url.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: list[str]) -> list[str]:
        return [network_text(text) for text in networks]


class ReaderSettings(Section):
    """Somebody, or a device, that reads lists and TAXII collections with `access: readers`."""

    password: SecretStr | None = Field(
        default=None,
        description="Hash of the password (argon2id, bcrypt, or $apr1$ of htpasswd): `tipline reader-hash` makes one.",
    )
    key: SecretStr | None = Field(
        default=None, description="A key of at least 16 characters, as ${env:NAME} or ${file:PATH}; shown as a list's."
    )
    tags: Names = Field(default_factory=list, description="Opens outputs that name one of these tags.")
    team: str = Field(default="default", description="Whose outputs with max_tlp: red it may read; no other team's.")
    note: str = Field(default="", description="A remark for people.")

    @model_validator(mode="after")
    def _can_be_told(self) -> ReaderSettings:
        if self.password is None and self.key is None:
            raise ValueError("a reader needs a password or a key")
        if self.password is not None and not is_hash(self.password.get_secret_value()):
            raise ValueError("password is no hash that can be checked; `tipline reader-hash` makes one")
        if self.key is not None and len(self.key.get_secret_value()) < KEY_LENGTH:
            raise ValueError(f"the key is shorter than {KEY_LENGTH} characters")
        return self


class StoreSettings(Section):
    """The embedded database."""

    memory_limit: str = Field(
        default="2GB",
        description="Memory that the database may use. Bodies of 100 MB or more are taken in with 96 MiB of it, lists"
        " written and deliveries planned with 256 MiB, outputs evaluated with 640 MiB, unless that proves too little.",
    )
    threads: int = Field(default=2, ge=1, description="Threads that the database may use.")
    retention: Duration = Field(default=timedelta(days=30), description="How long logs and history are kept.")


class AlertSettings(Section):
    """Where alerts go: told once when something starts and once when it ends."""

    kind: Literal["webhook", "syslog", "email"] = Field(description="The channel.")
    url: SecretStr | None = Field(default=None, description="webhook: where the JSON is posted.")
    address: str | None = Field(default=None, description="syslog: host:port (UDP), or tcp://host:port.")
    host: str | None = Field(default=None, description="email: the SMTP server, host or host:port.")
    sender: str | None = Field(default=None, description="email: the From address.")
    to: Names = Field(default_factory=list, description="email: the recipients.")
    username: str | None = Field(default=None, description="email: the SMTP user.")
    password: SecretStr | None = Field(default=None, description="email: the SMTP password.")
    starttls: bool = Field(default=True, description="email: whether STARTTLS is required.")

    @model_validator(mode="after")
    def _complete(self) -> AlertSettings:
        needed = {"webhook": ("url",), "syslog": ("address",), "email": ("host", "to")}[self.kind]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"an alert of kind {self.kind} needs {' and '.join(missing)}")
        if self.kind == "syslog" and not re.search(r":\d+$", self.address or ""):
            raise ValueError("address must be host:port, or tcp://host:port")
        return self


class Settings(Section):
    """The top level of a configuration file."""

    instance: str = Field(
        default="tipline",
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
        description="Names this installation in far sides (ids carry it): set once, never change.",
    )
    data: str = Field(default="data", description="The data directory, relative to the file.")
    organisation: Names = Field(default_factory=list, description="Your own domains and networks: never blocked.")
    teams: dict[str, TeamSettings] = Field(default_factory=dict, description="Teams on this server.")
    http: HttpSettings = Field(default_factory=HttpSettings, description="Where lists are served.")
    readers: dict[str, ReaderSettings] = Field(
        default_factory=dict, description="Who reads outputs with `access: readers`, by name."
    )
    single_sign_on: SignOnSettings = Field(default_factory=SignOnSettings, description="Who vouches for people.")
    warning_lists: WarningSettings = Field(
        default_factory=WarningSettings, description="Lists of what is well known, and seldom bad."
    )
    store: StoreSettings = Field(default_factory=StoreSettings, description="The embedded database.")
    alerts: list[AlertSettings] = Field(default_factory=list, description="Where alerts go.")


@dataclass
class Configuration:
    """A checked configuration.

    Attributes:
        path: the file it came from.
        settings: the top-level settings.
        sources, processors, outputs: the nodes by name.
        allow_lists: names of the sources that are used as allow-lists.
        text: the file's text; empty if it was not read from one.
    """

    path: Path
    settings: Settings
    sources: dict[str, Source] = field(default_factory=dict)
    processors: dict[str, Processor] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    allow_lists: frozenset[str] = frozenset()
    text: str = ""

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.path.parent / Path(self.settings.data).expanduser()

    def nodes(self) -> dict[str, Kind[Any]]:
        """All nodes by name."""
        return {**self.sources, **self.processors, **self.outputs}

    def outline(self) -> list[tuple[str, str, str]]:
        """Every node as (name, sort, kind)."""
        return [(name, node.sort, node.kind) for name, node in self.nodes().items()]

    @property
    def never_block(self) -> str:
        """Name of the built-in source of what must never be blocked."""
        return "never-block"

    @staticmethod
    def team_allow(team: str) -> str:
        """Name of the built-in source of what a team allowed by hand."""
        return "allowed" if team == "default" else f"allowed-{team}"

    def settings_of(self, name: str) -> NodeSettings:
        """The settings of a node."""
        settings: NodeSettings = self.nodes()[name].settings
        return settings
