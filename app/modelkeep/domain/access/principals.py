"""Principals: whom a request comes from, once that has been proved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelkeep.domain.access.actions import EVERYTHING, Action
from modelkeep.domain.access.grants import ALL_MODELS, Grant, Verdict, decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody or something with a name, and what it may do.

    `rules` are the trust rules by which it came, if it did; `expires_at` is when its credential ends.
    """

    name: str
    grants: Sequence[Grant]
    rules: Sequence[str] = ()
    expires_at: datetime | None = None

    def may(self, action: Action, model: str = ALL_MODELS) -> Verdict:
        """Whether it may do this with the model, and the rule that says so."""
        return decide(self.grants, action, model)


def unrestricted(name: str, *, rule: str) -> Principal:
    """A principal that may do everything: an operator at the table, or anybody where nobody is asked."""
    return Principal(name=name, grants=(Grant(rule=rule, words=(EVERYTHING,), models=(ALL_MODELS,)),))


ANONYMOUS: Final = unrestricted("anonymous", rule="open")
"""The author of every request to a registry that asks nobody (`MODELKEEP_AUTH=none`)."""
