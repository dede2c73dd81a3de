"""The public suffix list as it is shipped: all of its rules, and no comments."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from tipline.model.suffixes import suffix_list

#: Of the rules of the published list, in its order: `grep -vE '^//|^$' full | sha256sum` at the commit in NOTICE.
PUBLISHED = "9533a47fdb73b0b9388527abe5550e0921a5a112776815a2ff44c65a8d531dc2"


def lines() -> list[str]:
    shipped = files("tipline.model").joinpath("data/public_suffix_list.dat")
    return shipped.read_text(encoding="utf-8").splitlines(keepends=True)


def test_the_shipped_list_has_the_rules_of_the_published_one() -> None:
    rules = "".join(line for line in lines() if not line.startswith("//"))
    assert hashlib.sha256(rules.encode()).hexdigest() == PUBLISHED


def test_the_shipped_list_keeps_its_licence_and_sections_and_no_other_comments() -> None:
    comments = [line for line in lines() if line.startswith("//")]
    assert "Mozilla Public" in comments[0]
    assert [line[:12] for line in comments[3:]] == ["// ===BEGIN ", "// ===END IC", "// ===BEGIN ", "// ===END PR"]


def test_both_sections_are_read() -> None:
    rules = suffix_list()
    assert ("co.uk" in rules.icann.plain, "github.io" in rules.private.plain) == (True, True)
    assert ("ck" in rules.icann.wildcards, "www.ck" in rules.icann.exceptions) == (True, True)
    assert len(rules.icann.plain) > 6_000
