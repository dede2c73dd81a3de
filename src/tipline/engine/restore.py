"""Puts a backup into a new data directory: whole and proven, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import IO, Any

import zstandard

from tipline import __version__
from tipline.engine.backup import CONFIGURATION, DATA, FORM, MANIFEST, blocks
from tipline.engine.recover import resync
from tipline.errors import StoreError
from tipline.store.accounts import SESSIONS, drop
from tipline.store.control import FILE as CONTROL_FILE
from tipline.store.control import Control, integrity
from tipline.store.lake import FILE as LAKE_FILE
from tipline.store.lake import Lake
from tipline.store.schema import LAKE_VERSION

_MOST_MANIFEST = 64 << 20
_BLOCK = 1 << 16


def restore(file: Path, data: Path, configuration: Path) -> dict[str, Any]:
    """Put a backup into a data directory.

    Args:
        file: the backup.
        data: the directory; it must not exist, or be empty.
        configuration: where the configuration file goes, if there is none yet.

    Returns:
        made, tipline (its version), instance, deliveries (how many compare first), configuration and secrets (where
        they are), steps and left_out (in words).

    Raises:
        StoreError: the directory is not empty, or the file is no backup, damaged, or of a newer version; nothing
            was changed.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise StoreError("the directory is not empty", where=str(data), fix="name one that does not exist")
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restoring-", dir=data.parent) as name:
            staging = Path(name)
            manifest = _unpacked(file, staging)
            _check_whole(staging, manifest, file)
            _opens(staging / DATA)
            marked = resync(staging / DATA)
            shutil.move(staging / CONFIGURATION, staging / DATA / CONFIGURATION)
            (staging / DATA).chmod(0o700)
            (staging / DATA).replace(data)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise StoreError(
            f"it cannot be restored: {reason}", where=str(data), fix="check the path and the room"
        ) from exc
    placed = _place(data / CONFIGURATION, configuration)
    return {
        **{word: manifest[word] for word in ("made", "tipline", "instance", "left_out")},
        "deliveries": marked, **placed, "steps": _steps(manifest, marked, data, placed),
    }  # fmt: skip


class _Stream(RawIOBase):
    """Reads what is compressed, and insists on its end."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or what is left.

        Raises:
            EOFError: the stream is cut off, or something follows it.
        """
        while len(self._left) < size and not self._inner.eof:
            packed = self._file.read(_BLOCK)
            if not packed:
                raise EOFError
            self._left += self._inner.decompress(packed)
        if self._inner.eof and (self._inner.unused_data or (not self._left and self._file.read(1))):
            raise EOFError
        found, self._left = self._left[:size], self._left[size:]
        return found


def _unpacked(file: Path, staging: Path) -> dict[str, Any]:
    """Everything in a backup, in a folder, with its checksums held; returns the manifest."""
    try:
        with file.open("rb") as packed, tarfile.open(fileobj=(stream := _Stream(packed)), mode="r|") as tar:
            manifest = _manifest(tar, file)
            _versions(manifest, file)
            while (member := tar.next()) is not None:
                known = manifest["files"].get(member.name)
                if known is None or not member.isfile() or member.size != known["size"]:
                    raise _damaged(file, f"{member.name[:100]} is not what its list says")
                source = tar.extractfile(member)
                if source is None or _write(source, staging / member.name) != known["sha256"]:
                    raise _damaged(file, f"{member.name} has another checksum")
            while stream.read(_BLOCK):
                pass  # to the end of the stream, where its own checksum is
            return manifest
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as exc:
        raise _damaged(
            file, str(exc).splitlines()[0][:200] if str(exc) else "it is cut off, or longer than it was"
        ) from exc


def _manifest(tar: tarfile.TarFile, file: Path) -> dict[str, Any]:
    head = tar.next()
    if head is None or head.name != MANIFEST or head.size > _MOST_MANIFEST:
        raise _damaged(file, "it has no list of what is in it")
    source = tar.extractfile(head)
    try:
        found: dict[str, Any] = json.loads(source.read() if source else b"")
        names = [PurePosixPath(name) for name in found["files"]]
        right = all(
            isinstance(each["size"], int) and isinstance(each["sha256"], str) for each in found["files"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        right, names, found = False, [], {}
    inside = all(
        len(name.parts) > 1 and name.parts[0] in {DATA, CONFIGURATION} and ".." not in name.parts for name in names
    )
    if not (right and inside):
        raise _damaged(file, "its list cannot be read")
    return found


def _versions(manifest: dict[str, Any], file: Path) -> None:
    """Refuse what a newer program wrote, before anything is unpacked."""
    form, lake = manifest.get("form"), manifest.get("lake")
    if not isinstance(form, int) or not isinstance(lake, int) or form > FORM or lake > LAKE_VERSION:
        what = f"it was made by a newer tipline ({str(manifest.get('tipline'))[:20]}, this is {__version__})"
        raise StoreError(what, where=str(file), fix="restore it with that version")


def _check_whole(staging: Path, manifest: dict[str, Any], file: Path) -> None:
    needed = {f"{DATA}/{LAKE_FILE}", f"{DATA}/{CONTROL_FILE}", f"{CONFIGURATION}/tipline.yml"}
    missing = [name for name in manifest["files"] if not (staging / name).is_file()]
    missing += sorted(needed - manifest["files"].keys())
    if missing:
        raise _damaged(file, f"{missing[0]} is missing")


def _opens(data: Path) -> None:
    """Open both databases, which also brings an older layout up to date, and end everybody's session.

    Raises:
        StoreError: one does not open, or is damaged.
    """
    Lake(data).close()
    control = Control(data)
    try:
        found = integrity(control)
        if found != "ok":
            raise StoreError(f"its control database is damaged: {found}", where=CONTROL_FILE, fix="take another backup")
        drop(control, SESSIONS)
    finally:
        control.close()


def _place(kept: Path, configuration: Path) -> dict[str, Any]:
    """Put the configuration and its secrets where they belong, unless something is there."""
    secrets, there = kept / "tipline.secrets", configuration.with_suffix(".secrets")
    if configuration.exists():
        return {"configuration": str(kept / "tipline.yml"), "secrets": str(secrets) if secrets.is_file() else None}
    shutil.copyfile(kept / "tipline.yml", configuration)
    if secrets.is_file() and not there.exists():
        shutil.copyfile(secrets, there)
        there.chmod(0o600)
    return {"configuration": str(configuration), "secrets": str(there) if secrets.is_file() else None}


def _steps(manifest: dict[str, Any], marked: int, data: Path, placed: dict[str, Any]) -> list[str]:
    steps = [
        f"what was made at {manifest['made']} by tipline {manifest['tipline']} is in {data}",
        f"the configuration is {placed['configuration']}; its data: may name another directory",
        f"{marked} deliveries compare their far sides before they write",
        "everybody has to sign in again",
    ]
    if placed["secrets"]:
        steps.append(f"secrets are in {placed['secrets']}; put their key back: it is in no backup")
    return steps


def _write(source: IO[bytes], target: Path) -> str:
    """Write a file; returns its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = hashlib.sha256()
    with target.open("xb") as file:
        for block in blocks(source):
            found.update(block)
            file.write(block)
    target.chmod(0o600)
    return found.hexdigest()


def _damaged(file: Path, why: str) -> StoreError:
    return StoreError(f"that is no whole backup: {why}", where=str(file), fix="take another one")
