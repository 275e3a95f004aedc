"""What can be allowed, and the roles that stand for several of it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from modelkeep.domain.values import Stage

EVERYTHING: Final = "*"
STAGE_SET: Final = "stage.set"


class Action(StrEnum):
    """One thing that a caller may do with a model; `token.admin` alone is not about models."""

    MODEL_READ = "model.read"
    MODEL_WRITE = "model.write"
    VERSION_UPLOAD = "version.upload"
    VERSION_EDIT = "version.edit"
    VERSION_DELETE = "version.delete"
    STAGE_SET_STAGING = "stage.set:staging"
    STAGE_SET_PRODUCTION = "stage.set:production"
    STAGE_SET_ARCHIVED = "stage.set:archived"
    ALIAS_SET = "alias.set"
    EVENT_READ = "event.read"
    TOKEN_ADMIN = "token.admin"  # noqa: S105 -- a name


def stage_set(stage: Stage) -> Action:
    """Moving a version to this stage."""
    return Action(f"{STAGE_SET}:{stage}")


STAGE_SETS: Final = tuple(stage_set(stage) for stage in Stage)
_READER: Final = frozenset({Action.MODEL_READ, Action.EVENT_READ})

ROLES: Final[Mapping[str, frozenset[Action]]] = {
    "reader": _READER,
    "publisher": _READER | {Action.VERSION_UPLOAD, Action.VERSION_EDIT, Action.STAGE_SET_STAGING},
    "promoter": _READER | {*STAGE_SETS, Action.ALIAS_SET},
    "admin": frozenset(Action),
}
"""Shorthands: who uploads does not promote, unless given both."""

WORDS: Final[Mapping[str, frozenset[Action]]] = {
    **{action.value: frozenset({action}) for action in Action},
    **ROLES,
    f"{STAGE_SET}:{EVERYTHING}": frozenset(STAGE_SETS),
    EVERYTHING: frozenset(Action),
}
"""All that a grant may name, and what it stands for."""


def parse_actions(words: Iterable[str]) -> frozenset[Action]:
    """What roles, actions, `stage.set:*` and `*` stand for. Raises `ValueError` with a sentence for any other word."""
    actions: set[Action] = set()
    for word in words:
        if word not in WORDS:
            raise ValueError(f"'{word}' is neither an action nor a role; there are {', '.join(WORDS)}")
        actions |= WORDS[word]
    return frozenset(actions)
