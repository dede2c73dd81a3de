"""Who may read an output that is served over HTTP: settings that lists and TAXII collections share."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from tipline.kinds import Names
from tipline.model.tlp import GREEN, RED
from tipline.outputs.base import OutputSettings

# A key that can be tried out over the network has to be longer than a word.
KEY_LENGTH = 16
# The tag of outputs that every reader may read.
ANY = "any"


class AccessSettings(OutputSettings):
    """Settings of outputs that are served."""

    access: Literal["public", "key", "readers", "network"] = Field(
        default="public",
        description="public: whoever reaches the server; key: who shows one of `keys`; readers: some of the top"
        " level's `readers`; network: certain addresses. But for public, max_tlp defaults to green.",
    )
    keys: list[SecretStr] = Field(
        default_factory=list,
        description="access: key: the keys, at least 16 characters each; shown as Authorization: Bearer KEY,"
        " as the password of basic authentication (any user name), or as ?key=KEY.",
    )
    readers: Names = Field(default_factory=list, description="access: readers: names of readers who may read it.")
    tags: Names = Field(
        default_factory=list,
        description="access: readers: readers with one of these tags may read it, too; `any`: every reader."
        " With max_tlp: red, those of the output's own team alone.",
    )
    networks: Names = Field(
        default_factory=list,
        description="Addresses and networks that may read it; with access: key or readers, both must fit.",
    )

    def opens_to(self, tags: Iterable[str], *, owns: bool, reader: str = "") -> bool:
        """Whether somebody may read it who is known (with `access: readers`).

        Args:
            tags: theirs.
            owns: whether the output is their team's: red never leaves it, whatever names and tags say.
            reader: their name, if they stand under the top level's `readers`.
        """
        if self.access != "readers" or (self.max_tlp >= RED and not owns):
            return False
        return (bool(reader) and reader in self.readers) or ANY in self.tags or not set(self.tags).isdisjoint(tags)

    @model_validator(mode="before")
    @classmethod
    def _green_unless_public(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("access", "public") != "public" and "max_tlp" not in data:
            return {**data, "max_tlp": GREEN}
        return data

    @field_validator("keys")
    @classmethod
    def _long_enough(cls, keys: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value()) < KEY_LENGTH for key in keys):
            raise ValueError(f"a key is shorter than {KEY_LENGTH} characters")
        return keys

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: list[str]) -> list[str]:
        return [network_text(text) for text in networks]

    @model_validator(mode="after")
    def _fits_access(self) -> Self:
        if self.access == "key" and not self.keys:
            raise ValueError("access: key needs at least one key under keys")
        if self.access == "readers" and not self.readers and not self.tags:
            raise ValueError("access: readers needs names under readers, or tags")
        if self.access == "network" and not self.networks:
            raise ValueError("access: network needs networks")
        if self.access != "key" and self.keys:
            raise ValueError(f"keys are set, but access is {self.access}; write access: key")
        if self.access != "readers" and (self.readers or self.tags):
            raise ValueError(f"readers or tags are set, but access is {self.access}; write access: readers")
        if self.access == "public" and self.networks:
            raise ValueError("networks are set, but access is public; write access: network")
        if self.access == "public" and self.max_tlp == RED:
            raise ValueError("red must not be public; write access: key, readers or network, or a lower max_tlp")
        return self


def network_text(text: str) -> str:
    """A network in its canonical spelling.

    Raises:
        ValueError: it is none, or has host bits.
    """
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise ValueError(f"{text!r} is no address or network: {exc}") from exc
