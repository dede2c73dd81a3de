"""The table of what each output can carry is what each writes: by kind, whether an attribute changes its text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from docs.support import REFERENCE
from engine.lab import Lab
from engine.support import Time, configuration, source
from outputs.delivering import bench
from outputs.dialects import GOOD, HEX, of, write
from outputs.publishing import engine_of, list_output, publish, row
from outputs.test_taxii import output as collection
from outputs.test_taxii import row as object_row
from tipline.cli.reference_outputs import template_rows
from tipline.engine import mispfeed
from tipline.engine.core import Engine
from tipline.kinds import kinds
from tipline.model.types import TYPES
from tipline.outputs.base import Output
from tipline.outputs.delivery import Delivered
from tipline.outputs.http_template import shipped
from tipline.outputs.misp_feed import MispFeedKind
from tipline.outputs.render.dialect import FORMATS, Format
from tipline.outputs.taxii_objects import Maker
from tipline.store.schema import published_table

SIGN_IN = {"tenant_id": "a", "client_id": "b", "client_secret": "c" * 20}
SETTINGS: dict[str, dict[str, Any]] = {
    "http": {"template": "splunk-hec", "url": "https://x.example", "token": "k" * 20},
    "microsoft-defender": {"credentials": SIGN_IN, "severity": {0: "Low", 75: "High"}},
    "microsoft-graph": {"credentials": SIGN_IN, "graph_url": "https://x.example"},
    "microsoft-sentinel": {"credentials": SIGN_IN, "workspace_id": "w"},
    "misp-push": {"url": "https://x.example", "key": "k" * 40},
    "syslog": {"host": "127.0.0.1"},
    "webhook": {"url": "https://x.example"},
}
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
KINDS: dict[str, type[Output]] = {name: kind for name, kind in kinds("output").items() if issubclass(kind, Output)}
#: What the table speaks of: the attribute, and two values of it that a far side would tell apart.
APART: dict[str, tuple[str, Any, Any]] = {
    "confidence": ("confidence", 20, 90),
    "tlp": ("tlp", 0, 1),
    "expiry": ("valid_until", NOW + timedelta(days=3), NOW + timedelta(days=5)),
}
# The numbers of events and their digests, which differ each time.
PASSING = r"[0-9a-f-]{36}|\b[0-9a-f]{16}\b"
#: An indicator of each type that no source refuses.
VALUES = {name: values[0] for name, values in GOOD.items()} | {
    "ipv4": "203.0.114.66", "ipv6": "2a02:db8::66", "domain": "bad.example.com", "url": "http://bad.example.com/x",
    "email": "someone@bad.example.com", "asn": "AS3333",
    **{name: hashlib.sha512(b"x").hexdigest()[: len(GOOD[name][0])] for name in HEX},
}  # fmt: skip
COLUMNS = pytest.mark.parametrize("column", APART)


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still: what is sent of equal indicators is equal."""
    monkeypatch.setattr(Lab, "now", lambda _: NOW)


def sent(name: str, settings: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """What a delivered kind would send of an indicator, and to take it back."""
    kind = KINDS[name]
    assert issubclass(kind, Delivered)
    with bench(kind, **settings) as lab:
        lab.publish([{"value": "bad.example.com", **spec}])
        found = lab.deliverer.preview(1)
    found["requests"] = [re.sub(PASSING, "", text) for text in found["requests"]]
    return found


@pytest.mark.parametrize("name", SETTINGS)
@COLUMNS
def test_a_delivered_kind_sends_what_the_table_says(name: str, column: str) -> None:
    attribute, *values = APART[column]
    texts = [sent(name, SETTINGS[name], {attribute: value})["requests"] for value in values]
    assert all(texts)
    carried = texts[0] != texts[1]
    assert carried == (not getattr(KINDS[name].carries, column).startswith("no")), texts


@pytest.mark.parametrize("name", SETTINGS)
def test_a_delivered_kind_takes_back(name: str) -> None:
    found = sent(name, SETTINGS[name], {})
    assert found["withdrawals"]
    assert "bad.example.com" in str(found)


def test_every_delivered_kind_is_tried() -> None:
    assert set(SETTINGS) == {name for name, kind in KINDS.items() if issubclass(kind, Delivered)}


@pytest.mark.parametrize("name", shipped())
def test_a_template_sends_what_the_table_says(name: str) -> None:
    (line,) = [each for each in template_rows() if each[0] == f"`{name}`"]
    settings = {**SETTINGS["http"], "template": name}
    found = {}
    for column, (attribute, *values) in APART.items():
        texts = [sent("http", settings, {attribute: value})["requests"] for value in values]
        found[column] = "yes" if texts[0] != texts[1] else "no"
    assert list(found.values()) == list(line[2:5])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.types is not None])
