"""Exported MISP events in files."""

from __future__ import annotations

from pathlib import Path

from engine.support import Time, configuration, plain
from tipline.engine.core import Engine
from tipline.sources.misp_file import MispFile, MispFileSettings

DATA = Path(__file__).parents[1] / "data" / "misp-feed" / "pymisp" / "events"


def test_a_directory_of_events_is_one_feed(tmp_path: Path) -> None:
    source = MispFile("feed", MispFileSettings.model_validate({"kind": "misp-file", "url": str(DATA)}))
    with_output = configuration(tmp_path, source, plain("out", "feed"))
    engine = Engine(with_output, in_memory=True, clock=Time())
    result = engine.poll("feed")
    assert (result.state, result.ledger.read, result.ledger.balanced) == ("ok", 462 + 96, True)
    assert engine.poll("feed").state == "unchanged"
    engine.close()
