"""MineMeld's miners as sources: how each class reads; ageing and attributes are the same for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from tipline.config.importers.minemeld.filters import Names
from tipline.config.importers.minemeld.nodes import Node, stock
from tipline.config.importers.report import Imported
from tipline.config.library import by_prototype
from tipline.model import tlp

# What a node sets when it reads something else than its prototype.
_READS = {"url", "indicator", "fields", "fieldnames", "ignore_regex", "extractor", "delimiter", "instance",
          "service_areas", "cloud", "collection", "discovery_service", "path"}  # fmt: skip
_COLUMNS = {"type": "type", "confidence": "confidence", "direction": "direction", "share_level": "tlp",
            "first_seen": "first_seen", "last_seen": "last_seen"}  # fmt: skip
_AGE = re.compile(r"(?:(\w+)\+)?(\d+)([dhm])")
LOCALDB_TTL = 86_400  # seconds; of localdb.Miner, unless a node says otherwise
Reader = Callable[[Node, Imported], dict[str, Any]]


def source(node: Node, made: Imported, reader: Reader | None, why: str) -> dict[str, Any]:
    """The source of a miner; one that nothing can read becomes an empty `local` source of its name.

    Args:
        node: the miner.
        made: takes notes and secrets.
        reader: of its class; None: there is none.
        why: what to do instead, if there is none.
    """
    entry = by_prototype(node.prototype) if node.prototype in stock() and not node.own & _READS else None
    if entry is not None:
        found = {**entry.source}
        made.say(node.name, "prototype", "translated", f"{node.prototype}: the library's {entry.name}")
        if entry.status == "dead":
            found["enabled"] = False
            made.say(node.name, "url", "lost", f"the feed is gone since {entry.since}: it is switched off")
        made.needed += [f"give {name} to the source {node.name}" for name in entry.needs]
    elif reader is not None:
        found = reader(node, made)
        made.say(node.name, "class", "translated", f"{node.cls}: {found['kind']}")
    else:
        made.say(node.name, "class", "lost", why)
        found = {"kind": "local", "note": f"In MineMeld this was {node.cls or 'a node of an unknown class'}"}
    _deprecated(node, made, found)
    _attributes(node, made, found)
    if found["kind"] != "local":
        found["every"] = f"{_whole(node.config.get('interval'), 3600)}s"
        _ageing(node, made, found)
    return found


def names(nodes: Iterable[Node], sources: Mapping[str, Mapping[str, Any]]) -> Names:
    """What became of all that filters may name: sources and attributes.

    Args:
        nodes: every miner.
        sources: what they became.
    """
    told: dict[str, list[str]] = {}
    extra: dict[str, str] = {}
    tagged: set[str] = set()
    for node in nodes:
        told.setdefault(node.text("source_name") or node.name, []).append(node.name)
        prefix = f"{node.text('prefix') or 'json'}_" if node.cls == "json.SimpleJSON" else ""
        extra |= {f"{prefix}{name}": name for name in sources[node.name].get("extra", [])}
        tagged |= set(_others(node))
    return Names(told, extra, frozenset(tagged))


def _others(node: Node) -> dict[str, Any]:
    """Attributes of the template that have no setting of their own."""
    given = node.config.get("attributes")
    known = {"confidence", "share_level", "direction", "type"}
    return {str(key): value for key, value in given.items() if key not in known} if isinstance(given, dict) else {}


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _deprecated(node: Node, made: Imported, found: dict[str, Any]) -> None:
    known = stock().get(node.prototype)
    if known and known.status == "DEPRECATED" and not node.own & _READS and found["kind"] != "local":
        found["enabled"] = False
        made.say(node.name, "prototype", "lost", "it was deprecated, since the feed is gone: it is switched off")


def _attributes(node: Node, made: Imported, found: dict[str, Any]) -> None:
    given = node.config.get("attributes")
    attributes: Mapping[str, Any] = given if isinstance(given, dict) else {}
    confidence = attributes.get("confidence")
    if isinstance(confidence, int) and 0 <= confidence <= 100:
        found["confidence"] = confidence
    elif "confidence" not in found.get("columns", {}) and "confidence" not in found.get("fields", {}):
        found["confidence"] = 0
        made.say(node.name, "confidence", "changed", "it had none, which was below every threshold: 0 is, too")
    level = tlp.level(str(attributes.get("share_level", "")))
    if level is None:
        made.say(node.name, "share_level", "changed", "it had none, here it is amber")
    else:
        found["tlp"] = tlp.name(level)
    if attributes.get("direction") in {"inbound", "outbound"}:
        found["direction"] = attributes["direction"]
    if attributes.get("type") and found["kind"] in {"lines", "csv", "json"}:
        found["type"] = str(attributes["type"])
    others = [f"{key}:{value}" for key, value in _others(node).items()]
    if others:
        found["tags"] = others
        made.say(node.name, "attributes", "translated", f"as tags: {', '.join(others)}")


def _ageing(node: Node, made: Imported, found: dict[str, Any]) -> None:
    rules = node.config.get("age_out")
    rules = rules if isinstance(rules, dict) else {}
    age, sudden = rules.get("default", "30d"), rules.get("sudden_death", True)
    match = _AGE.fullmatch(str(age).replace(" ", ""))
    append = found["kind"] in {"taxii1", "taxii2", "misp"}
    if age is None or match is None:
        found["expire"] = "left + 0s" if sudden and not append else "never"
    elif match[1] not in {None, "first_seen"}:
        found["expire"] = f"left + {match[2]}{match[3]}"
        text = (
            f"{age}: counted from when it left the feed; MineMeld never moved last_seen, so it dropped what was listed"
        )
        made.say(node.name, "age_out", "changed", text)
    else:
        end = f"added + {match[2]}{match[3]}"
        found["expire"] = ["left + 0s", end] if sudden and not append else end
        text = f"{end}: what is listed for longer leaves, as in MineMeld; to keep it, write expire: left + 0s"
        made.say(node.name, "age_out", "kept", text)
    others = sorted(set(rules) - {"default", "sudden_death", "interval"})
    if others:
        made.say(node.name, "age_out", "lost", f"ages by type: {', '.join(others)}")


def fetched(node: Node, made: Imported, kind: str, url: str | None = None) -> dict[str, Any]:
    """What all that fetch have: address, sign-in, certificate check."""
    address = url if url is not None else node.text("url")
    found: dict[str, Any] = {"kind": kind, "url": address or "https://feed.example.org/"}
    if not address:
        found["enabled"] = False
        made.needed.append(f"give url to the source {node.name}, and enable it: nothing tells it")
    host = urlsplit(address).hostname or ""
    if host == "localhost" or "." not in host or re.fullmatch(r"[\d.]+", host):
        found["allow_hosts"] = [host] if host else []
    if node.config.get("verify_cert") is False:
        found["verify"] = False
    if isinstance(node.config.get("polling_timeout"), int):
        found["timeout"] = node.config["polling_timeout"]
    if node.text("username") and node.text("password"):
        secret = made.secret_file(f"{node.name}.password", node.text("password"))
        found["basic"] = {"username": node.text("username"), "password": secret}
    if node.text("user_agent") not in {"", "MineMeld"}:
        found["user_agent"] = node.text("user_agent")
    if node.config.get("client_cert_required"):
        made.needed.append(f"give client_cert to the source {node.name}: it signed in with a certificate")
    return found


def http(node: Node, made: Imported) -> dict[str, Any]:
    """http.HttpFT: lines."""
    found = fetched(node, made, "lines")
    if node.text("encoding"):
        found["charset"] = node.text("encoding")
    ignored = node.text("ignore_regex")
    only = re.fullmatch(r"\^\(\?!(\w+)\)\.\*\$", ignored)
    found["pattern"] = rf"^(?P<value>{only[1]}\S*)" if only else r"^(?P<value>\S+)"
    if ignored and not only:
        _ignore(node, made, found, f"^(?:{ignored})")
    wanted = node.config.get("indicator")
    if isinstance(wanted, dict) and wanted.get("regex"):
        pattern = _pattern(str(wanted["regex"]), str(wanted.get("transform") or r"\g<0>"))
        if pattern is not None and _compiles(pattern):
            found["pattern"] = pattern
        else:
            made.say(node.name, "indicator", "lost", f"{wanted}: the first word of each line is taken; correct pattern")
    if node.config.get("fields"):
        made.say(node.name, "fields", "lost", f"{', '.join(map(str, node.config['fields']))}: name groups extra_NAME")
    return found


def _ignore(node: Node, made: Imported, found: dict[str, Any], pattern: str) -> None:
    if _compiles(pattern):
        found["ignore"] = [pattern]
    else:
        made.say(node.name, "ignore_regex", "lost", f"{pattern!r} cannot be used: it looks around")


def _compiles(pattern: str) -> bool:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError:
        return False
    return True


def _pattern(regex: str, transform: str) -> str | None:
    """A regular expression with named groups for what a transformation takes; None if it makes something new."""
    if transform in {r"\g<0>", r"\0"}:
        return f"(?P<value>{regex})"
    both = re.fullmatch(r"\\(\d)-\\(\d)", transform)
    one = re.fullmatch(r"\\(\d)", transform)
    names = {int(both[1]): "start", int(both[2]): "end"} if both else {int(one[1]): "value"} if one else {}
    if not names:
        return None
    number = 0

    def named(match: re.Match[str]) -> str:
        nonlocal number
        if match[0] != "(":
            return match[0]
        number += 1
        return f"(?P<{names[number]}>" if number in names else "("

    return re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?|\(", named, regex)


def auscert(node: Node, made: Imported) -> dict[str, Any]:
    """auscert.MaliciousURLFeed: lines behind a key."""
    found = http(node, made)
    found["api_key"] = {
        "header": "API-Key",
        "value": made.secret_file(f"{node.name}.api-key", node.text("api_key") or None),
    }
    return found


def csv(node: Node, made: Imported) -> dict[str, Any]:
    """csv.CSVFT and bambenek.Miner."""
    found = fetched(node, made, "csv")
    names = node.config.get("fieldnames")
    columns = {"value": "indicator"}
    if isinstance(names, list):
        found |= {"header": False, "names": list(map(str, names)), "short_rows": "keep"}
        columns |= {ours: theirs for theirs, ours in _COLUMNS.items() if theirs in names}
        extra = [str(name) for name in names if name != "indicator" and name not in _COLUMNS]
        if extra:
            found["extra"] = extra
    found["columns"] = columns
    for theirs, ours in (("delimiter", "delimiter"), ("quotechar", "quote")):
        if node.config.get(theirs):
            found[ours] = {"\t": "tab", " ": "space"}.get(str(node.config[theirs]), str(node.config[theirs]))
    ignored = node.text("ignore_regex")
    prefix = re.fullmatch(r"\^([\w#;!]+)(?:\.\*)?", ignored)
    if prefix:
        found["comments"] = [prefix[1]]
    elif ignored:
        made.say(node.name, "ignore_regex", "lost", f"{ignored!r} is more than a prefix: such lines become bad rows")
    return found


def json(node: Node, made: Imported) -> dict[str, Any]:
    """json.SimpleJSON."""
    found = fetched(node, made, "json")
    found |= {"layout": "document", "rows": node.text("extractor") or "@",
              "fields": {"value": node.text("indicator") or "indicator"}}  # fmt: skip
    fields = node.config.get("fields")
    if isinstance(fields, list):
        found["extra"] = list(map(str, fields))
    headers = node.config.get("headers")
    if isinstance(headers, dict):
        found["headers"] = {
            str(key): made.secret_file(f"{node.name}.{key}", str(value)) for key, value in headers.items()
        }
    return found


def minemeld(node: Node, made: Imported) -> dict[str, Any]:
    """mm.JSONSEQMiner: another MineMeld's feed, as JSON."""
    url = node.text("url")
    found = fetched(node, made, "json", f"{url}{'&' if '?' in url else '?'}v=json" if url else "")
    at = {"type": "type", "confidence": "confidence", "tlp": "share_level", "direction": "direction",
          "first_seen": "first_seen", "last_seen": "last_seen"}  # fmt: skip
    found |= {"layout": "document", "rows": "@",
              "fields": {"value": "indicator", **{ours: f"value.{theirs}" for ours, theirs in at.items()}}}  # fmt: skip
    return found


