"""Grants: actions on models, and the decision over several of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any, Final, NamedTuple

from modelkeep.domain.access.actions import Action, parse_actions

ALL_MODELS: Final = "*"
MODELS_PATTERN: Final = r"^[A-Za-z0-9._*-]{1,96}$"
_PATTERN: Final = re.compile(MODELS_PATTERN.replace("$", r"\Z"))


class Verdict(NamedTuple):
    """Whether an action is allowed, and by which rule; `rule` is `None` if no grant covers it."""

    allowed: bool
    rule: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Allows actions (or, with `denies`, forbids them) on the models whose name matches one of the patterns.

    `entries` are roles and actions as they were written; `*` in a pattern matches any characters. Raises `ValueError`
    for anything else.
    """

    rule: str
    entries: tuple[str, ...]
    models: tuple[str, ...]
    denies: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    actions: frozenset[Action] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", parse_actions(self.entries))
        if not self.entries or not self.models:
            raise ValueError("a grant names at least one action and one model pattern")
        for pattern in self.models:
            if not _PATTERN.match(pattern):
                raise ValueError(
                    f"'{pattern}' is not a model pattern: a model name in which * stands for any characters"
                )

    def covers(self, action: Action, model: str) -> bool:
        """Whether this grant is about the action on the model; for a pattern, on every model that it matches."""
        return action in self.actions and any(_compiled(pattern).match(model) for pattern in self.models)


def decide(grants: Sequence[Grant], action: Action, model: str) -> Verdict:
    """Allowed if a grant allows it and none denies it."""
    rule = None
    for grant in grants:
        if grant.covers(action, model):
            if grant.denies:
                return Verdict(allowed=False, rule=grant.rule)
            rule = rule or grant.rule
    return Verdict(allowed=rule is not None, rule=rule)


def delegate(own: Sequence[Grant], requested: Iterable[Grant]) -> tuple[Grant, ...]:
    """The grants that a holder of `own` grants may pass on (attenuation): never more than it has.

    What is denied to the holder stays denied; it may deny anything further. Raises `ValueError` naming what it lacks.
    """
    delegated = tuple(requested)
    for grant in (grant for grant in delegated if not grant.denies):
        for action in sorted(grant.actions):
            for pattern in grant.models:
                if not any(held.covers(action, pattern) for held in own if not held.denies):
                    raise ValueError(f"{action} on '{pattern}' is not yours to give")
    return delegated + tuple(held for held in own if held.denies)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression, which matches model names and narrower patterns.

    A `*` in the text is matched only by a `*` of the pattern. `fnmatch` of Python 3.11 compiles `*` to an atomic group,
    so matching does not backtrack: however many `*` there are, its time grows with the length of both.
    """
    return re.compile(translate(pattern))
