"""What a ref resolves to, and the presigned URLs of its artifacts."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.models import Version
from modelkeep.domain.values import PresignedUrl


class _MatchAll(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


ANY_COMMIT: Final[Container[str]] = _MatchAll()
"""`If-None-Match: *`: matches every commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedArtifact:
    """An artifact with the URL that reads it."""

    artifact: Artifact
    url: PresignedUrl


class SignedArtifacts:
    """All artifacts of a version with their URLs, signed together and shared by many answers; compared by identity."""

    def __init__(self, artifacts: Sequence[SignedArtifact]) -> None:
        self.artifacts = artifacts
        self.weight = 512 + sum(1024 + 2 * len(each.url.url) for each in artifacts)
        """Approximate bytes in memory, with the rendered answer."""


class Resolved(NamedTuple):
    """The version that a ref resolves to by the head of this generation.

    The immutable part of the version, its stage and its aliases are those of that head. `stale_seconds` is the age of a
    last known good answer, served because the table could not be read; `None` for a fresh one.
    """

    generation: int
    version: Version
    stale_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The version that answers to a ref. `signed` is `None` if the caller already has that version.

    `stale_seconds` as of `Resolved`.
    """

    version: Version
    generation: int
    signed: SignedArtifacts | None
    stale_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundArtifact:
    """One artifact of the version that answers to a ref; `stale_seconds` as of `Resolved`."""

    artifact: Artifact
    stale_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """The URL of one artifact; `stale_seconds` as of `Resolved`."""

    url: PresignedUrl
    stale_seconds: int | None = None
