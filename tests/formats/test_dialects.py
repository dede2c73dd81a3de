"""Lists with a syntax of their own: what they block is taken, everything else is dropped with its reason."""

from __future__ import annotations

import base64
import functools
import operator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.errors import FormatError
from tipline.formats import base, lines
from tipline.formats.base import Context
from tipline.formats.dialects import READERS
from tipline.formats.lines import LinesSettings
from tipline.model import DROP_REASONS, conform

DATA = Path(__file__).parent.parent / "data"


def read(body: str, dialect: str, **options: Any) -> list[tuple[str, str | None]]:
    """Each row's value with the reason why it is dropped, before normalising."""
    frame = rows(body, dialect, **options)
    return list(zip(frame["value"], frame["drop"], strict=True))


def rows(body: str, dialect: str, **options: Any) -> pl.DataFrame:
    made = LinesSettings.model_validate({"dialect": dialect, **options})
    frames = [READERS[dialect](made.redirects)(pl.DataFrame({"line": body.split("\n")}))]
    return pl.concat([pl.DataFrame(schema={"value": pl.String, "drop": pl.String}), *frames], how="diagonal")


def taken(body: str, dialect: str, **options: Any) -> list[str]:
    return [value for value, drop in read(body, dialect, **options) if drop is None]


def reasons(body: str, dialect: str, **options: Any) -> list[str | None]:
    return [drop for _, drop in read(body, dialect, **options)]


def test_hosts_names_with_an_address_of_their_own_are_no_blocks() -> None:
    body = "0.0.0.0 a.com\n::1 b.com\n216.239.38.120 www.google.com # safe search\n127.0.0.1 localhost\n0 c.com"
    assert read(body, "hosts") == [
        ("a.com", None),
        ("b.com", None),
        ("216.239.38.120 www.google.com # safe search", "redirected"),
        ("0 c.com", "bad-row"),
    ]
    assert taken(body, "hosts", redirects=True) == ["a.com", "b.com", "www.google.com"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("address=/a.com/", [("a.com", None)]),
        ("address=/a.com/0.0.0.0", [("a.com", None)]),
        ("address=/a.com/#", [("a.com", None)]),
        ("address=/.a.com/b.com/::", [("a.com", None), ("b.com", None)]),
        ("local=/a.com/   # why", [("a.com", None)]),
        ("server=/a.com/", [("a.com", None)]),
        ("server=/a.com/#", [("server=/a.com/#", "allow-entry")]),
        ("server=/corp.example/10.0.0.1", [("server=/corp.example/10.0.0.1", "list-rule")]),
        ("address=/google.com/216.239.38.120", [("address=/google.com/216.239.38.120", "redirected")]),
        ("address=/#/1.2.3.4", [("address=/#/1.2.3.4", "list-rule")]),
        ("cache-size=1000", [("cache-size=1000", "list-rule")]),
        ("# address=/a.com/", []),
    ],
)
def test_dnsmasq(line: str, found: list[tuple[str, str | None]]) -> None:
    assert read(line, "dnsmasq") == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("server:", []),
        ('local-zone: "a.com." always_nxdomain', [("a.com", None)]),
        ("local-zone: a.com static", [("a.com", None)]),
        ('local-zone: "a.com" transparent', [('local-zone: "a.com" transparent', "allow-entry")]),
        ('local-zone: "a.com" redirect', [('local-zone: "a.com" redirect', "list-rule")]),
        ('local-data: "a.com. 60 IN A 0.0.0.0"', [("a.com", None)]),
        ('local-data: "a.com A 192.0.2.1"', [('local-data: "a.com A 192.0.2.1"', "redirected")]),
        ("verbosity: 1", [("verbosity: 1", "list-rule")]),
    ],
)
def test_unbound(line: str, found: list[tuple[str, str | None]]) -> None:
    assert read(line, "unbound") == found


