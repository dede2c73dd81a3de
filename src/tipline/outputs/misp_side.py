"""A MISP server as a far side: what an indicator is as an attribute, and what an answer means."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tipline.errors import FarSideError
from tipline.model import tlp
from tipline.model.keys import key
from tipline.model.types import TYPES
from tipline.outputs.answers import checked
from tipline.outputs.delivery import Check, FarItem, FarSide, Outcome, Parcel, Refused, Row
from tipline.outputs.misp_events import MispEvents
from tipline.store.receipts import ACCEPTED, Receipt

if TYPE_CHECKING:
    from tipline.outputs.misp_push import MispPush

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
        self.identity = output.identity("", instance)
        self.send_batch = self.withdraw_batch = self.settings.batch
        title = self.settings.title or output.name
        self.events = MispEvents(self.settings, f"{instance}/{output.name}", title)

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The attribute, and the events that it is in or has left."""
        names = sorted(row.sources) if self.settings.event == "source" else [""]
        leaving = sorted(_before(receipt, "names", "leaving") - {*names})
        tags = sorted({*(row.tags or ()), f"tlp:{tlp.name(row.tlp)}"}) if self.settings.attribute_tags else []
        gone = sorted(_before(receipt, "tags", "untag") - {*tags})
        attribute = {
            "type": _word(row.type, row.direction), "value": row.value, "to_ids": self.settings.to_ids,
            "comment": _comment(row), "distribution": _INHERIT, "deleted": False,
        }  # fmt: skip
        places = {"names": names, "leaving": leaving, "tags": tags, "untag": gone}
        return Parcel(
            row.key, row.type, row.value, {"attribute": attribute, **places},
            self.events.attribute_id(names[0], row.key), self.identity, detail={**places, "word": attribute["type"]},
        )  # fmt: skip

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """The attribute, deleted wherever it is."""
        word = receipt.detail.get("word") or _word(receipt.type, None)
        payload = _removal(word, receipt.value, _before(receipt, "names", "leaving"))
        return Parcel(receipt.key, receipt.type, receipt.value, payload, receipt.far_id, receipt.identity,
                      detail=receipt.detail)  # fmt: skip

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Edit the events, and read back what they have of it."""
        wanted: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for parcel in parcels:
            attribute = parcel.payload["attribute"]
            for name in parcel.payload["names"]:
                wanted[name].append((parcel.key, {**attribute, "tags": parcel.payload["tags"]}))
            for name in parcel.payload["leaving"]:
                wanted[name].append((parcel.key, {**attribute, "deleted": True}))
        held: set[str] = set()
        for name, attributes in wanted.items():
            held |= self.events.edit(name, attributes)
        for parcel in parcels if held else ():
            for identifier in held.intersection(self._ids(parcel, "names")):
                for tag in parcel.payload["untag"]:
                    self.events.untag(identifier, tag)
        return [self._outcome(parcel, held) for parcel in parcels]

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """As `send`: softly deleted."""
        return self.send(parcels)

    def finished(self) -> int:
        """Publish the events, if the output does."""
        return self.events.publish() if self.settings.publish else 0

    def listing(self, now: datetime) -> Iterator[FarItem] | None:
        """The event's attributes; with an event for each source one indicator has several, and is not compared."""
        return None if self.settings.event == "source" else map(self._item, self.events.attributes())

    def erase(self, items: Sequence[FarItem]) -> list[Outcome]:
        """Delete softly what nobody wants; the next cycle publishes that."""
        return self.send([
            Parcel(str(item.key), item.type, item.value, _removal(item.content["word"], item.value, {""}))
            for item in items
        ])  # fmt: skip

    def differences(self, item: FarItem, receipt: Receipt, parcel: Parcel) -> list[str]:
        """Fields that are not as we sent them."""
        ours = parcel.payload["attribute"]
        names = [name for name in ("to_ids", "comment") if item.content.get(name) != ours[name]]
        return [*names, *(["tags"] if not {*parcel.payload["tags"]} <= {*item.content["tags"]} else [])]

    def probe(self) -> list[Check]:
        """Sign in, and look at the rights of the key's user."""

        def work() -> str:
            role = self.events.role()
            if not role.get("perm_add"):
                raise FarSideError("the key's user may not add events", where=self.settings.url, fix="give it a role")
            if self.settings.publish and not role.get("perm_publish"):
                raise FarSideError("the key's user may not publish", where=self.settings.url, fix="set publish: false")
            return f"signed in, with the role {role.get('name', '')}"

        return [checked("MISP", work)]

    def close(self) -> None:
        """Nothing is kept open."""
        self.events.close()

    def _ids(self, parcel: Parcel, places: str) -> set[str]:
        return {self.events.attribute_id(name, parcel.key) for name in parcel.payload[places]}

    def _outcome(self, parcel: Parcel, held: set[str]) -> Outcome:
        if self._ids(parcel, "leaving") & held:
            return Outcome(ok=False, reason="MISP has not deleted the attribute", retryable=True, certain=False)
        if not self._ids(parcel, "names") <= held:
            reason = "MISP has not taken the attribute: is the value valid there, or in the event already?"
            return Outcome(ok=False, reason=reason, retryable=True, certain=False)
        return Outcome(ok=True)

    def _item(self, attribute: dict[str, Any]) -> FarItem:
        word, value = attribute["type"], attribute["value"]
        for name in _names(word, value):
            known = key(name, value).hex
            if self.events.attribute_id("", known) == attribute["uuid"]:
                tags = [tag["name"] for tag in attribute.get("Tag", []) if not tag.get("inherited")]
                content = {"to_ids": attribute["to_ids"], "comment": attribute["comment"], "tags": tags, "word": word}
                return FarItem(attribute["uuid"], name, value, known, identity=self.identity, content=content)
        return FarItem(attribute["uuid"], "", value, by="somebody in MISP")


def _removal(word: str, value: str, places: set[str]) -> dict[str, Any]:
    """The payload that deletes an attribute in some events."""
    attribute = {"type": word, "value": value}
    return {"attribute": attribute, "names": [], "leaving": sorted(places), "tags": [], "untag": []}


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


def _before(receipt: Receipt | None, there: str, going: str) -> set[str]:
    """What a receipt says is there (events, tags); what was to go counts until that was answered."""
    if receipt is None:
        return set()
    left = () if receipt.state == ACCEPTED else receipt.detail.get(going, ())
    return {*receipt.detail.get(there, ()), *left}
