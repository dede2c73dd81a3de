"""Every case of the two collections of bad input has the outcome it should have, as far as the model sees it.

Formats cut lines into cells; here a case says which cell is the value and which the type word.
"""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import polars as pl
import pytest

from tipline.model import normalise_one
from tipline.model.attributes import items
from tipline.model.times import parse

DATA = Path(__file__).parent.parent / "data" / "nasty"
CASES = {
    case["id"]: case
    for name in ("cases.jsonl", "extra_cases.jsonl")
    for case in map(json.loads, (DATA / name).read_text(encoding="utf-8").splitlines())
}


def line(case: str) -> str:
    """The line as a reader decodes it."""
    return base64.b64decode(CASES[case]["bytes_b64"]).decode("utf-8", "replace")


def cell(case: str, column: int) -> str:
    return next(csv.reader([line(case).rstrip("\r\n")]))[column]


def token(case: str) -> str:
    return line(case).split()[0]


def part(case: str, column: int, place: int) -> str:
    return cell(case, column).split(",")[place]


SHA256_X20 = "6133d3411dea8b77147e9978972481dd21cda6197449ac60359c26c59943994c"

# id, text, type word, expected type, expected value or reason
OUTCOMES: list[tuple[str, str, str | None, str | None, str]] = [
    ("n01", line("n01"), None, "ipv4", "68.232.171.0/24"),
    ("n02", line("n02"), None, None, "!bad-cidr"),
    ("n03", line("n03"), None, None, "!bad-cidr"),
    ("n04", line("n04"), None, None, "!bad-cidr"),
    ("n05", cell("n05", 1), cell("n05", 2), "ipv4", "172.93.201.253"),
    ("n06", cell("n06", 1), cell("n06", 2), "file-path", "!not-a-file-path"),
    ("n06", cell("n06", 1), None, "file-path", "!not-a-file-path"),
    ("n07", cell("n07", 1), cell("n07", 2), "email", "H0lyGh0st@mail2tor.com"),
    ("n08", cell("n08", 1), cell("n08", 2), "command-line", "!placeholder"),
    ("n08", cell("n08", 1), None, None, "!unknown-type"),
    ("n09", cell("n09", 1), cell("n09", 2), "ipv4", "103.99.209.78"),
    ("n10", part("n10", 0, 0), None, "md5", "b1fd7db90e6a06bafe28b41617c00680"),
    ("n10", part("n10", 0, 1), None, "sha1", "418a72b667c48ef362387b9ac5b5d033bd5f13c4"),
    ("n10", part("n10", 0, 2), None, None, "!bad-hash"),
    ("n10", cell("n10", 0), None, None, "!several-values"),
    ("n11", cell("n11", 3), cell("n11", 2), "domain", "xn--j-a20260727022544-de5pnp0f43a9d6i.zip"),
    ("n12", cell("n12", 3), cell("n12", 2), "domain", "xn--asjdoasdjsadsda-blc.xyz"),
    ("n13", cell("n13", 3), cell("n13", 2), "domain", "xn--fiqq24b9hejs1c.clickvector.tech"),
    ("n14", cell("n14", 0), None, "domain", "abastostelano.com"),
    ("n15", line("n15"), None, "ipv6", "!not-routable"),
    ("n16", line("n16"), None, "ipv4", "!not-routable"),
    ("n17", line("n17"), None, "url", "!truncated"),
    ("n18", line("n18"), None, "domain", "www.update.microsoft.com"),  # an allow-list takes it out
    ("n19", line("n19"), None, "domain", "!bad-domain"),
    ("n20", line("n20"), None, "ipv4", "194.45.8.41"),
    ("n21", line("n21"), None, None, "!regular-expression"),
    ("n21", line("n21"), "domain", "domain", "!regular-expression"),
    ("n22", line("n22"), None, None, "!path-only"),
    ("n22", line("n22"), "url", "url", "!path-only"),
    ("n23", line("n23"), None, "ipv6", "2001:470:1:908::9001"),
    ("n24", line("n24"), None, None, "!unknown-type"),  # the format refuses the file
    ("x01", line("x01"), None, None, "!bad-ipv4"),
    ("x02", line("x02"), None, "ipv6", "!not-routable"),
    ("x03", token("x03"), None, "domain", "tz.gxout.com"),
    ("x03", line("x03"), None, None, "!unknown-type"),
    ("x04", token("x04"), None, "domain", "xn--lirkedin-vkb.com"),
    ("x05", line("x05"), None, None, "!regular-expression"),
    ("x06", line("x06"), None, "domain", "dns.cdncool.com"),
    ("x07", line("x07"), None, None, "!bad-cidr"),
    ("x08", line("x08"), None, "url", "http://167.114.188.49/wilson.exe"),
    (
        "x09",
        line("x09"),
        None,
        "url",
        "https://startrackzm.com/wap-admin/ONE-DRIVE/one%20d%20%20no%20auto.php?Email=REDACTED@adm.dp.gov.ua",
    ),
    ("x10", cell("x10", 1), cell("x10", 0), "md5", "!bad-hash"),
    ("x10", cell("x10", 1), None, None, "!bad-hash"),
    (
        "x11",
        token("x11"),
        None,
        "sha256",
        "00d71bcfe0af23d653b79a363683e918cdc6bbc297c7b5e16890d4d4bc7a249d",
    ),
    ("x11", line("x11"), None, None, "!unknown-type"),
    (
        "x12",
        line("x12"),
        None,
        "url",
        "http://facebook.com-------mobile---read---new--terms--56165419.peraltek.com/sign_in.htm",
    ),
    ("x13", part("x13", 0, 0), cell("x13", 1), "sha1", "019d4ae42f858d5ea65f3b71392dd37efec6c882"),
    (
        "x13",
        part("x13", 0, 1),
        cell("x13", 1),
        "sha256",
        "02c48917b15015ddd02738bc1f480f9c6379165618435855030f4c63ce372485",
    ),
    ("x13", part("x13", 0, 2), cell("x13", 1), "md5", "7a15cdb53c6c2a8e40a03dcf15195aef"),
    ("x13", cell("x13", 0), None, None, "!several-values"),
    ("x14", cell("x14", 3), None, "domain", "www.3cx.com"),  # an allow-list or an analyst takes it out
    ("x14", cell("x14", 0), None, "domain", "!unknown-tld"),
    ("x15", line("x15"), None, "ipv4", "!not-routable"),
    ("x16", line("x16"), None, "ipv4", "!not-routable"),
    ("x17", cell("x17", 3), cell("x17", 2), "url", "https://walletintegration.webflow.io"),
    ("x18", cell("x18", 1), None, "url", "!placeholder"),
    ("x18", cell("x18", 2), None, "url", "!placeholder"),
    ("x18", cell("x18", 3), None, "url", "!placeholder"),
    (
        "x19",
        cell("x19", 0),
        None,
        "sha256",
        "0a0dcf40a73e7f7a00a488367b7b0cadc4ff3ac7818cf22a46cd3e24ff5cf6e3",
    ),
    ("x19", "hXXps://195[.]201.118.191", None, "url", "https://195.201.118.191"),
    ("x20", cell("x20", 0), None, "sha256", SHA256_X20),
    (
        "x20",
        cell("x20", 1),
        None,
        "sha256",
        "060ec84bdd54c031df3de56726d8a79bad2621a3d6b4c8241147af575d684ee9",
    ),
    (
        "x21",
        cell("x21", 2),
        cell("x21", 3),
        "sha256",
        "8e90ed33c7ee82c0b64078ea36ec95f7420ba435c693b3b3dd728b494abf7dfc",
    ),
    (
        "x22",
        cell("x22", 1),
        cell("x22", 2),
        "sha256",
        "f4a39820dbff47fa1b68f83f575bc98ed33858b02341c5c0464a49be4e6c76d3",
    ),
    ("x23", cell("x23", 1), cell("x23", 2), None, "!unsupported-type"),
    ("x23", cell("x23", 1), None, "domain", "!unknown-tld"),
    ("x24", line("x24"), None, None, "!unknown-type"),
]


