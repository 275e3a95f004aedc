"""What was decided on a request, for its log line and its span."""

from typing import Any

from starlette.types import Scope

from modelkeep.domain.access.principals import Principal
from modelkeep.services.access.caller import Caller


def authorization_fields(scope: Scope) -> dict[str, Any]:
    """Who asked, what for, and how that was decided, as far as the request came; the last decision counts."""
    state, parameters = scope["state"], scope.get("path_params", {})
    principal: Principal | None = state.get("principal")
    caller: Caller | None = state.get("caller")
    asked = caller.decisions[-1] if caller and caller.decisions else None
    return {
        "principal": principal.name if principal else None,
        "rule": asked.rule if asked else None,
        "action": asked.action if asked else None,
        "model": asked.model if asked else None,
        "version": parameters.get("version") or parameters.get("ref"),
        "decision": None if asked is None else "allowed" if asked.allowed else "denied",
    }
