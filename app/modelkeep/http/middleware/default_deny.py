"""Deny by default: no answer leaves without an authorization decision, whatever a route forgets."""

from http import HTTPStatus

from starlette.types import Scope

from modelkeep.http.context import RequestContext


class MissingAuthorizationError(Exception):
    """A route was about to answer without an authorization decision: a fault of the route."""


def require_authorization_decision(context: RequestContext, scope: Scope, status: int) -> None:
    """Let an answer pass if it is public, if it is a refusal, or if every decision of its request was to allow.

    Raises `MissingAuthorizationError`.
    """
    if status < HTTPStatus.BAD_REQUEST and not context.row.is_public:
        caller = context.caller
        if caller is None or not caller.decisions or not all(decision.allowed for decision in caller.decisions):
            raise MissingAuthorizationError(scope["path"])
