"""Feeds in files, globs and directories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tipline.errors import FetchError
from tipline.sources.fetch import FetchResult, FetchSettings, FetchState, fetch


@pytest.fixture
def feeds(tmp_path: Path) -> Path:
    folder = tmp_path / "feeds"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "c.txt", ".hidden", "sub/d.csv"):
        (folder / name).write_text(f"{name}\n")
    return folder


def get(feeds: Path, url: Any, state: FetchState | None = None, **options: Any) -> FetchResult:
    spool = feeds.parent / "spool"
    spool.mkdir(exist_ok=True)
    return fetch(FetchSettings(url=url, **options), state or FetchState(), spool, base=feeds)


def texts(result: FetchResult) -> list[str]:
    return [path.read_text().strip() for path in result.files]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", ["a.csv", "b.csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "sub/d.csv"]),
        (".", ["a.csv", "b.csv", "c.txt"]),
        (["c.txt", "sub"], ["c.txt", "sub/d.csv"]),
    ],
)
def test_paths_globs_and_directories(feeds: Path, url: Any, expected: list[str]) -> None:
    assert texts(get(feeds, url)) == expected


def test_file_addresses(feeds: Path) -> None:
    odd = feeds / "with space#1.csv"
    odd.write_text("odd")
    assert texts(get(feeds, odd.as_uri())) == ["odd"]
    assert texts(get(feeds, f"file://localhost{feeds}/a.csv")) == ["a.csv"]
    assert texts(get(feeds, str(odd))) == ["odd"]
    with pytest.raises(FetchError, match="another machine"):
        get(feeds, "file://server/share/a.csv")
    with pytest.raises(FetchError, match="not fetched: ftp://"):
        get(feeds, "ftp://a.example/x")


def test_unchanged_files_are_not_read_and_a_removed_one_is_a_change(feeds: Path) -> None:
    state = get(feeds, "*.csv").state
    again = get(feeds, "*.csv", state)
    assert (again.not_modified, again.bytes) == (True, 0)
    os.utime(feeds / "a.csv")
    touched = get(feeds, "*.csv", again.state)
    assert (touched.not_modified, touched.files) == (True, [])
    (feeds / "a.csv").write_text("new")
    assert texts(get(feeds, "*.csv", touched.state)) == ["new", "b.csv"]
    (feeds / "b.csv").unlink()
    assert texts(get(feeds, "*.csv", state)) == ["new"]


def test_links_that_lead_outside_are_skipped_unless_written_out(feeds: Path) -> None:
    outside = feeds.parent / "secret.csv"
    outside.write_text("secret")
    (feeds / "link.csv").symlink_to(outside)
    (feeds / "inner.csv").symlink_to(feeds / "a.csv")
    found = get(feeds, "*.csv")
    assert texts(found) == ["a.csv", "b.csv", "a.csv"]
    assert "link.csv: skipped" in found.warnings[0]
    assert texts(get(feeds, "link.csv")) == ["secret"]


def test_what_cannot_be_read(feeds: Path) -> None:
    with pytest.raises(FetchError, match=r"missing.csv: the file cannot be read: No such file"):
        get(feeds, "missing.csv")
    with pytest.raises(FetchError, match="no file matches"):
        get(feeds, "*.xml")
    os.mkfifo(feeds / "pipe")
    with pytest.raises(FetchError, match="not a regular file"):
        get(feeds, "pipe")
    with pytest.raises(FetchError, match="larger than 3 bytes"):
        get(feeds, "a.csv", max_bytes=3)
    assert list((feeds.parent / "spool").iterdir()) == []