def test_every_case_has_an_outcome() -> None:
    assert {outcome[0] for outcome in OUTCOMES} == set(CASES)


@pytest.mark.parametrize(("case", "text", "word", "kind", "expected"), OUTCOMES)
def test_outcome(case: str, text: str, word: str | None, kind: str | None, expected: str) -> None:
    verdict = normalise_one(text, word)
    got = verdict.value if verdict.drop is None else f"!{verdict.drop}"
    assert (verdict.type, got) == (kind, expected), CASES[case]["expected"]


def test_port_and_assumed_scheme_are_kept_beside_the_value() -> None:
    assert normalise_one(line("n20")).extra == '{"port": 443}'
    assert normalise_one(line("x08")).extra == '{"scheme_assumed": true}'
    assert normalise_one(line("x20").split(",")[0]).extra == '{"suffix": ".one"}'


def test_times_and_tags_of_the_cases() -> None:
    stamps = pl.Series([cell("n09", 0), cell("n09", 3), cell("x21", 1), cell("n05", 0)])
    assert [str(time) for time in parse(stamps)] == [
        "2020-09-16 00:00:00",
        "2021-01-21 13:34:00",
        "2021-03-05 10:07:29.042123",
        "2022-09-29 00:00:00",
    ]
    assert items(pl.Series([cell("n09", 7)]), 10).to_list() == [["Barium", "APT41"]]
