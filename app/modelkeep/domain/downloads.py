"""Where the bytes of a version are."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.models import Version
from modelkeep.domain.values import PresignedUrl


class _MatchAll(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


ANY_COMMIT: Final[Container[str]] = _MatchAll()
"""What a caller knows that takes no version for news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedArtifact:
    """An artifact, and the URL it can be read from."""

    artifact: Artifact
    url: PresignedUrl


class SignedArtifacts:
    """All artifacts of a version with their URLs, signed together and shared by many answers: one is itself alone."""

    def __init__(self, artifacts: Sequence[SignedArtifact]) -> None:
        self.artifacts = artifacts
        self.weight = 512 + sum(1024 + 2 * len(located.url.url) for located in artifacts)
        """About as many bytes as this takes in memory, with what it is on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The version that answers to a ref. `located` is `None` if the caller already has that version.

    `stale_seconds` is the age of an answer from memory, given because the table could not be read.
    """

    version: Version
    generation: int
    located: SignedArtifacts | None
    stale_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Where one artifact is; `stale_seconds` as of a `Download`."""

    url: PresignedUrl
    stale_seconds: int | None = None
