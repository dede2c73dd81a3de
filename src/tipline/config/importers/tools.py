"""The tools whose configurations can be brought over, and how each is read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tipline.config.importers.minemeld.translate import import_minemeld
from tipline.config.importers.misp_feeds import import_feeds
from tipline.config.importers.misp_scripts import import_misp2sentinel, import_misp_graph
from tipline.config.importers.report import Imported
from tipline.errors import ConfigError
from tipline.sources.fetch import FetchSettings, FetchState, fetch

_MOST_BYTES = 64 << 20  # of a list of feeds


def run_import(
    tool: str,
    place: str,
    *,
    keep_blocking: bool = False,
    password_file: Path | None = None,
    key_file: Path | None = None,
    ca_file: Path | None = None,
) -> Imported:
    """Translate what another tool is configured with.

    Args:
        tool: minemeld, or one of `SCRIPTS`.
        place: the tool's file or directory; misp-feeds: also an address.
        keep_blocking: whether an action that blocks stays one; else it becomes an alert.
        password_file: with the password of MineMeld's backup.
        key_file: with the key for MISP's API.
        ca_file: with certificate authorities to trust as well.

    Raises:
        ConfigError: it cannot be read.
        FetchError: it cannot be fetched.
        FormatError: it is not what the tool has.
    """
    path = Path(place)
    if tool == "minemeld":
        password = _text(password_file).strip() if password_file else None
        return import_minemeld(path, keep_blocking=keep_blocking, password=password)
    if tool == "misp-feeds" and place.lower().startswith(("http://", "https://")):
        return import_feeds(_fetched(place, key_file, ca_file), place)
    return SCRIPTS[tool](_text(path), place, keep_blocking)


def _fetched(url: str, key_file: Path | None, ca_file: Path | None) -> str:
    """MISP's answer. Whoever types its address means this host, though it be a private one, as most are."""
    key = {"Authorization": _text(key_file).strip()} if key_file else {}
    settings = FetchSettings.model_validate({
        "url": url, "headers": {"Accept": "application/json", **key}, "ca_file": ca_file,
        "allow_hosts": [urlsplit(url).hostname or ""], "max_bytes": _MOST_BYTES, "max_time": 60, "retries": 0,
    })  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tipline-import-") as folder:
        return _text(fetch(settings, FetchState(), Path(folder)).parts[0].path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"it cannot be read: {reason}", where=str(path)) from exc


SCRIPTS: dict[str, Callable[[str, str, bool], Imported]] = {
    "misp-feeds": lambda text, where, _: import_feeds(text, where),
    "misp2sentinel": lambda text, where, keep: import_misp2sentinel(text, where, keep_blocking=keep),
    "misp-graph": lambda text, where, keep: import_misp_graph(text, where, keep_blocking=keep),
}
