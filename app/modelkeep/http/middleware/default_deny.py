"""Deny by default: nothing leaves without a decision on who asks, whatever a route forgets."""

from http import HTTPStatus

from starlette.types import Scope

from modelkeep.http.context import context_of


class MissingAuthorizationError(Exception):
    """A route was about to answer although nothing has decided whether it may: a fault of the route."""


def require_authorization_decision(scope: Scope, status: int) -> None:
    """Let answers out that are open to all, refusals, and those for which all that was asked was allowed."""
    context = context_of(scope)
    if status < HTTPStatus.BAD_REQUEST and not context.row.is_public:
        caller = context.caller
        if caller is None or not caller.decisions or not all(asked.allowed for asked in caller.decisions):
            raise MissingAuthorizationError(scope["path"])
