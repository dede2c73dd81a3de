"""A MineMeld's configuration: every class and stock prototype, filters, lists, readers; hostile backups refused."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tipline.config.check import check_text
from tipline.config.importers.minemeld.classes import CLASSES, class_of
from tipline.config.importers.minemeld.filters import Names, expression, most_shared
from tipline.config.importers.minemeld.nodes import stock
from tipline.config.importers.minemeld.translate import import_minemeld
from tipline.config.importers.report import Imported
from tipline.errors import ConfigError, FormatError
from tipline.processors.filter import FilterSettings

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "from-minemeld.md"
LAB = """\
nodes:
  dshield: {prototype: dshield.block, output: true}
  own: {prototype: minemeldlocal.mine, output: true}
  wlist: {prototype: stdlib.listIPv4Generic, output: true}
  wldomains: {prototype: stdlib.listDomainGeneric, output: true}
  hand: {prototype: stdlib.localDB, output: true}
  inbound: {prototype: stdlib.aggregatorIPv4Inbound, inputs: [dshield, own, wlist, hand], output: true}
  domains: {prototype: stdlib.aggregatorDomain, inputs: [own, wldomains], output: true}
  hc: {prototype: stdlib.feedHCGreen, inputs: [inbound], output: false}
  mc: {prototype: stdlib.feedMCGreen, inputs: [inbound], output: false}
  all: {prototype: stdlib.feedRedWithValue, inputs: [domains], output: false}
  taxii: {prototype: stdlib.taxiiDataFeed, inputs: [inbound], output: false}
  mde: {class: microsoft_wd_atp.node.OutputBatch, inputs: [inbound], config: {action: AlertAndBlock}}
"""
LOCAL = """\
prototypes:
  mine:
    class: minemeld.ft.http.HttpFT
    development_status: STABLE
    config:
      url: http://10.0.0.5/list.txt
      indicator: {regex: '^(\\d+) (\\S+)', transform: '\\2'}
      ignore_regex: '#'
      attributes: {type: IPv4, confidence: 80, share_level: green, direction: inbound, campaign: x}
      username: me
      password: hunter2
