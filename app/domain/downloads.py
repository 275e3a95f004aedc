"""Where the bytes of a version are."""

from dataclasses import dataclass

from app.domain.artifacts import Artifact
from app.domain.models import Version
from app.domain.values import PresignedUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedArtifact:
    """An artifact, and the URL it can be read from."""

    artifact: Artifact
    url: PresignedUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The version that answers to a ref. `artifacts` is `None` if the caller already has that version."""

    version: Version
    generation: int
    artifacts: tuple[LocatedArtifact, ...] | None
