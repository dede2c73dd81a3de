"""Bodies that no publisher means to send, for every kind of feed that reads bodies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl
from ruamel.yaml import YAML

from tipline.errors import TiplineError
from tipline.formats.dialects import READERS
from tipline.model.claims import CLAIM_SCHEMA
from tipline.model.normalise import conform
from tipline.model.reasons import DROP_REASONS
from tipline.sources.base import PollContext
from tipline.sources.bodies import feed_kinds, read_body
from tipline.sources.feed import Feed

DATA = Path(__file__).parents[1] / "data"
SECONDS = 60

_STIX2 = (
    b'{"type":"bundle","id":"bundle--1","objects":[{"type":"indicator","id":"indicator--1","pattern_type":"stix",'
    b'"created":"2024-01-02T00:00:00Z","modified":"2024-01-02T00:00:00Z","valid_from":"2024-01-02T00:00:00Z",'
    b"\"pattern\":\"[ipv4-addr:value = '45.77.1.2' OR domain-name:value IN ('a.com')] AND [url:value LIKE 'x%']\"},"
    b'{"type":"indicator","id":"indicator--2","pattern_type":"stix","created":"2024-01-02T00:00:00Z",'
    b'"modified":"2024-01-02T00:00:00Z","valid_from":"2024-01-02T00:00:00Z","pattern":"[url:value = \'http://a.com/\']"},'
    b'{"type":"relationship","relationship_type":"indicates","source_ref":"indicator--1","target_ref":"malware--1"}]}'
)
_STIX1 = (
    b'<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" xmlns:indicator="http://stix.mitre.org/Indicator-2"'
    b' xmlns:cybox="http://cybox.mitre.org/cybox-2" xmlns:a="http://cybox.mitre.org/objects#AddressObject-2"'
    b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" id="p-1" timestamp="2024-01-02T00:00:00Z">'
    b"<stix:Indicators>"
    b'<stix:Indicator id="i-1"><indicator:Title>x</indicator:Title><indicator:Observable idref="o-1"/></stix:Indicator>'
    b'</stix:Indicators><stix:Observables><cybox:Observable id="o-1"><cybox:Object><cybox:Properties'
    b' xsi:type="a:AddressObjectType" category="ipv4-addr"><a:Address_Value condition="Equals"'
    b' apply_condition="ANY">45.77.1.2##comma##45.77.1.3</a:Address_Value></cybox:Properties></cybox:Object>'
    b"</cybox:Observable></stix:Observables></stix:STIX_Package>"
)
_MISP = (
    b'{"Event":{"uuid":"5bbe58cb-eb4c-48ea-9cbc-79220a016219","info":"x","date":"2024-01-02","Attribute":['
    b'{"type":"domain|ip","value":"a.com|45.77.1.2","to_ids":"1","timestamp":"1"}],'
    b'"Object":[{"Attribute":[{"type":"md5","value":"x"}]}],"Tag":[{"name":"tlp:red"}]}}'
)
#: Well-formed bodies by kind, which the hostile ones are made of; kinds without one get all of them.
SEEDS: dict[str, list[bytes]] = {
    "csv": [b'a,type,tlp,first_seen\r\n"evil.com","domain",green,2024-01-02\r\n45.77.1.2,ip,red,x\r\n', b"a;b\n1;2\n"],
    "lines": [b"# list\nevil.com\n45.77.1.2/24 ; note\nhttp://a.com/b?c,d\n", b"0.0.0.0 evil.com other.com # x\n"],
    "json": [
        b'[{"ioc":"evil.com","tags":["a"],"n":{"m":1}},{"ioc":"45.77.1.2"}]',
        b'{"ioc":"a.com"}\n{"ioc":"b.com"}\n',
    ],
    "stix1": [
        _STIX1,
        b'<t:P xmlns:t="urn:t"><t:Content_Block>' + _STIX1 + b"</t:Content_Block><t:Content_Block/></t:P>",
    ],
    "stix2": [_STIX2],
    "misp-file": [_MISP],
    "freetext": [
        b"See hxxps[:]//evil[.]com/a, mallory[at]evil[.]com\nand 2001[:]db8[:]:1; d41d8cd98f00b204e980\n0998ecf8427e [x](http://a.com)",
        b"<html><body><table><tr><td>evil[.]com</td></tr></table></body></html>",
    ],
    "hosts": [b"0.0.0.0 evil.com other.com # x\n::1 localhost\n198.51.100.1 kept.com\n"],
    "dnsmasq": [b"address=/evil.com/0.0.0.0\nlocal=/a.com/b.com/\nserver=/c.com/\naddress=/d.com/198.51.100.1\n"],
    "unbound": [b'local-zone: "evil.com" always_nxdomain\nlocal-data: "a.com. A 0.0.0.0"\nserver:\n'],
    "rpz": [
        (
            b"$TTL 300\n$ORIGIN rpz.example.\n@ SOA a. b. ( 1 2\n 3 4 5 )\nevil.com CNAME .\n*.evil.com CNAME .\n"
            b"24.0.2.77.45.rpz-ip CNAME *.\na.com CNAME rpz-passthru.\nb.com A 198.51.100.1\n"
        ),
    ],
    "adblock": [b"[Adblock Plus]\n! x\n||evil.com^\n@@||good.com^\n||a.com^$third-party\n0.0.0.0 b.com\nc.com##.ad\n"],
    "zeek": [
        (
            b"#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\nevil.com\tIntel::DOMAIN\tx\t\\x41\n"
            b"45.77.1.2\tIntel::ADDR\tx\t-\n"
        ),
    ],
    "suricata": [
        (
            b'alert ip [45.77.1.2,45.77.1.0/24] any -> $HOME_NET any (msg:"x"; sid:1; rev:1;)\n'
            b'alert dns any any -> any any (msg:"y"; dns.query; content:"evil.com"; bsize:8; sid:2;)\n'
        ),
    ],
    "suricata-dataset": [b"ZXZpbC5jb20=\naHR0cDovL2EuY29tL2I=\nd41d8cd98f00b204e9800998ecf8427e\n"],
    "suricata-iprep": [b"45.77.1.2,1,100\n45.77.2.0/24,2,30\n"],
    "ipset": [b"create a hash:net family inet\nadd a 45.77.1.0/24 timeout 0\nadd a 45.77.2.1\n45.77.3.1\n"],
    "html": [
        b"<table><tr><th>IP address</th><th>Since</th></tr><tr><td rowspan=2 colspan=3>45.77.1.2</td></tr></table>"
    ],
    "rss": [
        b"<rss><channel><item><guid>1</guid><link>http://a.com</link><description>evil[.]com</description></item></channel></rss>",
        (
            b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>1</id><link rel="alternate" href="http://a.com"/>'
            b"<content type='xhtml'><div>45.77.1[.]2<p>x</p></div></content></entry></feed>"
        ),
    ],
}
#: Settings under which the seeds are read, in place of those of a kind's example.
SETTINGS: dict[str, dict[str, Any]] = {
    "csv": {"columns": {"value": 1, "type": 2, "tlp": 3, "first_seen": 4}, "short_rows": "keep"},
    "html": {"columns": {"value": 1}},
    "json": {"fields": {"value": "ioc", "tags": "tags"}},
}
#: What is put in between.
NASTY = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n" * 50,
    b'"',
    b'""' * 40,
    b"'",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"," * 300,
    b"[" * 3000,
    b"{" * 500,
    b'{"a":' * 800,
    b"(" * 200,
    b"]" * 20,
    b"<" * 200,
    b"<a>" * 2000,
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
    b"<![CDATA[",
    b"&#0;",
    b"&#xD800;",
    b"hxxp" * 50,
    b"[.]" * 200,
    b"a." * 400,
    b"1." * 300,
    b":" * 300,
    b"f" * 3000,
    b"%" * 50,
    b"1e999",
    b"-1",
    b"NaN",
    b"null",
    b"true",
    b"9" * 400,
    "\u202e\u200b\ue000\ufffd".encode(),
    "\U0001f600".encode() * 20,
    b"=cmd|' /C calc'!A0",
    b"%PDF-1.4\n",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"../" * 50,
    b"' OR ",
    b" AND [",
    b"\x0c\x0b\x85",
    b"--",
]


@contextmanager
def within(seconds: int = SECONDS) -> Iterator[None]:
    """Fail rather than hang."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@cache