ZONE = """\
$TTL 2h ; of all
@ IN SOA localhost. root.localhost. (
    6 ; serial
    1h 15m 30d 2h )
@ NS localhost.
bad.com CNAME . ; NXDOMAIN
*.bad.com 60 IN CNAME .
nodata.com IN 60 CNAME *.
drop.com CNAME rpz-drop.
      TXT "why; really (yes"
ok.com CNAME rpz-passthru.
old-ok.com CNAME old-ok.com.
slow.com CNAME rpz-tcp-only.
www.google.com CNAME forcesafesearch.google.com.
sink.com A 0.0.0.0
page.com AAAA 2001:db8::1
32.4.3.2.1.rpz-ip CNAME .
24.0.2.0.192.rpz-ip CNAME .
128.1.zz.db8.2001.rpz-ip CNAME .
48.zz.db8.2001.rpz-ip CNAME rpz-drop.
128.8.7.6.5.4.3.2.2001.rpz-ip CNAME .
32.1.0.0.10.rpz-client-ip CNAME rpz-drop.
ns.bad.net.rpz-nsdname CNAME .
"""


def test_rpz_triggers_and_actions() -> None:
    assert taken(ZONE, "rpz") == [
        "bad.com",
        "*.bad.com",
        "nodata.com",
        "drop.com",
        "sink.com",
        "1.2.3.4/32",
        "192.0.2.0/24",
        "2001:db8::1/128",
        "2001:db8::/48",
        "2001:2:3:4:5:6:7:8/128",
    ]
    dropped = {value.split()[0]: drop for value, drop in read(ZONE, "rpz") if drop is not None}
    assert dropped == {
        "TXT": "list-rule",
        "ok.com": "allow-entry",
        "old-ok.com": "allow-entry",
        "slow.com": "list-rule",
        "www.google.com": "redirected",
        "page.com": "redirected",
        "32.1.0.0.10.rpz-client-ip": "list-rule",
        "ns.bad.net.rpz-nsdname": "list-rule",
    }
    assert {"www.google.com", "page.com"} <= set(taken(ZONE, "rpz", redirects=True))


def test_rpz_owners_are_within_their_zone() -> None:
    absolute = "rpz.x.org. 60 IN SOA a. b. 1 1 1 1 1\nbad.com.rpz.x.org.\t300\tIN\tCNAME\t.\nrpz.x.org. IN NS a.\n"
    assert read(absolute, "rpz") == [("bad.com", None)]
    origin = "$ORIGIN rpz.x.org.\n@ SOA a. b. 1 1 1 1 1\na CNAME .\n$ORIGIN com.rpz.x.org.\nbad CNAME .\n"
    assert read(origin, "rpz") == [("a", None), ("bad.com", None)]


def test_rpz_records_go_over_the_ends_of_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(ZONE)
    whole = [f["value"].to_list() for f in lines.read(path, LinesSettings(dialect="rpz"), Context("z"))]
    with path.open("rb") as stream:
        assert len(list(base.line_blocks(stream, Context("z"), 40))) > 5
    real = base.line_blocks
    monkeypatch.setattr(lines, "line_blocks", lambda stream, ctx: real(stream, ctx, 40))
    parts = [f["value"].to_list() for f in lines.read(path, LinesSettings(dialect="rpz"), Context("z"))]
    assert functools.reduce(operator.iadd, parts, []) == functools.reduce(operator.iadd, whole, [])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("||a.com^", ("a.com", None)),
        ("||a.com^$third-party,important", ("a.com", None)),
        ("|a.com^", ("a.com", None)),
        ("a.com", ("a.com", None)),
        ("a.com # note", ("a.com", None)),
        ("||192.0.2.1^", ("192.0.2.1", None)),
        ("0.0.0.0 a.com", ("a.com", None)),
        ("|https://a.com/x?y=1|", ("https://a.com/x?y=1", None)),
        ("@@||a.com^", ("@@||a.com^", "allow-entry")),
        ("||a.com^$badfilter", ("||a.com^$badfilter", "allow-entry")),
        ("||a.com^$domain=b.com", ("||a.com^$domain=b.com", "list-rule")),
        ("||a.com^$~third-party", ("||a.com^$~third-party", "list-rule")),
        ("||a.com^$denyallow=x.a.com", ("||a.com^$denyallow=x.a.com", "list-rule")),
        ("||a.com/path", ("||a.com/path", "list-rule")),
        ("|https://a.com/x", ("|https://a.com/x", "list-rule")),
        ("/ads/*", ("/ads/*", "list-rule")),
        ("-banner-", ("-banner-", "list-rule")),
        ("/ad[0-9]+/", ("/ad[0-9]+/", "regular-expression")),
        ("||ads*.a.com^", ("||ads*.a.com^", "wildcard")),
        ("a.com##.banner", ("a.com##.banner", "list-rule")),
        ("##.banner", ("##.banner", "list-rule")),
        ("a.com#@#.banner", ("a.com#@#.banner", "list-rule")),
        ("a.com#%#var x = 1;", ("a.com#%#var x = 1;", "list-rule")),
    ],
)
def test_adblock(line: str, found: tuple[str, str | None]) -> None:
    assert read(line, "adblock") == [found]


