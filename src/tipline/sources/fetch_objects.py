"""Feeds in object stores: s3://, az:// and gs:// addresses, also with globs, through fsspec (the extra `objects`)."""

from __future__ import annotations

import hashlib
import importlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tipline.errors import FetchError
from tipline.formats.spool import spooled
from tipline.sources.fetch_settings import Part, PartState

# Schemes, and the package of each.
SCHEMES = {"s3": "s3fs", "az": "adlfs", "abfs": "adlfs", "gs": "gcsfs", "gcs": "gcsfs"}
_BLOCK = 1 << 20
_WILD = "*?["
# What names the version of an object, by store; the first that is there counts.
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime")


def is_object(url: str) -> bool:
    """Whether an address leads to an object store."""
    scheme, found, _ = url.partition("://")
    return bool(found) and scheme.lower() in SCHEMES


def store(url: str, options: Mapping[str, SecretStr]) -> Any:
    """The file system (fsspec) behind an address.

    Args:
        url: of an object, or of a folder.
        options: of the file system's class, such as key, secret and endpoint_url of s3.

    Raises:
        FetchError: the package of this store is not installed, or an option is wrong.
    """
    scheme = url.partition("://")[0].lower()
    try:
        fsspec = importlib.import_module("fsspec")
        importlib.import_module(SCHEMES[scheme])
    except ImportError as error:
        raise FetchError(
            f"{scheme}:// addresses need the package {SCHEMES[scheme]}",
            where=_bare(url),
            fix="pip install 'tipline[objects]'",
        ) from error
    values: dict[str, Any] = {name: _value(option.get_secret_value()) for name, option in options.items()}
    try:
        # Nothing is remembered: neither listings nor the client of other options.
        return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False, **values)
    except Exception as error:  # each store's client judges its options in its own way
        raise FetchError(_words(error), where=_bare(url), fix="check the options under storage") from error


def objects(url: str, options: Mapping[str, SecretStr]) -> list[str]:
    """The addresses that a glob or a folder (with a slash at its end) stands for, sorted; else the address itself.

    Raises:
        FetchError: there is none, or the store refuses.
    """
    if not url.endswith("/") and not any(character in url for character in _WILD):
        return [url]
    scheme = url.partition("://")[0]
    files = store(url, options)
    with told(url):
        found = files.glob(url) if not url.endswith("/") else files.ls(url, detail=False)
        kept = sorted(str(name) for name in found if files.isfile(name))
    if not kept:
        raise FetchError("no object matches", where=_bare(url), fix="check the address; is the folder filled yet?")
    return [name if "://" in name else f"{scheme}://{name.lstrip('/')}" for name in kept]


def copy(
    url: str, options: Mapping[str, SecretStr], before: PartState | None, spool: Path, max_bytes: int
) -> tuple[Part | None, PartState, int]:
    """Copy an object to the spool; it is not read if the store says that it is what it was.

    Args:
        url: of the object.
        options: see `store`.
        before: state of the last fetch.
        spool: directory for the copy.
        max_bytes: largest object.

    Raises:
        FetchError: it is missing, too large, or the store refuses.
    """
    files = store(url, options)
    where = _bare(url)
    with told(url):
        info = files.info(url)
        version = _version(info)
        if before is not None and version is not None and before.etag == version:
            return None, before, 0
        size, digest = 0, hashlib.sha256()
        target = spool / f"{uuid.uuid4().hex}.body"
        with files.open(url, "rb") as source, spooled(target, where) as out:
            while block := source.read(_BLOCK):
                size += len(block)
                _within(size, max_bytes, where)
                digest.update(block)
                out.write(block)
    return Part(target, where), PartState(version, None, digest.hexdigest()), size


@dataclass(frozen=True)
class Entry:
    """An object of a folder: its name with the bucket's, and what names its version."""

    name: str
    version: str


def listing(folder: str, options: Mapping[str, SecretStr]) -> list[Entry]:
    """The objects right in a folder, sorted by name; a folder that is not there holds none.

    Raises:
        FetchError: the store refuses.
    """
    files = store(folder, options)
    with told(folder):
        try:
            found = files.ls(folder, detail=True)
        except FileNotFoundError:
            return []
    entries = [
        Entry(str(each["name"]), f"{_version(each)}-{each.get('size')}") for each in found if each["type"] == "file"
    ]
    return sorted(entries, key=lambda entry: entry.name)


def move(url: str, target: str | None, options: Mapping[str, SecretStr]) -> None:
    """Move an object, or remove it if there is no target.

    Raises:
        FetchError: the store refuses.
    """
    files = store(url, options)
    with told(url):
        if target is not None:
            files.cp_file(url, target)
        files.rm_file(url)


@contextmanager
def told(url: str) -> Iterator[None]:
    """Tell what a store's client raises within as `failure` does.

    Raises:
        FetchError: the store refuses, or there is no such object.
    """
    try:
        yield
    except FetchError:
        raise
    except Exception as error:  # each store's client has errors of its own
        raise failure(error, url) from error


def failure(error: Exception, url: str) -> FetchError:
    """What a store's client raised, in our words."""
    if isinstance(error, FileNotFoundError):
        return FetchError("there is no such object", where=_bare(url), fix="check the address")
    if isinstance(error, PermissionError):
        return FetchError("the store refuses", where=_bare(url), fix="check the options under storage, and the rights")
    return FetchError(_words(error), where=_bare(url), fix="check the options under storage", retryable=True)


def _version(info: Mapping[str, Any]) -> str | None:
    return next((str(info[name]) for name in _VERSIONS if info.get(name)), None)


def _within(size: int, most: int, where: str) -> None:
    if size > most:
        raise FetchError(f"the object is larger than {most:,} bytes", where=where, fix="raise max_bytes")


def _words(error: Exception) -> str:
    """What went wrong; the text of a client's error may hold an option, so that only its kind is told."""
    return f"the store cannot be used: {type(error).__name__}"


def _value(text: str) -> Any:
    """An option's value: yes and no are truth values."""
    return {"true": True, "false": False}.get(text.lower(), text)


def _bare(url: str) -> str:
    return url.partition("?")[0]
