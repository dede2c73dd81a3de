"""Bearer tokens: the key that signs them, and what a token says of its caller."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .tls import write_private
from .world import Call, World

DEFENDER = frozenset({
    "https://api.securitycenter.microsoft.com", "https://api.security.microsoft.com",
    "https://securitycenter.onmicrosoft.com/windowsatpservice", "https://api-gcc.securitycenter.microsoft.us",
    "https://api-gov.securitycenter.microsoft.us",
})  # fmt: skip
ARM = frozenset({
    "https://management.azure.com", "https://management.core.windows.net", "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net", "https://management.chinacloudapi.cn",
    "https://management.core.chinacloudapi.cn",
})  # fmt: skip
GRAPH = frozenset({"https://graph.microsoft.com", "https://graph.microsoft.us"})


@dataclass(frozen=True)
class Who:
    """A caller that proved who it is."""

    tenant_id: str
    client_id: str
    name: str
    roles: frozenset[str]
    device_groups: frozenset[str] | None


class Signer:
    """The key that tokens are signed with."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self._public = key.public_key()

    @classmethod
    def load(cls, file: Path | None) -> Signer:
        """The key in `file` (made if missing), or this process's own."""
        if file is None:
            return cls(_process_key())
        if not file.exists():
            pem = rsa.generate_private_key(65537, 2048).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_private(file, pem)
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{file.name} is not an RSA key")
        return cls(key)

    def sign(self, claims: dict[str, Any]) -> str:
        """A signed token."""
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "sandbox"})

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of ours, whatever its age; None when it is not ours."""
        options: Any = {f"verify_{each}": False for each in ("aud", "exp", "iat", "nbf", "iss", "sub", "jti")}
        try:
            return jwt.decode(token, self._public, algorithms=["RS256"], options=options)
        except jwt.PyJWTError:
            return None


@cache
def _process_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def bearer(world: World, call: Call, audiences: frozenset[str]) -> Who | str:
    """The caller, or why not: `missing`, `invalid`, `expired` or `audience`."""
    scheme, _, text = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        return "missing"
    claims = world.signer.read(text.strip())
    if claims is None:
        return "invalid"
    if claims["exp"] <= world.now.timestamp():
        return "expired"
    if str(claims["aud"]).rstrip("/").lower() not in audiences:
        return "audience"
    return _who(world, claims)


def _who(world: World, claims: dict[str, Any]) -> Who | str:
    client = claims.get("appid") or claims.get("azp")
    row = world.store.db.execute(
        "SELECT * FROM apps WHERE tenant_id = ? AND client_id = ?", (claims["tid"], client)
    ).fetchone()
    if not row:
        return "invalid"
    groups = json.loads(row["device_groups"]) if row["device_groups"] else None
    scoped = None if groups is None else frozenset(groups)
    return Who(row["tenant_id"], row["client_id"], row["name"], frozenset(claims.get("roles", ())), scoped)
