"""The page of deliveries names outputs that are gone, and lets people decide on their copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.asking import Client
from engine.lab import impatient
from engine.test_leaving import COUNT, Stage
from tipline.api.app import create_app
from tipline.sandbox import Sandbox


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    impatient(monkeypatch)
    with Sandbox(rate_limits=False) as box:
        monkeypatch.setenv("LEAVING_SECRET", box.client_secret)
        yield Stage(tmp_path, box)


def test_copies_are_withdrawn_or_left_from_the_page(stage: Stage) -> None:
    with stage.running("mde defender", "law sentinel") as operations:
        operations.call("run_once", {})
        stage.change(operations)
        operations.call("user_add", {"name": "ada", "role": "analyst"})
        operations.call("user_add", {"name": "eve", "role": "viewer"})
        keys = {name: operations.call("key_add", {"user": name})["key"] for name in ("ada", "eve")}
        app = create_app(operations, "t0ken")
        ada, eve = (Client(app, headers={"Authorization": f"Bearer {keys[name]}"}) for name in ("ada", "eve"))
        page = ada("GET", "/ui/deliveries", headers={"Accept": "text/html"}).text
        assert f"Withdraw {COUNT}" in page
        assert "Leave the copies of law at its far side" in page
        seen = eve("GET", "/ui/deliveries", headers={"Accept": "text/html"}).text
        assert "Taken out of the configuration" in seen
        assert "Withdraw" not in seen
        assert eve("POST", "/ui/nodes/mde/keep").status_code == 403
        told = ada("GET", "/ui/deliveries", headers={"Accept": "application/json"}).json()["leaving"]
        assert {each["output"]: each["copies"] for each in told} == {"mde": COUNT, "law": COUNT}
        assert ada("POST", "/ui/nodes/mde/approve").status_code in {200, 303}
        assert ada("POST", "/ui/nodes/law/keep").status_code in {200, 303}
        assert (stage.there(), len(stage.there("sentinel"))) == ([], COUNT)
        assert operations.call("deliveries", {})["leaving"] == []
