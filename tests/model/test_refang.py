from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.model.refang import _one_round, is_dirty, refang, strip_edges, trim


def cleaned(text: str) -> str | None:
    return refang(pl.Series([text]))[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hxxp://evil[.]com", "http://evil.com"),
        ("hXXps://evil[.]com", "https://evil.com"),
        ("h**p://evil(.)com", "http://evil.com"),
        ("meow://evil{.}com", "http://evil.com"),
        ("fxp://evil.com", "ftp://evil.com"),
        ("hxxp[:]//evil.com", "http://evil.com"),
        ("hxxp[://]evil.com", "http://evil.com"),
        ("hxxp:\\\\evil.com", "http://evil.com"),
        ("http:/evil.com", "http://evil.com"),
        ("[hxxp://]evil.com", "http://evil.com"),
        ("hxxps[]://evil.com", "https://evil.com"),
        ("hxxps[:]/evil.com", "https://evil.com"),
        ("hxxp//evil.com", "http://evil.com"),
        ("hxxp[s]://evil.com", "https://evil.com"),
        ("evil<.>com", "evil.com"),
        ("evil<dot>com", "evil.com"),
        ("evil․com", "evil.com"),
        ("evil．com", "evil.com"),
        ("2a00:1450[:]4001[::]5", "2a00:1450:4001::5"),
        ("http://evil.com[/]x", "http://evil.com/x"),
        ("evil[dot]com", "evil.com"),
        ("evil(DOT)com", "evil.com"),
        ("evil dot com", "evil.com"),
        ("evil[.com", "evil.com"),
        ("evil.]com", "evil.com"),
        ("evil[.com]", "evil.com"),
        ("evil\\.com", "evil.com"),
        ("a[at]b[.]com", "a@b.com"),
        ("a(@)b.com", "a@b.com"),
        ("1[.]2[.]3[.]4", "1.2.3.4"),
        ("[[.]]", "."),
        ("\ufeff\xa0evil.com\u200b\ufffd", "evil.com"),
        ("ev\u200bil\u202e.com", "evil.com"),
        ('"evil.com",', "evil.com"),
        ("<http://evil.com>", "http://evil.com"),
        ("‘evil.com’;", "evil.com"),
        ("(evil.com)", "evil.com"),
        ("[2606:4700::1]:443", "[2606:4700::1]:443"),
        ("http://evil.com/a?b[]=c&d=(e)", "http://evil.com/a?b[]=c&d=(e)"),
    ],
)
def test_undone(text: str, expected: str) -> None:
    assert cleaned(text) == expected


def test_nulls_stay() -> None:
    assert refang(pl.Series([None, "a"], dtype=pl.String)).to_list() == [None, "a"]


@given(st.text(alphabet="[](){}.:/@\\*,;'\"<>hxtpmeowdot a\xa0\u200b", max_size=30))
def test_clean_texts_are_left_alone_and_cleaning_twice_is_cleaning_once(text: str) -> None:
    series = pl.Series([text])
    dirty = pl.DataFrame({"text": series}).select(is_dirty(pl.col("text"))).item()
    if not dirty:
        assert _one_round(series)[0] == text
    once = refang(series)
    assert refang(once).equals(once, null_equal=True)


@given(st.text(max_size=20))
def test_both_ways_of_trimming_agree(text: str) -> None:
    column = pl.DataFrame({"text": [text]}).select(trim(pl.col("text"))).item()
    assert strip_edges(text) == column
