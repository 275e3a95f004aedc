"""Domain values with sensible defaults, for tests that care about one field."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.tokens import ApiTokenSecret, Token, new_secret
from modelkeep.domain.artifacts import Artifact, commit_of, object_key
from modelkeep.domain.events import IdempotencyKey, Operation
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import PendingArtifact, Upload
from modelkeep.domain.values import Digest, Stage

MODEL = "fraud-detector"
BEFORE = datetime(2026, 1, 30, 8, 30, tzinfo=UTC)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=7)
Fields = dict[str, Any]

DIGEST = Digest("9f" * 32)


def operation(*, key: str | None = None, body: str = "{}", actor: str = "ci", at: datetime = NOW) -> Operation:
    """A request; with a `key`, one that can be recognised when it comes again with the same `body`."""
    idempotency = IdempotencyKey(key, body) if key else None
    return Operation(id=str(uuid4()), actor=actor, at=at, request_id="request", idempotency=idempotency)


def head(**fields: Any) -> Head:
    """A model with versions 1 to 3, none in production."""
    defaults: Fields = {"model": MODEL, "generation": 6, "next_version": 4, "latest_version": 3}
    return Head(**defaults | {"created_at": BEFORE, "updated_at": BEFORE} | fields)


def version(number: int = 1, stage: Stage = Stage.STAGING, *, model: str = MODEL, **fields: Any) -> Version:
    """A version with one artifact."""
    manifest = (Artifact(path="model.pt", size=3, sha256=DIGEST, key=object_key(model, number, "model.pt")),)
    defaults: Fields = {
        "model": model,
        "number": number,
        "commit": commit_of(model, number, manifest),
        "stage": stage,
        "s3_path": f"s3://bucket/{manifest[0].key}",
        "framework": "pytorch",
        "metrics": {},
        "description": "",
        "tags": {},
        "artifacts": manifest,
        "created_at": BEFORE,
        "created_by": "ci",
        "stage_changed_at": BEFORE,
        "stage_changed_by": "ci",
    }
    return Version(**defaults | fields)


def upload(number: int = 1, *, model: str = MODEL, **fields: Any) -> Upload:
    """An upload of one artifact."""
    pending = PendingArtifact(path="model.pt", size=3, sha256=DIGEST, key=object_key(model, number, "model.pt"))
    defaults: Fields = {
        "model": model,
        "number": number,
        "artifacts": (pending,),
        "framework": "pytorch",
        "metrics": {},
        "description": "",
        "tags": {},
        "created_at": BEFORE,
        "created_by": "ci",
        "expires_at": LATER,
    }
    return Upload(**defaults | fields)


def trashed(number: int = 1, stage: Stage = Stage.STAGING, **fields: Any) -> TrashedVersion:
    """A version that was deleted."""
    return TrashedVersion(
        version=version(number, stage, **fields), deleted_at=BEFORE, deleted_by="ci", purge_after=LATER
    )


def credential() -> ApiTokenSecret:
    """A new token, as its holder shows it."""
    return new_secret(secrets.token_bytes(40))


def token(shown: ApiTokenSecret, **fields: Any) -> Token:
    """What is kept of it: a reader of every model, until a week from then."""
    defaults: Fields = {
        "principal": "ci",
        "grants": (Grant(rule=f"token:{shown.id}", entries=("reader",), models=("*",)),),
        "created_at": BEFORE,
        "created_by": "operator",
        "expires_at": LATER,
    }
    return Token(id=shown.id, digest=shown.digest, **defaults | fields)
