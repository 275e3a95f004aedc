"""Requests of clients of the Hub, parsed: their addresses by the path as it was sent, their queries and bodies."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from modelkeep.domain.artifact_paths import check_artifact_path
from modelkeep.domain.errors import InvalidRequestError, MalformedError
from modelkeep.domain.values import Ref
from modelkeep.faces.huggingface.naming import MAIN, Naming
from modelkeep.http.context import Services, context_of, first_header
from modelkeep.services.access.caller import Caller

_PARTS: Final[Mapping[str, str]] = {
    "{repository}": r"(?P<repository>(?!api/models/)[^/]+(?:/[^/]+)??)",
    "{ref}": r"(?P<ref>[^/]+)",
    "[/{path}]": r"(?:/(?P<path>.*))?",
    "/{path}": r"/(?P<path>.+)",
    "{resolve|raw}": r"(?:resolve|raw)",
    "{kind}/{rest}": r"(?P<rest>(?:datasets|spaces)(?:/.*)?)",
}
"""A repository is one or two segments: it is two only if the address makes no sense with one."""

MAX_PAGE: Final = 100

_TRUE: Final = frozenset({"1", "true"})


@dataclass(frozen=True, slots=True)
class HubRequest:
    """One request. `parameters` are those of its path, decoded after the path was split."""

    scope: Scope
    receive: Receive
    parameters: Mapping[str, str]
    naming: Naming

    @property
    def services(self) -> Services:
        """The services of the registry."""
        return context_of(self.scope).services

    def caller(self) -> Caller:
        """The caller, whose decisions are checked and logged."""
        return context_of(self.scope).current_caller()

    @property
    def repository(self) -> str:
        """The repository's id, as it was asked for."""
        return self.parameters["repository"]

    @property
    def model(self) -> str:
        """The model. Raises `ModelNotFoundError`."""
        return self.naming.model(self.repository)

    @property
    def ref(self) -> Ref:
        """The ref that the revision is. Raises `ModelNotFoundError`, `VersionNotFoundError`."""
        return self.naming.ref(self.model, self.parameters.get("ref", MAIN))

    @property
    def path(self) -> str:
        """The path of a file or a folder; "" for the root. Raises `InvalidRequestError`."""
        path = (self.parameters.get("path") or "").rstrip("/")
        try:
            return path and check_artifact_path(path)
        except ValueError as error:
            raise InvalidRequestError([{"location": "path", "message": str(error)}]) from None

    def header(self, name: bytes) -> str:
        """The first value of a header, or an empty string."""
        return first_header(self.scope, name)

    def query(self, name: str) -> str:
        """The first value of a parameter of the query, or an empty string."""
        query: str = self.scope["query_string"].decode("latin-1")
        return parse_qs(query).get(name, [""])[0]

    def asks_for(self, name: str) -> bool:
        """Whether a parameter of the query is true: older clients write `True`."""
        return self.is_true(self.query(name))

    @property
    def limit(self) -> int:
        """How many entries a page may have, at most 100. Raises `InvalidRequestError`."""
        given = self.query("limit") or str(MAX_PAGE)
        if not given.isascii() or not given.isdigit() or not int(given[:9]):
            raise InvalidRequestError([{"location": "query.limit", "message": "a limit is a whole number from 1"}])
        return min(int(given[:9]), MAX_PAGE)

    @staticmethod
    def is_true(*given: str) -> bool:
        """Whether a text that was sent means yes."""
        return any(each.lower() in _TRUE for each in given)

    async def fields(self) -> Mapping[str, Sequence[str]]:
        """The body, a form or a JSON object, as lists of texts. Raises `MalformedError`."""
        body = await Request(self.scope, self.receive).body()
        if not self.header(b"content-type").startswith("application/json"):
            return parse_qs(body.decode("utf-8", "replace"))
        try:
            sent = json.loads(body)
        except ValueError:
            raise MalformedError from None
        if not isinstance(sent, dict):
            raise MalformedError
        lists = {name: value if isinstance(value, list) else [value] for name, value in sent.items()}
        return {name: [str(each) for each in values] for name, values in lists.items()}


Handler = Callable[[HubRequest], Awaitable[Response]]


class Address:
    """One address of the face and what answers each method there; `path` is how metrics and logs name it."""

    def __init__(self, path: str, **handlers: Handler) -> None:
        self.path = path
        self.handlers = handlers
        self._parsed = re.compile(_pattern(path)).fullmatch

    def parse(self, raw_path: str) -> Mapping[str, str] | None:
        """The parameters of a path as it was sent, decoded; `None` if it is another address."""
        found = self._parsed(raw_path)
        return found and {name: unquote(value) for name, value in found.groupdict().items() if value is not None}


def _pattern(path: str) -> str:
    for written, pattern in _PARTS.items():
        path = path.replace(written, pattern)
    return path
