"""The addresses of the face, and what answers them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from modelkeep.faces.mlflow import artifacts, model_versions, registered_models
from modelkeep.faces.mlflow.model_versions import ARTIFACTS
from modelkeep.faces.mlflow.requests import Handler, MlflowRequest

REGISTRY: Final = "/api/2.0/mlflow/"


@dataclass(frozen=True, slots=True)
class Address:
    """An address and what answers each method there; `path` is how metrics and logs name it."""

    path: str
    handlers: Mapping[str, Handler]


def _address(path: str, **handlers: Handler) -> Address:
    return Address(f"{REGISTRY}{path}", handlers)


_ADDRESSES: Final = {
    address.path: address
    for address in (
        _address("registered-models/create", POST=registered_models.create),
        _address("registered-models/get", GET=registered_models.get),
        _address("registered-models/search", GET=registered_models.search),
        _address("registered-models/update", PATCH=registered_models.update),
        _address("registered-models/rename", POST=registered_models.refuse_rename),
        _address("registered-models/delete", DELETE=registered_models.delete),
        _address("registered-models/set-tag", POST=registered_models.set_tag),
        _address("registered-models/delete-tag", DELETE=registered_models.delete_tag),
        _address(
            "registered-models/get-latest-versions",
            GET=registered_models.latest_versions,
            POST=registered_models.latest_versions,
        ),
        _address(
            "registered-models/alias",
            GET=registered_models.get_by_alias,
            POST=registered_models.set_alias,
            DELETE=registered_models.delete_alias,
        ),
        _address("model-versions/create", POST=model_versions.create),
        _address("model-versions/get", GET=model_versions.get),
        _address("model-versions/search", GET=model_versions.search),
        _address("model-versions/update", PATCH=model_versions.update),
        _address("model-versions/delete", DELETE=model_versions.delete),
        _address("model-versions/set-tag", POST=model_versions.set_tag),
        _address("model-versions/delete-tag", DELETE=model_versions.delete_tag),
        _address("model-versions/transition-stage", POST=model_versions.move),
        _address("model-versions/get-download-uri", GET=model_versions.locate),
        Address(ARTIFACTS, {"GET": artifacts.list_folder}),
    )
}
_FILE: Final = Address(f"{ARTIFACTS}/{{path}}", {"GET": artifacts.get_file})


class MlflowRoutes(BaseRoute):
    """All routes of the face."""

    name = "mlflow"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match an address of the face, partially if it does not take the method."""
        path: str = scope["path"]
        if scope["type"] != "http" or not path.startswith("/api/"):
            return Match.NONE, {}
        address, rest = _ADDRESSES.get(path), ""
        if address is None and path.startswith(f"{ARTIFACTS}/"):
            address, rest = _FILE, path.removeprefix(f"{ARTIFACTS}/")
        if address is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in address.handlers else Match.PARTIAL
        return match, {"route": address, "path_params": {"path": rest}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the handler of the address. Raises `HTTPException` with 405 if it has none for the method."""
        handler = scope["route"].handlers.get(scope["method"])
        if handler is None:
            raise HTTPException(405)
        response = await handler(MlflowRequest(scope, receive, scope["path_params"]["path"]))
        await response(scope, receive, send)
