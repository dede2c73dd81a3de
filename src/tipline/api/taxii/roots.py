"""Discovery and API roots: one root for each team that has a collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from tipline.api.taxii.collections import Collections
from tipline.api.taxii.media import TAXII_21, answer, not_found, wants
from tipline.outputs.taxii import DEFAULT_ROOT, root_of

# Where nothing can be sent, the standard wants a number all the same.
_MOST_BYTES = 1_048_576


@dataclass(frozen=True)
class Roots:
    """Answers for discovery and API roots."""

    collections: Collections

    def discovery(self, request: Request) -> Response:
        """The API roots with a collection that the asker may read or write."""
        spec = wants(request)
        teams = {node.settings.team for node in self.collections.open_to(request)}
        # TAXII 2.0 wants whole addresses; relative ones also hold behind a proxy.
        base = "" if spec == "2.1" else str(request.base_url).rstrip("/")
        roots = [f"{base}/taxii2/{quote(root_of(team), safe='')}/" for team in sorted(teams)]
        content: dict[str, Any] = {
            "title": f"tipline ({self.collections.instance})",
            "description": "Threat indicators as STIX",
        }
        if roots:
            preferred = f"{base}/taxii2/{DEFAULT_ROOT}/"
            content |= {"default": preferred if preferred in roots else roots[0], "api_roots": roots}
        return answer(content, spec)

    def root(self, request: Request) -> Response:
        """What an API root is."""
        spec = wants(request)
        name = request.path_params["root"]
        found = self.collections.open_to(request, name)
        if not found and name != DEFAULT_ROOT:
            raise not_found("API root")
        content = {
            "title": found[0].settings.team if found and name != DEFAULT_ROOT else "Collections",
            "versions": [TAXII_21] if spec == "2.1" else ["taxii-2.0"],
            "max_content_length": max(
                [node.settings.max_bytes for node in self.collections.inbound(name)] or [_MOST_BYTES]
            ),
        }
        return answer(content, spec)
