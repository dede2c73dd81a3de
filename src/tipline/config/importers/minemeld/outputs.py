"""MineMeld's outputs, and who may read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tipline.config.importers.minemeld.filters import most_shared
from tipline.config.importers.minemeld.nodes import Node
from tipline.config.importers.minemeld.tree import Tree
from tipline.config.importers.report import Imported
from tipline.model import tlp
from tipline.passwords import is_hash

_PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")


@dataclass
class Access:
    """Who may read feeds: whether MineMeld asked, and the tags of each."""

    asked: bool = False
    tags: dict[str, list[str]] = field(default_factory=dict)


def access_of(tree: Tree, made: Imported) -> Access:
    """Readers for the users of feeds; the hashes of their passwords go into files."""
    merged: dict[str, Any] = {}
    for path in tree.named(".yml"):
        if "/api/" in f"/{path}":
            document = tree.yaml(path.rpartition("/")[2])
            merged |= document if isinstance(document, dict) else {}
    users = _tags(merged.get("FEEDS_USERS_ATTRS"))
    asked = merged.get("FEEDS_AUTH_ENABLED") is True
    users_path = tree.find("feeds.htpasswd")
    readers: dict[str, Any] = {}
    for line in tree.files[users_path].decode("utf-8", "replace").splitlines() if users_path else ():
        name, colon, hashed = line.strip().partition(":")
        if not colon or name.startswith("#"):
            continue
        if not is_hash(hashed):
            made.say("", f"user {name}", "lost", "its password's hash is of another sort: give it a new password")
            continue
        readers[name] = {"password": made.secret_file(f"reader-{name}", hashed), "tags": users.get(name, [])}
    if readers:
        made.top["readers"] = readers
        made.say("", "feeds.htpasswd", "translated", f"{len(readers)} readers with their tags and passwords")
    if tree.find("wsgi.htpasswd"):
        made.say("", "wsgi.htpasswd", "lost", "administrators are users here: tipline user add NAME")
    return Access(asked, _tags(merged.get("FEEDS_ATTRS")))


def _tags(attributes: Any) -> dict[str, list[str]]:
    found = attributes.items() if isinstance(attributes, dict) else ()
    return {str(name): [str(tag) for tag in body.get("tags") or []] for name, body in found if isinstance(body, dict)}


def output(node: Node, kind: str, access: Access, made: Imported, *, keep_blocking: bool) -> dict[str, Any]:
    """The output of a node, without inputs and filter."""
    found: dict[str, Any] = {"kind": kind, "max_tlp": tlp.name(most_shared(node.config.get("infilters")))}
    if kind == "list":
        found["compat"] = "minemeld"
    if kind in {"list", "taxii"}:
        found |= _access(node, access, made) or _inside(node, found, made)
        made.say(node.name, "share_level", "changed",
                 "of several sources the strictest counts, and what is above max_tlp adds nothing")  # fmt: skip
    else:
        found |= {"mode": "shadow", **_delivery(node, kind, made, keep_blocking=keep_blocking)}
        made.say(node.name, "mode", "changed", "shadow: it writes nothing until you say live")
    if "dag" in node.cls:
        made.say(node.name, "class", "changed", f"PAN-OS reads it as a list: /feeds/{node.name}?v=edl-ip; no tags")
    for name in ("max_entries", "scoring_attribute"):
        if name in node.config:
            made.say(node.name, name, "kept", "not needed")
    return found


def _access(node: Node, access: Access, made: Imported) -> dict[str, Any]:
    tags = access.tags.get(node.name, [])
    if not access.asked or "anonymous" in tags:
        return {}
    if not tags:
        made.say(node.name, "tags", "kept", "it had none, so that administrators alone read it: tag admins")
    return {"access": "readers", "tags": tags or ["admins"]}


def _inside(node: Node, found: Mapping[str, Any], made: Imported) -> dict[str, Any]:
    """What is red is never public: it is served to private networks, as most firewalls are in."""
    if found["max_tlp"] != tlp.name(tlp.RED):
        return {}
    made.say(node.name, "access", "changed", "red is never public: it is served to private networks; widen networks")
    return {"access": "network", "networks": list(_PRIVATE)}


def _delivery(node: Node, kind: str, made: Imported, *, keep_blocking: bool) -> dict[str, Any]:
    if kind == "syslog":
        form = "cef" if node.cls.startswith("cef") else "json"
        made.say(node.name, "class", "changed", "each line begins with a syslog header; read it with a syslog input")
        return {"host": node.text("logstash_host") or node.text("host") or "127.0.0.1", "transport": "tcp",
                "port": _port(node), "format": form, "framing": "newline"}  # fmt: skip
    found: dict[str, Any] = {"credentials": _credentials(node, made)}
    if kind == "microsoft-sentinel":
        if node.text("workspace_id"):
            found["workspace_id"] = node.text("workspace_id")
        else:
            made.needed.append(f"give workspace_id to the output {node.name}")
        made.say(
            node.name, "class", "changed", "Graph's tiIndicators ended in April 2026: Sentinel is written to itself"
        )
        return found
    action = node.text("action") or "Alert"
    kept = {"AlertAndBlock": "Block", "Block": "Block", "Allowed": "Allowed"}.get(action) if keep_blocking else None
    found |= {"action": kept or "Audit", "title": "MineMeld - {value}"}
    if kept == "Block":
        found["action_by_type"] = dict.fromkeys(("md5", "sha1", "sha256"), "BlockAndRemediate")
    if kept or action == "Alert":
        made.say(node.name, "action", "kept", f"{action}: {found['action']}")
    else:
        made.say(
            node.name, "action", "changed", f"{action} became Audit, which alerts; confirm it with --keep-blocking"
        )
    return found


def _port(node: Node) -> int:
    port = node.config.get("logstash_port", node.config.get("port", 5514))
    return port if isinstance(port, int) and 0 < port < 65536 else 5514


def _credentials(node: Node, made: Imported) -> Mapping[str, Any]:
    secret = made.secret_file(f"{node.name}.client-secret", node.text("client_secret") or None)
    return {"tenant_id": node.text("tenant_id"), "client_id": node.text("client_id"), "client_secret": secret}
