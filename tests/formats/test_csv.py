"""The csv format: columns, ragged rows, comments, delimiters, splitting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from tipline.errors import FormatError
from tipline.formats import csv, csv_loose
from tipline.formats.base import BATCH_ROWS, Context
from tipline.formats.csv import CsvSettings

DATA = Path(__file__).parent.parent / "data"


def read(path: Path, **settings: Any) -> pl.DataFrame:
    frames = list(csv.read(path, CsvSettings(**settings), Context("feed")))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame({"value": []}, schema={"value": pl.String})


def text(tmp_path: Path, body: str | bytes, **settings: Any) -> pl.DataFrame:
    path = tmp_path / "feed.csv"
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return read(path, **settings)


def values(frame: pl.DataFrame) -> list[str]:
    return frame["value"].to_list()


def test_covid19_feed_has_no_header_and_its_value_in_column_2() -> None:
    frame = read(
        DATA / "covid19/Microsoft.Covid19.Indicators.csv",
        header=False,
        columns={"value": 2, "type": 3, "tlp": 4, "threat_types": 6, "first_seen": 1},
    )
    assert frame.height == 295
    assert frame.row(0, named=True) == {
        "value": "fe429ba5c3a8b684113fb267817f6a1c3969cf07651655ef5e096f71492a05a7",
        "type": "sha256",
        "tlp": "white",
        "threat_types": "Phish",
        "first_seen": "5/15/2020 7:12:34 AM",
    }


def test_first_line_of_a_headerless_list_is_kept_without_its_mark() -> None:
    frame = read(DATA / "azure-feeds/VPS_Networks.csv", header=False)
    assert frame.height == 9750
    assert values(frame)[0] == "68.232.171.0/24"


def test_no_break_spaces_and_doubled_quotes() -> None:
    frame = read(DATA / "azure-feeds/TestIOCs.csv", columns={"value": "IoC", "type": "Type"})
    assert frame.row(0) == ("172.93.201.253", "ip")
    command = values(frame)[17]
    assert command.startswith(r"c:\windows\system32\schtasks.exe /CREATE")
    assert '/TR "C:\\Windows\\System32\\cmd.exe /c start /b' in command


def test_json_array_in_a_quoted_cell_stays_as_it_is() -> None:
    frame = read(
        DATA / "azure-feeds/IP_IOC_V1.csv",
        columns={"value": "ioc", "type": "TYPE", "valid_until": "ExpirationDateTime", "tags": "Tags"},
        extra=["TargetedService"],
    )
    first = frame.row(0, named=True)
    assert first["tags"] == '["Barium", "APT41"]'
    assert first["valid_until"] == "1/21/21 13:34"
    assert json.loads(first["extra"]) == {"TargetedService": "Infrastructure"}


def test_several_hashes_in_one_cell_become_rows_with_the_same_attributes() -> None:
    frame = read(DATA / "plain/volexity/2021-12-06-xegroup.csv", columns={"value": 1, "description": 3}, split=",")
    assert values(frame)[:3] == [
        "019d4ae42f858d5ea65f3b71392dd37efec6c882",
        "02c48917b15015ddd02738bc1f480f9c6379165618435855030f4c63ce372485",
        "7a15cdb53c6c2a8e40a03dcf15195aef",
    ]
    assert frame["description"][:3].n_unique() == 1


def test_split_keeps_a_63_digit_hash_for_the_model_to_judge() -> None:
    frame = read(DATA / "plain/volexity/2022-12-01-applejeus.csv", columns={"value": "value"}, split=",")
    assert "82e67114d632795edf29ce1d50a4c1c444846d9e16cd121ce26e63c8dc4a162" in values(frame)


def test_undecoded_byte_at_the_end_of_a_value_goes() -> None:
    frame = read(DATA / "plain/unit42-iocs/silverterrier-domains18.cut.csv", columns={"value": "Domain"})
    assert "abastostelano.com" in values(frame)
    assert frame.height == 399


def test_several_value_columns_with_their_types() -> None:
    frame = read(
        DATA / "plain/unit42-iocs/bitter.csv",
        columns={"value": ["SHA256", "SHA1", "MD5"]},
        types_by_column={"SHA256": "sha256", "MD5": "md5"},
    )
    assert set(frame.filter(pl.col("type") == "md5")["value"].str.len_chars()) == {32}
    assert frame.filter(pl.col("type").is_null())["value"].str.len_chars().unique().to_list() == [40]


def test_row_whose_value_columns_are_all_empty_is_one_empty_row(tmp_path: Path) -> None:
    frame = text(tmp_path, "a,b,n\n1,2,x\n,4,x\n,,x\n", columns={"value": [1, 2]})
    assert sorted(values(frame)) == ["", "1", "2", "4"]


def test_tab_separated_zeek_file_with_its_header_as_a_comment() -> None:
    frame = read(
        DATA / "plain/zeek-intel/gru-aa25.intel",
        header=False,
        delimiter="tab",
        columns={"value": 1, "type": 2},
    )
    assert (frame.height, frame["type"][0]) == (125, "Intel::ADDR")
    assert read(DATA / "plain/zeek-intel/abuse-ch-urlhaus.intel", header=False, delimiter="\t").height == 0


@pytest.mark.parametrize("delimiter", ["||", "; ", "¦", "<->"])
def test_long_delimiters_also_beside_quotes(tmp_path: Path, delimiter: str) -> None:
    body = 'v||t\nx||"a || b"\n"y"||c\n'.replace("||", delimiter)
    frame = text(tmp_path, body, delimiter=delimiter, columns={"value": "v", "tags": "t"})
    assert frame.rows() == [("x", f"a {delimiter} b"), ("y", "c")]


def test_multi_line_cells_blank_lines_and_comments(tmp_path: Path) -> None:
    body = '# head\n\nv,d\n# comment with "one quote\na,"two\n# not one\n\nlines"\n   \n#end\r\n\r\nb,x#y\n'
    frame = text(tmp_path, body, columns={"value": "v", "description": "d"})
    assert frame.rows() == [("a", "two\n# not one\n\nlines"), ("b", "x#y")]


def test_space_before_an_opening_quote(tmp_path: Path) -> None:
    body = '"first_seen", "ioc", "tags"\n"2024", "a.com", "x, y"\n"2025",   "b.com", "he said, ""no"", twice"\n'
    frame = text(tmp_path, body, columns={"value": "ioc", "tags": "tags"})
    assert frame.rows() == [("a.com", "x, y"), ("b.com", 'he said, "no", twice')]


def test_short_rows_are_bad_rows_with_their_text_and_long_rows_lose_nothing(tmp_path: Path) -> None:
    body = 'a,b,c\n1,2,3\n4\n5,"6, x"\n7,8,9,10,11\n8,9,\n'
    frame = text(tmp_path, body, columns={"value": "b", "tags": "c"})
    assert frame.select("value", "tags", "drop").rows() == [
        ("2", "3", None),
        ("8", "9", None),
        ("9", None, None),
        ("4", None, "bad-row"),
        ('5,"6, x"', None, "bad-row"),
    ]


def test_short_rows_may_be_kept_if_they_hold_the_value(tmp_path: Path) -> None:
    frame = text(tmp_path, "a,b,c\n1,2,3\n4\n5,6\n", columns={"value": "b", "tags": "c"}, short_rows="keep")
    assert frame.select("value", "drop").rows() == [("2", None), ("6", None), ("4", "bad-row")]


def test_quote_that_never_closes_costs_its_line_only(tmp_path: Path) -> None:
    body = 'v,d\na,1\nb,"oops\n' + "".join(f"c{i},x\n" for i in range(20_000))
    frame = text(tmp_path, body, columns={"value": "v", "description": "d"})
    assert frame.height == 20_002
    assert frame.filter(pl.col("drop") == "bad-row")["value"].to_list() == ['b,"oops']


def test_too_many_open_quotes_are_a_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_loose, "_MAX_UNCLOSED", 2)
    body = ('a,"open\n' + "b,c\n" * 40_000) * 4
    with pytest.raises(FormatError, match="quotes that do not pair") as caught:
        text(tmp_path, body, header=False)
    assert "quote: null" in str(caught.value)


def test_quotes_mean_nothing_if_the_settings_say_so(tmp_path: Path) -> None:
    frame = text(tmp_path, 'v,d\n"a,1\nb","2\n', columns={"value": "v"}, quote=None)
    assert values(frame) == ['"a', 'b"']


def test_missing_column_says_what_there_is_and_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        text(tmp_path, "DateAdded,Indicator,Type\nx,y,z\n", columns={"value": "indikator"})
    assert "did you mean 'Indicator'?" in str(caught.value)
    assert "DateAdded, Indicator, Type" in str(caught.value)
    with pytest.raises(FormatError, match="is the delimiter right"):
        text(tmp_path, "a;b\n1;2\n", columns={"value": "a"})
    with pytest.raises(FormatError, match="no column 4: the header has 3"):
        text(tmp_path, "a,b,c\n1,2,3\n", columns={"value": 4})
    with pytest.raises(FormatError, match="by name, but the file has no header"):
        text(tmp_path, "1,2,3\n", columns={"value": "x"}, header=False)
    with pytest.raises(FormatError, match="no record has 9 cells"):
        text(tmp_path, "1,2,3\n4,5,6\n", columns={"value": 9}, header=False)


def test_names_are_matched_exactly_before_any_case(tmp_path: Path) -> None:
    assert values(text(tmp_path, "IOC,ioc\n1,2\n", columns={"value": "ioc"})) == ["2"]
    assert values(text(tmp_path, "a,Ioc\n1,2\n", columns={"value": "IOC"})) == ["2"]
    assert values(text(tmp_path, "1,2\n", columns={"value": "b"}, header=False, names=["a", "b"])) == ["2"]


def test_skipped_rows_several_tag_columns_and_keeping_space(tmp_path: Path) -> None:
    frame = text(
        tmp_path,
        'junk "\nmore\nv,t,u\n a ,x,y\nb,,z\n',
        skip_rows=2,
        columns={"value": "v", "tags": ["t", "u"]},
    )
    assert frame.rows() == [("a", ["x", "y"]), ("b", ["z"])]
    assert values(text(tmp_path, "v\n a \n", trim=False)) == [" a "]


@pytest.mark.parametrize("body", ["", "\ufeff", "# only\n\n", "v,d\n"])
def test_files_without_records_yield_nothing(tmp_path: Path, body: str) -> None:
    assert text(tmp_path, body).height == 0


@pytest.mark.parametrize("body", ["<!DOCTYPE html><html>", "\ufeff\n <HTML>\n"])
def test_web_page_is_refused_unless_it_is_wanted(tmp_path: Path, body: str) -> None:
    with pytest.raises(FormatError, match="web page"):
        text(tmp_path, body)
    assert text(tmp_path, body, header=False, html=True).height >= 1


def test_frames_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text("v\n" + "1\n" * (2 * BATCH_ROWS + 5))
    assert [f.height for f in csv.read(path, CsvSettings(), Context())] == [BATCH_ROWS, BATCH_ROWS, 5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quote": "''"}, "one ASCII character"),
        ({"delimiter": '"'}, "contains the quote"),
        ({"delimiter": "\n"}, "line's end"),
        ({"names": ["a"]}, "header: false"),
        ({"comments": ""}, "skip every line"),
        ({"types_by_column": {3: "md5"}}, "not among the value columns"),
        ({"columns": {"value": 0}}, "greater than or equal to 1"),
        ({"columns": {"valeu": 1}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CsvSettings(**settings)
