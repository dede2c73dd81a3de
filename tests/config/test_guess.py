"""A feed that nobody described: the kind and settings that read it, shown with the kind's own parser."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.tryfeeds import score, score_variants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tipline.config.check import check_text
from tipline.config.guess import Guess, guess
from tipline.errors import FetchError, TiplineError
from tipline.kinds import kinds

DATA = Path(__file__).parent.parent / "data"
HASH = "0a" * 32


def of(tmp_path: Path, body: str | bytes, **over: Any) -> Guess:
    path = tmp_path / "feed"
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return guess(str(path), over)


def form(found: Guess) -> dict[str, Any]:
    return {key: value for key, value in found.settings.items() if key != "url"}


def test_it_is_right_on_nine_fixtures_of_ten() -> None:
    right, misses = score(DATA)
    assert right >= 40
    assert right >= 0.9 * (right + len(misses)), misses


def test_it_is_right_on_nine_of_ten_in_other_clothes() -> None:
    """Every sixth of the variants; `python -m benchmarks.tryfeeds` tries them all."""
    right, misses = score_variants(DATA, among=6)
    assert right >= 40
    assert right >= 0.9 * (right + len(misses)), misses


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("203.0.113.5\nevil.com\n", {"kind": "lines"}),
        ("0.0.0.0 evil.com\n0.0.0.0 bad.org\n", {"kind": "lines", "dialect": "hosts"}),
        ("address=/evil.com/0.0.0.0\n", {"kind": "lines", "dialect": "dnsmasq"}),
        ('server:\nlocal-zone: "evil.com" static\n', {"kind": "lines", "dialect": "unbound"}),
        ("@ IN SOA a. b. 1 1 1 1 1\nevil.com CNAME .\n", {"kind": "lines", "dialect": "rpz"}),
        ("! x\n||evil.com^\n@@||good.com^\n", {"kind": "lines", "dialect": "adblock"}),
        ("#fields\tindicator\tindicator_type\nevil.com\tIntel::DOMAIN\n", {"kind": "lines", "dialect": "zeek"}),
        ('alert ip 8.8.4.4 any -> any any (msg:"x"; sid:1;)\n', {"kind": "lines", "dialect": "suricata"}),
        ("create x hash:ip\nadd x 8.8.4.4\n", {"kind": "lines", "dialect": "ipset"}),
        ("8.8.4.4,1,100\n8.8.8.8,2,3\n", {"kind": "lines", "dialect": "suricata-iprep"}),
        ("ZXZpbC5jb20=\nYmFkZG9tYWluLm9yZw==\n", {"kind": "lines", "dialect": "suricata-dataset"}),
        (f"a;{HASH};2026-01-02 03:04:05\nb;{HASH};2026-01-02 03:04:05\n",
         {"kind": "csv", "header": False, "delimiter": ";", "columns": {"value": 2, "first_seen": 3}}),
        ("ioc\ttype\tconfidence\nevil.com\tdomain\t80\n",
         {"kind": "csv", "delimiter": "tab", "columns": {"value": "ioc", "type": "type", "confidence": "confidence"}}),
        ("# first_seen,ip\n2026-01-02 03:04:05,8.8.4.4\n",
         {"kind": "csv", "header": False, "columns": {"value": 2, "first_seen": 1}}),
        (json.dumps({"data": {"items": [{"ioc": "evil.com", "added": "2026-01-02"}]}}),
         {"kind": "json", "rows": "data.items", "fields": {"value": "ioc", "first_seen": "added"}}),
        ('{"ip": "8.8.4.4"}\n{"ip": "8.8.8.8"}\n', {"kind": "json", "fields": {"value": "ip"}}),
        ("User Agent;Category\n(hydra);tool\nccminer;miner\nXMRig;miner\n",
         {"kind": "csv", "delimiter": ";", "columns": {"value": "User Agent"}, "type": "user-agent"}),
        (f"what;hash\na;'{HASH}, {HASH}'\nb;{HASH}\nc;{HASH}\n".replace("'", '"'),
         {"kind": "csv", "delimiter": ";", "columns": {"value": "hash"}, "split": ","}),
        ('["evil.com", "8.8.4.4"]', {"kind": "json", "fields": {"value": "@"}}),
        ("The group used evil[.]com and hxxp://bad[.]org/x in its mails last week.\n", {"kind": "freetext"}),
    ],
)  # fmt: skip
def test_forms(body: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found = of(tmp_path, body)
    assert form(found) == expected
    assert found.preview.accepted > 0


def test_misp_and_stix_are_known_by_their_marks(tmp_path: Path) -> None:
    event = next((DATA / "misp-feed").rglob("07124362*.json"))
    assert form(guess(str(event))) == {"kind": "misp-file"}
    found = guess(str(DATA / "misp-feed" / "manifest.json"))
    assert (found.settings["kind"], found.settings["url"]) == ("misp-feed", str(DATA / "misp-feed"))
    bundle = {"type": "bundle", "id": "bundle--1", "objects": []}
    assert of(tmp_path, json.dumps(bundle)).settings["kind"] == "stix2"


def test_packed_and_differently_encoded_feeds(tmp_path: Path) -> None:
    assert form(of(tmp_path, gzip.compress(b"evil.com\nbad.org\n"))) == {"kind": "lines"}
    assert form(of(tmp_path, "evil.com\nbad.org\n".encode("utf-16"))) == {"kind": "lines"}


def test_what_is_given_wins(tmp_path: Path) -> None:
    found = of(tmp_path, "8.8.4.4,x\n8.8.8.8,y\n", kind="lines", confidence=90)
    assert form(found) == {"kind": "lines", "confidence": 90}
    assert {sample["confidence"] for sample in found.preview.samples} == {None}


def test_no_feed_says_so(tmp_path: Path) -> None:
    assert "no indicators" in of(tmp_path, "Policy,Owner\nBackups,Ann\n").preview.note
    assert "empty" in of(tmp_path, "").preview.note
    with pytest.raises(FetchError):
        guess(str(tmp_path / "missing"))


def test_private_addresses_are_not_fetched() -> None:
    with pytest.raises(FetchError, match="refused"):
        guess("http://127.0.0.1:1/feed.txt")


def test_the_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tipline.config.guess.by_url", lambda url: type("Entry", (), {"name": "known"})())
    assert of(tmp_path, "evil.com\n").library == "known"


def test_the_printed_source_passes_check_and_reads_the_same(tmp_path: Path) -> None:
    found = guess(str(DATA / "plain" / "tweetfeed" / "today.csv"))
    text = f"{found.yaml()}outputs:\n  all: {{kind: list, inputs: {found.name}}}\n"
    checked = check_text(text, tmp_path / "tipline.yml")
    assert [str(problem) for problem in checked.problems] == []
    assert checked.configuration is not None
    assert found.name in checked.configuration.sources


_TEXT = "evil.com 8.8.4.4 , ; | # { [ ] } : <html> <rss ip type @ SOA CNAME . || ^ %PDF-1.4 é 2026-01-02"
_PIECES = st.sampled_from([*_TEXT.split(), "\t", "\n", '"', " ", "\x00", "\ufeff", "0" * 64, "\r\n"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(pieces=st.lists(_PIECES, max_size=30))
def test_no_text_breaks_it(pieces: list[str], tmp_path: Path) -> None:
    try:
        found = of(tmp_path, "".join(pieces))
    except TiplineError:
        return
    assert found.settings["kind"] in kinds("source")
    seen = found.preview
    assert seen.read == seen.accepted + sum(drop["count"] for drop in seen.drops.values())