def taxii1(node: Node, made: Imported) -> dict[str, Any]:
    """taxii.TaxiiClient, and taxiing.Miner."""
    found = fetched(node, made, "taxii1", node.text("discovery_service") or "https://taxii.example.org/")
    found["collection"] = node.text("collection") or None
    if node.text("subscription_id"):
        found["subscription_id"] = node.text("subscription_id")
    words = node.config.get("confidence_map")
    if isinstance(words, dict):
        found["confidence_map"] = {str(word): value for word, value in words.items() if isinstance(value, int)}
    first = _AGE.fullmatch(node.text("initial_interval") or "1d")
    found["since"] = f"{first[2]}{first[3]}" if first else "1d"
    return {key: value for key, value in found.items() if value is not None}


def taxii2(node: Node, made: Imported) -> dict[str, Any]:
    """taxii2.Taxii2Client."""
    root = node.text("api_root")
    url = root if root.startswith("http") else node.text("discovery_service")
    found = fetched(node, made, "taxii2", url or "https://taxii.example.org/")
    if node.text("collection"):
        found["collection"] = node.text("collection")
    if node.text("auth_type") == "apikey" and node.text("api_key"):
        found["headers"] = {"Authorization": made.secret_file(f"{node.name}.api-key", f"Token {node.text('api_key')}")}
    if not url or node.config.get("enabled") in {False, "no"}:
        found["enabled"] = False
        made.say(node.name, "enabled", "kept", "it was switched off, or had no address")
    made.say(node.name, "verify_cert", "changed", "the certificate is checked, which MineMeld did not do")
    return found


