"""Which collections there are, who may read or write them, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.access import Shown, gate, owner, shown
from tipline.api.taxii.media import STIX_20, STIX_21, TaxiiError, answer, not_found, wants
from tipline.engine.core import Engine
from tipline.outputs.taxii import DEFAULT_ROOT, TaxiiKind, collection_id, root_of
from tipline.outputs.taxii_objects import Spec
from tipline.sources.ingest import Ingest

_REALM = 'Basic realm="tipline TAXII", charset="UTF-8"'


@dataclass(frozen=True)
class Collections:
    """The collections of an engine.

    Attributes:
        engine: whose they are.
        user: the name of a user of this server who asks and may write to a source; None if none does.
    """

    engine: Engine
    user: Callable[[Request, Ingest], str | None] = lambda _request, _source: None

    @property
    def instance(self) -> str:
        """The installation's name."""
        return self.engine.configuration.settings.instance

    def inbound(self, root: str | None = None) -> list[Ingest]:
        """The sources (of one root) that take objects."""
        return [
            source
            for _, source in sorted(self.engine.graph.sources.items())
            if isinstance(source, Ingest) and source.settings.taxii and source.settings.enabled
            if root in {None, root_of(source.settings.team)}
        ]

    def sender(self, source: Ingest, request: Request) -> str | None:
        """Who writes to a source; None: nobody who may."""
        given = shown(request.headers)
        found = _sender(source, given)
        if found is not None or any(_sender(other, given) for other in self.inbound()):
            return found
        user = self.user(request, source)
        return None if user is None else f"user {user}"

    def open_to(self, request: Request, root: str | None = None) -> list[TaxiiKind | Ingest]:
        """The collections (of one root) that the asker may read or write.

        Raises:
            TaxiiError: 401, there are some, and none without a key.
        """
        outputs: list[TaxiiKind | Ingest] = [
            output
            for _, output in sorted(self.engine.graph.outputs.items())
            if isinstance(output, TaxiiKind) and root in {None, root_of(output.settings.team)}
        ]
        all_of_them = outputs + self.inbound(root)
        found = [each for each in all_of_them if self._admits(each, request)]
        if all_of_them and not found:
            raise _shut(all_of_them)
        return found

    def one(self, request: Request) -> TaxiiKind:
        """The collection that the address names, to be read.

        Raises:
            TaxiiError: as `named`; 403, it can be written only.
        """
        found = self.named(request)
        if isinstance(found, Ingest):
            raise TaxiiError(HTTPStatus.FORBIDDEN, "nothing can be read from this collection")
        return found

    def named(self, request: Request) -> TaxiiKind | Ingest:
        """The collection that the address names, by its identifier or its alias.

        Raises:
            TaxiiError: 404, there is none; 401, it asks for a key.
        """
        root, name = request.path_params["root"], request.path_params["collection"]
        for node in (*self.engine.graph.outputs.values(), *self.inbound(root)):
            if isinstance(node, TaxiiKind | Ingest) and root == root_of(node.settings.team):
                if name not in {node.name, collection_id(self.instance, node.name)}:
                    continue
                if not self._admits(node, request):
                    raise _shut([node])
                return node
        raise not_found("collection")

    def listing(self, request: Request) -> Response:
        """The collections of an API root that the asker may read or write."""
        spec = wants(request)
        root = request.path_params["root"]
        found = self.open_to(request, root)
        if not found and root != DEFAULT_ROOT:
            raise not_found("API root")
        described = [self._described(each, spec) for each in found]
        return answer({"collections": described} if described else {}, spec)

    def info(self, request: Request) -> Response:
        """What one collection is."""
        spec = wants(request)
        return answer(self._described(self.named(request), spec), spec)

    def _admits(self, node: TaxiiKind | Ingest, request: Request) -> bool:
        if isinstance(node, Ingest):
            return self.sender(node, request) is not None
        return gate(self.engine).admits(node.settings, request)

    def _described(self, node: TaxiiKind | Ingest, spec: Spec) -> dict[str, Any]:
        writes = isinstance(node, Ingest)
        title = node.settings.taxii if isinstance(node, Ingest) else node.settings.title
        # What a source says of its indicators is no description of it.
        description = "" if isinstance(node, Ingest) else node.settings.description
        return {
            "id": collection_id(self.instance, node.name),
            "title": title or node.name,
            **({"description": description} if description else {}),
            **({"alias": node.name} if spec == "2.1" else {}),
            "can_read": not writes,
            "can_write": writes,
            "media_types": [STIX_21 if spec == "2.1" else STIX_20],
        }


def _sender(source: Ingest, given: Shown) -> str | None:
    return owner(given, ((name, key.get_secret_value()) for name, key in source.settings.keys.items()))


def _shut(nodes: list[TaxiiKind | Ingest]) -> TaxiiError:
    if all(isinstance(node, TaxiiKind) and node.settings.access == "network" for node in nodes):
        return TaxiiError(HTTPStatus.FORBIDDEN, "this is not for your address")
    return TaxiiError(HTTPStatus.UNAUTHORIZED, "this asks for a key", {"www-authenticate": _REALM})
