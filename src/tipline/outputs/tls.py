"""TLS towards far sides that are the operator's own: their authority, and a client certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator

from tipline.errors import ConfigError


class TlsSettings(BaseModel):
    """TLS towards the server."""

    ca_file: Path | None = Field(default=None, description="PEM file of authorities to trust, in place of the public.")
    client_cert: Path | None = Field(default=None, description="PEM file with a client certificate (and its key).")
    client_key: Path | None = Field(default=None, description="PEM file with the key, if it stands apart.")
    verify: bool = Field(default=True, description="Whether the server's certificate is checked.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key without client_cert")
        return self

    def context(self) -> ssl.SSLContext:
        """What a connection is made with.

        Raises:
            ConfigError: a file cannot be used.
        """
        try:
            made = ssl.create_default_context(cafile=self.ca_file)
            if self.client_cert is not None:
                made.load_cert_chain(self.client_cert, self.client_key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(file) for file in (self.ca_file, self.client_cert, self.client_key) if file)
            raise ConfigError(
                f"the certificate files cannot be used: {error.strerror or error}",
                where=files,
                fix="check that these are PEM files that can be read, and that the key fits the certificate",
            ) from error
        if not self.verify:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        return made
