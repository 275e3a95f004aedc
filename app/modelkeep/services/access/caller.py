"""Who asks, what it may do, and what makes the request recognisable when it comes again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import ALL_MODELS
from modelkeep.domain.access.principals import Principal, unrestricted
from modelkeep.domain.errors import ActionForbiddenError, ModelNotFoundError
from modelkeep.domain.events import IdempotencyKey, Operation


class AuthorizationDecision(NamedTuple):
    """One decision that was taken on a request, for its log line."""

    action: str
    model: str
    allowed: bool
    rule: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The author of a request. A service asks it before every effect; there is no other way to an `Operation`."""

    principal: Principal
    request_id: str
    idempotency: IdempotencyKey | None = None
    decisions: list[AuthorizationDecision] = field(default_factory=list)

    def require(self, action: Action, model: str = ALL_MODELS) -> str:
        """Return the rule that allows this.

        Raises `ActionForbiddenError`; for a model that the caller may not read, `ModelNotFoundError`, as if there were
        none. Who may not upload is told so in any case: uploading creates models, so that says nothing of them.
        """
        verdict = self.principal.may(action, model)
        self.decisions.append(AuthorizationDecision(action, model, *verdict))
        if verdict.allowed and verdict.rule:
            return verdict.rule
        if action in {Action.VERSION_UPLOAD, Action.TOKEN_ADMIN} or self.may_read(model):
            raise ActionForbiddenError(action, model, self.principal.name)
        raise ModelNotFoundError(model)

    def may_read(self, model: str) -> bool:
        """Whether the model is there for this caller at all."""
        return self.principal.may(Action.MODEL_READ, model).allowed

    def read_filter(self) -> Callable[[str], bool]:
        """Which models belong into lists that this caller sees: for the log, one decision on all of them."""
        self.decisions.append(AuthorizationDecision(Action.MODEL_READ, ALL_MODELS, allowed=True, rule=None))
        return self.may_read

    def trust_rules(self) -> Sequence[str]:
        """The trust rules by which the caller came, if it did; for the log, they let it in."""
        rules = self.principal.rules
        self.decisions.append(
            AuthorizationDecision("token.exchange", ALL_MODELS, allowed=bool(rules), rule=rules[0] if rules else None)
        )
        return rules

    def operation(self, action: Action, model: str) -> Operation:
        """Start a logical request that is allowed: its id and time stay the same over all attempts to write it.

        Raises what `require` raises.
        """
        return Operation(
            id=str(uuid4()),
            actor=self.principal.name,
            rule=self.require(action, model),
            at=datetime.now(UTC),
            request_id=self.request_id,
            idempotency=self.idempotency,
        )


def operator_caller(name: str, *, request_id: str) -> Caller:
    """Whoever runs a command over the table itself: what it may do is for the table's own guard to say."""
    return Caller(principal=unrestricted(name, rule="operator"), request_id=request_id)
