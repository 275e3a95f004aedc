"""What was decided on a request: for its log line, and so that nothing leaves without a decision."""

from http import HTTPStatus
from typing import Any

from starlette.types import Scope

from app.authentication import is_open
from app.domain.access.principals import Principal
from app.services.caller import Caller


class UndecidedError(Exception):
    """A route was about to answer although nothing has decided whether it may: a fault of the route."""


def check_decided(scope: Scope, status: int) -> None:
    """Deny by default: of what is not open to all, only refusals leave, unless all that was asked was allowed."""
    if status < HTTPStatus.BAD_REQUEST and not is_open(scope["path"]):
        caller: Caller | None = scope["state"].get("caller")
        if caller is None or not caller.asked or not all(asked.allowed for asked in caller.asked):
            raise UndecidedError(scope["path"])


def decision(scope: Scope) -> dict[str, Any]:
    """Who asked, what for, and how that was decided, as far as the request came; the last decision counts."""
    state, parameters = scope["state"], scope.get("path_params", {})
    principal: Principal | None = state.get("principal")
    caller: Caller | None = state.get("caller")
    asked = caller.asked[-1] if caller and caller.asked else None
    return {
        "principal": principal.name if principal else None,
        "rule": asked.rule if asked else None,
        "action": asked.action if asked else None,
        "model": asked.model if asked else None,
        "version": parameters.get("version") or parameters.get("ref"),
        "decision": None if asked is None else "allowed" if asked.allowed else "denied",
    }
