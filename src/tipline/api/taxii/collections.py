"""Which collections there are, who may read them, and what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.feedquery import admitted
from tipline.api.taxii.media import STIX_20, STIX_21, TaxiiError, answer, not_found, wants
from tipline.engine.core import Engine
from tipline.outputs.taxii import TaxiiKind
from tipline.outputs.taxii_objects import Spec

_REALM = 'Basic realm="tipline TAXII", charset="UTF-8"'
_DEFAULT_TEAM, DEFAULT_ROOT = "default", "api"
# The default team's root is `api`; should a team be called so, it has the name that is then free.
_ROOTS = {_DEFAULT_TEAM: DEFAULT_ROOT, DEFAULT_ROOT: _DEFAULT_TEAM}


def root_of(team: str) -> str:
    """The last part of the address of a team's API root."""
    return _ROOTS.get(team, team)


@dataclass(frozen=True)
class Collections:
    """The collections of an engine."""

    engine: Engine

    @property
    def instance(self) -> str:
        """The installation's name."""
        return self.engine.configuration.settings.instance

    def readable(self, request: Request, root: str | None = None) -> list[TaxiiKind]:
        """The collections (of one root) that the asker may read.

        Raises:
            TaxiiError: 401, there are some, and none without a key.
        """
        all_of_them = [
            output
            for _, output in sorted(self.engine.graph.outputs.items())
            if isinstance(output, TaxiiKind) and root in {None, root_of(output.settings.team)}
        ]
        found = [each for each in all_of_them if _admits(each, request)]
        if all_of_them and not found:
            raise _shut()
        return found

    def one(self, request: Request) -> TaxiiKind:
        """The collection that the address names, by its identifier or its alias.

        Raises:
            TaxiiError: 404, there is none; 401, it asks for a key.
        """
        root, name = request.path_params["root"], request.path_params["collection"]
        for output in self.engine.graph.outputs.values():
            if isinstance(output, TaxiiKind) and root == root_of(output.settings.team):
                if name not in {output.name, output.collection_id(self.instance)}:
                    continue
                if not _admits(output, request):
                    raise _shut()
                return output
        raise not_found("collection")

    def listing(self, request: Request) -> Response:
        """The collections of an API root that the asker may read."""
        spec = wants(request)
        root = request.path_params["root"]
        found = self.readable(request, root)
        if not found and root != DEFAULT_ROOT:
            raise not_found("API root")
        described = [self._described(each, spec) for each in found]
        return answer({"collections": described} if described else {}, spec)

    def info(self, request: Request) -> Response:
        """What one collection is."""
        spec = wants(request)
        return answer(self._described(self.one(request), spec), spec)

    def _described(self, output: TaxiiKind, spec: Spec) -> dict[str, Any]:
        settings = output.settings
        return {
            "id": output.collection_id(self.instance),
            "title": settings.title or output.name,
            **({"description": settings.description} if settings.description else {}),
            **({"alias": output.name} if spec == "2.1" else {}),
            "can_read": True,
            "can_write": False,
            "media_types": [STIX_21 if spec == "2.1" else STIX_20],
        }


def _admits(output: TaxiiKind, request: Request) -> bool:
    return admitted(output.settings, request.headers, request.url.query)


def _shut() -> TaxiiError:
    return TaxiiError(HTTPStatus.UNAUTHORIZED, "this asks for a key", {"www-authenticate": _REALM})
