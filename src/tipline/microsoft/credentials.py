"""The settings a Microsoft output signs in with, and the tokens that come of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from tipline.errors import ConfigError
from tipline.microsoft.clouds import OVERRIDES, Cloud, Endpoints, endpoints
from tipline.microsoft.signin import Credential, Identity, SignIn

CONNECT_TIMEOUT = 10  # seconds
READ_TIMEOUT = 30  # seconds
KINDS = ("client_secret", "certificate_path", "managed_identity", "workload_identity")


class Credentials(BaseModel):
    """How to sign in to Microsoft: a secret, a certificate, a managed identity or a workload identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_id: str = Field("", description="Directory (tenant) ID: a GUID or a domain.")
    client_id: str = Field("", description="Application (client) ID; or that of a user-assigned managed identity.")
    client_secret: SecretStr | None = Field(None, description="The secret's Value, as ${env:NAME} or ${file:PATH}.")
    certificate_path: Path | None = Field(
        None, description="PEM or PKCS12 file with the certificate and its private key."
    )
    certificate_password: SecretStr | None = Field(None, description="Password of that file, if it has one.")
    managed_identity: bool = Field(default=False, description="Use the identity Azure gives to this machine.")
    workload_identity: bool = Field(default=False, description="Use the federated token given to this pod.")
    token_file: Path | None = Field(None, description="The federated token; default: AZURE_FEDERATED_TOKEN_FILE.")
    cloud: Cloud = Field("commercial", description="Which of Microsoft's clouds the tenant lives in.")
    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust instead of the public ones.")
    secret_expires: date | None = Field(
        None, description="Day the secret or certificate ends; warned of 30, 7 and 1 days ahead."
    )

    login_url: str | None = Field(None, description="Instead of the cloud's sign-in address.")
    defender_url: str | None = Field(None, description="Instead of the cloud's Defender API.")
    defender_scope: str | None = Field(None, description="Instead of the cloud's Defender scope.")
    sentinel_url: str | None = Field(None, description="Instead of the cloud's Sentinel upload host.")
    arm_url: str | None = Field(None, description="Instead of the cloud's Azure Resource Manager.")
    arm_scope: str | None = Field(None, description="Instead of the cloud's Azure Resource Manager scope.")
    graph_scope: str | None = Field(None, description="Instead of the cloud's Graph scope.")
    upload_path: str | None = Field(None, description="Path of Sentinel's upload route, with {workspace_id}.")
    upload_api_version: str | None = Field(None, description="api-version of that route.")
    upload_array: str | None = Field(None, description="Name of the array of objects in an upload's body.")
    arm_api_version: str | None = Field(None, description="api-version of the Azure Resource Manager calls.")

    _sign_in: SignIn = PrivateAttr()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both set: choose one way to sign in")
        try:
            _ = self.endpoints  # a wrong override is told now, not at the first delivery
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def model_post_init(self, context: Any, /) -> None:
        """Begin without tokens."""
        super().model_post_init(context)
        self._sign_in = SignIn(self._open, self.identity)

    def __copy__(self) -> Self:
        """A copy with tokens of its own: `model_copy` may change who signs in."""
        copied = super().__copy__()
        copied.model_post_init(None)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """The same as a copy, since no field can change."""
        return self.__copy__()

    @property
    def endpoints(self) -> Endpoints:
        """The addresses of the cloud with the overrides applied."""
        return endpoints(self.cloud, **{name: getattr(self, name) for name in OVERRIDES})

    def missing(self) -> list[str]:
        """Names of the settings without which nobody can sign in; empty when complete."""
        if self.managed_identity:
            return []
        absent = [] if self.workload_identity else [n for n in ("tenant_id", "client_id") if not getattr(self, n)]
        if not any(getattr(self, kind) for kind in KINDS):
            absent.append("client_secret")
        return absent

    def secret_days_left(self, today: date) -> int | None:
        """Days until `secret_expires` (negative when past); None when it is not set."""
        return (self.secret_expires - today).days if self.secret_expires else None

    def token(self, scope: str, rejected: str | None = None) -> str:
        """A bearer token for the scope, from the cache while it lasts.

        Args:
            scope: such as `credentials.endpoints.defender_scope`.
            rejected: a token that the far side has just refused with 401.

        Raises:
            SignInError: sign-in failed; the message says what to do.
        """
        return self._sign_in.token(scope, rejected)

    def identity(self) -> Identity:
        """Who signs in, and what must not be shown of it."""
        who = [
            f"tenant {self.tenant_id}" if self.tenant_id else "",
            f"app {self.client_id}" if self.client_id else "",
        ]
        values = [self.client_secret, self.certificate_password]
        return Identity(
            where=", ".join(part for part in who if part) or "this machine's identity",
            secrets=tuple(value.get_secret_value() for value in values if value),
        )

    def _open(self) -> Credential:
        from azure.identity import (
            CertificateCredential,
            ClientSecretCredential,
            ManagedIdentityCredential,
            WorkloadIdentityCredential,
        )

        target = self.endpoints
        wire: dict[str, Any] = {
            "connection_timeout": CONNECT_TIMEOUT,
            "read_timeout": READ_TIMEOUT,
            "retry_total": 2,
            # A failed sign-in keeps its answer, and so its connection, until garbage is collected.
            "headers": {"Connection": "close"},
            **({"connection_verify": str(self.ca_file)} if self.ca_file else {}),
        }
        authority: dict[str, Any] = {
            "authority": target.login_url,
            # Instance discovery asks Microsoft's public host about the authority: useless for any other host.
            "disable_instance_discovery": not target.default_login,
        }
        if self.managed_identity:
            return ManagedIdentityCredential(client_id=self.client_id or None, **wire)
        if self.workload_identity:
            return WorkloadIdentityCredential(
                tenant_id=self.tenant_id or None,
                client_id=self.client_id or None,
                token_file_path=str(self.token_file) if self.token_file else None,
                **authority,
                **wire,
            )
        if self.certificate_path:
            password = self.certificate_password
            return CertificateCredential(
                self.tenant_id,
                self.client_id,
                str(self.certificate_path),
                password=password.get_secret_value() if password else None,
                **authority,
                **wire,
            )
        secret = self.client_secret.get_secret_value() if self.client_secret else ""
        return ClientSecretCredential(self.tenant_id, self.client_id, secret, **authority, **wire)