def test_a_kind_takes_the_types_that_it_lists_and_drops_the_others(name: str, tmp_path: Path) -> None:
    kind, feed = KINDS[name], source("feed")
    more = {"path": "misp"} if name == "misp-feed" else SETTINGS.get(name, {})
    given = {"kind": name, "inputs": ["feed"], "guard": {"enabled": False}, **more}
    feed.rows = [{"value": value, "type": type_} for type_, value in VALUES.items()]
    with Engine(configuration(tmp_path, feed, kind(name, kind.Settings.model_validate(given))), clock=Time()) as engine:
        assert engine.poll("feed").ledger.accepted == len(VALUES) == len(TYPES)
        (done,) = engine.evaluate()
        with engine.lake.reading() as con:
            table = published_table(engine.graph.ids[name])
            published = {type_ for (type_,) in con.execute(f"SELECT DISTINCT type FROM {table}").fetchall()}
    # Defender has MD5 and certificates only if its settings ask for them.
    asked = {"md5", "certificate-sha1"} if name == "microsoft-defender" else set()
    assert published == set(kind.types or ()) - asked
    assert done.ledger.dropped["unsupported-type"] == len(TYPES) - len(kind.types or ())


@COLUMNS
def test_a_collection_shows_what_the_table_says(column: str) -> None:
    maker = Maker(collection(max_tlp="green", access="key", keys=["0123456789abcdef"]), "lab")
    attribute, *values = APART[column]
    one, other = (maker.indicator(object_row(**{attribute: value}), "2.1") for value in values)
    assert (one != other) == (not KINDS["taxii"].carries.__getattribute__(column).startswith("no"))


@COLUMNS
def test_a_misp_feed_shows_what_the_table_says(column: str, tmp_path: Path) -> None:
    attribute, *values = APART[column]
    texts = []
    for number, value in enumerate(values):
        feed, place = source("feed"), tmp_path / str(number)
        word = ("clear", "green")[value] if attribute == "tlp" else str(value)
        feed.rows = [{"value": "bad.example.com", "type": "domain", attribute: word}]
        settings = {"kind": "misp-feed", "inputs": "feed", "path": "m", "max_tlp": "green", "guard": {"enabled": False},
                    "access": "key", "keys": ["0123456789abcdef"]}  # fmt: skip
        node = MispFeedKind("f", KINDS["misp-feed"].Settings.model_validate(settings))
        with Engine(configuration(place, feed, node), clock=Time()) as engine:
            engine.poll("feed")
            engine.evaluate()
            (event,) = mispfeed.write(engine, "f")
            texts.append((engine.data / "m" / f"{event}.json").read_text())
    assert (texts[0] != texts[1]) == (not KINDS["misp-feed"].carries.__getattribute__(column).startswith("no"))


@pytest.fixture(name="lists", scope="module")
def _lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A list with types of which each dialect carries one, and one for each attribute, in which it alone differs."""
    usual = {attribute: value for attribute, value, _ in APART.values()}
    changed = {column: {attribute: value} for column, (attribute, _, value) in APART.items()}
    with engine_of(tmp_path_factory.mktemp("lists"), *(list_output(name) for name in ("usual", *changed))) as engine:
        for name, more in {"usual": {}, **changed}.items():
            rows = [row(type_, VALUES[type_], **{**usual, **more}) for type_ in ("ipv4", "domain", "url", "md5")]
            publish(engine, name, rows)
        yield engine


def test_the_page_of_dialects_says_which_have_what(lists: Engine) -> None:
    """Its sentences name each dialect whose text changes with the attribute, and no other."""
    page = (REFERENCE / "list-dialects.md").read_text(encoding="utf-8").replace("\n", " ")
    fields = {"fields": tuple((name, name) for name in ("indicator", "confidence", "tlp", "valid_until"))}
    for column, word in (("confidence", "Confidence"), ("tlp", "TLP"), ("expiry", "`valid_until`")):
        names: set[Format] = set()
        for name in FORMATS:
            how = of(name, **(fields if name in {"csv", "json", "json-seq"} else {}))
            one, other = (write(lists, which, how)[0] for which in ("usual", column))
            assert one, name
            names |= {name} if one != other else set()
        (said,) = re.findall(rf"{re.escape(word)} is in ([a-z0-9, -]+?)[.;]", page)
        assert set(re.split(r", | and ", said)) == names, column


def test_the_page_names_the_types_of_each_kind() -> None:
    page = (REFERENCE / "output-kinds.md").read_text(encoding="utf-8")
    for name, kind in KINDS.items():
        types = "every type" if kind.types is None else ", ".join(each for each in TYPES if each in kind.types)
        assert f"| `{name}` | {types} |" in page, name
