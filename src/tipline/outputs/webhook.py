"""Webhooks: events in signed batches of JSON, in the form of the Standard Webhooks specification."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

import orjson
from pydantic import Field, SecretStr, field_validator

from tipline.kinds import NodeSettings
from tipline.microsoft.results import ItemResult
from tipline.outputs.answers import checked, outcomes, sent
from tipline.outputs.base import Carries
from tipline.outputs.delivery import Check, Delivered, FarSide, Outcome, Parcel, Refused, Row
from tipline.outputs.events import SHOWN, taken_back, told
from tipline.outputs.http_calls import Caller, Request
from tipline.outputs.http_settings import CallSettings
from tipline.store.receipts import Receipt

_SHORTEST = 24  # bytes of a secret, as the specification asks for
_NAMES = uuid.UUID("f5a5bd0e-6d1c-5c9c-8d3a-5d9c1d4b5a11")


class WebhookSettings(CallSettings):
    """Settings of `webhook`."""

    secret: SecretStr | None = Field(
        default=None,
        description="Secret that batches are signed with: whsec_ and base64, or any text of at least 24 bytes.",
    )
    batch: int = Field(default=100, ge=1, le=10_000, description="Events in one request.")

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(_key(value)) < _SHORTEST:
            raise ValueError(f"secret is shorter than {_SHORTEST} bytes")
        return value


class Webhook(Delivered):
    """Posts added, changed and removed indicators to an address as signed JSON."""

    kind: ClassVar[str] = "webhook"
    Settings: ClassVar[type[NodeSettings]] = WebhookSettings
    settings: WebhookSettings
    carries: ClassVar[Carries] = Carries(
        types="all",
        confidence="0 to 100",
        tlp="word",
        expiry="`valid_until`",
        removal="a `remove` event",
        limits="`batch` events a request",
        receipt="yes, for each batch; refused events are found",
    )
    example: ClassVar[str] = """\
kind: webhook
inputs: inbound
url: https://soar.example.org/hooks/indicators
bearer: ${env:WEBHOOK_TOKEN}
"""

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The receiver."""
        return WebhookSide(self, instance, stop)

    def missing(self) -> list[str]:
        """The address, if it is not set."""
        return [] if self.settings.url else ["url"]

    def shown(self) -> list[str]:
        """What events show."""
        return SHOWN


class WebhookSide(FarSide):
    """The receiver of one address.

    Args:
        output: the configured output.
        instance: the installation's name.
        stop: set at shutdown.
    """

    def __init__(self, output: Webhook, instance: str, stop: threading.Event) -> None:
        self.settings = output.settings
        self.head = {"instance": instance, "output": output.name}
        self.send_batch = self.withdraw_batch = self.settings.batch
        self.caller = Caller(self.settings, stop)

    def pack(self, row: Row, receipt: Receipt | None, now: datetime) -> Parcel | Refused:
        """The event of an indicator."""
        event, detail = told(row, receipt)
        return Parcel(row.key, row.type, row.value, event.as_dict(), detail=detail)

    def pack_withdrawal(self, receipt: Receipt, now: datetime, *, false_positive: bool) -> Parcel:
        """The event of one that left."""
        event, detail = taken_back(receipt, false_positive=false_positive)
        return Parcel(receipt.key, receipt.type, receipt.value, event.as_dict(), detail=detail)

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """One request; a batch that is refused for its content is halved until the culprit is found."""
        return outcomes(sent(parcels, self._post))

    def withdraw(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """As `send`: a removal is an event too."""
        return self.send(parcels)

    def preview(self, parcels: Sequence[Parcel]) -> list[str]:
        """The request, its signature made with the time of now."""
        request = self._request(parcels)
        return [request.shown([*self.caller.signing, *(["webhook-signature"] if self.settings.secret else [])])]

    def probe(self) -> list[Check]:
        """A signed batch without events, which a receiver has to take."""

        def work() -> str:
            self._post([])
            return "the receiver takes an empty batch"

        return [checked("webhook", work)]

    def close(self) -> None:
        """Close the connections."""
        self.caller.close()

    def _post(self, parcels: Sequence[Parcel]) -> list[ItemResult]:
        self.caller.call(self._request(parcels))
        return [ItemResult(ok=True)] * len(parcels)

    def _request(self, parcels: Sequence[Parcel]) -> Request:
        events: list[dict[str, Any]] = [parcel.payload for parcel in parcels]
        body = orjson.dumps({"type": "indicators", **self.head, "events": events})
        batch = "msg_" + uuid.uuid5(_NAMES, " ".join(event["id"] for event in events)).hex
        stamp = str(int(self.caller.clock.wall()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": batch,
            "webhook-id": batch,
            "webhook-timestamp": stamp,
        }
        if self.settings.secret is not None:
            signed = hmac.digest(_key(self.settings.secret), f"{batch}.{stamp}.".encode() + body, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return Request("POST", self.settings.url, body, headers)


def _key(secret: SecretStr) -> bytes:
    text = secret.get_secret_value()
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ in secret is not base64") from None
