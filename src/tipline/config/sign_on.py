"""Single sign-on: the issuers that vouch for people (OpenID Connect), and what their claims let these do."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from tipline.config.section import Section
from tipline.durations import Duration
from tipline.kinds import Names
from tipline.model.roles import Role


class GrantSettings(Section):
    """Whoever's claim has this value comes in with this role; the first that fits counts."""

    value: str = Field(min_length=1, max_length=500, description="A value of the claim: a group or role there.")
    role: Role = Field(description="What they may do.")
    team: str = Field(default="default", max_length=200, description="Their team.")
    tags: Names = Field(default_factory=list, description="role: reader: which lists they may read.")


class IssuerSettings(Section):
    """Somebody who vouches for people: Entra ID, Keycloak, Okta, or another OpenID provider."""

    title: str = Field(default="", max_length=60, description="What the sign-in page calls it; its name unless set.")
    issuer: str = Field(
        max_length=240,
        description="Its address, as its discovery document spells it; https, but on this machine alone.",
    )
    client_id: str = Field(min_length=1, description="What it calls this server.")
    client_secret: SecretStr | None = Field(
        default=None, description="The secret that goes with it; a public client has none."
    )
    scopes: Names = Field(
        default_factory=lambda: ["openid", "profile", "email"], description="What it is asked for; openid is added."
    )
    claim: str = Field(
        default="groups",
        min_length=1,
        description="The claim that grants look at: a name, or a path with dots, such as realm_access.roles.",
    )
    name_claim: str = Field(
        default="preferred_username", min_length=1, description="The claim that a new user is named after."
    )
    grants: list[GrantSettings] = Field(
        min_length=1, description="What values of the claim let people do, the first that fits; nobody else comes in."
    )
    keys_last: Duration | None = Field(
        default=None,
        description="How long after somebody's last sign-in their keys are in force; until revoked unless set.",
    )
    ca_file: Path | None = Field(default=None, description="PEM file of authorities to trust for it, and no others.")

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, issuer: str) -> str:
        if not is_safe(issuer):
            raise ValueError("the issuer is no https address")
        return issuer

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: list[str]) -> list[str]:
        return scopes if "openid" in scopes else ["openid", *scopes]


class SignOnSettings(Section):
    """Single sign-on by OpenID Connect."""

    only: bool = Field(
        default=False,
        description="Whether passwords let nobody in any more but feed readers; keys and this machine's commands stay.",
    )
    issuers: dict[str, IssuerSettings] = Field(default_factory=dict, description="Who vouches for people, by name.")

    @field_validator("issuers")
    @classmethod
    def _names_fit(cls, issuers: dict[str, IssuerSettings]) -> dict[str, IssuerSettings]:
        for name in issuers:
            if not name.replace("-", "").isalnum() or not name.isascii() or len(name) > 40:
                raise ValueError(f"{name!r} is no name for an issuer; it stands in addresses: letters, digits and -")
        return issuers

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> SignOnSettings:
        if self.only and not self.issuers:
            raise ValueError("only: true without an issuer would let nobody in")
        return self


def is_safe(address: str) -> bool:
    """Whether an address is https, or http on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return parts.scheme == "https" and bool(host)
