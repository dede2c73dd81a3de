from __future__ import annotations

import contextlib
import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from tipline.sandbox.odata import Field, ODataError, compile_filter

FIELDS = {"title": Field("title"), "age": Field("age", "number")}
# SQLite's text ends at NUL for its functions, and lone surrogates are no UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def matches(text: str, title: str) -> bool:
    sql, params = compile_filter(text, FIELDS)
    with_row = f"SELECT count(*) FROM (SELECT ? AS title, 5 AS age) WHERE {sql}"
    db = sqlite3.connect(":memory:")
    try:
        return bool(db.execute(with_row, [title, *params]).fetchone()[0])
    finally:
        db.close()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@given(TEXT, TEXT)
def test_filters_agree_with_python(title, other):
    assert matches(f"title eq {quoted(other)}", title) == (title == other)
    assert matches(f"title ne {quoted(other)}", title) == (title != other)
    assert matches(f"contains(title,{quoted(other)})", title) == (other in title)
    assert matches(f"startswith(title,{quoted(other)})", title) == title.startswith(other)
    assert matches(f"endswith(title,{quoted(other)})", title) == title.endswith(other)
    assert matches(f"title eq {quoted(title)} and not (age lt 5) or age gt 9", title)


@given(st.text(alphabet="titleagn qor()',5 ", max_size=40))
def test_no_text_does_more_than_raise_its_error(text):
    with contextlib.suppress(ODataError):
        sql, params = compile_filter(text, FIELDS)
        assert sql.count("?") == len(params)
