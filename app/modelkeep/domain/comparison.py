"""Two versions side by side: what differs in metrics, tags and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.models import Version

T = TypeVar("T")


class FileState(StrEnum):
    """What became of a file from the first version to the second."""

    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Pair(Generic[T]):
    """What both versions have under a name; `None` where one has nothing."""

    name: str
    a: T | None
    b: T | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions, and all that either has, by name."""

    a: Version
    b: Version
    metrics: Sequence[Pair[Decimal]]
    tags: Sequence[Pair[str]]
    files: Sequence[Pair[Artifact]]


def compare(a: Version, b: Version) -> Comparison:
    """Pair what two versions have."""
    files_of_a, files_of_b = ({artifact.path: artifact for artifact in version.artifacts} for version in (a, b))
    return Comparison(a, b, _pairs(a.metrics, b.metrics), _pairs(a.tags, b.tags), _pairs(files_of_a, files_of_b))


def file_state(file: Pair[Artifact]) -> FileState:
    """What became of a file; unknown if the digest of an adopted one is not known yet and the sizes do not differ."""
    if file.a is None:
        return FileState.ADDED
    if file.b is None:
        return FileState.REMOVED
    if file.a.sha256 and file.b.sha256:
        return FileState.SAME if file.a.sha256 == file.b.sha256 else FileState.CHANGED
    sizes_differ = file.a.size is not None and file.b.size is not None and file.a.size != file.b.size
    return FileState.CHANGED if sizes_differ else FileState.UNKNOWN


def _pairs(a: Mapping[str, T], b: Mapping[str, T]) -> Sequence[Pair[T]]:
    return [Pair(name, a.get(name), b.get(name)) for name in sorted(a.keys() | b.keys())]
