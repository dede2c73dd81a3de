"""Places in a long list, as the address of its next page carries them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tipline.engine.people import RequestError


def written(place: Sequence[Any] | None) -> str:
    """A place as it stands in an address; empty for none."""
    return json.dumps(place) if place else ""


def read(text: str, length: int) -> list[Any] | None:
    """The place in an address that a page made, of so many parts; None for none.

    Raises:
        RequestError: no page made it.
    """
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != length or not all(isinstance(each, (str, int)) for each in found):
        raise RequestError("the place in the address is none of this server", fix="begin with the first page")
    return found
