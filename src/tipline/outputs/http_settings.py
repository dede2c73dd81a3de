"""Settings of outputs that call a server over HTTP: its address, the sign-in, and how patient to be."""

from __future__ import annotations

import base64
from typing import Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator

from tipline.outputs.delivery import DeliveredSettings
from tipline.outputs.tls import TlsSettings
from tipline.sources.fetch_settings import ApiKey, Basic


class CallSettings(DeliveredSettings, TlsSettings):
    """Settings of outputs that call a server over HTTP."""

    url: str = Field(default="", description="The server's address: https:// or http://; it may be a private one.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Headers to send with each request.")
    basic: Basic | None = Field(default=None, description="HTTP basic sign-in.")
    bearer: SecretStr | None = Field(default=None, description="Bearer token; as ${env:NAME} or ${file:PATH}.")
    api_key: ApiKey | None = Field(default=None, description="API key in a header.")
    proxy: str | None = Field(
        default=None, description="Proxy's URL, or `none`; unset: HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    )
    timeout: float = Field(default=30, gt=0, description="Longest wait for a connection or for more data, in seconds.")
    retries: int = Field(default=5, ge=0, le=20, description="Tries after the first, where trying again can help.")
    max_wait: float = Field(
        default=300, ge=0, description="Longest wait between tries, in seconds; longer ones end the cycle."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value:
            return value
        try:
            url = httpx.URL(value)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ValueError(f"not an address: {error}") from None
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("must start with https:// or http:// and a host")
        if url.userinfo:
            raise ValueError("must not hold a user and password; set basic")
        return value

    @model_validator(mode="after")
    def _one_sign_in(self) -> Self:
        if self.basic is not None and self.bearer is not None:
            raise ValueError("basic and bearer exclude each other")
        return self

    def signed(self) -> dict[str, str]:
        """The configured headers, with the sign-in."""
        found = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.basic is not None:
            pair = f"{self.basic.username}:{self.basic.password.get_secret_value()}"
            found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if self.bearer is not None:
            found["Authorization"] = f"Bearer {self.bearer.get_secret_value()}"
        if self.api_key is not None:
            found[self.api_key.header] = self.api_key.value.get_secret_value()
        return found

    def secrets(self) -> list[str]:
        """What must appear in no message: also the sign-in as it is sent, which a server may echo."""
        bare = [self.basic.password] if self.basic else []
        bare += [self.bearer] if self.bearer else []
        return [*self.signed().values(), *(secret.get_secret_value() for secret in bare)]
