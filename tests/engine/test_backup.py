"""Backups: whole while everything runs, proven before they are put back, and far sides are looked at first."""

from __future__ import annotations

import json
import tarfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard

from engine.lab import impatient
from tipline.config.check import load
from tipline.config.secretstore import SecretStore
from tipline.engine.backup import FOLDER, MANIFEST, find, listed, make
from tipline.engine.core import Engine
from tipline.engine.inbox import submit
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.restore import restore
from tipline.errors import StoreError
from tipline.sandbox import Sandbox
from tipline.store.accounts import SESSIONS, some
from tipline.store.receipts import delivery

CONFIG = """\
data: data
sources:
  mine: {kind: local, tlp: clear}
  pushed: {kind: ingest, tlp: clear, expire: left + 7d}
outputs:
  list: {kind: list, inputs: [mine, pushed]}
"""
BATCH = 50


def opened(path: Path) -> Operations:
    """Operations on an engine of its own."""
    return Operations(Engine(load(path)))


def shut(operations: Operations) -> None:
    operations.close()
    operations.engine.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Operations]:
    """An engine with a few entries and a secret."""
    path = tmp_path / "here" / "tipline.yml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    operations = opened(path)
    operations.call("add", {"entries": [{"value": f"bad{n}.example.org"} for n in range(BATCH)], "source": "mine"})
    operations.call("secret_set", {"name": "token", "value": "what nobody may read"})
    yield operations
    shut(operations)


def put_back(file: Path, folder: Path) -> tuple[dict[str, Any], Operations]:
    """A backup put into a new place, and an engine on it."""
    folder.mkdir()
    done = restore(file, folder / "data", folder / "tipline.yml")
    return done, opened(folder / "tipline.yml")


def values(operations: Operations) -> list[str]:
    return sorted(row["value"] for row in operations.call("list", {"node": "list", "limit": 10_000})["rows"])


def test_a_backup_made_under_load_holds_one_moment_and_verifies(house: Operations, tmp_path: Path) -> None:
    stop, added = threading.Event(), threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set() and number < 400:
            batch = [{"value": f"b{number}-{each}.example.net"} for each in range(BATCH)]
            house.call("add", {"entries": batch, "source": "mine"})
            number += 1
            added.set()

    worker = threading.Thread(target=work)
    worker.start()
    added.wait(30)
    try:
        made = [make(house.engine, tmp_path / f"{number}.backup") for number in range(2)]
    finally:
        stop.set()
        worker.join()
    assert house.call("verify", {})["equal"]
    for number, each in enumerate(made):
        done, operations = put_back(Path(each["path"]), tmp_path / f"there{number}")
        try:
            assert done["instance"] == "tipline"
            assert operations.call("verify", {})["equal"]
            found = operations.call("list", {"node": "mine", "limit": 100_000})["rows"]
            batches: dict[str, int] = {}
            for row in found:
                name = (
                    row["value"].partition("-")[0] if row["value"].startswith("b") and "-" in row["value"] else "first"
                )
                batches[name] = batches.get(name, 0) + 1
            assert set(batches.values()) == {BATCH}  # no commit is there in part
            assert len(batches) > 1
            assert operations.call("audit", {"action": "add"})["entries"]
            operations.call("add", {"entries": [{"value": "later.example.org"}], "source": "mine"})
            assert "later.example.org" in values(operations)
        finally:
            shut(operations)


def test_what_waits_to_be_read_is_in_it_and_prepared_files_are_not(house: Operations, tmp_path: Path) -> None:
    submit(house.engine, "pushed", [b"waiting.example.org\n"], format="lines", sender="somebody")
    made = make(house.engine, tmp_path / "one.backup")
    names = [each["name"] for each in made["files"]]
    assert [name for name in names if name.startswith("data/inbox/pushed/")]
    assert not [name for name in names if "feeds/" in name]
    _, operations = put_back(tmp_path / "one.backup", tmp_path / "there")
    try:
        operations.engine.poll("pushed")
        operations.engine.evaluate()
        assert "waiting.example.org" in values(operations)
    finally:
        shut(operations)


