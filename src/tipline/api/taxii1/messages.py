"""TAXII 1.1 messages: what a request says, and the answers as XML.

Facts: TAXII 1.1 services, HTTP and XML message bindings (MITRE); MineMeld's headers and refusals.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from xml.sax.saxutils import escape

from lxml import etree
from starlette.requests import Request
from starlette.responses import Response

SPACE = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1"
BINDING = "urn:taxii.mitre.org:message:xml:1.1"
SERVICES = "urn:taxii.mitre.org:services:1.1"
STIX_1 = "urn:stix.mitre.org:xml:1.1.1"
_PROTOCOLS = ("urn:taxii.mitre.org:protocol:http:1.0", "urn:taxii.mitre.org:protocol:https:1.0")
MOST_BYTES = 65_536


class StatusError(Exception):
    """What is answered as a status message.

    Attributes:
        status: TAXII's status type.
        message: a sentence for people.
        http: status of the answer; TAXII says 200 even then.
        headers: more of the answer.
    """

    def __init__(
        self,
        status: str,
        message: str,
        http: HTTPStatus = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.http = status, message, http
        self.headers, self.detail = dict(headers or {}), dict(detail or {})


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        name: of its message.
        id: its message_id.
        members: the message's attributes.
        begin: exclusive; naive UTC.
        end: inclusive; naive UTC.
        count_only: whether only the number of records is asked for.
    """

    name: str
    id: str
    members: Mapping[str, str] = field(default_factory=dict)
    begin: datetime | None = None
    end: datetime | None = None
    count_only: bool = False


def read(request: Request, body: bytes) -> Asked:
    """Read a request.

    Raises:
        StatusError: it is none, or not one of version 1.1.
    """
    headers = request.headers
    if headers.get("x-taxii-content-type") != BINDING or headers.get("x-taxii-services", SERVICES) != SERVICES:
        raise StatusError("UNSUPPORTED_MESSAGE", f"X-TAXII-Content-Type must be {BINDING}", HTTPStatus.BAD_REQUEST)
    if headers.get("x-taxii-protocol", _PROTOCOLS[0]) not in _PROTOCOLS:
        raise StatusError("UNSUPPORTED_PROTOCOL", "this protocol is not spoken here", HTTPStatus.BAD_REQUEST)
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise StatusError("BAD_MESSAGE", "the body is not well-formed XML", HTTPStatus.BAD_REQUEST) from error
    space, _, name = str(root.tag)[1:].rpartition("}")
    if space != SPACE or root.getroottree().docinfo.doctype:
        raise StatusError("UNSUPPORTED_MESSAGE", "the body is no message of TAXII 1.1", HTTPStatus.BAD_REQUEST)
    return Asked(
        name,
        root.get("message_id", "0"),
        {str(key): str(value) for key, value in root.attrib.items()},
        _moment(root, "Exclusive_Begin_Timestamp"),
        _moment(root, "Inclusive_End_Timestamp"),
        (root.findtext(f"{{{SPACE}}}Poll_Parameters/{{{SPACE}}}Response_Type") or "FULL") == "COUNT_ONLY",
    )


def _moment(root: etree._Element, name: str) -> datetime | None:
    text = root.findtext(f"{{{SPACE}}}{name}")
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
        if found.tzinfo is not None:
            return found.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        pass
    raise StatusError("BAD_MESSAGE", f"{name} must be a moment with a zone")


def opened(name: str, asked: Asked | None, /, **attributes: str) -> str:
    """The start of an answer."""
    told = {"message_id": str(uuid.uuid4().int >> 66), "in_response_to": asked.id if asked else "0", **attributes}
    words = " ".join(f'{key}="{text(value)}"' for key, value in told.items())
    return f'<taxii_11:{name} xmlns:taxii_11="{SPACE}" {words}>'


def closed(name: str) -> str:
    """The end of an answer."""
    return f"</taxii_11:{name}>"


def element(tag: str, content: str, /, **attributes: str) -> str:
    """An element with text."""
    words = "".join(f' {key}="{text(value)}"' for key, value in attributes.items())
    return f"<taxii_11:{tag}{words}>{text(content)}</taxii_11:{tag}>"


def text(value: str) -> str:
    """A text as XML holds it."""
    return escape("".join(c for c in value if c >= " " and c not in "\ufffe\uffff"), {'"': "&quot;"})


def moment_text(moment: datetime) -> str:
    """A moment as TAXII writes it, to the microsecond."""
    return moment.isoformat(timespec="microseconds") + "Z"


def headers_for(request: Request) -> dict[str, str]:
    """The headers of every answer."""
    return {
        "x-taxii-content-type": BINDING,
        "x-taxii-protocol": _PROTOCOLS[request.url.scheme == "https"],
        "x-taxii-services": SERVICES,
        "x-content-type-options": "nosniff",
        "content-type": "application/xml",
    }


def answer(request: Request, content: str, status: int = HTTPStatus.OK) -> Response:
    """A whole answer."""
    return Response(content.encode(), status, headers_for(request))


def status_message(request: Request, asked: Asked | None, error: StatusError) -> Response:
    """An error as TAXII says it."""
    details = "".join(element("Detail", value, name=name) for name, value in error.detail.items())
    if details:
        details = f"<taxii_11:Status_Detail>{details}</taxii_11:Status_Detail>"
    content = opened("Status_Message", asked, status_type=error.status) + details + element("Message", error.message)
    found = answer(request, content + closed("Status_Message"), error.http)
    found.headers.update(error.headers)
    return found
