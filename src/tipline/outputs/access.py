"""Who may read an output that is served over HTTP: settings that lists and TAXII collections share."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from tipline.model.tlp import GREEN
from tipline.outputs.base import OutputSettings

# A key that can be tried out over the network has to be longer than a word.
_KEY_LENGTH = 16


class AccessSettings(OutputSettings):
    """Settings of outputs that are served."""

    access: Literal["public", "key"] = Field(
        default="public",
        description="public: whoever reaches the server; key: who shows a key (max_tlp defaults to green).",
    )
    keys: list[SecretStr] = Field(
        default_factory=list,
        description="access: key: the keys, at least 16 characters each; shown as Authorization: Bearer KEY,"
        " as the password of basic authentication (any user name), or as ?key=KEY.",
    )

    @model_validator(mode="before")
    @classmethod
    def _green_behind_a_key(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("access") == "key" and "max_tlp" not in data:
            return {**data, "max_tlp": GREEN}
        return data

    @field_validator("keys")
    @classmethod
    def _long_enough(cls, keys: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value()) < _KEY_LENGTH for key in keys):
            raise ValueError(f"a key is shorter than {_KEY_LENGTH} characters")
        return keys

    @model_validator(mode="after")
    def _keys_fit_access(self) -> Self:
        if self.access == "key" and not self.keys:
            raise ValueError("access: key needs at least one key under keys")
        if self.access == "public" and self.keys:
            raise ValueError("keys are set, but access is public; write access: key")
        return self
