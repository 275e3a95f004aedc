"""The served OpenAPI document: what FastAPI reads off the routes, and what it cannot know."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from modelkeep.schemas.problems import Problem

Document = dict[str, Any]

_REDUNDANT_KEYS: Final = frozenset({"anyOf", "title", "description"})

_REQUEST_ID: Final = "X-Request-Id"
STALE: Final = "X-Registry-Stale"
_HEADERS: Final[Document] = {
    _REQUEST_ID: {"description": "Names this request in logs and in history.", "schema": {"type": "string"}},
    "ETag": {"description": "Changes when another version answers to the ref.", "schema": {"type": "string"}},
    STALE: {
        "description": "Seconds since this was true for sure: the table cannot be read, so it comes from memory.",
        "schema": {"type": "integer"},
    },
    "Retry-After": {"description": "Seconds after which a repeat makes sense.", "schema": {"type": "integer"}},
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
        "description": "A name for this request, 1 to 128 of `A-Z a-z 0-9 . _ : / + = @ -`; one is made up otherwise.",
        "schema": {"type": "string"},
    }
}


def header(name: str) -> Document:
    """One of the headers that answers have in common, as an entry of a response."""
    return {name: {"$ref": f"#/components/headers/{name}"}}


def links(*operations: str, **fields: str) -> Document:
    """What an answer leads to, as an entry of it: operations, and the field of the body that each parameter is."""
    parameters = {parameter: f"$response.body#/{field}" for parameter, field in fields.items()}
    return {"links": {name: {"operationId": name, "parameters": parameters} for name in operations}}


def requires(*actions: str) -> Document:
    """What a route says of who may use it: any of these actions, as the request goes; with none, to be known is enough.

    It is said here for readers. The decision is the service's, and without one no answer leaves (`http.middleware`).
    """
    return {"security": [{"token": []}], "x-actions": list(actions)}


PUBLIC: Final[Document] = {"security": []}
"""What a route says that asks nobody who he is."""


class DocumentedApi(FastAPI):
    """An app whose document is complete."""

    def openapi(self) -> Document:
        """Return the document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


def _completed(document: Document) -> Document:
    components = document["components"]
    components["schemas"] = dict(sorted({**components["schemas"], "Problem": Problem.model_json_schema()}.items()))
    components |= {"headers": _HEADERS, "parameters": _PARAMETERS, "securitySchemes": _SCHEMES}
    for schema in _nested(components["schemas"]):
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
    return document


def _operations(document: Document) -> Iterator[Document]:
    for path in document["paths"].values():
        yield from path.values()


def _nested(node: Any) -> Iterator[Document]:
    """Every object of a document. A rule for names comes out as one for the names that fit: the others are refused."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nested(each)


def _without_null(schema: Document) -> Document:
    """A parameter is there or not: it cannot be null, as an optional one in Python can. Its name says the rest."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    of_kind = kinds[0] if len(kinds) == 1 else {}
    return {**of_kind, **{key: value for key, value in schema.items() if key not in _REDUNDANT_KEYS}}
