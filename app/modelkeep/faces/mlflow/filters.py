"""The filters and orders of MLflow's searches.

    filter  = clause { "AND" clause }
    clause  = key comparison text-or-number | key [ "NOT" ] "IN" "(" text-or-number { "," text-or-number } ")"
    key     = name, "attribute." name, "tag." name or "tags." name; a name may be quoted by ` or "

There is no OR, as in MLflow. A tag that is absent differs from every text.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from modelkeep.faces.mlflow.errors import InvalidParameterError

Subject = TypeVar("Subject")
Value = str | int
Keys = Mapping[str, Callable[[Subject], Value]]
"""What can be compared and ordered by, and how it is read."""

MAX_CLAUSES: Final = 20
MAX_TEXT: Final = 5_000

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'[^']*')|(?P<quoted>`[^`]*`|\"[^\"]*\")|(?P<number>\d{1,18}(?![\w.]))"
    r"|(?P<word>[A-Za-z_][\w.-]*)|(?P<sign><=|>=|!=|=|<|>|\(|\)|,))"
)
_SIGNS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison; `key` is `name` for an attribute, and `tag` with the name of a tag in `tag`."""

    key: str
    tag: str
    comparison: str
    value: Value | tuple[Value, ...]

    def holds(self, found: Value | None) -> bool:
        """Whether it is true of a value, `None` if that is absent."""
        if found is None:
            return self.comparison in {"!=", "NOT IN"}
        match self.comparison:
            case "LIKE":
                return is_like(str(found), str(self.value))
            case "ILIKE":
                return is_like(str(found).casefold(), str(self.value).casefold())
            case "IN":
                return isinstance(self.value, tuple) and found in self.value
            case "NOT IN":
                return isinstance(self.value, tuple) and found not in self.value
            case sign:
                return _SIGNS[sign](found, self.value)


@dataclass(frozen=True, slots=True)
class Filter(Generic[Subject]):
    """A filter over the values that `keys` reads, and the tags that `tags_of` has."""

    clauses: Sequence[Clause]
    keys: Keys[Subject]
    tags_of: Callable[[Subject], Mapping[str, str]]

    def accepts(self, subject: Subject) -> bool:
        """Whether every clause holds."""
        tags = self.tags_of(subject)
        return all(
            clause.holds(tags.get(clause.tag) if clause.key == _TAG else self.keys[clause.key](subject))
            for clause in self.clauses
        )

    def only(self, key: str) -> str | None:
        """The one text that `key` has to have, if a clause says so."""
        same = [clause.value for clause in self.clauses if clause.key == key and clause.comparison == "="]
        return str(same[0]) if same else None


_TAG: Final = "tag"
_PREFIXES: Final = {"tag": _TAG, "tags": _TAG, "attribute": "", "attributes": "", "attr": ""}


def parse_filter(text: str, keys: Keys[Subject], tags_of: Callable[[Subject], Mapping[str, str]]) -> Filter[Subject]:
    """Parse a filter; an empty one accepts everything. Raises `InvalidParameterError`, which says where it ends."""
    if len(text) > MAX_TEXT:
        raise InvalidParameterError(f"A filter has at most {MAX_TEXT} characters.")
    return Filter(_Parser(text, keys).clauses(), keys, tags_of)


def sort(found: list[Subject], order_by: Sequence[str], keys: Keys[Subject], default: Sequence[str]) -> None:
    """Sort in place by keys, each with ASC or DESC behind it; what is equal is sorted by `default`.

    Raises `InvalidParameterError`.
    """
    for order in [*reversed(default), *reversed(order_by)]:
        key, _, direction = order.strip().partition(" ")
        key = key.removeprefix("attribute.").removeprefix("attributes.").strip('`"')
        if key not in keys or direction.strip().upper() not in {"", "ASC", "DESC"}:
            raise InvalidParameterError(f"Order by one of {', '.join(keys)}, with ASC or DESC behind it: '{order}'.")
        found.sort(key=keys[key], reverse=direction.strip().upper() == "DESC")


