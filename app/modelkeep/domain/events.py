"""A model's history: who changed what, and when, numbered without gaps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from modelkeep.domain.values import Stage

IDEMPOTENCY_LIFE_SECONDS: Final = 24 * 3600
"""How long a repeat under the same Idempotency-Key returns the first outcome."""


class EventType(StrEnum):
    """What happened."""

    UPLOAD_BEGUN = "upload_begun"
    UPLOAD_ABANDONED = "upload_abandoned"
    UPLOAD_EXPIRED = "upload_expired"
    VERSION_COMPLETED = "version_completed"
    VERSION_EDITED = "version_edited"
    VERSION_DELETED = "version_deleted"
    VERSION_RESTORED = "version_restored"
    VERSION_PURGED = "version_purged"
    VERSION_VERIFIED = "version_verified"
    STAGE_CHANGED = "stage_changed"
    ROLLED_BACK = "rolled_back"
    ALIAS_SET = "alias_set"
    ALIAS_REMOVED = "alias_removed"
    MODEL_CREATED = "model_created"
    MODEL_EDITED = "model_edited"
    MODEL_DELETED = "model_deleted"
    MODEL_ADOPTED = "model_adopted"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Identifies repeats of a request: `name` is the key as stored, `request_hash` a digest of the request."""

    name: str
    request_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One logical request; the same value for every attempt to write it."""

    id: str
    actor: str
    at: datetime
    request_id: str
    rule: str | None = None
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a model's history.

    `actor` is the principal that made the change, and `rule` the rule that allowed it. `origin` and `target` (`from`
    and `to` on the wire) are stages for a change of stage, version numbers for an alias; `origin` of a version that was
    made of another one's objects is `<model>@<number>`. `replaced` is the version that
    was production before; `commit` is that of a completed version, unless an older release completed it. A newer
    release may have written a `type` that is no `EventType`, and attributes that are not known here, which are in
    `extra`.
    """

    model: str
    generation: int
    type: EventType | str
    operation_id: str
    actor: str
    at: datetime
    request_id: str
    rule: str | None = None
    version: int | None = None
    origin: str | None = None
    target: str | None = None
    alias: str | None = None
    replaced: int | None = None
    comment: str | None = None
    commit: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


def event_type(text: str) -> EventType | str:
    """The type of this name; the name itself if a newer release invented it."""
    return _TYPES.get(text, text)


_TYPES: Final[Mapping[str, EventType]] = {kind.value: kind for kind in EventType}


_MAY_PROMOTE: Final = frozenset({EventType.STAGE_CHANGED, EventType.ROLLED_BACK, EventType.MODEL_ADOPTED})


def promotes(event: Event) -> bool:
    """Whether the event made a version production: by promotion, by rollback, or as the one that was adopted so."""
    return event.type in _MAY_PROMOTE and event.target == Stage.PRODUCTION


def production_after(events: Iterable[Event]) -> int | None:
    """The version that is production after these events, newest first; `None` if none is.

    Of a history, those since the last one that `promotes` are enough. A version that is moved out of production need
    not be the one that was: one that another program had moved there is archived without replacing it.
    """
    out: set[int | None] = set()
    for event in events:
        if promotes(event):
            return None if event.version in out else event.version
        if event.origin == Stage.PRODUCTION or event.type is EventType.VERSION_DELETED:
            out.add(event.version)
        elif event.type is EventType.MODEL_DELETED:
            return None
    return None
