"""STIX patterns: which values they say are bad, and why they say no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.formats.stixpaths import HASHES, word_of
from tipline.formats.stixpattern import Found, read_pattern
from tipline.model.reasons import DROP_REASONS
from tipline.model.types import type_of_word

CASES = Path(__file__).parents[1] / "data" / "stix" / "patterns"
# The upstream validator refuses a short hash; here the pattern is sound, and normalising refuses the value.
SHORT_HASH = "[file:hashes.'SHA-256' = 'f00']"


def values(pattern: str) -> list[str]:
    return [found.value for found in read_pattern(pattern) if found.drop is None]


def reasons(pattern: str) -> list[str]:
    return [found.drop for found in read_pattern(pattern) if found.drop is not None]


def cases(which: str) -> list[str]:
    found = []
    for path in sorted(CASES.glob(f"v2?_{which}_CASES.json")):
        found += [case if isinstance(case, str) else case[0] for case in json.loads(path.read_text())]
    return found


@pytest.mark.parametrize("pattern", cases("PASS") + cases("TIMESTAMP_PASS"))
def test_sound_patterns_are_read(pattern: str) -> None:
    assert "bad-pattern" not in reasons(pattern)


@pytest.mark.parametrize("pattern", [case for case in cases("FAIL") if case != SHORT_HASH] + cases("TIMESTAMP_FAIL"))
def test_broken_patterns_are_told(pattern: str) -> None:
    assert [(found.value, found.drop) for found in read_pattern(pattern)] == [(pattern, "bad-pattern")]


@pytest.mark.parametrize(
    "pattern",
    [line for name in ("v20", "v21") for line in (CASES / f"{name}_spec_examples.txt").read_text().splitlines()],
)
def test_examples_of_the_specification_are_read(pattern: str) -> None:
    assert "bad-pattern" not in reasons(pattern)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("file:hashes.'SHA-256'", "sha256"),
        ("file:hashes.SHA256", "sha256"),
        ("file:hashes.SHA-256", "sha256"),
        ('file:hashes."sha-256"', "sha256"),
        ("file:hashes.'sha256'", "sha256"),
        ("file:hashes.MD5", "md5"),
        ("file:hashes.md5", "md5"),
        ("file:hashes.'SHA-1'", "sha1"),
        ("file:hashes.ssdeep", "ssdeep"),
        ("file:hashes[*]", "hash"),
        ("file:content_ref.hashes.MD5", "md5"),
        ("process:image_ref.hashes.MD5", "md5"),
        ("x509-certificate:hashes.'SHA-1'", "certificate-sha1"),
        ("ipv4-addr:value", "ip"),
        ("ipv4addr:value", "ip"),
        ("domain-name:value", "domain"),
        ("hostname:value", "domain"),
        ("url:value", "url"),
        ("email-addr:value", "email"),
        ("email-message:from_ref.value", "email"),
        ("file:name", "file-name"),
        ("file:path", "file-path"),
        ("windows-registry-key:key", "registry-key"),
        ("mutex:name", "mutex"),
        ("network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'", "user-agent"),
    ],
)
def test_paths_and_their_spellings(path: str, word: str) -> None:
    for pattern in (f"[{path} = 'x']", f"[ {path}='x' ]", f"[{path} = 'x' OR {path} = 'x']"):
        assert read_pattern(pattern) == [Found(word, "x")]
    assert type_of_word(word) is not None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ipv4-addr:value = '198.51.100.1'] OR [domain-name:value = 'a.com']", ["198.51.100.1", "a.com"]),
        ("[url:value IN ('http://a.com/', 'http://b.com/')]", ["http://a.com/", "http://b.com/"]),
        ("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", ["198.51.100.0/24"]),
        ("([domain-name:value = 'a.com']) OR ([(domain-name:value = 'b.com')])", ["a.com", "b.com"]),
        ("[domain-name:value = 'a.com'] WITHIN 5 SECONDS", ["a.com"]),
        ("[domain-name:value = 'a.com'] REPEATS 1 TIMES", ["a.com"]),
        ("[domain-name:value LIKE 'a.com']", ["a.com"]),
        ("[file:name = 'it\\'s \\\\ here']", ["it's \\ here"]),
        ("[windows-registry-key:key = 'HKLM\\Software\\x']", ["HKLM\\Software\\x"]),
        ("[/* why */ url:value = 'http://a.com/' // end\n]", ["http://a.com/"]),
        ("[autonomous-system:number = 64500]", ["64500"]),
        (
            "[network-traffic:dst_ref.type = 'domain-name' AND network-traffic:dst_ref.value = 'a.com']",
            ["a.com"],
        ),
    ],
)
def test_values_that_are_bad_by_themselves(pattern: str, expected: list[str]) -> None:
    assert (values(pattern), reasons(pattern)) == (expected, [])


def test_conditions_on_one_file_give_its_hashes() -> None:
    both = "[file:hashes.MD5 = 'a' AND file:hashes.'SHA-256' = 'b' AND file:name = 'x.exe' AND file:size > 7]"
    assert (values(both), reasons(both)) == (["a", "b"], [])
    one_of = "[(file:hashes.MD5 = 'a' OR file:hashes.MD5 = 'b') AND file:hashes.'SHA-256' = 'c']"
    assert values(one_of) == ["c"]
    assert reasons("[file:hashes.MD5 = 'a' AND file:name != 'x']") == ["negated-pattern"]
    assert reasons("[file:name = 'x' AND file:size = 7]") == ["composite-pattern"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (
            "[domain-name:value = 'a.com' AND domain-name:resolves_to_refs[*].value = '8.8.8.8']",
            "composite-pattern",
        ),
        ("[domain-name:value = 'a.com'] AND [url:value = 'http://a.com/']", "composite-pattern"),
        ("[domain-name:value = 'a.com'] FOLLOWEDBY [url:value = 'http://a.com/']", "composite-pattern"),
        ("[domain-name:value = 'a.com'] REPEATS 5 TIMES", "composite-pattern"),
        (
            "[url:value = 'u'] START t'2024-01-01T00:00:00Z' STOP t'2024-02-01T00:00:00Z'",
            "composite-pattern",
        ),
        ("[ipv4-addr:value ISSUPERSET '8.8.8.8']", "composite-pattern"),
        ("[EXISTS file:name]", "composite-pattern"),
        ("[domain-name:value != 'a.com']", "negated-pattern"),
        ("[domain-name:value NOT IN ('a.com', 'b.com')]", "negated-pattern"),
        ("[NOT domain-name:value = 'a.com']", "negated-pattern"),
        ("[url:value LIKE 'http://%.php']", "wildcard-pattern"),
        ("[domain-name:value MATCHES '^a.*']", "regular-expression"),
        ("[software:name = 'nmap']", "unsupported-type"),
        ("[file:hashes.TLSH = 'x']", "unsupported-type"),
    ],
)
def test_what_is_no_plain_value_has_a_reason(pattern: str, reason: str) -> None:
    assert (values(pattern), reasons(pattern)) == ([], [reason])
    assert reason in DROP_REASONS


def test_the_rest_of_a_pattern_with_a_composite_part_is_taken() -> None:
    pattern = "([domain-name:value = 'a.com'] AND [file:name = 'x']) OR [file:hashes.MD5 = 'b']"
    assert read_pattern(pattern) == [
        Found(None, "[domain-name:value = 'a.com'] AND [file:name = 'x']", "composite-pattern"),
        Found("md5", "b"),
    ]


def test_names_below_a_domain_are_left_to_the_source() -> None:
    assert read_pattern("[domain-name:value LIKE '%.a.com']") == [Found("domain", "*.a.com")]


def test_nesting_is_bounded_and_long_patterns_are_read() -> None:
    assert values("[" + "(" * 30 + "url:value = 'u'" + ")" * 30 + "]") == ["u"]
    assert reasons("(" * 9000 + "[url:value = 'u']" + ")" * 9000) == ["bad-pattern"]
    many = " OR ".join(f"[ipv4-addr:value = '{number}']" for number in range(20_000))
    assert len(values(many)) == 20_000


def test_words_of_hashes_are_types() -> None:
    assert {type_of_word(word) for word in HASHES} == HASHES
    assert word_of("file", ("hashes", "imphash")) is None


PIECES = st.sampled_from(
    [
        *"[]()'\"\\.:,=<>*/ ",
        "AND",
        " OR ",
        "FOLLOWEDBY",
        "WITHIN 5 SECONDS",
        "REPEATS 2 TIMES",
        "NOT ",
        "LIKE",
        "IN",
        "ISSUBSET",
        "EXISTS",
        "START t'2024-01-01T00:00:00Z' STOP t'2024-01-01T00:00:00Z'",
        "url:value",
        "file:hashes.MD5",
        "'x'",
        "= 'y'",
        "[a:b = 'c']",
        "5",
        "-1.5",
        "t'",
        "h'0a'",
        "b'AA=='",
        "/*",
        "*/",
        "//",
        "true",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_there_is_an_answer(pattern: str) -> None:
    found = read_pattern(pattern)
    assert found
    assert all(one.drop is None or one.drop in DROP_REASONS for one in found)
