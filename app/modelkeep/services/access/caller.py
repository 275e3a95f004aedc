"""The author of a request: what it may do, and by which key a repeat is recognised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import ALL_MODELS
from modelkeep.domain.access.principals import OPERATOR_RULE, OperatorName, Principal, unrestricted
from modelkeep.domain.errors import ActionForbiddenError, ModelNotFoundError
from modelkeep.domain.events import IdempotencyKey, Operation


class AuthorizationDecision(NamedTuple):
    """One authorization decision on a request, for its log line."""

    action: str
    model: str
    allowed: bool
    rule: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The author of one request. Every service method asks it first; an `Operation` comes only from here.

    `decisions` collects the decisions on this request, so a caller must not be shared by several.
    """

    principal: Principal
    request_id: str
    idempotency: IdempotencyKey | None = None
    decisions: list[AuthorizationDecision] = field(default_factory=list)

    def require(self, action: Action, model: str = ALL_MODELS) -> str:
        """Return the rule that allows the action.

        Raises `ActionForbiddenError`; if the caller may not read the model, `ModelNotFoundError`, as for an absent one.
        A forbidden upload is always `ActionForbiddenError`: uploads create models, so the answer reveals none.
        """
        verdict = self.principal.may(action, model)
        self.decisions.append(AuthorizationDecision(action, model, *verdict))
        if verdict.allowed and verdict.rule:
            return verdict.rule
        if action in {Action.VERSION_UPLOAD, Action.TOKEN_ADMIN} or self.may_read(model):
            raise ActionForbiddenError(action, model, self.principal.name)
        raise ModelNotFoundError(model)

    def require_everything(self) -> None:
        """Require every action on every model, none of them denied. Raises `ActionForbiddenError` for the first."""
        self.require(Action.TOKEN_ADMIN)
        for action in Action:
            model = self.principal.withheld(action)
            self.decisions.append(AuthorizationDecision(action, model or ALL_MODELS, allowed=model is None, rule=None))
            if model is not None:
                raise ActionForbiddenError(action, model, self.principal.name)

    def may_read(self, model: str) -> bool:
        """Whether the model is visible to this caller."""
        return self.principal.may(Action.MODEL_READ, model).allowed

    def read_filter(self) -> Callable[[str], bool]:
        """Which models lists show to this caller; logged as one decision on all of them."""
        self.decisions.append(AuthorizationDecision(Action.MODEL_READ, ALL_MODELS, allowed=True, rule=None))
        return self.may_read

    def identify(self) -> Principal:
        """The principal, for the caller itself; logged as a decision on `caller.identify`, which is always allowed."""
        self.decisions.append(AuthorizationDecision("caller.identify", ALL_MODELS, allowed=True, rule=None))
        return self.principal

    def trust_rules(self) -> Sequence[str]:
        """The trust rules that the caller's identity matched, if any; logged as a decision on `token.exchange`."""
        rules = self.principal.rules
        self.decisions.append(
            AuthorizationDecision("token.exchange", ALL_MODELS, allowed=bool(rules), rule=rules[0] if rules else None)
        )
        return rules

    def operation(self, action: Action, model: str) -> Operation:
        """Require the action and return a new operation; its id and time are the same for all attempts to write it.

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


def operator_caller(name: OperatorName, *, request_id: str) -> Caller:
    """A caller for one run of an operator's command; access to the table itself is what restricts it."""
    return Caller(principal=unrestricted(name, rule=OPERATOR_RULE), request_id=request_id)
