"""What every source is told in its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipline.config.check import check_text
from tipline.model.types import TYPES
from tipline.sources.base import SourceSettings


def problems(types: str) -> list[str]:
    checked = check_text(f"sources:\n  feed: {{kind: lines, url: a.txt, types: {types}}}\n", Path("tipline.yml"))
    return [str(problem) for problem in checked.problems]


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ("[ip]", "'ip' is not one type: write those wanted of ipv4, ipv6"),
        ("[domain, IP-Address]", "'IP-Address' is not one type: write those wanted of ipv4, ipv6"),
        ("[hash]", "'hash' is not one type: write those wanted of md5, sha1, sha256, sha512"),
        ("[hostname]", "there is no type 'hostname': write domain"),
        ("[IPv4]", "there is no type 'IPv4': write ipv4"),
        ("[sha265]", "there is no type 'sha265': did you mean 'sha256'?"),
        ("[~~~]", "there is no type '~~~': there are ipv4, ipv6, domain"),
    ],
)
def test_types_to_take_are_names_that_rows_can_have(types: str, words: str) -> None:
    (found,) = problems(types)
    assert words in found


def test_every_type_can_be_taken() -> None:
    assert SourceSettings.model_validate({"kind": "x", "types": list(TYPES)}).types == list(TYPES)


@pytest.mark.parametrize("word", ["ip", "hash", "hostname", "FileHash-SHA256"])
def test_the_type_of_all_rows_may_be_any_known_word(word: str) -> None:
    assert SourceSettings.model_validate({"kind": "x", "type": word}).type == word