def threatq(node: Node, made: Imported) -> dict[str, Any]:
    """threatq.Export: type and value, in lines."""
    found = fetched(node, made, "csv")
    if node.text("url"):
        found["url"] = made.secret_file(f"{node.name}.url", node.text("url"))
    return found | {"header": False, "columns": {"value": 2}, "short_rows": "drop"}


def recordedfuture(node: Node, made: Imported) -> dict[str, Any]:
    """recordedfuture.*RiskList: CSV behind a token."""
    entity = {"recordedfuture.IPRiskList": "ip", "recordedfuture.DomainRiskList": "domain"}.get(node.cls)
    entity = entity or node.text("entity") or "ip"
    found = fetched(node, made, "csv", f"https://api.recordedfuture.com/v2/{entity}/risklist?format=csv%2Fsplunk")
    token = made.secret_file(f"{node.name}.token", node.text("token") or None)
    made.say(node.name, "confidence", "changed", "the risk is the confidence; MineMeld scaled it")
    return found | {"headers": {"X-RFToken": token}, "columns": {"value": "Name", "confidence": "Risk"},
                    "extra": ["RiskString"]}  # fmt: skip


def misp(node: Node, made: Imported) -> dict[str, Any]:
    """mmmisp.Miner."""
    found = fetched(node, made, "misp")
    found["key"] = made.secret_file(f"{node.name}.key", node.text("automation_key") or None)
    filters = node.config.get("filters")
    filters = filters if isinstance(filters, dict) else {}
    found["published"] = bool(filters.get("published", False))
    if filters.get("tag"):
        found["event_tags"] = {"any": [str(filters["tag"])]}
    age = _AGE.fullmatch(str(filters.get("datefrom", "")))
    if age:
        found["max_age"] = f"{age[2]}{age[3]}"
    if node.config.get("honour_ids_flag", True):
        found["to_ids"] = True
    return found


def local(node: Node, made: Imported) -> dict[str, Any]:
    """local.Yaml*FT and localdb.Miner: what people and scripts add, under the same name."""
    made.say(node.name, "indicators", "kept", "scripts go on adding at the same address")
    if not node.cls.endswith("localdb.Miner"):
        return {"kind": "local"}
    seconds = node.config.get("default_ttl", LOCALDB_TTL)
    return {"kind": "local", **({"ttl": f"{seconds}s"} if isinstance(seconds, int) and seconds > 0 else {})}
