"""What a source said last: its beginning is kept, bounded, and goes with the source."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tipline.config.check import load
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.rawbody import MOST, forget_heads, head_of, keep_head

_CONFIG = """\
teams: {red: {}}
sources:
  feed: {kind: lines, url: feed.txt, team: red}
  mine: {kind: local}
"""


def _spooled(folder: Path, **bodies: bytes) -> Path:
    folder.mkdir()
    for name, body in bodies.items():
        (folder / f"{name}.body").write_bytes(body)
    return folder


def test_the_beginning_is_kept_and_no_more(tmp_path: Path) -> None:
    assert head_of(tmp_path, "feed") is None
    keep_head(_spooled(tmp_path / "s", a=b"x" * (MOST + 5)), tmp_path, "feed")
    found = head_of(tmp_path, "feed")
    assert found is not None
    assert (len(found.text), found.size, found.cut) == (MOST, MOST + 5, True)
    assert (tmp_path / "bodies" / "feed.gz").stat().st_mode & 0o777 == 0o600
    keep_head(_spooled(tmp_path / "nothing"), tmp_path, "feed")
    assert head_of(tmp_path, "feed") == found


def test_a_compressed_body_is_shown_as_what_it_holds_and_a_bomb_is_bounded(tmp_path: Path) -> None:
    keep_head(_spooled(tmp_path / "s", a=gzip.compress(b"one\ntwo\n")), tmp_path, "feed")
    found = head_of(tmp_path, "feed")
    assert found is not None
    assert found.text == "one\ntwo\n"
    keep_head(_spooled(tmp_path / "b", a=gzip.compress(b"\0" * (50 << 20))), tmp_path, "feed")
    bomb = head_of(tmp_path, "feed")
    assert bomb is not None
    assert len(bomb.text) <= MOST
    keep_head(_spooled(tmp_path / "c", a=b"\x1f\x8bnone\xff"), tmp_path, "feed")
    assert "none" in (head_of(tmp_path, "feed") or bomb).text


def test_it_goes_with_its_source(tmp_path: Path) -> None:
    keep_head(_spooled(tmp_path / "s", a=b"x"), tmp_path, "feed")
    forget_heads(tmp_path, {"feed"})
    assert head_of(tmp_path, "feed")
    forget_heads(tmp_path, {"other"})
    assert head_of(tmp_path, "feed") is None


def test_a_poll_keeps_it_for_its_team(tmp_path: Path) -> None:
    (tmp_path / "feed.txt").write_text("203.0.114.5 # of the feed\n")
    (tmp_path / "tipline.yml").write_text(_CONFIG)
    with Engine(load(tmp_path / "tipline.yml")) as engine:
        operations = Operations(engine)
        assert operations.call("last_body", {"source": "feed"})["body"] is None
        operations.call("poll", {"source": "feed"})
        operations.call("poll", {"source": "feed"})
        mine = operations.asked_by(Asker("ann", "red"))
        assert mine.call("last_body", {"source": "feed"})["body"]["text"] == "203.0.114.5 # of the feed\n"
        with pytest.raises(RequestError, match="no source feed"):
            operations.asked_by(Asker("bob", "default")).call("last_body", {"source": "feed"})
        operations.close()
