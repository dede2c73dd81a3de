"""Trees to SQL: every name and sort is checked here, and every literal escaped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

import duckdb

from tipline.model.tlp import NAMES, level
from tipline.processors.expression.fields import AS_OF, FIELDS, FUNCTIONS, Sort, extra
from tipline.processors.expression.parse import Call, Compare, Literal, Logic, Name, Node, Within, parse
from tipline.processors.expression.tokens import Place

MAX_PATTERN = 500
_MICROSECOND = timedelta(microseconds=1)
_ORDERED = ("number", "tlp", "time", "duration")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SORT_NAMES = {
    "text": "text",
    "number": "a number",
    "yes/no": "a yes/no condition",
    "list": "a list",
    "tlp": "a TLP level",
}
_SORT_NAMES |= {"time": "a time", "duration": "a duration", "any": "a field of extra", "null": "null"}


@dataclass(frozen=True)
class Clock:
    """A moment at which a row's result may change: its `column` plus `offset`.

    Between two moments a result may differ only if one of these lies after the first, up to the second.
    """

    column: str
    offset: timedelta


@dataclass(frozen=True)
class Filter:
    """A compiled expression.

    Attributes:
        text: the expression as written.
        clocks: when a row's result may change with time alone.
    """

    text: str
    clocks: list[Clock]
    _template: str

    def sql(self, as_of: str) -> str:
        """A SQL condition, true or false and never null, over the columns of a view relation.

        Args:
            as_of: the moment of evaluation as a SQL expression, such as TIMESTAMP '2024-05-01 12:00:00'
                or $as_of.
        """
        return self._template.replace(AS_OF, as_of)


def compile_filter(text: str, where: str = "") -> Filter:
    """Check an expression and compile it to SQL.

    Args:
        text: the expression; the package's documentation has the language.
        where: where it stands, such as file:line, for messages.

    Raises:
        ConfigError: a wrong name, function, sort or form, with its column and a suggestion.
    """
    place = Place(where)
    compiler = _Compiler(place)
    sql = compiler.condition(parse(text, place))
    return Filter(text, sorted(compiler.clocks, key=lambda c: (c.column, c.offset)), sql)


@dataclass(frozen=True)
class _Value:
    """An operand: its sort, its SQL, and what is known of it."""

    sort: Sort
    sql: str
    at: int
    words: tuple[str, ...] = ()
    ages_by: tuple[str, ...] = ()
    literal: object = None
    constant: bool = False


class _Compiler:
    def __init__(self, place: Place) -> None:
        self._place = place
        self.clocks: set[Clock] = set()

    def condition(self, node: Node) -> str:
        """SQL of a node that must be true or false."""
        value = self._value(node)
        if value.sort != "yes/no":
            raise self._place.error(
                f"{_SORT_NAMES[value.sort]} is no condition", value.at, "compare it, as in confidence >= 75"
            )
        # Fields and functions may be null; everything else is two-valued already.
        return f"coalesce({value.sql}, FALSE)" if isinstance(node, Name | Call) else value.sql

    def _value(self, node: Node) -> _Value:
        match node:
            case Logic():
                parts = [self.condition(part) for part in node.parts]
                sql = f"NOT {parts[0]}" if node.op == "not" else f" {node.op.upper()} ".join(parts)
                return _Value("yes/no", f"({sql})", node.at)
            case Compare():
                return _Value("yes/no", self._compare(node), node.at)
            case Within():
                return _Value("yes/no", self._within(node), node.at)
            case Call():
                return self._call(node)
            case Name():
                return self._name(node)
            case Literal():
                return _literal(node.value, node.at)

    def _name(self, node: Name) -> _Value:
        head, *path = node.name.split(".")
        if head == "extra":
            if not path:
                raise self._place.error("extra is no field itself", node.at, "name one of its fields, as in extra.port")
            return _Value("any", extra(path).sql, node.at)
        field = FIELDS.get(node.name)
        if field:
            return _Value(field.sort, field.sql, node.at, words=field.words, ages_by=field.ages_by)
        known = level(node.name)
        if known is not None:
            return _Value("tlp", str(known), node.at, literal=node.name, constant=True)
        near = get_close_matches(node.name.lower(), [*FIELDS, *NAMES], n=1)
        fix = f"did you mean {near[0]}?" if near else f"text stands in quotes; fields are {', '.join(FIELDS)}"
        raise self._place.error(f"no field is named {node.name!r}", node.at, fix)

    def _compare(self, node: Compare) -> str:
        left, right, op = self._value(node.left), self._value(node.right), node.op
        if left.constant and not right.constant:
            left, right, op = right, left, _FLIPPED.get(op, op)
        if right.sort == "null":
            return self._is_null(left, op, node.at)
        left, right = self._alike(left, right)
        if left.sort == "list":
            raise self._place.error("a list cannot be compared", left.at, "ask for a member, as in 'phish' in tags")
        if op not in ("=", "<>") and left.sort not in _ORDERED:
            raise self._place.error(f"{_SORT_NAMES[left.sort]} has no order", node.at, "only == and != compare it")
        self._note_clocks(left, op, right)
        return f"coalesce({left.sql} {op} {right.sql}, FALSE)"

    def _is_null(self, left: _Value, op: str, at: int) -> str:
        if op not in ("=", "<>"):
            raise self._place.error("null has no order", at, "write == null or != null")
        missing = f"coalesce(len({left.sql}), 0) = 0" if left.sort == "list" else f"({left.sql}) IS NULL"
        return f"({missing})" if op == "=" else f"(NOT ({missing}))"

    def _within(self, node: Within) -> str:
        left = self._value(node.left)
        if isinstance(node.right, tuple):
            return self._one_of(left, node.right, negated=node.negated)
        right = self._value(node.right)
        if right.sort != "list":
            fix = "in wants a list field such as tags, or literals in parentheses"
            raise self._place.error(f"{_SORT_NAMES[right.sort]} has no members", right.at, fix)
        text = self._text(left, "a list holds text")
        sql = f"coalesce(list_contains({right.sql}, {text.sql}), FALSE)"
        return f"(NOT {sql})" if node.negated else sql

    def _one_of(self, left: _Value, items: tuple[Node, ...], *, negated: bool) -> str:
        if left.sort == "list":
            raise self._place.error("a list cannot be one of a list", left.at, "write: 'a' in tags or 'b' in tags")
        # A field of extra is a number beside numbers and text beside texts: one test for each.
        listed: dict[str, list[str]] = {}
        for node in items:
            item = self._value(node)
            if not item.constant or item.sort == "null":
                raise self._place.error("only literals may be listed", item.at, "null is asked for by == null")
            one, other = self._alike(left, item)
            self._note_clocks(one, "=", other)
            listed.setdefault(one.sql, []).append(other.sql)
        op, both = ("NOT IN", " AND ") if negated else ("IN", " OR ")
        tests = [f"{sql} {op} ({', '.join(some)})" for sql, some in listed.items()]
        return f"coalesce({both.join(tests)}, FALSE)"

    def _alike(self, left: _Value, right: _Value) -> tuple[_Value, _Value]:
        """Two operands as the same sort; texts become what the other side is, where they can."""
        if left.constant and right.constant and left.sort == right.sort:
            return left, right
        left, right = self._adapt(left, right), self._adapt(right, left)
        if left.sort != right.sort:
            what = f"{_SORT_NAMES[left.sort]} cannot be compared with {_SORT_NAMES[right.sort]}"
            raise self._place.error(what, right.at, _hint(left.sort))
        if left.words and right.sort == "text" and right.constant and right.literal not in left.words:
            raise self._place.unknown("value of this field", str(right.literal), list(left.words), right.at)
        return left, right

    def _adapt(self, value: _Value, other: _Value) -> _Value:
        if value.sort == "any":
            return _as_sort(value, other.sort)
        if value.sort == "text" and value.constant and other.sort == "tlp":
            known = level(str(value.literal))
            if known is None:
                raise self._place.unknown("TLP level", str(value.literal), list(other.words), value.at)
            return _Value("tlp", str(known), value.at, constant=True)
        if value.sort == "text" and value.constant and other.sort == "time":
            return _Value("time", self._time(value), value.at, constant=True)
        return value

    def _time(self, value: _Value) -> str:
        try:
            moment = datetime.fromisoformat(str(value.literal))
        except ValueError:
            fix = "write it as '2024-05-01' or '2024-05-01T12:00:00', in UTC"
            raise self._place.error(f"{value.literal!r} is no time", value.at, fix) from None
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return f"TIMESTAMP '{moment.isoformat(sep=' ')}'"

    def _note_clocks(self, left: _Value, op: str, right: _Value) -> None:
        """Ages grow one microsecond at a time: the moments at which a comparison with a duration turns."""
        if not left.ages_by or not isinstance(right.literal, timedelta):
            return
        turns = {"<": (0,), ">=": (0,), "<=": (1,), ">": (1,)}.get(op, (0, 1))
        self.clocks |= {Clock(column, right.literal + n * _MICROSECOND) for column in left.ages_by for n in turns}

    def _text(self, value: _Value, why: str) -> _Value:
        value = _as_sort(value, "text") if value.sort == "any" else value
        if value.sort != "text":
            raise self._place.error(f"{_SORT_NAMES[value.sort]} stands where text belongs", value.at, why)
        return value

    def _call(self, node: Call) -> _Value:
        if node.name not in FUNCTIONS:
            raise self._place.unknown("function", node.name, FUNCTIONS, node.at)
        args = [self._value(arg) for arg in node.args]
        count = 1 if node.name == "lower" else 2
        if len(args) != count:
            what = f"{node.name}() takes {count} argument{'s' * (count > 1)}, not {len(args)}"
            raise self._place.error(
                what, node.at, "as in lower(value)" if count == 1 else f"as in {node.name}(value, 'x')"
            )
        if node.name == "lower":
            return self._lower(args[0])
        text, part = (self._text(arg, f"{node.name}() reads text; a list is asked by 'x' in tags") for arg in args)
        if node.name == "matches":
            self._check_pattern(part)
            return _Value("yes/no", f"regexp_matches({text.sql}, {part.sql})", node.at)
        function = {"contains": "contains", "startswith": "starts_with", "endswith": "ends_with"}[node.name]
        return _Value("yes/no", f"{function}({text.sql}, {part.sql})", node.at)

    def _lower(self, value: _Value) -> _Value:
        if value.sort == "list":
            return _Value("list", f"list_transform({value.sql}, lambda x: lower(x))", value.at)
        text = self._text(value, "lower() reads text or a list of texts")
        words = tuple(word.lower() for word in text.words)
        lowered = str(text.literal).lower() if text.constant else None
        return _Value("text", f"lower({text.sql})", text.at, words=words, literal=lowered, constant=text.constant)

    def _check_pattern(self, pattern: _Value) -> None:
        text = pattern.literal
        if not pattern.constant or not isinstance(text, str):
            raise self._place.error("the pattern must be a literal", pattern.at, "as in matches(value, '^login[.]')")
        if len(text) > MAX_PATTERN:
            raise self._place.error(f"the pattern is longer than {MAX_PATTERN} characters", pattern.at)
        try:
            with duckdb.connect() as con:
                con.execute("SELECT regexp_matches('', ?)", [text])
        except duckdb.Error as exc:
            reason = str(exc).splitlines()[0].removeprefix("Invalid Input Error: ")
            raise self._place.error(f"the pattern does not compile: {reason}", pattern.at, "RE2 syntax") from None


def _literal(value: object, at: int) -> _Value:
    match value:
        case None:
            return _Value("null", "NULL", at, constant=True)
        case bool():
            return _Value("yes/no", "TRUE" if value else "FALSE", at, literal=value, constant=True)
        case timedelta():
            return _Value("duration", str(value // _MICROSECOND), at, literal=value, constant=True)
        case int() | float():
            return _Value("number", repr(value), at, literal=value, constant=True)
    text = str(value).replace("'", "''")
    return _Value("text", f"'{text}'", at, literal=value, constant=True)


def _as_sort(value: _Value, sort: Sort) -> _Value:
    """A field of `extra` as what it is compared with; left as it is where it cannot be that."""
    match sort:
        case "number":
            return _Value("number", f"TRY_CAST({value.sql} AS DOUBLE)", value.at)
        case "text" | "any":
            return _Value("text", f"({value.sql})", value.at)
        case "yes/no":
            sql = f"CASE ({value.sql}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
            return _Value("yes/no", f"({sql})", value.at)
    return value


def _hint(sort: Sort) -> str:
    return {
        "number": "write a number, as in confidence >= 75",
        "duration": "write a duration, as in age < 30d",
        "text": "write text in quotes",
        "tlp": "write clear, green, amber, amber+strict or red",
        "time": "write '2024-05-01'",
        "yes/no": "write true or false",
        "list": "ask for a member, as in 'phish' in tags",
    }.get(sort, "")
