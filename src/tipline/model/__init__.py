"""The model: types, claims, and the normalising that every value passes. No input or output.

conform(raw, policy)        raw frame to claim frame
normalise_one(text, type)   one value, by the same rules
Policy, Policy.allow_list() what a source accepts
TYPES, type_of_word(word)   the type table
DROP_REASONS                reason code to sentence
"""

from __future__ import annotations

from tipline.model.claims import CLAIM_SCHEMA, RAW_COLUMNS
from tipline.model.keys import key, kh
from tipline.model.normalise import conform, normalise_one, unreadable_times
from tipline.model.policy import Policy
from tipline.model.reasons import DROP_REASONS
from tipline.model.types import TYPES, direction_of_word, type_of_word
from tipline.model.verdict import Verdict

__all__ = [
    "CLAIM_SCHEMA",
    "DROP_REASONS",
    "RAW_COLUMNS",
    "TYPES",
    "Policy",
    "Verdict",
    "conform",
    "direction_of_word",
    "key",
    "kh",
    "normalise_one",
    "type_of_word",
    "unreadable_times",
]
