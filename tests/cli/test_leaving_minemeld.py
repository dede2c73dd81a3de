"""From MineMeld to tipline, end to end: a lab is imported, polled, and its lists are MineMeld's own recordings."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import ProxyHandler, Request, build_opener

import httpx
import pytest

from sources.conftest import Web

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "minemeld" / "golden"
TOR = DATA / "plain" / "tor" / "tor-exit-nodes.cut.lst"
SCRIPT = "four unrelated words: tripod lemon"  # the password of a user for scripts
PASSWORD, APR1 = "edge-secret", "$apr1$r31aBcDe$8XGyvdnZjSybtg/7iK90./"
# What the CERT publishes is what MineMeld's tests fed it with; the node's name is in some of the recorded answers.
LAB = """\
nodes:
  localdb: {prototype: minemeldlocal.cert_addresses, output: true}
  cert_urls: {prototype: minemeldlocal.cert_urls, output: true}
  cert_domains: {prototype: minemeldlocal.cert_domains, output: true}
  tor: {prototype: minemeldlocal.tor, output: true}
  own: {prototype: stdlib.listIPv4Generic, output: true, config: {attributes: {confidence: 30, share_level: green}}}
  wlist: {prototype: stdlib.listIPv4Generic, output: true}
  addresses: {prototype: stdlib.aggregatorIPv4Generic, inputs: [localdb, tor, own, wlist], output: true}
  urls: {prototype: stdlib.aggregatorURL, inputs: [cert_urls, wlist], output: true}
  domains: {prototype: stdlib.aggregatorDomain, inputs: [cert_domains, wlist], output: true}
  IPv4HC: {prototype: stdlib.feedHCGreen, inputs: [addresses], output: false}
  IPv4MC: {prototype: stdlib.feedMCGreen, inputs: [addresses], output: false}
  IPv4LC: {prototype: stdlib.feedLCGreen, inputs: [addresses], output: false}
  URLHC: {prototype: stdlib.feedHCGreen, inputs: [urls], output: false}
  DomainHC: {prototype: stdlib.feedHCGreen, inputs: [domains], output: false}
  taxii: {prototype: stdlib.taxiiDataFeed, inputs: [addresses], output: false}
"""
LOCAL = """\
prototypes:
  cert_addresses:
    class: minemeld.ft.http.HttpFT
    config:
      url: %(web)s/cert/IPv4.lst
      age_out: {default: null, sudden_death: true}
      attributes: {type: IPv4, confidence: 100, share_level: green}
      username: lab
      password: s3cret
  cert_urls:
    class: minemeld.ft.http.HttpFT
    config:
      url: %(web)s/cert/URL.lst
      age_out: {default: null, sudden_death: true}
      source_name: localdb
      attributes: {type: URL, confidence: 100, share_level: green}
  cert_domains:
    class: minemeld.ft.http.HttpFT
    config:
      url: %(web)s/cert/domain.lst
      source_name: localdb
      age_out: {default: null, sudden_death: true}
      attributes: {type: domain, confidence: 100, share_level: green}
  tor:
    class: minemeld.ft.http.HttpFT
    config:
      url: %(web)s/tor
      source_name: tor.exits
      ignore_regex: '#'
      age_out: {default: null, sudden_death: true}
      attributes: {type: IPv4, confidence: 60, share_level: green}
