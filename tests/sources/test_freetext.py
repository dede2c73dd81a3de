"""Reports in a directory, whatever their form, as one source."""

from __future__ import annotations

import gzip
from pathlib import Path

from engine.support import Time, configuration, plain
from formats.test_freetext import _pdf
from tipline.engine.core import Engine
from tipline.sources.freetext import Freetext, FreetextFeedSettings
from tipline.sources.html import Html, HtmlFeedSettings


def test_documents_of_any_form_are_one_source(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "a.txt").write_text("see evil[.]com and README.md, version 9.8.7.6\nevil[.]com", encoding="utf-8")
    (folder / "b.html").write_text(
        "<html><p>bad<b>[.]com</b> <a href='http://x.com'>y</a></p></html>", encoding="utf-8"
    )
    (folder / "c.pdf").write_bytes(_pdf(["worse[.]com"]))
    (folder / "d.md.gz").write_bytes(gzip.compress("mal–ware: ‘worst[.]com’".encode("cp1252")))
    source = Freetext("reports", FreetextFeedSettings.model_validate({"kind": "freetext", "url": str(folder)}))
    engine = Engine(configuration(tmp_path, source, plain("out", "reports")), in_memory=True, clock=Time())
    result = engine.poll("reports")
    assert result.state == "ok"
    ledger = result.ledger
    assert (ledger.read, ledger.accepted, ledger.duplicate, ledger.balanced) == (7, 4, 1, True)
    assert engine.poll("reports").state == "unchanged"
    engine.close()


def test_a_table_of_a_page_is_a_source(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<html><table><tr><th>IP</th><th>TLP</th></tr><tr><td>45.77.1.2</td><td>green</td></tr>"
        "<tr><td>none</td><td>x</td></tr></table></html>",
        encoding="utf-8",
    )
    given = {"kind": "html", "url": str(page), "columns": {"value": "IP", "tlp": "TLP"}}
    source = Html("table", HtmlFeedSettings.model_validate(given))
    engine = Engine(configuration(tmp_path, source, plain("out", "table")), in_memory=True, clock=Time())
    result = engine.poll("table")
    assert (result.state, result.ledger.read, result.ledger.accepted, result.ledger.balanced) == ("ok", 2, 1, True)
    engine.close()
