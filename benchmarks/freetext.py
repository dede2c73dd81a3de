"""Precision and recall on real reports, beside ioc-finder and iocextract; and the speed of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ioc_finder
import iocextract
import polars as pl

from tipline.formats.freetext import extract
from tipline.model.normalise import normalise_one

_DATA = Path(__file__).parent.parent / "tests/data/freetext"
_TYPES = ("ipv4", "ipv6", "domain", "url", "email", "md5", "sha1", "sha256", "sha512")
Found = set[tuple[str, str]]


def _canonical(texts: list[str], kind: str | None) -> Found:
    """As tipline writes them; what it refuses stays as it is, and is a finding all the same."""
    found: Found = set()
    for text in texts:
        verdict = normalise_one(text, kind)
        found.add((verdict.type or kind or "", verdict.value or text.lower()))
    return found


def tipline(text: str) -> Found:
    """Ours."""
    rows = extract(text).filter(pl.col("drop").is_null(), pl.col("type").is_in(_TYPES))
    return set(zip(rows["type"], rows["value"], strict=True))


def iocfinder(text: str) -> Found:
    """With the switches that keep it from taking things out of things."""
    found = ioc_finder.find_iocs(
        text,
        parse_domain_from_url=False,
        parse_from_url_path=False,
        parse_domain_from_email_address=False,
        parse_address_from_cidr=False,
        parse_domain_name_from_xmpp_address=False,
        parse_urls_without_scheme=True,
    )
    kinds = {"ipv4s": "ip", "ipv4_cidrs": "ip", "ipv6s": "ip", "domains": "domain", "urls": "url",
             "email_addresses_complete": "email", "md5s": "hash", "sha1s": "hash", "sha256s": "hash",
             "sha512s": "hash"}  # fmt: skip
    return {pair for name, kind in kinds.items() for pair in _canonical(list(found.get(name, [])), kind)}


def iocextract_(text: str) -> Found:
    """It knows no bare domains but defanged ones, which it gives as URLs: those count as domains."""
    found, plain = set[tuple[str, str]](), text.replace("[", "").replace("]", "")
    for url in iocextract.extract_urls(text, refang=True):
        bare = url.removeprefix("http://").removesuffix("/")
        guessed = "/" not in bare and f"//{bare}" not in plain
        found |= _canonical([bare], None) if guessed else _canonical([url], "url")
    found |= _canonical(list(iocextract.extract_ips(text, refang=True)), "ip")
    found |= _canonical(list(iocextract.extract_emails(text, refang=True)), "email")
    return found | _canonical(list(iocextract.extract_hashes(text)), "hash")


TOOLS: dict[str, Callable[[str], Found]] = {"tipline": tipline, "ioc-finder": iocfinder, "iocextract": iocextract_}


def freetext(_n: int, _directory: Path) -> dict[str, Any]:
    """Each tool on every file: what it finds of what a person marked, what else it finds, and its speed."""
    expected: dict[str, Found] = {}
    for row in pl.read_csv(_DATA / "expected.tsv", separator="\t", quote_char=None).iter_rows():
        expected.setdefault(row[0], set()).add((row[1], row[2]))
    files = sorted(path for path in _DATA.rglob("*") if path.suffix in (".txt", ".md", ".csv", ".ioc"))
    texts = {str(path.relative_to(_DATA)): path.read_text(encoding="utf-8", errors="replace") for path in files}
    marked = sum(map(len, expected.values()))
    return {
        "files": len(texts),
        "megabytes": round(sum(map(len, texts.values())) / 1e6, 2),
        "marked": marked,
        **{name: _score(tool, texts, expected, marked) for name, tool in TOOLS.items()},
    }


def _score(
    tool: Callable[[str], Found], texts: dict[str, str], expected: dict[str, Found], marked: int
) -> dict[str, Any]:
    right = wrong = 0
    begun = time.process_time()
    for name, text in texts.items():
        found, true = tool(text), expected.get(name, set())
        # The host of a URL that was marked, given beside it, is neither right nor wrong.
        hosts = {value.split("/")[2].rpartition("@")[2].split(":")[0] for kind, value in true if kind == "url"}
        right += len(found & true)
        wrong += len({pair for pair in found - true if pair[1] not in hosts})
    seconds = time.process_time() - begun
    return {
        "precision": round(right / (right + wrong), 4),
        "recall": round(right / marked, 4),
        "wrong": wrong,
        "missed": marked - right,
        "mb_per_cpu_second": round(sum(map(len, texts.values())) / 1e6 / seconds, 2),
    }
