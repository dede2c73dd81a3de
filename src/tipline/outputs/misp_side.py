"""A MISP server as a far side, spoken to by PyMISP.

A change is an `events/edit` with some attributes: they are matched by their identifiers, added or changed, and
`deleted: true` removes softly. The answer does not say which attributes were taken, so they are read back.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tipline.errors import ConfigError, FarSideError
from tipline.microsoft.explain import redact
from tipline.model import tlp
from tipline.model.keys import key
from tipline.model.types import TYPES
from tipline.outputs.delivery import Check, FarItem, FarSide, Outcome, Parcel, Refused, Row
from tipline.outputs.microsoft_shared import checked
from tipline.store.receipts import ACCEPTED, Receipt

if TYPE_CHECKING:
    from pymisp import MISPEvent, PyMISP

    from tipline.outputs.misp_push import MispPush

_NAMES = uuid.UUID("7b0b1f8e-2c3d-5b77-9a52-0d4d2a4b3c11")
_PAGE = 5000
_MOST_PAGES = 10_000
_COMPLETED = 2
_INHERIT = 5


class MispSide(FarSide):
    """The events of one output on one server.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    def __init__(self, output: MispPush, instance: str, stop: threading.Event) -> None:
        del stop  # PyMISP has no waits that could be ended
        self.settings = output.settings
        self.name = f"{instance}/{output.name}"
        self.title = self.settings.title or output.name
        self.identity = output.identity("", instance)
        self.send_batch = self.withdraw_batch = self.settings.batch
        self._client: PyMISP | None = None
        self._there: set[str] = set()  # events that exist
        self._changed: set[str] = set()
        self._looked = False

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The attribute, and the events that it is in or has left."""
        names = sorted(row.sources) if self.settings.event == "source" else [""]
        before = _places(receipt)
        tags = sorted({*(row.tags or ()), f"tlp:{tlp.name(row.tlp)}"}) if self.settings.attribute_tags else []
        attribute = {
            "type": _word(row.type, row.direction), "value": row.value, "to_ids": self.settings.to_ids,
            "comment": _comment(row), "distribution": _INHERIT, "deleted": False,
        }  # fmt: skip
        leaving = sorted(before - {*names})
        gone = sorted({*(receipt.detail.get("tags", ()) if receipt else ())} - {*tags})
        payload = {"key": row.key, "attribute": attribute, "names": names, "leaving": leaving, "tags": tags,
                   "untag": gone}  # fmt: skip
        detail = {"names": names, "leaving": leaving, "tags": tags, "word": attribute["type"]}
        return Parcel(row.key, row.type, row.value, payload, self._attribute(names[0], row.key), self.identity,
                      detail=detail)  # fmt: skip

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """The attribute, deleted wherever it is."""
        attribute = {"type": receipt.detail.get("word") or _word(receipt.type, None), "value": receipt.value}
        payload = {"key": receipt.key, "attribute": attribute, "names": [], "leaving": sorted(_places(receipt)),
                   "tags": [], "untag": []}  # fmt: skip
        return Parcel(receipt.key, receipt.type, receipt.value, payload, receipt.far_id, receipt.identity,
                      detail=receipt.detail)  # fmt: skip

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Edit the events, and read back what they have of it."""
        wanted: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for parcel in parcels:
            for name in parcel.payload["names"]:
                wanted[name].append((parcel.key, {**parcel.payload["attribute"], "Tag": parcel.payload["tags"]}))
            for name in parcel.payload["leaving"]:
                wanted[name].append((parcel.key, {**parcel.payload["attribute"], "deleted": True}))
        held: dict[str, bool] = {}
        for name, attributes in wanted.items():
            held |= self._edit(name, attributes)
        self._untag(parcels, held)
        return [self._outcome(parcel, held) for parcel in parcels]

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """As `send`: softly deleted."""
        return self.send(parcels)

    def finished(self) -> None:
        """Publish what was changed; after a start also what an earlier process may have left unpublished."""
        if not self.settings.publish:
            return
        if not self._looked and self.settings.event == "output":
            self._changed.add("")
        for name in sorted(self._changed):
            head = self._head(name)
            if head is not None and not head.get("published"):
                event = self._event(name)
                self._asked("publish", event)
        self._looked = True
        self._changed.clear()

    def listing(self, now: datetime) -> Iterator[FarItem] | None:
        """The event's attributes; with an event for each source one indicator has several, and is not compared."""
        return None if self.settings.event == "source" else self._attributes()

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """Delete softly what nobody wants."""
        parcels = [
            Parcel(str(item.key), item.type, item.value, {
                "key": item.key, "attribute": {"type": item.content["word"], "value": item.value}, "names": [],
                "leaving": [""], "tags": [], "untag": []})
            for item in items
        ]  # fmt: skip
        outcomes = self.send(parcels)
        self.finished()
        return outcomes

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """Fields that are not as we sent them."""
        ours = parcel.payload["attribute"]
        names = [name for name in ("to_ids", "comment") if item.content.get(name) != ours[name]]
        return [*names, *(["tags"] if not {*parcel.payload["tags"]} <= {*item.content["tags"]} else [])]

    def probe(self) -> list[Check]:
        """Sign in, and look at the rights of the key's user."""

        def work() -> str:
            found = self._asked("get_user", pythonify=False)
            role = found.get("Role", {}) if isinstance(found, dict) else {}
            if not role.get("perm_add"):
                raise FarSideError("the key's user may not add events", where=self.settings.url, fix="give it a role")
            if self.settings.publish and not role.get("perm_publish"):
                raise FarSideError("the key's user may not publish", where=self.settings.url, fix="set publish: false")
            return f"signed in, with the role {role.get('name', '')}"

        return [checked("MISP", work)]

    def close(self) -> None:
        """Nothing is kept open."""
        self._client = None

    def _edit(self, name: str, attributes: list[tuple[str, dict[str, Any]]]) -> dict[str, bool]:
        """Change an event's attributes; returns which of their identifiers it then has."""
        from pymisp import MISPAttribute

        self._ensure(name)
        event = self._event(name)
        for identifier, content in attributes:
            tags = content.pop("Tag", [])
            attribute = MISPAttribute()
            attribute.from_dict(uuid=self._attribute(name, identifier), **content)
            for tag in tags:
                attribute.add_tag(tag)
            event.attributes.append(attribute)
        self._changed.add(name)
        self._asked("update_event", event, metadata=True)
        identifiers = [self._attribute(name, identifier) for identifier, _ in attributes]
        found = self._asked(
            "search", controller="attributes", uuid=identifiers, deleted=[0, 1], limit=2 * len(identifiers), page=1,
            pythonify=False,
        )  # fmt: skip
        there = {each["uuid"]: not each["deleted"] for each in found.get("Attribute", [])}
        return {identifier: there.get(identifier, False) for identifier in identifiers}

    def _untag(self, parcels: Sequence[Parcel], held: dict[str, bool]) -> None:
        """An edit adds tags and removes none."""
        for parcel in parcels:
            for name in parcel.payload["names"]:
                identifier = self._attribute(name, parcel.key)
                for tag in parcel.payload["untag"] if held.get(identifier) else ():
                    self._asked("untag", identifier, tag, missing=True)

    def _outcome(self, parcel: Parcel, held: dict[str, bool]) -> Outcome:
        absent = [name for name in parcel.payload["names"] if not held[self._attribute(name, parcel.key)]]
        left = [name for name in parcel.payload["leaving"] if held[self._attribute(name, parcel.key)]]
        if left:
            return Outcome(ok=False, reason="MISP has not deleted the attribute", retryable=True, certain=False)
        if absent:
            reason = "MISP has not taken the attribute: is the value valid there, or in the event already?"
            return Outcome(ok=False, reason=reason, retryable=True, certain=False)
        return Outcome(ok=True)

    def _ensure(self, name: str) -> None:
        """The event, made if it is not there."""
        if name in self._there:
            return
        if self._head(name) is None:
            event = self._event(name)
            for tag in self.settings.tags:
                event.add_tag(tag)
            self._asked("add_event", event, metadata=True)
        self._there.add(name)

    def _head(self, name: str) -> dict[str, Any] | None:
        """An event without its attributes; None if there is none."""
        found = self._asked("search", uuid=[self._uuid(name)], metadata=True, pythonify=False)
        return next((each["Event"] for each in found if each["Event"]["uuid"] == self._uuid(name)), None)

    def _event(self, name: str) -> MISPEvent:
        from pymisp import MISPEvent

        event = MISPEvent()
        settings = self.settings
        event.from_dict(
            uuid=self._uuid(name),
            info=f"{self.title}: {name}" if name else self.title,
            distribution=settings.event_distribution,
            threat_level_id=settings.threat_level,
            analysis=_COMPLETED,
            **({"sharing_group_id": settings.sharing_group} if settings.sharing_group else {}),
        )
        return event

    def _attributes(self) -> Iterator[FarItem]:
        for page in range(1, _MOST_PAGES):
            found = self._asked(
                "search", controller="attributes", eventid=self._uuid(""), deleted=[0], limit=_PAGE, page=page,
                pythonify=False,
            ).get("Attribute", [])  # fmt: skip
            yield from map(self._item, found)
            if len(found) < _PAGE:
                return

    def _item(self, attribute: dict[str, Any]) -> FarItem:
        word, value = attribute["type"], attribute["value"]
        for name in _names(word, value):
            known = key(name, value).hex
            if self._attribute("", known) == attribute["uuid"]:
                tags = [tag["name"] for tag in attribute.get("Tag", []) if not tag.get("inherited")]
                content = {"to_ids": attribute["to_ids"], "comment": attribute["comment"], "tags": tags, "word": word}
                return FarItem(attribute["uuid"], name, value, known, identity=self.identity, content=content)
        return FarItem(attribute["uuid"], "", value, by="somebody in MISP")

    def _uuid(self, name: str) -> str:
        return str(uuid.uuid5(_NAMES, f"{self.name}/{name}"))

    def _attribute(self, name: str, identifier: str) -> str:
        return str(uuid.uuid5(_NAMES, f"{self.name}/{name}/{identifier}"))

    def _asked(self, call: str, *given: Any, missing: bool = False, **named: Any) -> Any:
        """Ask the server; what it refuses, and what breaks on the way, is told in our words.

        Args:
            call: PyMISP's method.
            given: its arguments.
            missing: whether it does not matter if the thing is not there.
            named: its named arguments.
        """
        from pymisp.exceptions import PyMISPError
        from requests import RequestException

        try:
            answer = getattr(self._connected(), call)(*given, **named)
        except (PyMISPError, RequestException, ValueError) as error:
            raise self._failed(str(error) or type(error).__name__, retryable=True) from None
        if isinstance(answer, dict) and "errors" in answer and not missing:
            status, words = answer["errors"] if isinstance(answer["errors"], tuple) else (None, answer["errors"])
            said = words.get("message") or words.get("name") if isinstance(words, dict) else words
            raise self._failed(f"{said} ({status})", retryable=status == 429)
        return answer

    def _connected(self) -> PyMISP:
        if self._client is None:
            try:
                from pymisp import PyMISP
            except ImportError:
                raise ConfigError("misp-push needs PyMISP", fix="install tipline[misp]") from None
            s = self.settings
            trust: bool | str = str(s.ca_file) if s.ca_file else s.verify
            cert = str(s.client_cert) if s.client_cert else None
            secret = s.key.get_secret_value() if s.key else ""
            self._client = PyMISP(s.url, secret, ssl=trust, cert=cert, timeout=s.timeout, tool="tipline")
        return self._client

    def _failed(self, words: str, *, retryable: bool) -> FarSideError:
        secret = self.settings.key.get_secret_value() if self.settings.key else ""
        return FarSideError(
            f"MISP: {redact(words, [secret])[:500]}",
            where=self.settings.url,
            fix="is the address right, and the key that of a user who may do this?",
            retryable=retryable,
        )


def _word(type_: str, direction: str | None) -> str:
    """MISP's type for ours."""
    words = TYPES[type_].misp
    return "ip-src" if direction == "inbound" and "ip-src" in words else words[0]


def _names(word: str, value: str) -> list[str]:
    """Our types for MISP's."""
    if word in {"ip-dst", "ip-src"}:
        return ["ipv6" if ":" in value else "ipv4"]
    return [name for name, type_ in TYPES.items() if word in type_.misp[:1]]


def _comment(row: Row) -> str:
    said = f"{row.description} " if row.description else ""
    return f"{said}[confidence {row.confidence}; {', '.join(sorted(row.sources))}]"


def _places(receipt: Receipt | None) -> set[str]:
    """The events that may have the indicator: those it left count until that was answered."""
    if receipt is None:
        return set()
    leaving = () if receipt.state == ACCEPTED else receipt.detail.get("leaving", ())
    return {*receipt.detail.get("names", ()), *leaving}
