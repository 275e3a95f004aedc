"""A model's history: who changed what, when, in one gapless line."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

IDEMPOTENCY_LIFE_SECONDS: Final = 24 * 3600
"""How long an Idempotency-Key settles repeats."""


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
    MODEL_EDITED = "model_edited"
    MODEL_DELETED = "model_deleted"
    MODEL_ADOPTED = "model_adopted"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What makes a repeat recognisable: `name` is where it is kept, `request_hash` what came with it."""

    name: str
    request_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One logical request, the same over all attempts to write it."""

    id: str
    actor: str
    at: datetime
    request_id: str
    rule: str | None = None
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a model's history.

    `actor` is the principal that did it, and `rule` what allowed it. `origin` and `target` (`from` and `to` on the
    wire) are stages of a stage change, version numbers of an alias.
    `replaced` is the version that lost production by it.
    """

    model: str
    generation: int
    type: EventType
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
