"""An output is taken out of the configuration: its copies are held, then withdrawn or left; never lost sight of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.lab import Killed, hashes, impatient
from engine.test_deliver_killed import Reaper
from engine.test_schedule import until
from tipline.config.check import check_text
from tipline.engine import deliver
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.maintain import prune_history
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler
from tipline.errors import TiplineError
from tipline.sandbox import Sandbox
from tipline.store.receipts import copies
from tipline.store.records import open_holds

COUNT = 40


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


class Stage:
    """A configuration in a file, whose outputs come and go."""

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.box, self.path, self.number = box, folder / "tipline.yml", 1
        (folder / "feed.txt").write_text("\n".join(hashes(COUNT)))

    def text(self, *outputs: str) -> str:
        """The configuration with some outputs: each `name kind`, perhaps with a filter after it."""
        found = [
            f"instance: leaving-{self.number}",
            "sources: {feed: {kind: lines, url: feed.txt, confidence: 80}}",
            "outputs:",
            "  all: {kind: list, inputs: feed, max_tlp: amber, access: key, keys: [0123456789abcdef0]}",
        ]
        for each in outputs:
            name, kind, where = (*each.split(" ", 2), "")[:3]
            more = f"\n    workspace_id: {self.box.workspace_id}" if kind == "sentinel" else ""
            more += f"\n    where: {where}" if where else ""
            found.append(
                f"  {name}:\n    kind: microsoft-{kind}\n    inputs: feed{more}\n    credentials:{self.login()}"
            )
        return "\n".join(found) + "\n"

    def login(self) -> str:
        """The credentials; the secret is in the environment."""
        box = self.box
        given = {
            "tenant_id": box.tenant_id, "client_id": box.client_id, "client_secret": "${env:LEAVING_SECRET}",
            "ca_file": box.ca_file, "login_url": box.login_url, "defender_url": box.defender_url,
            "sentinel_url": box.sentinel_url, "arm_url": box.arm_url,
        }  # fmt: skip
        return "".join(f"\n      {name}: {value}" for name, value in given.items())

    @contextmanager
    def running(self, *outputs: str) -> Iterator[Operations]:
        """A process with a configuration; what it does not finish is left where it is."""
        self.path.write_text(self.text(*outputs))
        with (
            Engine(check_text(self.path.read_text(), self.path).usable()) as engine,
            closing(Operations(engine)) as found,
        ):
            yield found

    def change(self, operations: Operations, *outputs: str, approve: bool = False) -> None:
        """Commit other outputs, and deliver what can be delivered."""
        base = operations.call("configuration", {})["version"]
        given = {"text": self.text(*outputs), "message": "other outputs", "base": base, "approve": approve}
        operations.call("commit", given)
        operations.call("run_once", {})

    def there(self, which: str = "defender") -> list[str]:
        """The values that count at a far side."""
        if which == "defender":
            return sorted(row["indicatorValue"] for row in self.box.defender_indicators())
        rows = self.box.query("SELECT Id, ObservableValue, IsActive FROM ThreatIntelIndicators")
        newest = {row["Id"]: row for row in rows}
        return sorted(row["ObservableValue"] for row in newest.values() if row["IsActive"])


@pytest.fixture
def stage(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Stage:
    impatient(monkeypatch)
    monkeypatch.setenv("LEAVING_SECRET", sandbox.client_secret)
    return Stage(tmp_path, sandbox)


def held(operations: Operations) -> dict[str, int]:
    return {hold["node"]: hold["count"] for hold in operations.call("holds", {})["holds"]}


def test_what_a_removed_output_has_there_is_held_and_withdrawn_when_released(stage: Stage) -> None:
    with stage.running("mde defender", "law sentinel") as operations:
        operations.call("run_once", {})
        assert (len(stage.there()), len(stage.there("sentinel"))) == (COUNT, COUNT)
        plan = operations.call("plan", {"text": stage.text(), "path": str(stage.path)})
        gone = {each["output"]: each for each in plan["outputs"] if each["state"] == "gone"}
        assert {name: each["copies"] for name, each in gone.items()} == {"mde": COUNT, "law": COUNT}
        assert "tipline holds approve mde" in gone["mde"]["notes"][0]

        stage.change(operations)
        assert held(operations) == {"mde": COUNT, "law": COUNT}
        assert (len(stage.there()), len(stage.there("sentinel"))) == (COUNT, COUNT)
        (told,) = (each for each in operations.call("deliveries", {})["leaving"] if each["output"] == "mde")
        assert (told["kind"], told["copies"], told["state"]) == ("microsoft-defender", COUNT, "held")
        alerts = [each["message"] for each in operations.call("status", {})["alerts"]]
        assert any("tipline holds keep mde leaves them there" in message for message in alerts)

        operations.call("approve", {"node": "mde", "user": "ada"})
        assert (stage.there(), len(stage.there("sentinel"))) == ([], COUNT)
        operations.call("approve", {"node": "law", "user": "ada"})
        assert (stage.there("sentinel"), held(operations)) == ([], {})
        assert operations.call("deliveries", {})["leaving"] == []


def test_an_approved_plan_withdraws_at_once(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        stage.change(operations, approve=True)
        assert (stage.there(), held(operations)) == ([], {})


def test_an_old_approval_releases_nothing(stage: Stage) -> None:
    """The same text again, without being approved again: a revert by mistake must not delete."""
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        stage.change(operations, approve=True)
        stage.change(operations, "mde defender")
        assert len(stage.there()) == COUNT
        stage.change(operations)
        assert (len(stage.there()), held(operations)) == (COUNT, {"mde": COUNT})


def test_one_that_comes_back_goes_on(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        before = stage.box.state()["calls"]
        stage.change(operations)
        stage.change(operations, "mde defender")
        assert (held(operations), len(stage.there())) == ({}, COUNT)
        assert stage.box.state()["calls"] == before  # nothing was sent or deleted
        assert len(operations.call("receipts", {"output": "mde"})["receipts"]) == COUNT


@pytest.mark.parametrize("which", ["defender", "sentinel"])
def test_a_renamed_output_takes_its_copies_over(stage: Stage, which: str) -> None:
    with stage.running(f"old {which}") as operations:
        operations.call("run_once", {})
        plan = operations.call("plan", {"text": stage.text(f"new {which}"), "path": str(stage.path)})
        (gone,) = (each for each in plan["outputs"] if each["state"] == "gone")
        assert "new writes to the same place" in gone["notes"][0]
        stage.change(operations, f"new {which}")
        operations.call("run_once", {})
        assert (len(stage.there(which)), held(operations)) == (COUNT, {})
        assert operations.call("reconcile", {"output": "new"})["outputs"][0]["extra"]["count"] == 0
        assert copies(operations.engine.control, "old", operations.engine.clock()) == 0


def test_a_smaller_successor_leaves_the_rest_held(stage: Stage) -> None:
    """Under another name and with a narrower filter: what it does not publish is not deleted unasked."""
    few = hashes(COUNT)[:10]
    listed = ", ".join(f"'{value}'" for value in few)
    with stage.running("old defender") as operations:
        operations.call("run_once", {})
        stage.change(operations, f"new defender value in ({listed})")
        operations.call("run_once", {})
        assert (held(operations), len(stage.there())) == ({"old": COUNT - 10}, COUNT)
        operations.call("approve", {"node": "old", "user": "ada"})
        assert stage.there() == sorted(few)


def test_copies_are_left_there_if_somebody_says_so(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        stage.change(operations)
        assert operations.call("keep", {"node": "mde", "user": "ada"}) == {"node": "mde", "kept": COUNT}
        operations.call("run_once", {})
        assert (len(stage.there()), held(operations)) == (COUNT, {})
        assert "keep" in {entry["action"] for entry in operations.call("audit", {"limit": 5})["entries"]}
        with pytest.raises(TiplineError, match="no copies of mde are held"):
            operations.call("keep", {"node": "mde"})


def test_it_goes_on_after_the_process_died(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(1, 5):
        with stage.running("mde defender") as operations:
            operations.call("run_once", {})
            assert len(stage.there()) == COUNT
            stage.change(operations)
            reaper = Reaper()
            reaper.at = at
            with monkeypatch.context() as patch:
                patch.setattr(deliver, "put", reaper.around(deliver.put))
                patch.setattr(deliver, "note", reaper.around(deliver.note))
                with pytest.raises(Killed):
                    operations.call("approve", {"node": "mde", "user": "ada"})
        with stage.running() as operations:
            operations.call("run_once", {})
            assert (stage.there(), held(operations)) == ([], {})


def test_a_file_that_changed_while_nothing_ran_is_held_too(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
    with stage.running() as operations:
        operations.call("run_once", {})
        assert (held(operations), len(stage.there())) == ({"mde": COUNT}, COUNT)


def test_credentials_that_are_gone_are_told_and_nothing_is_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        stage.change(operations)
    monkeypatch.delenv("LEAVING_SECRET")
    with stage.running() as operations:
        operations.call("run_once", {})
        (hold,) = operations.call("holds", {})["holds"]
        assert "LEAVING_SECRET" in hold["reason"]
        operations.call("approve", {"node": "mde", "user": "ada"})
        assert held(operations) == {"mde": COUNT}
        engine = operations.engine
        later = engine.clock() + timedelta(minutes=1)
        prune_history(engine.lake, engine.control, engine.graph, later, timedelta(0))
        assert copies(engine.control, "mde", engine.clock()) == COUNT
    monkeypatch.setenv("LEAVING_SECRET", stage.box.client_secret)
    with stage.running() as operations:
        operations.call("run_once", {})
        assert (stage.there(), held(operations)) == ([], {})


def test_a_shadow_withdraws_nothing(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        shadow = stage.text("mde defender").replace(
            "inputs: feed\n    cred", "inputs: feed\n    mode: shadow\n    cred"
        )
        base = operations.call("configuration", {})["version"]
        operations.call("commit", {"text": shadow, "message": "", "base": base})
        stage.change(operations, approve=True)
        assert len(stage.there()) == COUNT
        (told,) = operations.call("deliveries", {})["leaving"]
        assert told["state"] == "shadow"


def test_another_team_neither_sees_nor_decides(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        operations.call("run_once", {})
        stage.change(operations)
        others = operations.asked_by(Asker("eve", "other"))
        assert others.call("holds", {})["holds"] == []
        assert others.call("deliveries", {})["leaving"] == []
        for name in ("approve", "keep"):
            with pytest.raises(TiplineError, match="there is no node mde"):
                others.call(name, {"node": "mde"})
        mine = operations.asked_by(Asker("ada", "default"))
        assert held(mine) == {"mde": COUNT}
        mine.call("approve", {"node": "mde"})
        assert stage.there() == []
        assert open_holds(operations.engine.control) == []


def test_an_output_without_copies_just_goes(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        stage.change(operations)
        assert held(operations) == {}
        found: Any = operations.call("plan", {"text": stage.text(), "path": str(stage.path)})
        assert found["changes"] is False


def test_a_running_server_withdraws_in_the_background(stage: Stage) -> None:
    with stage.running("mde defender") as first:
        first.call("run_once", {})
        scheduler = Scheduler(first.engine)
        operations = Operations(first.engine, scheduler)
        scheduler.start()
        try:
            base = operations.call("configuration", {})["version"]
            operations.call("commit", {"text": stage.text(), "message": "", "base": base})
            assert held(operations) == {"mde": COUNT}
            assert len(stage.there()) == COUNT
            operations.call("approve", {"node": "mde", "user": "ada"})
            assert until(lambda: held(operations) == {})
            assert stage.there() == []
        finally:
            scheduler.stop()


def test_an_output_does_not_turn_to_another_tenant_under_its_name(stage: Stage) -> None:
    with stage.running("mde defender") as operations:
        text = stage.text("mde defender").replace(stage.box.tenant_id, "11111111-2222-3333-4444-555555555555")
        base = operations.call("configuration", {})["version"]
        operations.call("plan", {"text": text, "path": str(stage.path)})  # nothing is there yet
        operations.call("run_once", {})
        stage.path.write_text(text)
        for name, given in (
            ("plan", {"text": text, "path": str(stage.path)}),
            ("reload", {}),
        ):
            with pytest.raises(TiplineError, match="would be lost sight of"):
                operations.call(name, given)
        stage.path.write_text(stage.text("mde defender"))
        with pytest.raises(TiplineError, match="would be lost sight of"):
            operations.call("commit", {"text": text, "message": "", "base": base})
        assert len(stage.there()) == COUNT
