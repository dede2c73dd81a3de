"""Forms from the declarations of kinds: what they show of the file, and what they write back into it."""

from __future__ import annotations

from typing import Any

import pytest

from tipline.config.edit import edited, settings_of
from tipline.kinds import Kind, Sort, kinds
from tipline.web.forms import Choice, Field, form, write

KINDS = [(sort, name) for sort in ("source", "processor", "output") for name in kinds(sort)]  # type: ignore[arg-type]
CSV = """\
kind: csv
# where it is
url: "https://feeds.example.org/iocs.csv"   # by hand
every: 1h
columns: {value: [1, host], tags: 2}
confidence_map: {high: 80}
guard:
  max_withdrawn: 0.7   # it moves a lot
stale_after: null
quote: ''
delimiter: "\\t"
"""


def _kind(sort: Sort, name: str) -> type[Kind[Any]]:
    return kinds(sort)[name]


def _fields(sort: Sort, text: str, **ways: Any) -> dict[str, Field]:
    settings = settings_of(text)
    return {each.path: each for group in form(_kind(sort, settings["kind"]), settings, **ways) for each in group.fields}


def _written(text: str, **changes: str) -> tuple[str, dict[str, list[str]]]:
    """The text after a form was sent in which some fields were changed."""
    model = _kind("source", settings_of(text)["kind"]).Settings
    sent = {each.name: [each.text] for each in _fields("source", text).values()}
    sent.update({f"set.{name.replace('__', '.')}": [value] for name, value in changes.items()})
    problems: dict[str, list[str]] = {}
    return edited(text, lambda settings: problems.update(write(settings, model, sent))), problems


@pytest.mark.parametrize(("sort", "name"), KINDS)
def test_every_kind_has_a_form_that_leaves_its_example_as_it_is(sort: Sort, name: str) -> None:
    kind = _kind(sort, name)
    settings = settings_of(kind.example)
    while "kind" not in settings:
        settings = next(iter(settings.values()))
    groups = form(kind, settings)
    fields = [each for group in groups for each in group.fields]
    assert {each.path.split(".")[0] for each in fields} == set(kind.Settings.model_fields) - {"kind"}
    assert len({each.id for each in fields}) == len(fields)
    assert all(each.help for each in fields)
    before = dict(settings)
    assert write(settings, kind.Settings, {each.name: [each.text] for each in fields}) == {}
    assert dict(settings) == before
    assert groups[0].essential


def test_a_field_says_what_its_declaration_says() -> None:
    fields = _fields("source", CSV)
    every, confidence, tlp, timeout = (fields[name] for name in ("every", "confidence", "tlp", "timeout"))
    assert (every.shape.widget, every.text, every.default) == ("duration", "1h", "1h")
    assert (confidence.shape.widget, confidence.least, confidence.most) == ("number", "0", "100")
    assert tlp.shape.options == ("clear", "green", "amber", "amber+strict", "red")
    assert (timeout.unit, timeout.default, timeout.text) == ("seconds", "30", "")
    assert fields["url"].required
    assert not fields["basic.username"].required
    assert fields["bearer"].shape.widget == "secret"
    assert (fields["columns.value"].text, fields["guard.max_withdrawn"].text) == ("1\nhost", "0.7")
    assert (fields["stale_after"].text, fields["quote"].text, fields["delimiter"].text) == ("null", '""', '"\\t"')


def test_what_nobody_touched_keeps_its_comments_and_its_order() -> None:
    assert _written(CSV) == (CSV, {})
    text, _ = _written(CSV, every="2h", guard__max_withdrawn="0.8", tags="a\nb")
    expected = CSV.replace("every: 1h", "every: 2h").replace("0.7", "0.8") + "tags: [a, b]\n"
    assert text == expected


def test_an_empty_field_takes_its_setting_out() -> None:
    text, _ = _written(CSV, every="", confidence_map="", guard__max_withdrawn="")
    assert "every" not in text
    assert "confidence_map" not in text
    assert "guard" not in text


def test_texts_stay_texts_and_numbers_numbers() -> None:
    settings = settings_of(
        _written(CSV, columns__type="3", columns__record="id", description="123", confidence="70", header="false")[0]
    )
    assert settings["columns"] == {"value": [1, "host"], "tags": 2, "type": 3, "record": "id"}
    assert (settings["description"], settings["confidence"], settings["header"]) == ("123", 70, False)
    assert settings_of(_written(CSV, quote='""')[0])["quote"] == ""
    assert settings_of(_written(CSV, delimiter="|")[0])["delimiter"] == "|"


def test_what_cannot_be_read_is_said_at_its_field_and_changes_nothing() -> None:
    text, problems = _written(CSV, confidence_map="high: [", types_by_column="just words")
    assert text == CSV
    assert problems.keys() == {"confidence_map", "types_by_column"}


def test_a_setting_of_another_form_than_its_field_is_asked_for_as_yaml() -> None:
    fields = _fields("source", "kind: lines\nurl: {a: 1}\n")
    assert (fields["url"].shape.widget, fields["url"].text) == ("yaml", "a: 1")


def test_nodes_are_chosen_and_what_is_named_but_missing_is_shown() -> None:
    known = [Choice("a", "source"), Choice("b", "source", "would make a loop")]
    fields = _fields("processor", "kind: aggregate\ninputs: [a, gone]\n", nodes={"inputs": known})
    assert fields["inputs"].chosen == ["a", "gone"]
    assert [each.name for each in fields["inputs"].nodes or []] == ["a", "b", "gone"]
