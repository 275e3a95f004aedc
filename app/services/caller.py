"""Who asks, and what makes the request recognisable when it comes again."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from app.domain.events import IdempotencyKey, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The author of a request."""

    principal: str
    request_id: str
    idempotency: IdempotencyKey | None = None

    def operation(self) -> Operation:
        """Start a logical request: its id and its time stay the same over all attempts to write it."""
        return Operation(
            id=str(uuid4()),
            actor=self.principal,
            at=datetime.now(UTC),
            request_id=self.request_id,
            idempotency=self.idempotency,
        )
