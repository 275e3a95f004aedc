"""Principals: the authenticated authors of requests."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from modelkeep.domain.access.actions import EVERYTHING, Action
from modelkeep.domain.access.grants import ALL_MODELS, Grant, Verdict, decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A named user, job or service, and what it may do.

    `rules` are the trust rules that its identity matched; none if it holds a registry token. `expires_at` is the end of
    its credential.
    """

    name: str
    grants: Sequence[Grant]
    rules: Sequence[str] = ()
    expires_at: datetime | None = None

    def may(self, action: Action, model: str = ALL_MODELS) -> Verdict:
        """Whether it may do this with the model, and the rule that allows or denies it."""
        return decide(self.grants, action, model)

    def withheld(self, action: Action) -> str | None:
        """A pattern of models with which it may not do this; `None` if it may with all."""
        if not self.may(action).allowed:
            return ALL_MODELS
        denials = (grant for grant in self.grants if grant.denies and action in grant.actions)
        return next((pattern for grant in denials for pattern in grant.models), None)


def unrestricted(name: str, *, rule: str) -> Principal:
    """A principal that may do everything: an operator at the table, or any caller if authentication is off."""
    return Principal(name=name, grants=(Grant(rule=rule, entries=(EVERYTHING,), models=(ALL_MODELS,)),))


OPEN_RULE: Final = "open"
ANONYMOUS: Final = unrestricted("anonymous", rule=OPEN_RULE)
"""The author of requests without a registry token where `MODELKEEP_AUTH=none`."""

OPERATOR_RULE: Final = "operator"
OperatorName = Literal["init", "operator", "sweep"]
"""The registry's own commands as authors; `OPERATOR_RULE` is what allows them everything."""

RESERVED: Final = frozenset({ANONYMOUS.name, OPEN_RULE, OPERATOR_RULE, *get_args(OperatorName)})


def is_reserved(name: str) -> bool:
    """Whether history uses the name for the registry itself, or a reader could take it for one that it uses."""
    return unicodedata.normalize("NFKC", name).strip().casefold() in RESERVED