def is_like(text: str, pattern: str) -> bool:
    """Whether a text is as a pattern says, where `%` is any text and `_` any character.

    Takes time in proportion to the product of both lengths, whatever they are.
    """
    at = wanted = 0
    back: tuple[int, int] | None = None
    while at < len(text):
        if wanted < len(pattern) and pattern[wanted] == "%":
            back, wanted = (at, wanted), wanted + 1
        elif wanted < len(pattern) and pattern[wanted] in {"_", text[at]}:
            at, wanted = at + 1, wanted + 1
        elif back is not None:
            back = (back[0] + 1, back[1])
            at, wanted = back[0], back[1] + 1
        else:
            return False
    return not pattern[wanted:].strip("%")


class _Parser:
    def __init__(self, text: str, keys: Mapping[str, object]) -> None:
        self._text = text
        self._keys = keys
        self._tokens = _tokens(text)
        self._at = 0

    def clauses(self) -> Sequence[Clause]:
        found: list[Clause] = []
        while self._at < len(self._tokens):
            if found:
                self._expect("AND")
            found.append(self._clause())
            if len(found) > MAX_CLAUSES:
                raise InvalidParameterError(f"A filter has at most {MAX_CLAUSES} clauses.")
        return found

    def _clause(self) -> Clause:
        key, tag = self._key()
        comparison = self._comparison()
        if comparison in {"IN", "NOT IN"}:
            return Clause(key, tag, comparison, self._list(key))
        return Clause(key, tag, comparison, self._value(key))

    def _key(self) -> tuple[str, str]:
        token = self._next("word", "quoted")
        prefix, dot, name = token.text.partition(".") if token.kind == "word" else ("", "", token.text)
        if token.kind == "quoted":
            key, tag = token.text[1:-1], ""
        elif dot and prefix in _PREFIXES:
            name = name or self._next("quoted").text[1:-1]
            key, tag = (_TAG, name) if _PREFIXES[prefix] else (name, "")
        else:
            key, tag = token.text, ""
        if key != _TAG and key not in self._keys:
            raise self._fault(token, f"one of {', '.join(self._keys)}, or tags.NAME")
        return key, tag

    def _comparison(self) -> str:
        token = self._next("word", "sign")
        comparison = token.text.upper()
        if comparison == "NOT":
            self._expect("IN")
            return "NOT IN"
        if comparison not in {*_SIGNS, "LIKE", "ILIKE", "IN"}:
            raise self._fault(token, f"one of {', '.join(_SIGNS)}, LIKE, ILIKE, IN, NOT IN")
        return comparison

    def _list(self, key: str) -> tuple[Value, ...]:
        self._expect("(")
        values = [self._value(key)]
        while (token := self._next("sign")).text != ")":
            if token.text != ",":
                raise self._fault(token, "a comma or )")
            values.append(self._value(key))
        return tuple(values)

    def _value(self, key: str) -> Value:
        is_number = key == "version_number"
        token = self._next("number" if is_number else "text")
        return int(token.text) if is_number else token.text[1:-1]

    def _expect(self, text: str) -> None:
        token = self._next("word", "sign")
        if token.text.upper() != text:
            raise self._fault(token, text)

    def _next(self, *kinds: str) -> _Token:
        if self._at == len(self._tokens):
            raise InvalidParameterError(f"The filter ends too early: {self._text!r}.")
        token = self._tokens[self._at]
        if token.kind not in kinds:
            raise self._fault(token, " or ".join(_KINDS[kind] for kind in kinds))
        self._at += 1
        return token

    def _fault(self, token: _Token, wanted: str) -> InvalidParameterError:
        return _fault(self._text, token.at, wanted)


_KINDS: Final = {
    "text": "a text in single quotes",
    "quoted": "a quoted name",
    "number": "a whole number",
    "word": "a word",
    "sign": "a comparison",
}


def _tokens(text: str) -> list[_Token]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _fault(text, at, "a key, a comparison or a text in single quotes")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


def _fault(text: str, at: int, wanted: str) -> InvalidParameterError:
    at += len(text[at:]) - len(text[at:].lstrip())
    return InvalidParameterError(f"The filter needs {wanted} at character {at + 1}: {text[at : at + 40]!r}.")
