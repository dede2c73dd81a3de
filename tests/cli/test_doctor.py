"""doctor: what it looks at, and how it brings a damaged database back."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from tipline.engine.times import utc_now
from tipline.store.control import DELIVERIES, Control

LONG_AGO = utc_now() - timedelta(days=100)
WRITER = """
import os, signal
from pathlib import Path
from tipline.config.check import load
from tipline.engine.core import Engine
from tipline.engine.people import Entry, People
engine = Engine(load(Path("tipline.yml")))
people = People(engine)
for number in range(10):
    people.add([Entry(f"9.9.8.{number}")], source=None, team="default", user="test")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(filled: Path, spawn_environment: dict[str, str]) -> Path:
    """The write-ahead log of a process that was killed after ten commits."""
    with subprocess.Popen([sys.executable, "-c", WRITER], cwd=filled, env=spawn_environment) as process:
        assert process.wait(60) == -signal.SIGKILL
    return filled / "data" / "tipline.duckdb.wal"


def finding(answer: Any, name: str) -> Any:
    return next(found for found in answer.json["findings"] if found["name"] == name)


def added(tipline_: Any) -> list[str]:
    return sorted(value for value in tipline_("list", "by-hand").out.split() if value.startswith("9.9.8."))


def flip(wal: Path, share: float) -> None:
    """Change one byte of a file."""
    data = bytearray(wal.read_bytes())
    data[int(len(data) * share)] ^= 0xFF
    wal.write_bytes(data)


def settle(wal: Path) -> None:
    """Let the delivery look as if it had nothing left to do."""
    control = Control(wal.parent)
    with control.transaction() as con:
        con.execute(delete(DELIVERIES))
        con.execute(insert(DELIVERIES).values(output="defender", resync=0, last_reconcile=LONG_AGO))
    control.close()


def test_a_sound_installation_passes(filled: Path, tipline_: Any) -> None:
    answer = tipline_("doctor", "--json")

    assert answer.code == 0
    states = {found["name"]: found["state"] for found in answer.json["findings"]}
    assert states == {
        "configuration": "ok", "data directory": "ok", "disk": "ok", "database": "ok",
        "control database": "ok", "output defender": "warning",
    }  # fmt: skip


def test_a_kill_alone_loses_nothing(killed: Path, tipline_: Any) -> None:
    assert added(tipline_) == [f"9.9.8.{number}" for number in range(10)]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_damaged_log_is_recovered_up_to_the_damage(killed: Path, tipline_: Any, share: float) -> None:
    flip(killed, share)
    damaged = killed.read_bytes()
    settle(killed)

    told = tipline_("doctor", "--json")
    done = tipline_("doctor", "--recover", "--json").json

    assert told.code == 1
    assert finding(told, "database")["state"] == "failed"
    assert "--recover" in finding(told, "database")["fix"]
    assert done["recovered"]
    assert done["lost"] > 0
    assert Path(done["kept"]).read_bytes() == damaged
    whole = [f"9.9.8.{number}" for number in range(10)]
    assert added(tipline_) == whole[: len(added(tipline_))]
    assert tipline_("doctor").code == 0
    assert tipline_("verify", "--json").json["equal"]


def test_after_a_recovery_every_delivery_is_sent_in_full_again(killed: Path, tipline_: Any) -> None:
    flip(killed, 0.5)
    settle(killed)

    tipline_("doctor", "--recover")

    control = Control(killed.parent)
    with control.reading() as con:
        row = con.execute(select(DELIVERIES)).one()
    control.close()
    assert (row.resync, row.last_reconcile) == (1, None)


def test_recovering_a_sound_database_changes_nothing(filled: Path, tipline_: Any) -> None:
    before = tipline_("list", "all").out

    done = tipline_("doctor", "--recover", "--json").json

    assert (done["recovered"], done["lost"], done["kept"]) == (False, 0, None)
    assert tipline_("list", "all").out == before


def test_a_file_that_is_no_database_is_told_as_such(filled: Path, tipline_: Any) -> None:
    (filled / "data" / "tipline.duckdb").write_bytes(b"no database at all" * 1000)

    for arguments in (["status"], ["doctor", "--recover"]):
        answer = tipline_(*arguments)
        assert answer.code == 1
        assert "cannot be opened" in answer.err
    assert finding(tipline_("doctor", "--json"), "database")["state"] == "failed"


def test_a_damaged_control_database_is_found(filled: Path, tipline_: Any) -> None:
    (filled / "data" / "control.sqlite").write_bytes(b"no database at all" * 1000)

    answer = tipline_("doctor", "--json")

    assert answer.code == 1
    assert finding(answer, "control database")["state"] == "failed"


def test_recovering_under_a_running_server_is_refused(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("serve"):
        answer = tipline_("doctor", "--recover")

    assert answer.code == 1
    assert answer.err.startswith("error: another tipline")


def test_configuration_errors_are_findings(filled: Path, tipline_: Any) -> None:
    (filled / "tipline.yml").write_text("sources: {feed: {kind: lins}}\n")

    answer = tipline_("doctor", "--json")

    assert answer.code == 1
    assert finding(answer, "configuration")["fix"] == "did you mean lines?"


@pytest.mark.parametrize(("expires", "state"), [("2020-01-01", "failed"), ("2999-01-01", "ok")])
def test_a_secret_that_expires_is_told(filled: Path, tipline_: Any, monkeypatch: Any, expires: str, state: str) -> None:
    text = (
        (filled / "tipline.yml")
        .read_text()
        .replace(
            "defender: {kind: microsoft-defender, inputs: inbound}",
            "defender:\n    kind: microsoft-defender\n    inputs: inbound\n    credentials:\n"
            "      tenant_id: 00000000-0000-0000-0000-000000000001\n"
            "      client_id: 00000000-0000-0000-0000-000000000002\n"
            f"      client_secret: value\n      secret_expires: {expires}\n      login_url: https://127.0.0.1:9\n"
            "      defender_url: https://127.0.0.1:9",
        )
    )
    (filled / "tipline.yml").write_text(text)

    answer = tipline_("doctor", "defender", "--json")

    assert finding(answer, "secret of defender")["state"] == state
    assert finding(answer, "clock")["state"] == "warning"
    assert answer.code == 1
