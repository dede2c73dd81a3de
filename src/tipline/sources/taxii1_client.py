"""TAXII 1.1 as a client: messages to one server, and what its answers say.

Sources: TAXII 1.1 services, HTTP and XML message bindings (MITRE). What servers do otherwise: content that is not STIX,
addresses with `http` behind a proxy, no collection management.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from tipline.errors import FetchError, FormatError
from tipline.formats.stix1cybox import Element, name_of, text_of
from tipline.sources.fetch_connect import Body
from tipline.sources.fetch_settings import Part
from tipline.sources.guardrails import mask_url
from tipline.sources.taxii_client import Client

_SPACE = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1"
_BINDING = "urn:taxii.mitre.org:message:xml:1.1"
# A message's head: its attributes and the elements before the first content block.
_HEAD = ("Inclusive_End_Timestamp", "Record_Count", "Message")
_MAX_DOCUMENT = 16 << 20


@dataclass(frozen=True)
class Answer:
    """The head of a message.

    Attributes:
        name: of its element.
        members: its attributes, and the texts of its first elements.
        part: the whole of it, in the spool.
    """

    name: str
    members: Mapping[str, str]
    part: Part


@dataclass(frozen=True)
class Feed1:
    """A collection, and where it is polled.

    Attributes:
        name: of the collection.
        url: of its poll service.
        ordered: a data feed, of which a span of time can be asked for; a data set comes whole.
    """

    name: str
    url: str
    ordered: bool = True


@dataclass
class Client1:
    """Messages to one server.

    Args:
        client: requests, with sign-in and limits.
    """

    client: Client
    _seen: list[str] = field(default_factory=list)

    def poll(self, feed: Feed1, begin: str | None, end: str | None, subscription: str | None) -> Answer:
        """Ask for the content of a span of time; the first part of it.

        Raises:
            FetchError: the server refuses, or cannot be reached.
            FormatError: the answer is no TAXII.
        """
        message = _message("Poll_Request", collection_name=feed.name)
        for name, moment in (("Exclusive_Begin_Timestamp", begin), ("Inclusive_End_Timestamp", end)):
            if moment and feed.ordered:
                etree.SubElement(message, f"{{{_SPACE}}}{name}").text = moment
        if subscription:
            etree.SubElement(message, f"{{{_SPACE}}}Subscription_ID").text = subscription
        else:
            parameters = etree.SubElement(message, f"{{{_SPACE}}}Poll_Parameters", allow_asynch="false")
            etree.SubElement(parameters, f"{{{_SPACE}}}Response_Type").text = "FULL"
        return self._ask(feed.url, message, "Poll_Response")

    def next_part(self, feed: Feed1, before: Answer) -> Answer:
        """The part of a result behind another.

        Raises:
            FetchError: the server refuses, or cannot be reached.
            FormatError: the answer is no TAXII.
        """
        number = before.members.get("result_part_number", "1")
        message = _message(
            "Poll_Fulfillment",
            collection_name=feed.name,
            result_id=before.members.get("result_id", ""),
            result_part_number=str(int(number[:9]) + 1 if number.isdigit() else 2),
        )
        return self._ask(feed.url, message, "Poll_Response")

    def find(self, wanted: str | None, poll_url: str | None) -> Feed1:
        """The collection, from the address of the discovery service.

        Raises:
            FetchError: there is no such collection.
            FormatError: the answer is no TAXII.
        """
        if poll_url and wanted:
            return Feed1(wanted, poll_url)
        services = self._services()
        manager = services.get("COLLECTION_MANAGEMENT")
        if manager is None:
            if wanted and "POLL" in services:
                return Feed1(wanted, poll_url or services["POLL"])
            raise self._nothing(wanted)
        answer = self._ask(manager, _message("Collection_Information_Request"), "Collection_Information_Response")
        offered = [
            each for each in self._tree(answer).iterchildren("{*}Collection") if each.get("available") != "false"
        ]
        self._seen = [each.get("collection_name", "") for each in offered]
        chosen = [each for each in offered if wanted is None or each.get("collection_name") == wanted]
        if len(chosen) != 1:
            raise self._nothing(wanted)
        told = text_of(chosen[0].find("{*}Polling_Service/{*}Address")) or services.get("POLL") or self.client.url
        ordered = (chosen[0].get("collection_type") or "DATA_FEED") == "DATA_FEED"
        return Feed1(chosen[0].get("collection_name", ""), poll_url or told, ordered)

    def _services(self) -> dict[str, str]:
        """Addresses of the services that speak our version."""
        answer = self._ask(self.client.url, _message("Discovery_Request"), "Discovery_Response")
        found: dict[str, str] = {}
        for each in self._tree(answer).iterchildren("{*}Service_Instance"):
            bindings = [text_of(one) for one in each.iterchildren("{*}Message_Binding")]
            address = text_of(each.find("{*}Address"))
            if address and (not bindings or _BINDING in bindings):
                found.setdefault(each.get("service_type", ""), address)
        return found

    def _nothing(self, wanted: str | None) -> FetchError:
        there = ", ".join(each for each in self._seen if each) or "none is to be seen with this sign-in"
        what = f"there is no collection {wanted!r}" if wanted else "there is not just one collection"
        return FetchError(what, where=mask_url(self.client.url), fix=f"set `collection` to one of: {there}")

    def _ask(self, url: str, message: Element, wanted: str) -> Answer:
        scheme = "https" if url.lower().startswith("https") else "http"
        extra = {
            "X-TAXII-Content-Type": _BINDING,
            "X-TAXII-Accept": _BINDING,
            "X-TAXII-Services": "urn:taxii.mitre.org:services:1.1",
            "X-TAXII-Protocol": f"urn:taxii.mitre.org:protocol:{scheme}:1.0",
        }
        # Without a declaration, which OpenTAXII cannot read; ASCII is UTF-8.
        body = Body(etree.tostring(message, encoding="us-ascii", xml_declaration=False), "application/xml")
        part = self.client.fetch(url, "application/xml", body=body, extra=extra)
        name, members = _head(part)
        if name == "Status_Message":
            raise _refusal(members, part.name)
        if name != wanted:
            raise FormatError(
                "the answer is not a TAXII 1.1 message", where=part.name, fix="is this a TAXII 1.1 server's address?"
            )
        return Answer(name, members, part)

    def _tree(self, answer: Answer) -> Element:
        """A small message, parsed whole; its file goes."""
        body = answer.part.path.read_bytes()[:_MAX_DOCUMENT]
        answer.part.path.unlink(missing_ok=True)
        parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, encoding="utf-8")
        try:
            return etree.fromstring(body, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise FormatError(f"not well-formed XML: {error}", where=answer.part.name) from error


def _message(name: str, **attributes: str) -> Element:
    made = etree.Element(f"{{{_SPACE}}}{name}", nsmap={None: _SPACE})
    made.set("message_id", str(uuid.uuid4().int >> 66))
    for each, value in attributes.items():
        made.set(each, value)
    return made


def _head(part: Part) -> tuple[str, dict[str, str]]:
    """The name of a message, and what stands before its content."""
    members: dict[str, str] = {}
    root: Any = None
    try:
        with part.path.open("rb") as stream:
            reading = etree.iterparse(
                stream, events=("start", "end"), resolve_entities=False, load_dtd=False, no_network=True,
                encoding="utf-8",
            )  # fmt: skip
            for event, element in reading:
                if root is None:
                    root = element
                    members |= dict(element.attrib)
                name = name_of(element)
                if name == "Content_Block":
                    break
                if event == "end" and name in _HEAD:
                    members[name] = text_of(element)
    except etree.XMLSyntaxError as error:
        raise FormatError(
            f"not well-formed XML: {error.msg}", where=part.name, fix="is this a TAXII 1.1 server's address?"
        ) from error
    return ("" if root is None else name_of(root)), members


def _refusal(members: Mapping[str, str], where: str) -> FetchError:
    """A status message as an error."""
    status = members.get("status_type", "FAILURE")
    said = members.get("Message", "")
    fix = {
        "UNAUTHORIZED": "check basic, bearer or client_cert",
        "DENIED": "ask the server's owner for the right to read the collection",
        "NOT_FOUND": "check `collection`, and `subscription_id` if the server wants one",
        "PENDING": "the server prepares the answer; the next poll may find it",
    }.get(status, "")
    text = f"the server answered {status}" + (f": {said[:200]}" if said else "")
    return FetchError(text, where=where, fix=fix, retryable=status == "PENDING")