def test_adblock_comments_are_no_rows() -> None:
    assert read("[Adblock Plus 2.0]\n! Title: x\n# hosts style\n!\n#\n####\n", "adblock") == []


def test_zeek_types_attributes_and_unset_cells() -> None:
    body = (
        "#separator \\x09\n#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.url\n"
        "192.0.2.0/24\tIntel::SUBNET\tx\t-\thttps://r.example/\n"
        "a\\x5cb.exe\tIntel::FILE_NAME\t-\tseen\\x20here\t-\n"
        "short\tIntel::DOMAIN\n"
        "\n#fields\tindicator_type\tindicator\nIntel::EMAIL\ta@b.example\n"
    )
    frame = rows(body, "zeek")
    assert frame["value"].to_list() == ["192.0.2.0/24", "a\\b.exe", "short\tIntel::DOMAIN", "a@b.example"]
    assert frame["drop"].to_list() == [None, None, "bad-row", None]
    assert frame["description"].to_list()[:2] == [None, "seen here"]
    assert frame["references"].to_list()[:2] == ["https://r.example/", None]
    assert frame["extra"].to_list()[0] == '{"meta.source":"x"}'


@pytest.mark.parametrize("body", ["a.com\tIntel::DOMAIN\n", "#fields\tts\tuid\n"])
def test_what_is_no_zeek_intelligence_is_refused(body: str) -> None:
    with pytest.raises(FormatError, match="#fields"):
        read(body, "zeek")


@pytest.mark.parametrize(("name", "count"), [("gru-aa25", 125), ("abuse-ch-urlhaus", 0)])
def test_real_zeek_files(name: str, count: int) -> None:
    settings = LinesSettings(dialect="zeek")
    frames = list(lines.read(DATA / f"plain/zeek-intel/{name}.intel", settings, Context("feed")))
    claims = [conform(frame) for frame in frames]
    assert sum(claim.height for claim in claims) == count
    assert all(claim["drop"].is_null().all() for claim in claims if claim["type"].n_unique() == 1)


def rule(options: str, header: str = "alert dns any any -> any any", **_: Any) -> str:
    return f'{header} (msg:"a \\; b"; {options} reference:url,r.example/1; sid:1; rev:1;)'


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (rule('dns.query; content:"bad.com"; nocase; bsize:7;'), ["bad.com"]),
        (rule('dns_query; content:"bad.com"; depth:7; isdataat:!1,relative;'), ["bad.com"]),
        (rule('dns.query; dotprefix; content:".bad.com"; endswith;'), ["bad.com"]),
        (rule('tls.sni; content:"bad.com"; startswith; endswith;'), ["bad.com"]),
        (rule('http.host; content:"bad.com"; bsize:7; http.uri; content:"/a|3B|b"; bsize:4;'), ["http://bad.com/a;b"]),
        (rule('http.method; content:"GET"; http.host; content:"192.0.2.1"; bsize:9;'), ["192.0.2.1"]),
        (rule('ja3.hash; content:"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"; bsize:32;'), ["0a" * 16]),
        (rule('tls.cert_fingerprint; content:"0a:0b"; bsize:5;'), ["0a0b"]),
        (
            rule("flags:S;", "alert tcp [192.0.2.1,198.51.100.0/24] any -> $HOME_NET any"),
            ["192.0.2.1", "198.51.100.0/24"],
        ),
        (rule("", "alert ip $HOME_NET any <> [2001:db8::1] any"), ["2001:db8::1"]),
        (rule("", "drop ip 192.0.2.1 any -> any any"), ["192.0.2.1"]),
        (rule('dns.query; content:"bad";'), "list-rule"),
        (rule('dns.query; content:!"bad.com"; bsize:7;'), "list-rule"),
        (rule('dns.query; content:"bad.com"; bsize:7; pcre:"/x/";'), "list-rule"),
        (rule('content:"bad.com";', "alert tcp 192.0.2.1 any -> any any"), "list-rule"),
        (rule("", "alert ip [192.0.2.0/24,!192.0.2.1] any -> any any"), "list-rule"),
        (rule("", "alert ip $HOME_NET any -> any any"), "list-rule"),
        (rule("", "pass ip 192.0.2.1 any -> any any"), "allow-entry"),
        ("this is no rule", "bad-row"),
    ],
)
def test_suricata_rules(line: str, found: list[str] | str) -> None:
    if isinstance(found, str):
        assert read(line, "suricata") == [(line, found)]
    else:
        assert taken(line, "suricata") == found


