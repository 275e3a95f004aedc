"""Actions that can be allowed, and roles that stand for several of them."""

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
    """The action of moving a version to this stage."""
    return Action(f"{STAGE_SET}:{stage}")


STAGE_SETS: Final = tuple(stage_set(stage) for stage in Stage)
_READER: Final = frozenset({Action.MODEL_READ, Action.EVENT_READ})

ROLES: Final[Mapping[str, frozenset[Action]]] = {
    "reader": _READER,
    "publisher": _READER | {Action.VERSION_UPLOAD, Action.VERSION_EDIT, Action.STAGE_SET_STAGING},
    "promoter": _READER | {*STAGE_SETS, Action.ALIAS_SET},
    "admin": frozenset(Action),
}
"""Shorthands; uploading and promoting are apart, so that a pipeline can do one without the other."""

ENTRIES: Final[Mapping[str, frozenset[Action]]] = {
    **{action.value: frozenset({action}) for action in Action},
    **ROLES,
    f"{STAGE_SET}:{EVERYTHING}": frozenset(STAGE_SETS),
    EVERYTHING: frozenset(Action),
}
"""Everything that a grant may list, and the actions that it stands for."""


def parse_actions(entries: Iterable[str]) -> frozenset[Action]:
    """The actions that roles, actions, `stage.set:*` and `*` stand for. Raises `ValueError` for any other entry."""
    actions: set[Action] = set()
    for entry in entries:
        if entry not in ENTRIES:
            raise ValueError(f"'{entry}' is neither an action nor a role; there are {', '.join(ENTRIES)}")
        actions |= ENTRIES[entry]
    return frozenset(actions)
