"""The extractor on hostile text: whatever is defanged and put anywhere is found, and nothing makes it fail or hang."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.hostile import within
from tipline.errors import TiplineError
from tipline.formats.freetext import extract, media_type
from tipline.formats.freetext_media import html_text

_EXAMPLES = int(os.environ.get("TIPLINE_EXAMPLES", "50"))
_DOTS = ["[.]", "(.)", "{.}", "[dot]", "(dot)", " [.] ", "[.", "\\.", "<.>"]
_SCHEMES = ["hxxp://", "hxxps[:]//", "hxxps[://]", "hxxps[]://", "hXXp://", "http[:]//", "hxxps[:]/"]
_AROUND = [
    "{}",
    "({})",
    "see {}.",
    "`{}`",
    "* {},",
    '"{}"',
    "<td>{}</td>",
    "[{}]",
    "ioc={}",
    "**{}**",
    "«{}»",
    "（{}）",
    "'{}'",
]
_label = st.from_regex(r"[a-z][a-z0-9]{1,12}", fullmatch=True)


@settings(max_examples=_EXAMPLES, deadline=None)
@given(st.text(max_size=400))
def test_any_text(text: str) -> None:
    with within():
        try:
            rows = extract(text)
        except TiplineError:
            return
    assert rows["line"].is_between(1, text.count("\n") + text.count("\r") + text.count("\x0c") + 1).all()


@settings(max_examples=_EXAMPLES, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(body: bytes) -> None:
    with within():
        media_type(body)
        html_text(body)
        with suppress(TiplineError):
            extract(body)


@pytest.mark.parametrize(
    "text",
    [
        "deadbeefdeadbeef\n" * 100_000,  # each two would be a digest, put together
        "http://x.com/a-\n" * 100_000,  # each goes on in the next line
        "a." * 1_000_000 + "com",  # as many labels
        "x@" + "a." * 1_000_000 + "com",
    ],
    ids=["digests", "addresses", "labels", "mail"],
)
def test_what_could_go_on_for_ever_ends(text: str) -> None:
    with within():
        extract(text)


@settings(max_examples=_EXAMPLES, deadline=None)
@given(labels=st.lists(_label, min_size=1, max_size=3), dot=st.sampled_from(_DOTS), around=st.sampled_from(_AROUND))
def test_a_defanged_host_is_found_anywhere(labels: list[str], dot: str, around: str) -> None:
    host = ".".join([*labels, "com"])
    assert host in extract(around.format(dot.join([*labels, "com"])))["value"].to_list()


@settings(max_examples=_EXAMPLES, deadline=None)
@given(
    scheme=st.sampled_from(_SCHEMES),
    octets=st.lists(st.integers(1, 255), min_size=3, max_size=3),
    path=st.from_regex(r"(?:/[a-z0-9_]{1,8}){0,3}", fullmatch=True),
    around=st.sampled_from(_AROUND),
)
def test_a_defanged_url_is_found_anywhere(scheme: str, octets: list[int], path: str, around: str) -> None:
    host = ".".join(map(str, [45, *octets]))
    url = f"{'https' if 's' in scheme else 'http'}://{host}{path}"
    assert url in extract(around.format(scheme + host.replace(".", "[.]") + path))["value"].to_list()
