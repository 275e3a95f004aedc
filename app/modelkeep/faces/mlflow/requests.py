"""Requests of MLflow's clients, parsed: parameters are in the query of GET, and in the JSON body of all others."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope

from modelkeep.domain.errors import InvalidRequestError, MalformedError
from modelkeep.http.context import Services, context_of
from modelkeep.kit.validation_texts import in_plain_words
from modelkeep.services.access.caller import Caller

Wanted = TypeVar("Wanted", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MlflowRequest:
    """One request. `path` is what follows the address of artifacts."""

    scope: Scope
    receive: Receive
    path: str

    @property
    def services(self) -> Services:
        """The services of the registry."""
        return context_of(self.scope).services

    def caller(self) -> Caller:
        """The caller, whose decisions are checked and logged."""
        return context_of(self.scope).current_caller()

    @property
    def address(self) -> str:
        """The service as this client calls it, without a slash at its end."""
        return str(Request(self.scope).base_url).rstrip("/")

    async def read(self, wanted: type[Wanted]) -> Wanted:
        """The parameters. Raises `MalformedError`, `InvalidRequestError`."""
        given = self._query(wanted) if self.scope["method"] == "GET" else await self._body()
        try:
            return wanted.model_validate(given)
        except ValidationError as error:
            raise InvalidRequestError([_fault(fault) for fault in error.errors()[:20]]) from None

    def _query(self, wanted: type[BaseModel]) -> Mapping[str, Any]:
        """The query; a parameter is a list if the field is one."""
        given = parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        lists = {name for name, field in wanted.model_fields.items() if not field.is_required() and field.default == ()}
        return {name: values if name in lists else values[-1] for name, values in given.items()}

    async def _body(self) -> Mapping[str, Any]:
        try:
            sent = json.loads(await Request(self.scope, self.receive).body() or b"{}")
        except ValueError:
            raise MalformedError from None
        if not isinstance(sent, dict):
            raise MalformedError
        return {name: value for name, value in sent.items() if value is not None}


Handler = Callable[[MlflowRequest], Awaitable[Response]]


def answer(**fields: BaseModel | list[Any] | str | None) -> Response:
    """A JSON object of these fields, but for those that are `None`."""
    return JSONResponse({name: _plain(value) for name, value in fields.items() if value is not None})


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    return {"location": ".".join(map(str, fault["loc"]))[:200], "message": in_plain_words(str(fault["msg"]))}
