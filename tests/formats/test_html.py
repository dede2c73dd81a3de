from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tipline.errors import FormatError
from tipline.formats import html
from tipline.formats.base import Context
from tipline.formats.html import HtmlSettings, tables

PAGE = """<!doctype html><html><body>
<table><tr><td>menu</td></tr></table>
<table id="iocs" class="x"><thead><tr><th>IP address</th><th>Since</th><th>Note</th></tr></thead>
<tr><td rowspan="2">45.77.1.2</td><td>2024-01-02</td><td>a<br>b, "c"</td></tr>
<tr><td>2024-01-03</td><td><table><tr><td>inner</td></tr></table></td></tr>
<tr><td> <b>45.77.1.3</b>\n</td><td colspan="2">2024-01-04</td></tr>
<tr><td>short</td></tr></table></body></html>"""


def read(tmp_path: Path, page: str = PAGE, **settings: Any) -> pl.DataFrame:
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    return pl.concat(html.read(path, HtmlSettings(**settings), Context(feed="page")), how="diagonal")


@pytest.mark.parametrize(
    "choice", [{"table": 2}, {"table": "#iocs"}, {"columns": {"value": "ip address", "first_seen": "Since"}}]
)
def test_a_table_by_number_selector_or_header(tmp_path: Path, choice: dict[str, Any]) -> None:
    rows = read(tmp_path, **{"columns": {"value": 1, "first_seen": 2}, **choice})
    assert rows.select("value", "first_seen", "drop").rows() == [
        ("45.77.1.2", "2024-01-02", None),
        ("45.77.1.2", "2024-01-03", None),
        ("45.77.1.3", "2024-01-04", None),
        ("short", None, "bad-row"),
    ]


def test_cells_keep_their_text(tmp_path: Path) -> None:
    rows = read(tmp_path, table=2, columns={"value": 1, "description": "Note"}, short_rows="keep")
    assert rows["description"].to_list() == ['a b, "c"', "inner", "2024-01-04", None]


def test_spans_are_bounded() -> None:
    (table,) = tables("<table><tr><td colspan=999999999 rowspan=99999999999>x</td></tr><tr><td>y</td></tr></table>")
    assert len(table.rows[0]) == 1000
    assert len(table.rows[1]) <= 1001


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"table": 9}, "there is no table 9"),
        ({"table": "#other"}, "no table that '#other' finds"),
        ({"columns": {"value": "Hash"}}, "no table has the columns hash"),
        ({"table": "]["}, "no CSS selector"),
    ],
)
def test_a_wrong_choice_says_what_there_is(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError) as error:
        read(tmp_path, **settings)
    assert words in str(error.value)


def test_a_page_without_tables(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no table is on the page"):
        read(tmp_path, page="<p>none</p>")
