"""What a request for a list asks for: dialect and page, and which encoding is taken."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from tipline.engine.prepared import Encoding
from tipline.outputs.render import SPECS
from tipline.outputs.render.dialect import (
    FORMATS,
    MAX_FIELDS,
    OPTION_NAMES,
    Dialect,
    Format,
    Formulas,
    dialect,
    parse_field,
)

_COMMON = {"v", "f", "h", "tr", "s", "n", "d", "sum", "ubom", "compat", "key"}
# Options of another format than the one asked for are taken without a word, as in MineMeld.
_KNOWN = _COMMON | OPTION_NAMES
_PRESENCE = {"sp", "nsl", "di"}
# Numbers with more digits are past the end of any list.
_MOST_DIGITS = 18
_MOST_PARAMETERS = 100


class BadQueryError(ValueError):
    """The address asks for something that there is not; the message is for the asker."""


@dataclass(frozen=True)
class FeedQuery:
    """A dialect, and the page of it: records start to start + count (None: to the end)."""

    dialect: Dialect
    start: int = 0
    count: int | None = None

    @property
    def whole(self) -> bool:
        """Whether the whole list is asked for."""
        return self.start == 0 and self.count is None


def parse_query(text: str, formulas: Formulas, *, compat: bool = False) -> FeedQuery:
    """Read the part of an address after the question mark.

    Args:
        text: that part.
        formulas: the list's own setting.
        compat: whether the list is written as MineMeld did unless the address says otherwise.

    Raises:
        BadQueryError: an unknown parameter or format, or a value that cannot be.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise BadQueryError(f"there are more than {_MOST_PARAMETERS} parameters") from None
    # The first of a repeated parameter counts, as in MineMeld.
    values = dict(reversed(pairs))
    for name in values:
        if name not in _KNOWN:
            there_are = f"there are: {', '.join(sorted(_KNOWN))}"
            raise BadQueryError(f"there is no parameter {name[:80]!r}; {there_are}")
    kind = _format(values.get("v", ""))
    compat = _compat(values.get("compat"), compat)
    try:
        chosen = dialect(
            kind,
            _fields([value for name, value in pairs if name == "f"]),
            cidrs=_flag(values, "tr"),
            header=values.get("h", "1") != "0",
            bom=_flag(values, "ubom"),
            formulas=formulas,
            newest=_flag(values, "d", present=compat),
            merged=_flag(values, "sum", present=compat),
            compat=compat,
            options=_options(pairs, present=compat),
        )
    except ValueError as exc:
        raise BadQueryError(str(exc)) from None
    return _page(chosen, _number(values, "s", least=0), _number(values, "n", least=1))


def _format(name: str) -> Format:
    found = next((each for each in FORMATS if each == (name or "plain")), None)
    if found is None:
        raise BadQueryError(f"unknown format {name[:80]!r}; v= is one of: {', '.join(FORMATS)}")
    return found


def _compat(text: str | None, usual: bool) -> bool:
    if text not in {None, "minemeld", "none"}:
        raise BadQueryError("compat must be minemeld or none")
    return usual if text is None else text == "minemeld"


def _options(pairs: list[tuple[str, str]], *, present: bool) -> list[tuple[str, str]]:
    """The parameters that may be options of a format; flags that MineMeld only looked for become 1."""
    found = [(name, value) for name, value in pairs if name in OPTION_NAMES]
    return [(name, "1" if present and name in _PRESENCE else value) for name, value in found]


def _page(chosen: Dialect, start: int | None, count: int | None) -> FeedQuery:
    pages = SPECS[chosen.format].pages
    if pages is None:
        return FeedQuery(chosen)
    if pages is False and (start or count is not None):
        raise BadQueryError(f"a part of v={chosen.format} is of no use to its reader; leave out s and n")
    return FeedQuery(chosen, start or 0, count)


def negotiate(accepted: str) -> Encoding:
    """The smallest encoding that an Accept-Encoding header allows (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0
    best: tuple[float, Encoding] = (0, "identity")
    encodings: tuple[Encoding, ...] = ("zstd", "gzip")
    for encoding in encodings:
        weight_of = weights.get(encoding, weights.get("*", 0))
        if weight_of > best[0]:
            best = (weight_of, encoding)
    return best[1] if best[0] >= weights.get("identity", 0) else "identity"


def _fields(texts: list[str]) -> tuple[tuple[str, str], ...]:
    if len(texts) > MAX_FIELDS:
        raise BadQueryError(f"there are more than {MAX_FIELDS} fields")
    try:
        return tuple(parse_field(text) for text in texts)
    except ValueError as exc:
        raise BadQueryError(str(exc)) from None


def _flag(values: dict[str, str], name: str, *, present: bool = False) -> bool:
    """Whether a flag is 1; or whether it is there at all, which is what counted in MineMeld."""
    if present:
        return name in values
    text = values.get(name, "0")
    if not (text.isascii() and text.isdecimal()):
        raise BadQueryError(f"{name} must be 0 or 1")
    return text.strip("0") != ""


def _number(values: dict[str, str], name: str, *, least: int) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadQueryError(f"{name} must be a whole number, {least} or more")
    number = int(text) if len(text) <= _MOST_DIGITS else int("9" * _MOST_DIGITS)
    if number < least:
        raise BadQueryError(f"{name} must be a whole number, {least} or more")
    return number