def test_secrets_are_in_it_sealed_and_their_key_is_not(house: Operations, tmp_path: Path) -> None:
    make(house.engine, tmp_path / "one.backup")
    path = house.engine.configuration.path
    key = SecretStore(path).key_path.read_text().strip()
    inside = b"".join(content for _, content in members(tmp_path / "one.backup"))
    assert b'"sealed"' in inside
    assert key.encode() not in inside
    assert b"what nobody may read" not in inside
    done, operations = put_back(tmp_path / "one.backup", tmp_path / "there")
    shut(operations)
    assert any("in no backup" in step for step in done["steps"])
    there = SecretStore(tmp_path / "there" / "tipline.yml")
    there.key_path.write_text(key)
    assert there.value("token") == "what nobody may read"
    assert (tmp_path / "one.backup").stat().st_mode & 0o077 == 0


def test_what_is_there_already_stays(house: Operations, tmp_path: Path) -> None:
    make(house.engine, tmp_path / "one.backup")
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("x")
    for place in (full, house.engine.data, full / "something"):
        with pytest.raises(StoreError, match="not empty"):
            restore(tmp_path / "one.backup", place, tmp_path / "new.yml")
    assert [each.name for each in full.iterdir()] == ["something"]
    mine = tmp_path / "mine.yml"
    mine.write_text("# mine\n")
    done = restore(tmp_path / "one.backup", tmp_path / "new", mine)
    assert (mine.read_text(), Path(done["configuration"]).read_text()) == ("# mine\n", CONFIG)
    with pytest.raises(RequestError, match="exists already"):
        make(house.engine, tmp_path / "one.backup")


