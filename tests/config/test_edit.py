"""Edits of a configuration's text leave everything else as it stands."""

from __future__ import annotations

import pytest

from tipline.config.edit import drop_node, edited, node_text, put_node, put_node_text, settings_of
from tipline.errors import ConfigError

TEXT = """\
# of the lab
instance: lab   # set once
sources:
  # the first one
  a: {kind: lines, url: "a.txt"}   # keep
outputs:
  all:
    kind: list
    inputs: [a]
"""
BODY = {"kind": "csv", "url": "https://x.example/", "columns": {"value": 2}, "tags": ["x"]}


def test_a_node_is_put_in_and_taken_out_again() -> None:
    text = put_node(TEXT, "sources", "b", BODY)
    assert [line for line in TEXT.splitlines() if line not in text.splitlines()] == []
    assert "  b:\n    kind: csv\n    url: https://x.example/\n    columns: {value: 2}\n" in text
    assert drop_node(text, "sources", "b") == TEXT


def test_a_missing_section_is_made() -> None:
    assert put_node("", "sources", "b", {"kind": "local"}) == "sources:\n  b:\n    kind: local\n"
    assert put_node("instance: x\n", "sources", "b", {"kind": "local"}).startswith("instance: x\nsources:\n")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [(TEXT, "a", "already"), (TEXT, "all", "already"), ("a: [", "b", "not valid"), ("- x\n", "b", "not a mapping")],
)
def test_what_cannot_be_put_in(text: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        put_node(text, "sources", name, BODY)


def test_what_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(ConfigError, match="no node b"):
        drop_node(TEXT, "sources", "b")


ODD = """\
# Our lab.
sources:

    # Agreed with the network team.
    a:   # first
        kind:   lines
        # where it is
        url:    "a.txt"

        note: >-
            folded
            text

    # b's own
    b: {kind: lines,   url: 'b.txt'}   # keep
    c:
        {kind: local,
         tlp: clear}
outputs:
    list: {kind: list, inputs: [a,  b]}
# the end
"""


def test_a_node_is_cut_out_and_put_back_to_the_letter() -> None:
    assert node_text(ODD, "sources", "a") == (
        'kind:   lines\n# where it is\nurl:    "a.txt"\n\nnote: >-\n    folded\n    text\n'
    )
    assert node_text(ODD, "sources", "b") == "{kind: lines,   url: 'b.txt'}   # keep\n"
    for section, name in (("sources", "a"), ("sources", "b"), ("outputs", "list")):
        assert put_node_text(ODD, section, name, node_text(ODD, section, name), replace=True) == ODD


def test_a_change_of_one_node_is_all_that_changes() -> None:
    body = node_text(ODD, "sources", "a").replace("a.txt", "x.txt")
    assert put_node_text(ODD, "sources", "a", body, replace=True) == ODD.replace("a.txt", "x.txt")
    changed = put_node(ODD, "sources", "b", {"kind": "lines", "url": "y.txt"}, replace=True)
    ours = "    b: {kind: lines, url: 'y.txt'}  "
    others = [line for line in ODD.splitlines() if not line.startswith("    b:")]
    assert [line for line in changed.splitlines() if not line.startswith(ours)] == others
    block = put_node_text(ODD, "sources", "b", "kind: lines\n# new\nurl: z.txt\n", replace=True)
    assert "    b:\n      kind: lines\n      # new\n      url: z.txt\n    c:" in block
    inline = put_node_text(ODD, "sources", "a", "{kind: local}\n", replace=True)
    assert "    a: {kind: local}  # first\n\n    # b's own\n" in inline
    again = put_node_text(ODD, "sources", "c", "kind: local\n", replace=True)
    assert settings_of(again)["sources"]["c"] == {"kind": "local"}
    assert again.endswith(ODD[ODD.index("outputs:") :])


def test_a_new_node_stands_behind_the_others() -> None:
    text = put_node_text(ODD, "outputs", "new", "kind: list\ninputs: a   # for now\n")
    new = "    new:\n      kind: list\n      inputs: a   # for now\n"
    assert text == ODD.replace("# the end\n", new + "# the end\n")


def test_a_node_goes_with_the_comment_above_it_and_no_other() -> None:
    gone = "    # b's own\n    b: {kind: lines,   url: 'b.txt'}   # keep\n"
    assert drop_node(ODD, "sources", "b") == ODD.replace(gone, "")
    text = drop_node(ODD, "sources", "a")
    assert "Agreed" not in text
    assert "# Our lab." in text
    assert "# b's own" in text
    assert text.startswith("# Our lab.\nsources:\n\n    # b's own\n")


def test_sections_on_one_line_and_anchors_are_edited_as_well() -> None:
    flow = "sources: {a: {kind: local}}\noutputs: {}\n"
    assert settings_of(put_node_text(flow, "sources", "b", "kind: local\n"))["sources"].keys() == {"a", "b"}
    assert settings_of(drop_node(flow, "sources", "a"))["sources"] == {}
    shared = "sources:\n  a: &a {kind: lines, url: x}\n  b: {<<: *a, tlp: green}\n  c: {kind: local}\n"
    assert settings_of(node_text(shared, "sources", "b"))["tlp"] == "green"
    text = put_node_text(shared, "sources", "c", "kind: local\ntlp: red\n", replace=True)
    assert text.startswith(shared[: shared.index("  c:")])


def test_where_nothing_changes_every_character_stays() -> None:
    odd = "kind:   lines # so\nurl:  'x'\nnote: null\n"
    assert edited(odd, lambda settings: None) == odd
    assert edited(odd, lambda settings: settings.update(tlp="red")).endswith("note: null\ntlp: red\n")


def test_a_body_must_be_settings() -> None:
    with pytest.raises(ConfigError, match="not a mapping"):
        put_node_text(ODD, "sources", "z", "- a\n")
    with pytest.raises(ConfigError, match="already"):
        put_node_text(ODD, "outputs", "a", "kind: list\n", replace=True)
