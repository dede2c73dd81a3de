"""A value judged alone is judged as in a frame."""

from __future__ import annotations

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.model.test_normalise import POLICIES, TEXTS

from tipline.model.normalise import judge
from tipline.model.policy import Policy
from tipline.model.single import judge_common

_SHAPED = st.one_of(
    st.from_regex(
        r"\A(https?://)?([a-zA-Z0-9_-]{1,8}\.){1,3}(com|zip|sh|onion|co\.uk|github\.io|1)(:[0-9]{1,5})?(/[!-~]{0,10})?\Z"
    ),
    st.from_regex(r"\A([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?\Z"),
    st.from_regex(r"\A[0-9a-fA-F]{32}\Z"),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(TEXTS, _SHAPED), st.sampled_from(POLICIES))
def test_it_says_what_a_frame_says_or_nothing(text: str, policy: Policy) -> None:
    assume(text.isprintable())
    found = judge_common(text, policy)
    if found is not None:
        verdict = judge(pl.DataFrame({"value": [text]}), policy).row(0, named=True)
        del verdict["row"]
        assert found._asdict() == verdict


def test_the_common_shapes_are_told() -> None:
    for text in ("8.8.8.8", "8.8.8.0/24", "example.com", "http://example.com/x", "a" * 64):
        assert judge_common(text, Policy()) is not None
