"""The TLP markings as STIX 2.1 objects.

Facts: STIX 2.1 section 7.2.1.4 (TLP markings); the extension definition of TLP 2.0.
"""

from __future__ import annotations

from typing import Any

from tipline.model.tlp import AMBER_STRICT, LEGACY_NAMES, MARKINGS

#: The moment of STIX's own TLP markings; then that of the extension that brought amber+strict.
MARKED = "2017-01-20T00:00:00.000Z"
_MARKED_2 = "2022-10-01T00:00:00.000Z"
_TLP_2_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"


def marking(level: int) -> dict[str, Any]:
    """The marking object of a TLP level (0 to 4)."""
    common = {"type": "marking-definition", "spec_version": "2.1", "id": MARKINGS[level]}
    if level == AMBER_STRICT:
        extension = {"extension_type": "property-extension", "tlp_2_0": "amber+strict"}
        return {
            **common,
            "created": _MARKED_2,
            "name": "TLP:AMBER+STRICT",
            "extensions": {_TLP_2_EXTENSION: extension},
        }
    word = LEGACY_NAMES[level]
    return {
        **common,
        "created": MARKED,
        "definition_type": "tlp",
        "name": f"TLP:{word.upper()}",
        "definition": {"tlp": word},
    }
