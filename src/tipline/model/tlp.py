"""Traffic Light Protocol: words and STIX marking ids to levels 0 to 4, and back.

Sources: FIRST TLP 2.0 (clear, green, amber, amber+strict, red), TLP 1.0 (white), the marking-definition ids
of STIX 2.1 (section 7.2.1.4) and of the OASIS TLP 2.0 extension, and the spellings met in MineMeld's
library (`yellow` for amber, the typo `gree`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

CLEAR, GREEN, AMBER, AMBER_STRICT, RED = range(5)

#: Level to its TLP 2.0 word.
NAMES: tuple[str, ...] = ("clear", "green", "amber", "amber+strict", "red")

#: Level to the word of TLP 1.0, which older tools expect.
LEGACY_NAMES: tuple[str, ...] = ("white", "green", "amber", "amber", "red")

#: Level to the marking-definition id to write in STIX 2.1: those of TLP 1.0, which every reader knows;
#: amber+strict exists in TLP 2.0 only.
MARKINGS: tuple[str, ...] = (
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
)

_MARKINGS_2 = (
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
)

_WORDS: Mapping[str, int] = MappingProxyType(
    {
        **{name: level for level, name in enumerate(NAMES)},
        **{name: level for level, name in enumerate(MARKINGS)},
        **{name: level for level, name in enumerate(_MARKINGS_2)},
        "white": CLEAR,
        "gree": GREEN,
        "yellow": AMBER,
        "orange": AMBER,
        "amber strict": AMBER_STRICT,
        "amberstrict": AMBER_STRICT,
        "amber-strict": AMBER_STRICT,
    }
)

_PREFIX = re.compile(r"^tlp\s*(?:v?2)?\s*[:=\- ]\s*")


def level(word: str) -> int | None:
    """Level of a TLP word or marking id, 0 (clear) to 4 (red); None if it is none.

    >>> level("TLP:AMBER+STRICT"), level("white"), level("secret")
    (3, 0, None)
    """
    text = " ".join(word.replace("\xa0", " ").strip(" \t\r\n\"'[]").lower().split())
    text = _PREFIX.sub("", text).replace("_", "-").strip("\"' ")
    return _WORDS.get(text)


def name(value: int) -> str:
    """Word of a level.

    Raises:
        IndexError: not a level.
    """
    if not 0 <= value <= RED:
        msg = f"no TLP level {value}"
        raise IndexError(msg)
    return NAMES[value]
