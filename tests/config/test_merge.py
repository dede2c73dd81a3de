"""What two people changed in a configuration, node by node, brought together or told apart."""

from __future__ import annotations

from tipline.config.edit import drop_node, put_node_text, settings_of
from tipline.config.merge import Side, applied, changes, clashes, merged

BASE = """\
instance: lab
http: {port: 8080}   # as ever
sources:
  # the first
  a: {kind: lines, url: a.txt}
  b:
    kind: lines
    url: b.txt   # of the second
outputs:
  list: {kind: list, inputs: [a, b]}
"""


def _put(text: str, name: str, body: str, section: str = "sources") -> str:
    return put_node_text(text, section, name, body, replace=True)


def test_changes_are_told_node_by_node() -> None:
    text = _put(BASE, "b", "kind: lines\nurl: c.txt   # of the second\n")
    text = drop_node(_put(text, "new", "kind: local\n"), "outputs", "list").replace("lab", "lab2")
    found = changes(BASE, text)
    assert [(each.op, each.section, each.name) for each in found] == [
        ("changed", "", "instance"),
        ("changed", "sources", "b"),
        ("added", "sources", "new"),
        ("removed", "outputs", "list"),
    ]
    assert (found[1].before, found[1].after) == (
        "kind: lines\nurl: b.txt   # of the second\n",
        "kind: lines\nurl: c.txt   # of the second\n",
    )
    assert changes(BASE, BASE) == []


def test_a_remark_is_a_change_too() -> None:
    (found,) = changes(BASE, BASE.replace("# of the second", "# of somebody"))
    assert found.name == "b"


def test_changes_of_two_people_come_together() -> None:
    ours = _put(_put(BASE, "b", "kind: lines\nurl: ours.txt\n"), "new", "kind: local\n")
    theirs = _put(BASE, "other", "kind: local\ntlp: red\n").replace("8080", "9090")
    assert clashes(changes(BASE, ours), changes(BASE, theirs)) == []
    both = applied(theirs, changes(BASE, ours))
    assert "# the first" in both
    found = settings_of(both)
    assert found["sources"].keys() == {"a", "b", "other", "new"}
    assert (found["sources"]["b"]["url"], found["http"]["port"]) == ("ours.txt", 9090)
    backwards = applied(ours, changes(BASE, theirs))
    assert settings_of(backwards) == found


def test_what_both_changed_is_told_unless_it_is_the_same() -> None:
    ours = _put(BASE, "b", "kind: lines\nurl: ours.txt\n")
    theirs = _put(BASE, "b", "kind: lines\nurl: theirs.txt\n")
    ((one, two),) = clashes(changes(BASE, ours), changes(BASE, theirs))
    assert (one.name, "ours.txt" in (one.after or ""), "theirs.txt" in (two.after or "")) == ("b", True, True)
    gone = drop_node(BASE, "sources", "b")
    assert len(clashes(changes(BASE, ours), changes(BASE, gone))) == 1
    assert clashes(changes(BASE, gone), changes(BASE, gone)) == []
    assert clashes(changes(BASE, ours), changes(BASE, _put(BASE, "b", "{url: ours.txt, kind: lines}\n"))) == []


def test_one_name_in_two_sections_is_a_clash() -> None:
    ours, theirs = _put(BASE, "new", "kind: local\n"), _put(BASE, "new", "kind: list\ninputs: a\n", "outputs")
    assert len(clashes(changes(BASE, ours), changes(BASE, theirs))) == 1


def test_settings_of_the_whole_file_come_and_go() -> None:
    without = BASE.replace("http: {port: 8080}   # as ever\n", "")
    assert settings_of(applied(BASE, changes(BASE, without))) == settings_of(without)
    assert settings_of(applied(without, changes(without, BASE))) == settings_of(BASE)


def test_one_text_is_made_of_two_and_somebody_decides_where_they_differ() -> None:
    ours = drop_node(_put(_put(BASE, "b", "kind: lines\nurl: ours.txt\n"), "new", "kind: local\n"), "outputs", "list")
    theirs = drop_node(_put(BASE, "b", "kind: lines\nurl: theirs.txt\n"), "outputs", "list")
    text, undecided = merged(BASE, ours, theirs, {})
    assert text == theirs
    assert [one.name for one, _ in undecided] == ["b"]
    sides: tuple[Side, ...] = ("ours", "theirs")
    for side in sides:
        text, undecided = merged(BASE, ours, theirs, {"b": side})
        assert undecided == []
        assert settings_of(text)["sources"]["b"]["url"] == f"{side}.txt"
        assert "new" in settings_of(text)["sources"]
    assert merged(BASE, BASE, theirs, {}) == (theirs, [])