"""
SIDE = {
    "config/wlist_indicators.yml": "- {indicator: 1.1.2.0/24, share_level: green, comment: ours}\n"
    "- {indicator: 101.99.92.182, share_level: green}\n",
    "config/own_indicators.yml": "- {indicator: 9.9.9.40, share_level: green, comment: by hand}\n",
    "config/api/feeds.htpasswd": f"edge:{APR1}\n",
    "config/api/10-defaults.yml": "FEEDS_AUTH_ENABLED: true\n",
    "config/api/50-feeds-attrs.yml": "FEEDS_ATTRS: {IPv4HC: {tags: [fw]}, IPv4MC: {tags: [fw]}, IPv4LC: {tags: [fw]},"
    " URLHC: {tags: [fw]}, DomainHC: {tags: [fw]}, taxii: {tags: [any]}, }\n",
    "config/api/50-feeds-users-attrs.yml": "FEEDS_USERS_ATTRS: {edge: {tags: [fw]}}\n",
}
NAMES = sorted(unquote(each.name).removesuffix(".result") for each in GOLDEN.glob("*.result"))
TAXII = {
    "X-TAXII-Content-Type": "urn:taxii.mitre.org:message:xml:1.1",
    "X-TAXII-Protocol": "urn:taxii.mitre.org:protocol:http:1.0",
    "X-TAXII-Services": "urn:taxii.mitre.org:services:1.1",
    "Content-Type": "application/xml",
}
POLL = (
    '<Poll_Request xmlns="http://taxii.mitre.org/messages/taxii_xml_binding-1.1" message_id="1"'
    ' collection_name="taxii"><Poll_Parameters/></Poll_Request>'
)


def published(path: str) -> tuple[int, dict[str, str], bytes]:
    """What the feeds' sites answer."""
    file = TOR if path == "/tor" else GOLDEN / path.removeprefix("/cert/")
    return 200, {}, file.read_bytes()


@pytest.fixture
def minemeld(place: Path, web: Web) -> Path:
    """A MineMeld's local directory; its feeds answer on this machine."""
    web.answer = published
    local = place / "minemeld" / "local"
    files = {"config/committed-config.yml": LAB, "prototypes/minemeldlocal.yml": LOCAL % {"web": web.url("")}, **SIDE}
    for name, text in files.items():
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_text(text)
    return local


