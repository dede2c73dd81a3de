"""Settings of a fetch, its state between polls, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from tipline import __version__

Urls = Annotated[list[str], BeforeValidator(lambda v: v if isinstance(v, list) else [v])]


class Basic(BaseModel):
    """User name and password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: str = Field(description="User name.")
    password: SecretStr = Field(description="Password; as ${env:NAME} or ${file:PATH}.")


class ApiKey(BaseModel):
    """A key in a header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field(default="X-API-Key", description="Name of the header.")
    value: SecretStr = Field(description="The key; as ${env:NAME} or ${file:PATH}.")


class FetchSettings(BaseModel):
    """Where a feed comes from, and how it is fetched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Urls = Field(
        min_length=1,
        description="https://, http://, file://, s3://, az:// or gs:// address, path, glob or directory;"
        " several are one feed.",
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Headers to send, such as {Accept: text/csv}."
    )
    basic: Basic | None = Field(default=None, description="HTTP basic sign-in.")
    bearer: SecretStr | None = Field(default=None, description="Bearer token; as ${env:NAME} or ${file:PATH}.")
    api_key: ApiKey | None = Field(default=None, description="API key in a header.")
    client_cert: Path | None = Field(default=None, description="PEM file with a client certificate (and its key).")
    client_key: Path | None = Field(default=None, description="PEM file with the key, if it stands apart.")
    ca_file: Path | None = Field(default=None, description="PEM file of certificate authorities to trust as well.")
    verify: bool = Field(default=True, description="Whether the server's certificate is checked.")
    proxy: str | None = Field(
        default=None, description="Proxy's URL, or `none`; unset: HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    )
    user_agent: str = Field(default=f"tipline/{__version__}", description="What tipline calls itself.")
    timeout: float = Field(default=30, gt=0, description="Longest wait for a connection or for more data, in seconds.")
    max_time: float = Field(default=900, gt=0, description="Longest time for one transfer, in seconds.")
    max_bytes: int = Field(default=1 << 30, ge=1, description="Largest body as sent, in bytes.")
    retries: int = Field(default=3, ge=0, le=20, description="Tries after the first, where trying again can help.")
    max_wait: float = Field(
        default=60,
        ge=0,
        description="Longest wait between tries, in seconds; a longer Retry-After ends the poll.",
    )
    per_host: int = Field(default=4, ge=1, description="Transfers from one host at the same time, over all sources.")
    max_redirects: int = Field(default=5, ge=0, le=20, description="Redirects to follow.")
    allow_private: bool = Field(default=False, description="Connect to private addresses and to this machine.")
    allow_hosts: list[str] = Field(
        default_factory=list,
        description="Hosts (name, *.name, address, network) to connect to although they are private.",
    )

    storage: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options for s3://, az:// and gs:// as s3fs, adlfs and gcsfs name them: {key: ..., secret: ...}.",
    )

    @model_validator(mode="after")
    def _one_sign_in(self) -> FetchSettings:
        if self.basic is not None and self.bearer is not None:
            raise ValueError("basic and bearer exclude each other")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key without client_cert")
        return self


@dataclass(frozen=True)
class PartState:
    """What is remembered of one address or file: validators, and the digest of its bytes as sent."""

    etag: str | None = None
    last_modified: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class FetchState:
    """What is remembered between polls, by address or path (as in the settings, with its secrets masked)."""

    parts: Mapping[str, PartState] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A value that JSON can hold."""
        return {"parts": {name: vars(part) for name, part in self.parts.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> FetchState:
        """What `to_json` gave; empty if there is nothing."""
        return cls({name: PartState(**part) for name, part in (value or {}).get("parts", {}).items()})


@dataclass(frozen=True)
class Part:
    """One fetched file.

    Attributes:
        path: in the spool.
        name: where it came from, without secrets.
        charset: what the server says of it.
        headers: of the server's answer, by names in lower case.
    """

    path: Path
    name: str
    charset: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FetchResult:
    """What a fetch brought.

    Attributes:
        not_modified: nothing changed since the state that was given; there are no files then.
        parts: the files, all of them even if only one has changed.
        state: to give to the next fetch.
        bytes: received or copied.
        warnings: sentences for the run's record.
    """

    not_modified: bool
    state: FetchState
    parts: list[Part] = field(default_factory=list)
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """The parts' paths."""
        return [part.path for part in self.parts]