def test_a_damaged_file_is_refused_wherever_it_is_damaged(house: Operations, tmp_path: Path) -> None:
    make(house.engine, tmp_path / "one.backup")
    whole = (tmp_path / "one.backup").read_bytes()
    step = len(whole) // 23
    wrong = [whole[:-1], whole[: len(whole) // 2], b"", b"garbage" * 100]
    for at in range(5, len(whole), step):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        if unpacked(bytes(flipped)) != unpacked(whole):  # some bits of the format say nothing
            wrong.append(bytes(flipped))
    assert len(wrong) > 20
    for content in wrong:
        (tmp_path / "wrong.backup").write_bytes(content)
        with pytest.raises(StoreError, match=r"no whole backup|newer tipline"):
            restore(tmp_path / "wrong.backup", tmp_path / "new", tmp_path / "new.yml")
        assert not (tmp_path / "new").exists()
        assert not (tmp_path / "new.yml").exists()
        assert not list(tmp_path.glob(".restoring*"))


def unpacked(content: bytes) -> bytes | None:
    """What a file holds; None when it cannot be read."""
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except zstandard.ZstdError:
        return None


def members(file: Path) -> list[tuple[str, bytes]]:
    """Everything in a backup."""
    with zstandard.open(file, "rb") as stream, tarfile.open(fileobj=BytesIO(stream.read())) as tar:
        return [(each.name, (tar.extractfile(each) or BytesIO()).read()) for each in tar]


def packed(file: Path, parts: list[tuple[str, bytes]], links: tuple[str, ...] = ()) -> None:
    """A backup of one's own making."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in parts:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    file.write_bytes(zstandard.compress(buffer.getvalue()))


def test_a_file_that_lies_is_refused(house: Operations, tmp_path: Path) -> None:
    make(house.engine, tmp_path / "one.backup")
    (head, text), *rest = members(tmp_path / "one.backup")
    assert head == MANIFEST
    manifest = json.loads(text)

    def told(**changes: Any) -> bytes:
        return json.dumps({**manifest, **changes}).encode()

    outside = {"size": 1, "sha256": sha256(b"x").hexdigest()}
    lies: list[tuple[list[tuple[str, bytes]], tuple[str, ...]]] = [
        ([(head, told(lake=999)), *rest], ()),
        ([(head, told(form=2)), *rest], ()),
        ([(head, told(files={**manifest["files"], "../../evil": outside})), *rest, ("../../evil", b"x")], ()),
        ([(head, told(files={**manifest["files"], "/tmp/evil": outside})), *rest], ()),
        ([(head, told(files={**manifest["files"], "data/more": outside})), *rest], ()),
        ([(head, told(files={**manifest["files"], "data/more": outside})), *rest], ("data/more",)),
        ([(head, text), *rest, ("data/more", b"x")], ()),
        ([(head, text), *rest[:-1], (rest[-1][0], b"#" * len(rest[-1][1]))], ()),
        ([(head, text), *rest, rest[0]], ()),
        ([(head, b"[]"), *rest], ()),
        (rest, ()),
        ([], ()),
    ]
    for parts, links in lies:
        packed(tmp_path / "lie.backup", parts, links)
        with pytest.raises(StoreError):
            restore(tmp_path / "lie.backup", tmp_path / "new", tmp_path / "new.yml")
        assert not (tmp_path / "new").exists()
    assert not (tmp_path.parent / "evil").exists()


def test_everybody_signs_in_again(house: Operations, tmp_path: Path) -> None:
    house.call("user_add", {"name": "ada", "role": "admin"})
    house.accounts.signin.begin("ada", "192.0.2.1", "browser")
    make(house.engine, tmp_path / "one.backup")
    _, operations = put_back(tmp_path / "one.backup", tmp_path / "there")
    assert (len(operations.call("users", {})["users"]), some(operations.engine.control, SESSIONS)) == (1, [])
    shut(operations)


def test_backups_in_the_data_directory_are_listed_and_found_by_name_alone(house: Operations) -> None:
    made = house.call("backup", {})
    assert made["path"] == str(house.engine.data / FOLDER / made["name"])
    assert [each["name"] for each in listed(house.engine)] == [made["name"]]
    for name in ("../control.sqlite", "control.sqlite", "", made["path"]):
        with pytest.raises(RequestError, match="there is no backup"):
            find(house.engine, name)
    entry = house.call("audit", {"action": "backup"})["entries"][0]
    assert entry["subject"] == made["name"]
    house.call("backup_remove", {"name": made["name"]})
    assert listed(house.engine) == []


def test_a_full_disk_is_told_before_anything_is_copied(
    house: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1

    monkeypatch.setattr("tipline.engine.backup.shutil.disk_usage", lambda _: Usage)
    with pytest.raises(StoreError, match="have to be free"):
        make(house.engine, tmp_path / "one.backup")
    assert not (tmp_path / "one.backup").exists()


DELIVERED = """\
sources: {{mine: {{kind: local, confidence: 90}}}}
outputs:
  defender:
    kind: microsoft-defender
    inputs: mine
    credentials: {{tenant_id: {tenant_id}, client_id: {client_id}, client_secret: {client_secret},
      login_url: {login_url}, ca_file: {ca_file}, defender_url: {defender_url}, sentinel_url: {sentinel_url},
      arm_url: {arm_url}}}
"""


def test_a_far_side_that_is_ahead_is_compared_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "tenant_id",
        "client_id",
        "client_secret",
        "login_url",
        "ca_file",
        "defender_url",
        "sentinel_url",
        "arm_url",
    )
    here = tmp_path / "here"
    here.mkdir()
    with Sandbox(rate_limits=False) as sandbox:
        text = DELIVERED.format(**{name: getattr(sandbox, name) for name in names})
        (here / "tipline.yml").write_text(text)
        operations = opened(here / "tipline.yml")
        operations.call("add", {"entries": [{"value": f"old{n}.example.org"} for n in range(5)]})
        operations.scheduler.deliveries.drain()
        make(operations.engine, tmp_path / "one.backup")
        operations.call("add", {"entries": [{"value": "new.example.org"}]})
        operations.call("remove", {"values": ["old0.example.org"], "everyone": True})
        operations.scheduler.deliveries.drain()
        shut(operations)
        there = {each["indicatorValue"] for each in sandbox.defender_indicators()}
        assert (len(there), "new.example.org" in there, "old0.example.org" in there) == (5, True, False)

        done, operations = put_back(tmp_path / "one.backup", tmp_path / "there")
        assert done["deliveries"] == 1
        impatient(monkeypatch, attempts=lambda: 1)
        sandbox.faults.set(only=("defender.list",), error_every=1)
        told = operations.scheduler.deliveries.drain()["defender"]
        assert told["state"] == "failing"
        assert {each["indicatorValue"] for each in sandbox.defender_indicators()} == there
        sandbox.faults.clear()
        operations.scheduler.deliveries.drain()
        assert delivery(operations.engine.control, "defender").last_reconcile is not None
        now = {each["indicatorValue"] for each in sandbox.defender_indicators()}
        assert now == {f"old{n}.example.org" for n in range(5)}
        shut(operations)
