"""The served OpenAPI document: what FastAPI derives from the routes, completed by what it cannot know."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from modelkeep.schemas.problems import Problem

Document = dict[str, Any]

_REDUNDANT_KEYS: Final = frozenset({"anyOf", "title", "description"})

_REQUEST_ID: Final = "X-Request-Id"
STALE: Final = "X-Registry-Stale"
_HEADERS: Final[Document] = {
    _REQUEST_ID: {"description": "The id of this request in logs and history.", "schema": {"type": "string"}},
    "ETag": {
        "description": "Changes when the ref resolves to another version.",
        "schema": {"type": "string"},
    },
    STALE: {
        "description": "While the table cannot be read (stale-if-error, RFC 5861): the age of this answer in seconds.",
        "schema": {"type": "integer"},
    },
    "Retry-After": {"description": "Seconds to wait before a repeat.", "schema": {"type": "integer"}},
}
_SCHEMES: Final[Document] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A registry token, or a token of an issuer that the registry trusts.",
    }
}
_PARAMETERS: Final[Document] = {
    _REQUEST_ID: {
        "name": _REQUEST_ID,
        "in": "header",
        "required": False,
        "description": "An id for this request: 1 to 128 of `A-Z a-z 0-9 . _ : / + = @ -`. The default is random.",
        "schema": {"type": "string"},
    }
}


def header(name: str) -> Document:
    """A header that several answers have, as an entry of a response: `{name: reference}`."""
    return {name: {"$ref": f"#/components/headers/{name}"}}


def links(*operations: str, **fields: str) -> Document:
    """OpenAPI links from an answer to operations, as an entry of a response.

    `fields` names, for each parameter of the operations, the field of the body that is its value.
    """
    parameters = {parameter: f"$response.body#/{field}" for parameter, field in fields.items()}
    return {"links": {name: {"operationId": name, "parameters": parameters} for name in operations}}


def requires(*actions: str) -> Document:
    """The actions that a route may require, depending on the request; with none, any principal may use it.

    This documents them in `x-actions`. The service decides, and no answer leaves without a decision
    (`http.middleware.default_deny`).
    """
    return {"security": [{"token": []}], "x-actions": list(actions)}


PUBLIC: Final[Document] = {"security": []}
"""Documents a route that needs no credentials."""


class DocumentedApi(FastAPI):
    """An app whose document is complete."""

    def openapi(self) -> Document:
        """The document; it is made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _complete(super().openapi())
        return self.openapi_schema


def _complete(document: Document) -> Document:
    components = document["components"]
    components["schemas"] = dict(sorted({**components["schemas"], "Problem": Problem.model_json_schema()}.items()))
    components |= {"headers": _HEADERS, "parameters": _PARAMETERS, "securitySchemes": _SCHEMES}
    for schema in _objects(components["schemas"]):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
    for operation in _operations(document):
        parameters = operation.setdefault("parameters", [])
        for parameter in parameters:
            parameter["schema"] = _without_null(parameter["schema"])
        parameters.append({"$ref": f"#/components/parameters/{_REQUEST_ID}"})
        operation["responses"] = dict(sorted(operation["responses"].items()))
        for response in operation["responses"].values():
            response["headers"] = {**response.get("headers", {}), **header(_REQUEST_ID)}
    for path in document["paths"].values():
        if "get" in path:
            path["head"] = _without_bodies(path.get("head") or _head_of(path["get"]))
    return document


def _head_of(get: Document) -> Document:
    """The operation of a HEAD that is answered as this GET is."""
    name = f"head_{get['operationId'].removeprefix('get_')}"
    summary = {"summary": f"{get['summary']}, without the body", "description": "Answer as GET does, without the body."}
    return {**get, **summary, "operationId": name}


def _without_bodies(operation: Document) -> Document:
    responses = operation["responses"].items()
    empty = {status: {key: each[key] for key in each if key != "content"} for status, each in responses}
    return {**operation, "responses": empty}


def _operations(document: Document) -> Iterator[Document]:
    for path in document["paths"].values():
        yield from path.values()


def _objects(node: Any) -> Iterator[Document]:
    """Every JSON object in a part of a document, at any depth."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(each)


def _without_null(schema: Document) -> Document:
    """The schema of an optional parameter: it is sent or not, but it cannot be null, as FastAPI has it."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    only_kind = kinds[0] if len(kinds) == 1 else {}
    return {**only_kind, **{key: value for key, value in schema.items() if key not in _REDUNDANT_KEYS}}
