"""The tools whose configurations can be brought over, and how each is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tipline.config.importers.minemeld.translate import import_minemeld
from tipline.config.importers.misp_feeds import import_feeds
from tipline.config.importers.misp_scripts import import_misp2sentinel, import_misp_graph
from tipline.config.importers.report import Imported
from tipline.errors import ConfigError


def run_import(tool: str, path: Path, *, keep_blocking: bool = False, password_file: Path | None = None) -> Imported:
    """Translate what another tool is configured with.

    Args:
        tool: minemeld, or one of `SCRIPTS`.
        path: the tool's file or directory.
        keep_blocking: whether an action that blocks stays one; else it becomes an alert.
        password_file: with the password of MineMeld's backup.

    Raises:
        ConfigError: it cannot be read.
        FormatError: it is not what the tool has.
    """
    if tool == "minemeld":
        password = _text(password_file).strip() if password_file else None
        return import_minemeld(path, keep_blocking=keep_blocking, password=password)
    return SCRIPTS[tool](_text(path), str(path), keep_blocking)


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