@pytest.fixture
def imported(minemeld: Path, place: Path, tipline_: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a tipline that took the MineMeld over as the how-to says."""
    answer = tipline_("import", "minemeld", str(minemeld), "--output", "moved/tipline.yml", "--json")
    assert answer.code == 0, answer.err
    assert PASSWORD not in answer.out + (place / "moved" / "tipline.yml").read_text()
    assert "s3cret" not in answer.out + (place / "moved" / "tipline.yml").read_text()
    monkeypatch.chdir(place / "moved")
    assert tipline_("check").code == 0
    (place / "script.txt").write_text(SCRIPT)
    made = tipline_("user", "add", "script", "--role", "analyst", "--password-file", str(place / "script.txt"))
    assert made.code == 0, made.err
    for name in ("own", "wlist"):
        with (place / "moved" / "lists" / f"{name}.jsonl").open() as lines:
            monkeypatch.setattr("sys.stdin", lines)
            assert tipline_("add", "-", "--source", name).code == 0
    done = tipline_("run", "--once", "--json")
    assert done.code == 0, done.out
    ledgers = {poll["source"]: poll["ledger"] for poll in done.json["polls"]}
    for ledger in ledgers.values():
        assert ledger["read"] == ledger["accepted"] + ledger["duplicate"] + sum(ledger["dropped"].values())
    assert (ledgers["localdb"]["dropped"], ledgers["cert_urls"]["dropped"]) == (
        {},
        {"bad-url": 2, "regular-expression": 1},
    )
    return place / "moved"


def golden(name: str) -> str:
    """An expected answer of MineMeld's."""
    return next(each for each in GOLDEN.iterdir() if unquote(each.name) == f"{name}.result").read_bytes().decode()


def expected(name: str) -> str:
    """An expected answer with the differences that the how-to tells.

    The range that the allow-list takes out and URLs of wildcards are in no list; a node is named by its own name; the
    share level and the times are those of this lab; Carbon Black gets tipline's logo and the moment of the list.
    """
    feed, _, query = name.partition("?")
    if "s=5" in query:
        return "".join(expected(feed).splitlines(keepends=True)[5:15])
    gone = r"\*|^(example\.com|feyda\.net)/" if feed == "URLHC" else r"\b1\.1\.2\."
    text = "\n".join(line for line in golden(name).split("\n") if not re.search(gone, line))
    if text.endswith(",\n"):
        text = text[:-2] + "]\n"  # the array's last element was one of those
    if feed == "URLHC":
        text = text.replace("localdb", "cert_urls")
    return same_everywhere(text)


def same_everywhere(text: str) -> str:
    """A list without what differs from one lab to the next."""
    text = re.sub(r'"(first_seen|last_seen|timestamp)":( ?)\d+', r'"\1":\g<2>0', text)
    text = re.sub(r'  "icon(?:_small)?": "[^"]*",', "", text)
    return text.replace('"share_level":"red"', '"share_level":"green"')


def read(client: httpx.Client, path: str) -> str:
    """A list's text, once the server has prepared it."""
    end = time.monotonic() + 30
    while not (text := client.get(path).raise_for_status().text).strip() and time.monotonic() < end:
        time.sleep(0.1)
    return text


def called(base: Any, path: str, body: Any = None) -> Any:
    """An answer of MineMeld's API, called with urllib and basic authentication as published scripts do."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{base}{path}", data=data, headers={"Content-Type": "application/json"})
    request.add_header("Authorization", "Basic " + b64encode(f"script:{SCRIPT}".encode()).decode())
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return json.loads(answer.read())["result"]


def scripts_go_on(edge: httpx.Client) -> None:
    """A script adds an indicator where it always did, and it is in the list where it always was."""
    base = str(edge.base_url).rstrip("/")
    classes = {node["name"]: node["class"] for node in called(base, "/status/minemeld")}
    assert (classes["own"], classes["IPv4LC"]) == ("minemeld.ft.localdb.Miner", "minemeld.ft.redis.RedisSet")
    assert set(called(base, "/config/running")["nodes"]) >= {"localdb", "own", "wlist", "addresses", "IPv4HC", "taxii"}
    address = "/config/data/own_indicators/append?h=own&t=localdb"
    record = {"indicator": "9.9.9.41", "type": "IPv4", "share_level": "green", "comment": "ticket 7", "ttl": 3600}
    assert called(base, address, record) == "ok"
    assert read(edge, "/feeds/IPv4LC") == "9.9.9.40-9.9.9.40\n9.9.9.41-9.9.9.41\n"
    (there,) = (r for r in called(base, "/config/data/own_indicators?t=localdb") if r["indicator"] == "9.9.9.41")
    assert there["_expiration_ts"] - there["_update_ts"] == 3_600_000
    assert called(base, address, {**record, "ttl": 0}) == "ok"
    assert read(edge, "/feeds/IPv4LC") == "9.9.9.40-9.9.9.40\n"
    allowed_too = {"indicator": "9.9.9.40", "type": "IPv4"}
    assert called(base, "/config/data/wlist_indicators/append?h=wlist", allowed_too) == "ok"
    assert edge.get("/feeds/IPv4LC").text == "\n"  # MineMeld's empty list


def test_a_lab_moves(imported: Path, serving: Any) -> None:
    """The lists are MineMeld's byte for byte, but for what the how-to says; an imported reader reads them."""
    with (
        serving("serve", "--port", "0", "--config", str(imported / "tipline.yml")) as server,
        httpx.Client(base_url=server["urls"][0], auth=("edge", PASSWORD), trust_env=False) as edge,
    ):
        for name in NAMES:
            assert read(edge, f"/feeds/{name.partition('?')[0]}")
            text = edge.get(f"/feeds/{name}").raise_for_status().text
            assert same_everywhere(text) == expected(name), name
        tor = {f"{line}-{line}" for line in TOR.read_text().split() if ":" not in line}
        assert set(read(edge, "/feeds/IPv4MC").split()) == tor - {"101.99.92.182-101.99.92.182"}
        assert read(edge, "/feeds/IPv4LC") == "9.9.9.40-9.9.9.40\n"

        scripts_go_on(edge)

        answer = edge.post("/taxii-poll-service", content=POLL, headers=TAXII).raise_for_status().text
        assert answer.count("<stix:Indicator ") >= len(tor)
        assert "101.99.92.182" not in answer

        for auth in (None, ("edge", "wrong"), ("nobody", PASSWORD)):
            assert httpx.get(f"{edge.base_url}/feeds/IPv4HC", auth=auth, trust_env=False).status_code == 401
