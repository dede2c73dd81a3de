"""Regular expressions with PCRE's delimiters (`/^#.*/i`) in the plain form."""

from __future__ import annotations

import re

from tipline.formats.base import groups_of

_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_FLAGS = "imsx"


def plain(text: str) -> str | None:
    r"""The expression without delimiters, its flags in front; None if it is none, or cannot be written so.

    >>> plain("/^#.*/i"), plain(r"#a\#b#"), plain("^x")
    ('(?i)^#.*', 'a#b', None)
    """
    text = text.strip()
    if len(text) < 2 or text[0].isalnum() or text[0] in "\\ ":
        return None
    opening = text[0]
    end = text.rfind(_CLOSING.get(opening, opening))
    flags = text[end + 1 :] if end > 0 else "?"
    if set(flags) - set(_FLAGS + "uD"):
        return None
    body = text[1:end].replace(f"\\{opening}", opening) if opening not in _CLOSING else text[1:end]
    kept = "".join(flag for flag in _FLAGS if flag in flags)
    expression = f"(?{kept}){body}" if kept else body
    try:
        groups_of(expression)
    except ValueError:
        return None
    return expression


def comment_prefix(expression: str) -> str | None:
    """The text that lines begin with, if that is all that an expression says (`^#.*`); else None."""
    found = re.fullmatch(r"(?:\(\?[a-z]+\))?\^([#;/%!-]+)(?:\.\*)?\$?", expression)
    return found[1] if found else None
