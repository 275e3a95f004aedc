"""Grants: actions on models, and the decision over several of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from modelkeep.domain.access.actions import Action, parse_actions

ALL_MODELS: Final = "*"
MODELS_PATTERN: Final = r"^[A-Za-z0-9._*-]{1,96}$"
_PATTERN: Final = re.compile(MODELS_PATTERN.replace("$", r"\Z"))


class Verdict(NamedTuple):
    """Whether it is allowed, and by which rule; `rule` is `None` if no rule speaks of it."""

    allowed: bool
    rule: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Allows (or, with `denies`, forbids) actions on the models whose name fits one of the patterns.

    `words` are roles and actions as they were written; in a pattern `*` stands for any characters. Raises `ValueError`
    with a sentence for what is neither.
    """

    rule: str
    words: tuple[str, ...]
    models: tuple[str, ...]
    denies: bool = False
    actions: frozenset[Action] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", parse_actions(self.words))
        if not self.words or not self.models:
            raise ValueError("a grant names at least one action and one model pattern")
        for pattern in self.models:
            if not _PATTERN.match(pattern):
                raise ValueError(f"'{pattern}' is no model pattern: model names, in which * stands for any characters")

    def covers(self, action: Action, model: str) -> bool:
        """Whether this grant speaks of the action on the model; of a pattern, if it does so for all its models."""
        return action in self.actions and any(_compiled(pattern).match(model) for pattern in self.models)


def decide(grants: Sequence[Grant], action: Action, model: str) -> Verdict:
    """Forbidden unless a grant allows it, and none denies it."""
    rule = None
    for grant in grants:
        if grant.covers(action, model):
            if grant.denies:
                return Verdict(allowed=False, rule=grant.rule)
            rule = rule or grant.rule
    return Verdict(allowed=rule is not None, rule=rule)


def delegate(held: Sequence[Grant], wanted: Iterable[Grant]) -> tuple[Grant, ...]:
    """What a holder of grants gives away: never more than it has. Raises `ValueError` naming what it lacks.

    What is denied to the holder stays denied to whom it gives to; it may deny anything further.
    """
    given = tuple(wanted)
    for grant in (grant for grant in given if not grant.denies):
        for action in sorted(grant.actions):
            for pattern in grant.models:
                if not any(own.covers(action, pattern) for own in held if not own.denies):
                    raise ValueError(f"{action} on '{pattern}' is not yours to give")
    return given + tuple(own for own in held if own.denies)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A `*` in the text that is matched can only be met by a `*` of the pattern: so patterns can be compared, too.

    However many there are, the time that matching takes grows as the length of both.
    """
    return re.compile(translate(pattern))
