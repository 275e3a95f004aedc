"""Liveness and readiness on the wire."""

from typing import Literal

from modelkeep.schemas.base import Answer


class HealthResponse(Answer):
    """The process, or the service, is well; otherwise the answer is a problem."""

    status: Literal["ok"] = "ok"
