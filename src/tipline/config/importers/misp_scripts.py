"""The scripts that carry MISP to Microsoft: misp2sentinel, its older branch, and Microsoft's sample for Graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tipline.config.importers.misp_filters import WINDOWS, age_in_days, translate
from tipline.config.importers.misp_options import EXPLAINED, OLD_NAMES
from tipline.config.importers.pyconfig import Unknown, Variable, settings_of
from tipline.config.importers.report import Imported, Outcome
from tipline.errors import FormatError

SENTINEL, DEFENDER = "Azure Sentinel", "Microsoft Defender ATP"
_CLOUDS = {"usgovcloudapi": "gcc-high", "chinacloudapi": "china", "graph.microsoft.us": "gcc-high"}
_TYPES = {"ipv4-addr": "ipv4", "ipv6-addr": "ipv6", "domain-name": "domain", "url": "url"}
_HASHES = ("md5", "sha1", "sha256", "sha512", "ssdeep")
_CANNOT_BE_JUDGED = 'misp:confidence-level="confidence-cannot-be-evalued"'


def import_misp2sentinel(body: str, where: str, *, keep_blocking: bool = False) -> Imported:
    """Translate the `config.py` of misp2sentinel, of its present or its older branch.

    Args:
        body: the file.
        where: name for messages.
        keep_blocking: whether an action that blocks (or allows) stays one.

    Raises:
        FormatError: it is not that.
    """
    return _Script(settings_of(body, where), where, keep_blocking=keep_blocking).translate()


def import_misp_graph(body: str, where: str, *, keep_blocking: bool = False) -> Imported:
    """Translate the `config.py` of Microsoft's sample script for Graph; arguments as above.

    Raises:
        FormatError: it is not that.
    """
    return _Script(settings_of(body, where), where, keep_blocking=keep_blocking, graph=True).translate()


@dataclass
class _Script:
    """One script's settings on their way."""

    options: dict[str, Any]
    where: str
    keep_blocking: bool
    graph: bool = False
    made: Imported = field(default_factory=Imported)
    used: set[str] = field(default_factory=set)
    source: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    target: str = "sentinel"
    named: dict[str, str] = field(default_factory=dict)

    def translate(self) -> Imported:
        for old, new in OLD_NAMES.items():
            if old in self.options and new not in self.options:
                self.options[new] = self.options.pop(old)
                self.named[new] = old
        auth = self._take("ms_auth")
        if not isinstance(auth, Mapping) or "misp_domain" not in self.options:
            raise FormatError(
                "it has no misp_domain, or nothing to sign in to Microsoft with",
                where=self.where,
                fix="give the script's config.py",
            )
        self.graph = self.graph or auth.get("graph_api") is True
        self._misp()
        self._target(auth)
        self._credentials(auth)
        self._life()
        self._marks()
        self._explain()
        self.made.sources["misp"] = self.source
        self.made.outputs[self.target] = self.output
        return self.made

    def _say(self, setting: str, outcome: Outcome, sentence: str, node: str = "") -> None:
        self.made.say(node or self.target, self.named.get(setting, setting), outcome, sentence)

    def _take(self, name: str, default: Any = None) -> Any:
        self.used.add(name)
        return self.options.get(name, default)

    def _plain(self, name: str, default: Any = None) -> Any:
        """A value that stands in the file; the default, with a note, where only running it could tell."""
        value = self._take(name, default)
        if isinstance(value, Unknown | Variable):
            told = f"taken as {default!r}: " if default is not None else ""
            self._say(name, "lost", f"{told}the file takes it from elsewhere ({_origin(value)})")
            return default
        return value

    def _text(self, setting: str, value: Any) -> str:
        """An identifier or address: as it is, from the environment, or for somebody to fill in."""
        if isinstance(value, Variable):
            self.made.needed.append(f"set {value.name} in the environment")
            return f"${{env:{value.name}}}"
        if isinstance(value, str) and value.strip() and not value.strip().startswith("<"):
            return value.strip()
        self.made.needed.append(f"fill in {setting}: the file does not tell it")
        return ""

    def _secret(self, name: str, value: Any) -> str:
        if isinstance(value, Variable):
            self.made.needed.append(f"set {value.name} in the environment")
            return f"${{env:{value.name}}}"
        told = isinstance(value, str) and bool(value.strip()) and not value.strip().startswith("<")
        return self.made.secret_file(name, value.strip() if told else None)

    def _misp(self) -> None:
        self.source["kind"] = "misp"
        url = self._text("url of the source misp", self._take("misp_domain"))
        self.source["url"] = url or "https://misp.example.org"
        self.source["key"] = self._secret("misp-key", self._take("misp_key"))
        host = "" if url.startswith("${") else urlsplit(url).hostname or ""
        private = ""
        if host:
            self.source["allow_hosts"] = [host]
            private = "; allow_hosts names it, since MISP servers often have private addresses"
        self._say("misp_domain", "kept", f"url{private}", "misp")
        self._say("misp_key", "translated", f"key: {self.source['key']}", "misp")
        verify = self._plain("misp_verifycert", True)
        if isinstance(verify, str):
            self.source["ca_file"] = verify
            self._say("misp_verifycert", "kept", "ca_file", "misp")
        elif not verify:
            self.source["verify"] = False
            self._say("misp_verifycert", "kept", "verify: false; better: ca_file with the server's authority", "misp")
        else:
            self._say("misp_verifycert", "kept", "the server's certificate is checked", "misp")
        filters = self._take("misp_event_filters", {})
        self.source.update(translate(filters, partial(self.made.say, "misp"), windows=self.graph))

    def _target(self, auth: Mapping[str, Any]) -> None:
        product = self._plain("ms_target_product", SENTINEL)
        if self.graph and product == DEFENDER:
            self.target = "defender"
            self.output = {"kind": "microsoft-defender", "inputs": "misp", "mode": "shadow"}
            self._action()
        else:
            self.output = {"kind": "microsoft-sentinel", "inputs": "misp", "mode": "shadow"}
            self._workspace(auth)
        if self.graph:
            self._say(
                "ms_target_product", "translated", f"{self.output['kind']}: Graph's tiIndicators ended in April 2026"
            )
            self.output["actionable_only"] = False
            self._say(
                "to_ids", "changed", "the script did not heed it, nor does this; take actionable_only out to heed it"
            )
        self._say("mode", "changed", "shadow: it reads, plans and reports, and writes nothing until you say live")

    def _workspace(self, auth: Mapping[str, Any]) -> None:
        ids = {"workspace_id": "workspace_id", "subscription_id": "subscription_id",
               "resource_group": "resourceGroupName", "workspace_name": "workspaceName"}  # fmt: skip
        for ours, theirs in ids.items():
            if ours == "workspace_id" or theirs in auth:
                value = self._text(f"{ours} of the output sentinel", auth.get(theirs))
                if value:
                    self.output[ours] = value
                    self._say(f"ms_auth.{theirs}", "kept", ours)
        if not all(self.output.get(name) for name in ids):
            self._say(
                "ms_auth", "lost", "subscription_id, resource_group, workspace_name: adopt and reconcile need them"
            )
        theirs = self._plain("sourcesystem", "MISP")
        self.output["source_system"] = "tipline"
        self.output["indicator_types"] = ["WatchList"]
        if self.graph:
            named = "the portal's Source column names them"
        else:
            named = f"they are under {theirs}: tipline adopt sentinel --source {theirs}"
        self._say("sourcesystem", "changed", f"ours are under tipline, so that the old can be told apart; {named}")
        self._say("name, description", "changed", "the portal shows the value, and comment and event as description")
        for setting in ("ms_action", "ms_passiveonly", "ms_target_product"):
            if setting in self.options and not (self.graph and setting == "ms_target_product"):
                self._say(setting, "kept", "not needed: Sentinel has no actions, its rules decide")
                self.used.add(setting)

    def _action(self) -> None:
        action = self._plain("ms_action", "alert")
        kept = {"block": "Block", "allow": "Allowed"}.get(str(action)) if self.keep_blocking else None
        self.output["action"] = kept or "Audit"
        if kept == "Block":
            self.output["action_by_type"] = dict.fromkeys(("md5", "sha1", "sha256"), "BlockAndRemediate")
        if kept or action == "alert":
            self._say("ms_action", "kept", f"{action}: {self.output['action']}")
        else:
            self._say("ms_action", "changed", f"{action} became Audit, which alerts; confirm it with --keep-blocking")
        if self._plain("ms_passiveonly", False):
            self._say("ms_passiveonly", "kept", "Audit shows users nothing")

    def _credentials(self, auth: Mapping[str, Any]) -> None:
        self.output["credentials"] = {
            "tenant_id": self._text("tenant_id", auth.get("tenant")),
            "client_id": self._text("client_id", auth.get("client_id")),
            "client_secret": self._secret(f"{self.target}-client-secret", auth.get("client_secret")),
        }
        self._say("ms_auth", "translated", f"credentials; the secret is {self.output['credentials']['client_secret']}")
        for part, cloud in _CLOUDS.items():
            if part in str(auth.get("scope")):
                self.output["credentials"]["cloud"] = cloud
                self._say("ms_auth.scope", "translated", f"credentials.cloud: {cloud}")
        if self.graph and self.target == "sentinel":
            self._say("ms_auth", "changed", "the app needs the role Microsoft Sentinel Contributor on the workspace")
        elif self.graph:
            self._say("ms_auth", "changed", "the app needs Ti.ReadWrite of WindowsDefenderATP, granted by an admin")

    def _life(self) -> None:
        days = self._plain("days_to_expire", 30 if self.graph else 0)
        days = days if isinstance(days, int) and days > 0 else 0
        if self.graph:
            self._shared_end(days or 30)
            return
        mapping = self._plain("days_to_expire_mapping", {})
        by_type = {str(k): v for k, v in mapping.items() if isinstance(v, int)} if isinstance(mapping, Mapping) else {}
        start = self._plain("days_to_expire_start", "valid_from")
        beyond = self._window() if start == "current_date" else 0
        longest = max([days, *by_type.values()])
        if longest <= 0:
            return
        self.source["expire"] = f"last_seen + {longest + beyond}d"
        self.source["max_age"] = self.source.get("max_age") or f"{longest + beyond}d"
        ends = self._ends(days, by_type, beyond)
        if ends:
            self.output["where"] = ends
            self._say(
                "days_to_expire_mapping", "translated", "a filter: ages are counted from the attribute's timestamp"
            )
        self._lifetime(min([n for n in (days, *by_type.values()) if n > 0]))
        added = f", and the {beyond} days in which the script sent it again" if beyond else ""
        self._say(
            "days_to_expire", "translated",
            f"expire: {self.source['expire']}, counted from the attribute's timestamp or last_seen{added};"
            " older events are not read (max_age)", "misp",
        )  # fmt: skip
        counted = "beyond the window of its filters" if beyond else "without more"
        self._say("days_to_expire_start", "translated", f"{start}: the days count {counted}", "misp")
        if self._plain("days_to_expire_ignore_misp_last_seen", False):
            self._say(
                "days_to_expire_ignore_misp_last_seen", "changed", "an attribute's last_seen counts, if it has one"
            )

    def _shared_end(self, days: int) -> None:
        """The sample gives all indicators one end, and sends them anew when it comes: they stay while listed."""
        self.source["expire"] = "never"
        self._lifetime(days)
        self._say("days_to_expire", "translated", "lifetime: each indicator has an end of its own, and is refreshed")

    def _lifetime(self, days: int) -> None:
        if days < 30:
            self.output["lifetime"] = f"{days}d"
            if self.target == "sentinel":
                self.output["refresh"] = f"{days * 8}h"

    def _window(self) -> int:
        filters = self.options.get("misp_event_filters")
        found = [age_in_days(filters.get(name)) or 0 for name in WINDOWS] if isinstance(filters, Mapping) else []
        return max(found, default=0)

    @staticmethod
    def _ends(days: int, by_type: Mapping[str, int], beyond: int) -> str:
        """The ends of types, as a filter; empty if all have one."""
        groups: dict[int, list[str]] = {}
        for word, number in by_type.items():
            names = _HASHES if word.startswith("file") else (_TYPES[word],) if word in _TYPES else ()
            groups.setdefault(number, []).extend(names)
        if not {number for number, names in groups.items() if names} - {days}:
            return ""
        quoted = {number: ", ".join(f"'{name}'" for name in names) for number, names in groups.items() if names}
        parts = [f"(type in ({names}) and seen_age < {number + beyond}d)" for number, names in quoted.items()]
        if days:
            parts.append(f"(type not in ({', '.join(quoted.values())}) and seen_age < {days + beyond}d)")
        return " or ".join(parts)

    def _marks(self) -> None:
        confidence = self._plain("default_confidence", None if self.graph else 50)
        if isinstance(confidence, int) and 0 <= confidence <= 100:
            self.source["confidence"] = confidence
            self.source["confidence_map"] = {_CANNOT_BE_JUDGED: 50}
            self._say("default_confidence", "kept", "confidence; tags of misp:confidence-level stand before it", "misp")
        if self._plain("ignore_localtags", False):
            self.source["local_tags"] = False
            self._say("ignore_localtags", "kept", "local_tags: false", "misp")
        self.output["max_tlp"] = "red"
        self._say("tlp", "kept", "the script sent tlp:red, too, hence max_tlp: red; the usual is amber+strict")
        self._say("values", "changed", "private and reserved addresses and the like are dropped, with a reason", "misp")
        was = "red" if self.graph else "clear"
        self._say(
            "tlp", "changed", f"without a tag the script said {was}; here it is amber (tlp: sets another)", "misp"
        )

    def _explain(self) -> None:
        for name, sentence in EXPLAINED.items():
            if name in self.options:
                self.used.add(name)
                self._say(name, "kept" if sentence.startswith("not needed") else "changed", sentence)
        for name in sorted(set(self.options) - self.used):
            if name.isupper() or isinstance(self.options[name], Unknown | Variable):
                continue  # the file's own helper: others are made of it
            self._say(name, "lost", "no script has such an option")


def _origin(value: Unknown | Variable) -> str:
    return f"the environment's {value.name}" if isinstance(value, Variable) else f"line {value.line}: {value.text}"
