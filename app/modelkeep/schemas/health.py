"""Liveness and readiness on the wire."""

from typing import Literal

from modelkeep.schemas.base import Answer


class HealthResponse(Answer):
    """All is well; anything else is a problem."""

    status: Literal["ok"] = "ok"
