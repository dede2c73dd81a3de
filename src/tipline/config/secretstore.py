"""Secrets that people entered: encrypted in a file beside the configuration, which names them as `${secret:NAME}`.

Each value is sealed by AES-256-GCM under its own name and team, so that none can be put in the place of another. The
key is in the environment (TIPLINE_SECRETS_KEY) or in a file that is made at the first use, readable by its owner alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tipline.errors import ConfigError

VARIABLE = "TIPLINE_SECRETS_KEY"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NONCE = 12  # bytes, as AES-GCM has them
_MOST = 64 * 1024  # characters of a secret


class SecretStore:
    """The secrets of one configuration file.

    Args:
        configuration: the configuration file; the secrets lie beside it.
    """

    def __init__(self, configuration: Path) -> None:
        self.path = configuration.with_suffix(".secrets")
        self.key_path = configuration.with_suffix(".secrets.key")

    def listed(self) -> list[dict[str, Any]]:
        """What there is, without the values: name, team, changed, actor.

        Raises:
            ConfigError: the file cannot be read.
        """
        return [{k: v for k, v in entry.items() if k != "sealed"} | {"name": n} for n, entry in self._read().items()]

    def value(self, name: str) -> str | None:
        """A secret; None: there is none of this name.

        Raises:
            ConfigError: it cannot be read, or the key is another one.
        """
        entry = self._read().get(name)
        if entry is None:
            return None
        sealed = base64.b64decode(entry["sealed"])
        try:
            return self._cipher().decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(name, entry["team"])).decode()
        except InvalidTag:
            fix = f"give the key it was sealed with ({VARIABLE}, or {self.key_path.name}), or enter the secret again"
            raise ConfigError(f"the secret {name} cannot be opened", where=str(self.path), fix=fix) from None

    def put(self, name: str, value: str, *, team: str, actor: str, at: datetime) -> None:
        """Keep a secret, in place of one of the same name.

        Raises:
            ConfigError: the name cannot be, the value is empty or too long, or the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError("that is no name for a secret", fix="use letters, digits and . _ -, at most 100")
        if not value or len(value) > _MOST:
            raise ConfigError("a secret is empty, or too long", fix=f"give 1 to {_MOST} characters")
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher(make=True).encrypt(nonce, value.encode(), _bound(name, team))
        entry = {"team": team, "actor": actor, "changed": at.isoformat() + "Z"}
        self._write({**self._read(), name: {**entry, "sealed": base64.b64encode(sealed).decode()}})

    def drop(self, name: str) -> None:
        """Forget a secret.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._write({other: entry for other, entry in self._read().items() if other != name})

    def team(self, name: str) -> str | None:
        """Whose secret it is; None: there is none of this name."""
        entry = self._read().get(name)
        return None if entry is None else str(entry["team"])

    def _cipher(self, *, make: bool = False) -> AESGCM:
        text = os.environ.get(VARIABLE)
        where = f"the environment's {VARIABLE}"
        if text is None:
            where = str(self.key_path)
            text = self._key_file(make=make)
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            raise ConfigError("the key of the secrets is none", where=where, fix="it is 32 random bytes in base64")
        return AESGCM(key)

    def _key_file(self, *, make: bool) -> str:
        try:
            if make and not self.key_path.exists():
                self._replace(self.key_path, base64.b64encode(os.urandom(32)))
            return self.key_path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as exc:
            reason = getattr(exc, "strerror", None) or "not readable text"
            what = f"the key of the secrets cannot be read: {reason}"
            raise ConfigError(what, where=str(self.key_path), fix=f"put it back, or set {VARIABLE}") from exc

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found: dict[str, dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            raise ConfigError("the secrets cannot be read", where=str(self.path), fix="restore the file") from exc
        return found

    def _write(self, entries: dict[str, dict[str, Any]]) -> None:
        try:
            self._replace(self.path, json.dumps(entries, indent=1, sort_keys=True).encode())
        except OSError as exc:
            fix = "make the folder of the configuration writable for tipline"
            raise ConfigError(f"the secrets cannot be written: {exc.strerror}", where=str(self.path), fix=fix) from exc

    @staticmethod
    def _replace(path: Path, data: bytes) -> None:
        """Write a file as a whole, for its owner's eyes alone."""
        new = path.with_name(path.name + ".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def _bound(name: str, team: str) -> bytes:
    return json.dumps([name, team]).encode()