def test_suricata_rules_say_why_and_where() -> None:
    frame = rows(
        rule('dns.query; content:"bad.com"; bsize:7;') + "\n# alert ip 192.0.2.1 any -> any any ()", "suricata"
    )
    assert frame.select("type", "description", "references").rows() == [("domain", "a ; b", "https://r.example/1")]


def test_suricata_datasets_and_reputation() -> None:
    text = base64.b64encode(b"bad.com").decode()
    body = f"{text}\n{'0a' * 32},5\n192.0.2.1\n2001:db8::1\n!!\n"
    assert read(body, "suricata-dataset") == [
        ("bad.com", None),
        ("0a" * 32, None),
        ("192.0.2.1", None),
        ("2001:db8::1", None),
        ("!!", "bad-row"),
    ]
    frame = rows("192.0.2.1,3,127\n198.51.100.0/24,1,64\n192.0.2.3,1,400\nx", "suricata-iprep")
    assert frame["confidence"].to_list()[:2] == ["100", "50"]
    assert frame["drop"].to_list() == [None, None, "bad-row", "bad-row"]


def test_ipset_entries() -> None:
    body = """\
create x hash:net family inet hashsize 1024 maxelem 65536
add x 192.0.2.0/24
add x 198.51.100.1 timeout 300 comment "seen twice"
add x 198.51.100.5-198.51.100.9 -exist
add x 192.0.2.7 nomatch
add x 192.0.2.8,tcp:80
192.0.2.9 # bare
swap x y
nonsense
"""
    assert read(body, "ipset") == [
        ("192.0.2.0/24", None),
        ("198.51.100.1", None),
        ("198.51.100.5-198.51.100.9", None),
        ("add x 192.0.2.7 nomatch", "allow-entry"),
        ("add x 192.0.2.8,tcp:80", "list-rule"),
        ("192.0.2.9", None),
        ("nonsense", "bad-row"),
    ]


def test_ignored_lines_are_no_rows_of_a_dialect(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("||a.com^\n||b.com^\n")
    (frame,) = lines.read(path, LinesSettings(dialect="adblock", ignore=["b\\.com"]), Context("x"))
    assert frame["value"].to_list() == ["a.com"]


_TOKENS = (
    r"""|| ^ @@ $ a.com 0.0.0.0 / # " ( ) ; CNAME . rpz-ip alert content: | add x local-zone: address= \x é , $ORIGIN"""
)
_WORDS = st.sampled_from([*_TOKENS.split(), "\t", " ", "\x00", "#fields\tindicator", "\r"])


@pytest.mark.parametrize("dialect", READERS)
@settings(deadline=None)
@given(body=st.lists(st.lists(_WORDS, max_size=8).map("".join), max_size=6))
def test_no_line_is_lost_or_breaks_a_dialect(dialect: str, body: list[str]) -> None:
    try:
        frame = rows("\n".join(body), dialect)
    except FormatError:
        assert dialect == "zeek"
        return
    known = {None, "bad-row", *DROP_REASONS}
    assert set(frame["drop"]) <= known
    assert (frame["value"].str.len_chars() > 0).all()
    assert conform(frame).height == frame.height
