"""The files of a MineMeld: a directory, a committed-config.yml among its siblings, or a backup."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tipline.errors import ConfigError, FormatError

_MOST_FILES = 5_000
_MOST_BYTES = 64 << 20  # of one file
_MOST_TOTAL = 256 << 20
_MOST_RATIO = 200
_MOST_VALUES = 2_000_000
_WANTED = {".yml", ".yaml", ".db", ".htpasswd"}
_AES = 99


class Tree:
    """Files by their path in MineMeld's local directory, such as `config/committed-config.yml`."""

    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.files = dict(files)
        self.where = where

    def yaml(self, name: str) -> Any:
        """The first file of a name, in any folder; None if there is none.

        Raises:
            FormatError: it is not YAML, or grows without measure.
        """
        path = self.find(name)
        return None if path is None else load_yaml(self.files[path], f"{self.where}:{path}")

    def find(self, name: str) -> str | None:
        """The path of a file, the least deep one."""
        found = [path for path in self.files if PurePosixPath(path).name == name]
        return min(found, key=lambda path: (path.count("/"), path), default=None)

    def named(self, ending: str) -> list[str]:
        """The paths that end so, in order of their names."""
        return sorted(path for path in self.files if path.endswith(ending))


def open_tree(path: Path, password: str | None = None) -> Tree:
    """Read the files.

    Args:
        path: directory, YAML file, or zip.
        password: of a backup.

    Raises:
        ConfigError: it cannot be read.
        FormatError: it is none of these, or hostile.
    """
    try:
        if path.is_dir():
            return Tree(_directory(path), str(path))
        if zipfile.is_zipfile(path):
            return Tree(_zip(path, password), str(path))
        folder = path.parent.parent if path.parent.name == "config" else path.parent
        files = _directory(folder) if path.name in {"committed-config.yml", "running-config.yml"} else {}
        return Tree({**files, "committed-config.yml": _limited(path)}, str(path))
    except OSError as exc:
        raise ConfigError(f"it cannot be read: {exc.strerror or exc}", where=str(path)) from exc


def _directory(root: Path) -> dict[str, bytes]:
    """Files of interest; links are not followed."""
    found: dict[str, bytes] = {}
    total = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not Path(folder, name).is_symlink())
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix not in _WANTED or not stat.S_ISREG(file.lstat().st_mode):
                continue
            found[file.relative_to(root).as_posix()] = _limited(file)
            total += file.lstat().st_size
            if len(found) > _MOST_FILES or total > _MOST_TOTAL:
                raise FormatError("there are too many files", where=str(root), fix="give MineMeld's local directory")
    return found


def _limited(file: Path) -> bytes:
    if file.stat().st_size > _MOST_BYTES:
        raise FormatError("the file is too large", where=str(file), fix="give MineMeld's configuration")
    return file.read_bytes()


def _zip(path: Path, password: str | None) -> dict[str, bytes]:
    """Members of interest, in memory: nothing is unpacked onto the disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_hostile(members, str(path))
            return {
                member.filename: _member(archive, member, password, str(path))
                for member in members
                if PurePosixPath(member.filename).suffix in _WANTED and not member.is_dir()
            }
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as exc:  # the last: an unknown compression
        raise FormatError(f"the archive is damaged: {exc}", where=str(path), fix="make the backup again") from exc


def _refuse_hostile(members: list[zipfile.ZipInfo], where: str) -> None:
    total = 0
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
            raise FormatError(f"a member leads out of the archive: {member.filename[:100]!r}", where=where)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise FormatError(f"a member is a link: {member.filename[:100]!r}", where=where)
        total += member.file_size
        if member.file_size > _MOST_BYTES or member.file_size > max(1 << 20, member.compress_size * _MOST_RATIO):
            raise FormatError(f"a member unpacks to too much: {member.filename[:100]!r}", where=where)
    if total > _MOST_TOTAL or len(members) > _MOST_FILES:
        raise FormatError("the archive unpacks to too much", where=where)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: str | None, where: str) -> bytes:
    if member.compress_type == _AES:
        fix = "unpack it with 7z, and give the directory"
        raise FormatError("the archive is encrypted with AES", where=where, fix=fix)
    try:
        with archive.open(member, pwd=password.encode() if password else None) as stream:
            body = stream.read(member.file_size + 1)
    except RuntimeError as exc:
        fix = "give the backup's password with --password-file"
        raise ConfigError(f"{member.filename} cannot be opened: {exc}", where=where, fix=fix) from exc
    except Exception as exc:
        # A wrong password shows as any error of the decompressor.
        raise FormatError(f"{member.filename} is damaged, or the password is wrong", where=where) from exc
    if len(body) > member.file_size:
        raise FormatError(f"a member is longer than it says: {member.filename[:100]!r}", where=where)
    return body


def load_yaml(body: bytes, where: str) -> Any:
    """YAML 1.1, as MineMeld reads it.

    Raises:
        FormatError: it is none, or grows without measure.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    try:
        loaded = yaml.load(StringIO(body.decode("utf-8-sig")))
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError, TypeError) as exc:
        raise FormatError(f"not YAML as MineMeld writes it: {str(exc).splitlines()[0]}", where=where) from exc
    pending, count = [loaded], 0
    while pending:
        each = pending.pop()
        count += 1
        if count > _MOST_VALUES:
            raise FormatError("its aliases grow without measure", where=where)
        pending += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
    return loaded