def feed(kind: str) -> Feed:
    """A feed of a kind with the settings that its seeds need, or those of its example; or lists of a dialect."""
    if kind in READERS:
        made = feed_kinds()["lines"]
        return made("hostile", made.Settings.model_validate({"kind": "lines", "url": "body", "dialect": kind}))
    made = feed_kinds()[kind]
    given = {"kind": kind, "url": "body", **SETTINGS[kind]} if kind in SETTINGS else YAML(typ="safe").load(made.example)
    return made("hostile", made.Settings.model_validate(given))


def judge(kind: str, body: bytes, spool: Path) -> int:
    """Read a body as a poll would: rows, each accepted or dropped with a reason, or the documented error.

    Returns:
        The number of rows.
    """
    path = spool / "body"
    path.write_bytes(body)
    context = PollContext(spool, {}, datetime(2026, 1, 1), "hostile")  # noqa: DTZ001 - the engine's times are naive UTC
    rows = 0
    try:
        for frame in read_body(feed(kind), path, context, "hostile").frames():
            rows += _balanced(frame)
    except TiplineError:
        rows = 0
    left = sorted(file.name for file in spool.iterdir() if file.name != "body")
    for name in left:
        (spool / name).unlink()
    return rows


def _balanced(frame: pl.DataFrame) -> int:
    claims = conform(frame)
    assert claims.schema == CLAIM_SCHEMA
    assert claims.height == frame.height
    kept = claims.filter(pl.col("drop").is_null())
    assert not kept["value"].is_null().any()
    assert not kept["type"].is_null().any()
    reasons = set(claims["drop"].drop_nulls().str.extract(r"\A([^:]+)").unique())
    assert reasons <= {*DROP_REASONS, "bad-row"}
    return claims.height