"""
APR1 = "$apr1$ZjTqBB3f$IF9gdYAGlMrs2fuINjHsz."


def lab(place: Path) -> Path:
    config = place / "local" / "config"
    (config / "api").mkdir(parents=True)
    (place / "local" / "prototypes").mkdir()
    (config / "committed-config.yml").write_text(LAB)
    (place / "local" / "prototypes" / "minemeldlocal.yml").write_text(LOCAL)
    (config / "wlist_indicators.yml").write_text("- {indicator: 8.8.8.0/24, share_level: green, comment: ours}\n")
    (config / "mde_side_config.yml").write_text("{tenant_id: t, client_id: c, client_secret: s3cret}\n")
    (config / "api" / "feeds.htpasswd").write_text(f"fw:{APR1}\nold:{{SHA}}x\n")
    (config / "api" / "10-defaults.yml").write_text("FEEDS_AUTH_ENABLED: true\n")
    (config / "api" / "50-feeds-attrs.yml").write_text("FEEDS_ATTRS: {hc: {tags: [edge]}, taxii: {tags: [any]}}\n")
    (config / "api" / "50-feeds-users-attrs.yml").write_text("FEEDS_USERS_ATTRS: {fw: {tags: [edge]}}\n")
    with sqlite3.connect(config / "hand_indicators.db") as con:
        con.execute("CREATE TABLE indicators (indicator, type, attributes, expiration_ts, update_ts, content)")
        now = int(time.time() * 1000)
        con.executemany(
            "INSERT INTO indicators VALUES (?, 'IPv4', ?, ?, ?, '')",
            [("5.6.7.1", '{"share_level": "red"}', now + 3_600_000, now), ("5.6.7.2", "{}", "disabled", now),
             ("5.6.7.3", "{}", now - 1, now), ("5.6.7.4", "x", None, now)],
        )  # fmt: skip
    con.close()
    return place / "local"


def passes(made: Imported, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = made.yaml()
    for name in re.findall(r"\$\{file:([^}]+)\}", text):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(made.files.get(name, "https://given.example.org/0123456789abcdef"))
    for name in re.findall(r"\$\{env:([^}]+)\}", text):
        monkeypatch.setenv(name, "https://given.example.org/0123456789abcdef")
    found = check_text(text, place / "tipline.yml")
    assert [str(problem) for problem in found.errors] == []


def one(place: Path, body: dict[str, Any], **further: Any) -> Imported:
    """A configuration of one node and what it needs."""
    nodes: dict[str, Any] = {"node": body, **further}
    path = place / "one.yml"
    with path.open("w") as file:
        YAML(typ="safe").dump({"nodes": nodes}, file)
    return import_minemeld(path)


def test_the_library_is_whole() -> None:
    assert len(stock()) == 268
    assert len({prototype.cls for prototype in stock().values()}) == 44
    assert {prototype.cls.removeprefix("minemeld.ft.") for prototype in stock().values()} <= set(CLASSES)


@pytest.mark.parametrize("name", sorted(stock()))
def test_every_stock_prototype_passes_check(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sort = class_of(stock()[name].cls).sort
    feed = {"prototype": "stdlib.listIPv4Generic"}
    body = {"prototype": name} if sort == "miner" else {"prototype": name, "inputs": ["feed"]}
    made = one(tmp_path, body, feed=feed)
    passes(made, tmp_path, monkeypatch)
    assert "node" in made.nodes()
    assert [note for note in made.notes if note.node == "node"]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_passes_check_without_settings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = one(tmp_path, {"class": name, "inputs": []})
    passes(made, tmp_path, monkeypatch)
    assert "node" in made.nodes()


def test_the_page_tells_of_every_class() -> None:
    table = dict(re.findall(r"^\| `([\w.]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    assert table == {name: cls.becomes for name, cls in CLASSES.items()}


def test_a_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = import_minemeld(lab(tmp_path))
    passes(made, tmp_path, monkeypatch)
    own = made.sources["own"]
    assert own["pattern"] == r"^(\d+) (?P<value>\S+)"
    assert own["ignore"] == ["^(?:#)"]
    assert (own["confidence"], own["tlp"], own["direction"], own["tags"]) == (80, "green", "inbound", ["campaign:x"])
    assert own["expire"] == ["left + 0s", "added + 30d"]
    assert own["basic"] == {"username": "me", "password": "${file:secrets/own.password}"}
    assert made.processors["inbound"] == {"kind": "ranges", "inputs": "inbound-in", "allow": ["wlist"]}
    assert made.processors["domains"]["allow"] == ["wldomains"]
    assert made.sources["wldomains"]["tags"] == ["exact"]
    assert made.outputs["hc"]["where"] == "confidence >= 75 and tlp == green"
    assert made.outputs["mc"]["where"] == "confidence >= 50 and confidence < 75 and tlp == green"
    assert (made.outputs["hc"]["max_tlp"], made.outputs["all"]["max_tlp"]) == ("green", "red")
    assert (made.outputs["hc"]["access"], made.outputs["hc"]["tags"]) == ("readers", ["edge"])
    assert made.outputs["all"]["tags"] == ["admins"]
    assert made.top["readers"] == {"fw": {"password": "${file:secrets/reader-fw}", "tags": ["edge"]}}
    assert made.files["secrets/reader-fw"] == APR1
    assert (made.outputs["mde"]["action"], made.outputs["mde"]["mode"]) == ("Audit", "shadow")
    assert "hunter2" not in made.yaml() + repr(made)
    assert "s3cret" not in made.yaml() + repr(made)


def test_blocking_is_kept_if_confirmed(tmp_path: Path) -> None:
    assert import_minemeld(lab(tmp_path), keep_blocking=True).outputs["mde"]["action"] == "Block"


def test_lists_and_the_local_database_are_carried_over(tmp_path: Path) -> None:
    files = import_minemeld(lab(tmp_path)).files
    assert json.loads(files["lists/wlist.jsonl"]) == {"value": "8.8.8.0/24", "tlp": "green", "comment": "ours"}
    rows = {row["value"]: row for row in map(json.loads, files["lists/hand.jsonl"].splitlines())}
    assert set(rows) == {"5.6.7.1", "5.6.7.2", "5.6.7.4"}
    assert 3500 < int(rows["5.6.7.1"]["ttl"].removesuffix("s")) <= 3600
    assert rows["5.6.7.1"]["tlp"] == "red"
    assert rows["5.6.7.2"]["ttl"] == "never"
    assert 86_000 < int(rows["5.6.7.4"]["ttl"].removesuffix("s")) <= 86_400


def rule(action: str, *conditions: str) -> dict[str, Any]:
    return {"conditions": list(conditions), "actions": [action]}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([rule("accept", "__method == 'withdraw'"), rule("accept", "type == 'IPv4'"), rule("drop")], "type == 'ipv4'"),
        ([rule("drop", "type == 'URL'")], "not (type == 'url')"),
        ([rule("drop", "type == 'URL'"), rule("accept", "confidence >= 50"), rule("drop")],
         "not (type == 'url') and confidence >= 50"),
        ([rule("accept", "direction == null"), rule("accept", "direction != 'inbound'"), rule("drop")],
         "direction == null or (direction == null or direction != 'inbound')"),
        ([rule("accept", "score < 5"), rule("drop")], "(extra.score == null or extra.score < 5)"),
        ([rule("accept", "contains(notes, 'x') == true"), rule("drop")], "contains(extra.notes, 'x')"),
        ([rule("accept", "length(sources) > 1"), rule("drop")], "confidence < 0"),
        ([rule("drop")], "confidence < 0"),
    ],
)  # fmt: skip
def test_filters(rules: list[dict[str, Any]], expected: str | None) -> None:
    found = expression(rules, lambda *_: None, Names())
    assert found == expected
    if found is not None:
        FilterSettings.model_validate({"kind": "filter", "inputs": "x", "where": found})


NAMES = Names({"ET.ips": ["et", "et-2"]}, {"aws_region": "region"}, frozenset({"campaign"}))


@pytest.mark.parametrize(
    ("condition", "expected", "told"),
    [
        ("contains(sources, 'ET.ips') == true", "'et' in sources or 'et-2' in sources", ""),
        ("sources != 'ET.ips'", "not ('et' in sources or 'et-2' in sources)", ""),
        ("sources == 'gone'", "'gone' in sources", "no source is called 'gone'"),
        ("aws_region == 'eu'", "extra.region == 'eu'", ""),
        ("campaign == 'x'", "'campaign:x' in tags", ""),
        ("campaign != 'x'", "not ('campaign:x' in tags)", ""),
        ("campaign > 3", "confidence < 0", "cannot be said"),
        ("type == 'ip'", "type == 'ipv4' or type == 'ipv6'", ""),
        ("type != 'ip'", "not (type == 'ipv4' or type == 'ipv6')", ""),
        ("type == 'process'", "confidence < 0", "there is no type 'process' here: == it is never so"),
        ("share_level == null", "confidence < 0", "never so"),
        ("dshield_country == 'US'", "extra.dshield_country == 'US'", "no source is known to give dshield_country"),
    ],
)
def test_what_filters_name_has_other_names_here(condition: str, expected: str, told: str) -> None:
    said: list[str] = []
    rules = [rule("accept", condition), rule("drop")]
    found = expression(rules, lambda _outcome, sentence: said.append(sentence), NAMES)
    assert found == expected
    FilterSettings.model_validate({"kind": "filter", "inputs": "x", "where": found})
    assert (told in said[0]) if told else said == []


def test_a_filter_that_nothing_can_pass_is_told() -> None:
    said: list[str] = []
    expression([rule("drop")], lambda _outcome, sentence: said.append(sentence), NAMES)
    assert said == ["nothing passes: no rule accepts anything that can be here"]


def test_names_come_from_the_nodes(tmp_path: Path) -> None:
    aggregate = {
        "class": "minemeld.ft.op.AggregateFT",
        "inputs": ["node"],
        "config": {"infilters": [rule("accept", "aws_region == 'eu'", "contains(sources, 'aws.AMAZON') == true"),
                                 rule("drop")]},
    }  # fmt: skip
    made = one(tmp_path, {"prototype": "aws.AMAZON"}, all=aggregate)
    assert made.processors["all-in"]["where"] == "extra.region == 'eu' and 'node' in sources"


def test_the_highest_tlp_that_rules_let_through() -> None:
    green = [rule("accept", "confidence > 75", "share_level == 'green'"), rule("drop")]
    assert (most_shared(green), most_shared([]), most_shared([rule("drop", "share_level == 'red'")])) == (1, 4, 3)


def archive(place: Path, name: str, body: bytes = b"nodes: {}", *, link: bool = False) -> Path:
    path = place / "backup.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        member = zipfile.ZipInfo(name)
        member.compress_type = zipfile.ZIP_DEFLATED
        if link:
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(member, body)
    return path


def test_a_backup(tmp_path: Path) -> None:
    root = lab(tmp_path)
    path = tmp_path / "backup.zip"
    with zipfile.ZipFile(path, "w") as made:
        for file in root.rglob("*"):
            made.write(file, file.relative_to(root))
    assert import_minemeld(path).configuration() == import_minemeld(root).configuration()


@pytest.mark.parametrize(
    ("name", "body", "link"),
    [
        ("../config/committed-config.yml", b"x", False),
        ("/etc/committed-config.yml", b"x", False),
        ("C:\\committed-config.yml", b"x", False),
        ("config/committed-config.yml", b"/etc/passwd", True),
        ("config/committed-config.yml", b"0" * (3 << 20), False),
    ],
)
def test_hostile_backups_are_refused(name: str, body: bytes, link: bool, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        import_minemeld(archive(tmp_path, name, body, link=link))


@pytest.mark.parametrize(
    "text",
    ["", "x", "nodes: 3", "nodes: {a: 3}", "nodes: !!python/object:os.system {}", "nodes: [", "\xff",
     ("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
     "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nnodes: {a: {config: {x: *g}}}")],
)  # fmt: skip
def test_what_is_no_minemeld_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "committed-config.yml").write_text(text, encoding="latin-1")
    with pytest.raises((FormatError, ConfigError)):
        import_minemeld(tmp_path / "committed-config.yml")


def test_links_in_a_directory_are_not_followed(tmp_path: Path) -> None:
    root = lab(tmp_path)
    secret = tmp_path / "elsewhere.yml"
    secret.write_text("- {indicator: 1.2.3.4}")
    (root / "config" / "hand_indicators.yml").symlink_to(secret)
    assert "1.2.3.4" not in import_minemeld(root).files["lists/hand.jsonl"]
