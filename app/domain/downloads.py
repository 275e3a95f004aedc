"""Where the bytes of a version are."""

from dataclasses import dataclass
from typing import Final

from app.domain.artifacts import Artifact
from app.domain.models import Version
from app.domain.values import PresignedUrl

ANY_COMMIT: Final = "*"
"""Among the commits that a caller knows: whichever it is."""


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
