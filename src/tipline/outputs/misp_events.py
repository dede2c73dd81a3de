"""The events of one output on a MISP server, spoken to by PyMISP.

A change is an `events/edit` with some attributes: they are matched by their identifiers, added or changed, and
`deleted: true` removes softly. The answer does not say which attributes were taken, so they are read back.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from tipline.errors import ConfigError, FarSideError
from tipline.microsoft.explain import redact

if TYPE_CHECKING:
    from pymisp import MISPEvent, PyMISP

    from tipline.outputs.misp_push import MispPushSettings

_NAMES = uuid.UUID("7b0b1f8e-2c3d-5b77-9a52-0d4d2a4b3c11")
_PAGE = 5000
_COMPLETED = 2


class MispEvents:
    """One event, or one for each source; an event is known by its source's name, the one event by ''.

    Args:
        settings: of the output.
        owner: the installation and the output, of which the identifiers are made.
        title: how the events are called.
    """

    def __init__(self, settings: MispPushSettings, owner: str, title: str) -> None:
        self._settings = settings
        self._owner = owner
        self._title = title
        self._client: PyMISP | None = None
        self._there: set[str] = set()
        self._changed: set[str] = set()
        self._looked = False

    def attribute_id(self, event: str, key: str) -> str:
        """The identifier of an indicator's attribute in an event."""
        return str(uuid.uuid5(_NAMES, f"{self._owner}/{event}/{key}"))

    def edit(self, event: str, attributes: Sequence[tuple[str, dict[str, Any]]]) -> set[str]:
        """Change an event, which is made if it is not there.

        Args:
            event: its name.
            attributes: key of the indicator, and the attribute's fields with the names of its tags as `tags`.

        Returns:
            the identifiers of those attributes that the event then has.
        """
        from pymisp import MISPAttribute

        self._ensure(event)
        change = self._event(event)
        for key, content in attributes:
            attribute = MISPAttribute()
            fields = {name: value for name, value in content.items() if name != "tags"}
            attribute.from_dict(uuid=self.attribute_id(event, key), **fields)
            for tag in content.get("tags", ()):
                attribute.add_tag(tag)
            change.attributes.append(attribute)
        self._changed.add(event)
        self._ask("update_event", change, metadata=True)
        wanted = [attribute.uuid for attribute in change.attributes]
        found = self._ask("search", controller="attributes", uuid=wanted, deleted=[0, 1], limit=2 * len(wanted), page=1,
                          pythonify=False)  # fmt: skip
        return {each["uuid"] for each in found.get("Attribute", []) if not each["deleted"]}

    def untag(self, attribute: str, tag: str) -> None:
        """Take a tag from an attribute, if it has it: an edit adds tags and removes none."""
        self._ask("untag", attribute, tag, missing=True)

    def publish(self) -> int:
        """Publish what was changed, and at first what an earlier process may have left; returns how many events."""
        if not self._looked:
            self._changed.update(self._unpublished())
            self._looked = True
        changed = [name for name in sorted(self._changed) if not (self._head(name) or {"published": True})["published"]]
        for name in changed:
            self._ask("publish", self._event(name))
        self._changed.clear()
        return len(changed)

    def attributes(self) -> Iterator[dict[str, Any]]:
        """What the one event has, in MISP's words."""
        before: list[dict[str, Any]] = []
        for page in count(1):
            found = self._ask("search", controller="attributes", eventid=self._uuid(""), deleted=[0], limit=_PAGE,
                              page=page, pythonify=False).get("Attribute", [])  # fmt: skip
            if found and found == before:
                raise self._failed("the server gives the same page for ever", retryable=False)
            yield from found
            if len(found) < _PAGE:
                return
            before = found

    def role(self) -> dict[str, Any]:
        """The role of the key's user."""
        found = self._ask("get_user", pythonify=False)
        role: dict[str, Any] = found.get("Role", {}) if isinstance(found, dict) else {}
        return role

    def close(self) -> None:
        """Forget the client, which keeps nothing open."""
        self._client = None

    def _ensure(self, name: str) -> None:
        if name in self._there:
            return
        if self._head(name) is None:
            event = self._event(name)
            for tag in self._settings.tags:
                event.add_tag(tag)
            self._ask("add_event", event, metadata=True)
        self._there.add(name)

    def _head(self, name: str) -> dict[str, Any] | None:
        """An event without its attributes; None if there is none."""
        found = self._ask("search", uuid=[self._uuid(name)], metadata=True, pythonify=False)
        return next((each["Event"] for each in found if each["Event"]["uuid"] == self._uuid(name)), None)

    def _unpublished(self) -> Iterator[str]:
        """Names of our events that may not be published; those of sources are found by their titles."""
        if self._settings.event == "output":
            yield ""
            return
        begin = f"{self._title}: "
        for each in self._ask("search", eventinfo=f"{begin}%", published=False, metadata=True, pythonify=False):
            name = str(each["Event"]["info"]).removeprefix(begin)
            if each["Event"]["uuid"] == self._uuid(name):
                yield name

    def _event(self, name: str) -> MISPEvent:
        from pymisp import MISPEvent

        event = MISPEvent()
        settings = self._settings
        event.from_dict(
            uuid=self._uuid(name),
            info=f"{self._title}: {name}" if name else self._title,
            distribution=settings.event_distribution,
            threat_level_id=settings.threat_level,
            analysis=_COMPLETED,
            **({"sharing_group_id": settings.sharing_group} if settings.sharing_group else {}),
        )
        return event

    def _uuid(self, name: str) -> str:
        return str(uuid.uuid5(_NAMES, f"{self._owner}/{name}"))

    def _ask(self, call: str, *given: Any, missing: bool = False, **named: Any) -> Any:
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
            s = self._settings
            trust = str(s.ca_file) if s.verify and s.ca_file else s.verify
            cert = str(s.client_cert) if s.client_cert else None
            pair = (cert, str(s.client_key)) if cert and s.client_key else cert
            self._client = PyMISP(s.url, self._key(), ssl=trust, cert=pair, timeout=s.timeout, tool="tipline")
        return self._client

    def _failed(self, words: str, *, retryable: bool) -> FarSideError:
        return FarSideError(
            f"MISP: {redact(words, [self._key()])[:500]}",
            where=self._settings.url,
            fix="is the address right, and the key that of a user who may do this?",
            retryable=retryable,
        )

    def _key(self) -> str:
        return self._settings.key.get_secret_value() if self._settings.key else ""
