"""A model and its versions, in the form that the rules use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from modelkeep.domain.artifacts import Artifact, Manifest
from modelkeep.domain.errors import ArtifactNotFoundError, ModelNotFoundError, NewerFormatError
from modelkeep.domain.values import Stage, fold_alias

DEFAULT_FRAMEWORK: Final = "pytorch"
PRODUCTION_HISTORY_LENGTH: Final = 20
FORMAT: Final = 1
"""The format in which this release writes models: a new attribute does not change it, a new meaning of one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The root item of a model, which every change of the model rewrites.

    `generation` is the number of the model's latest event. `production_history` holds the versions that were production
    before, the latest last, without those that were deleted since. `aliases` are as they were written, no two of them
    alike but for case. A deleted model keeps its head, so that no number is
    given twice; `deletion_in_progress` is true until all its versions are in the trash. `format` is that of the release
    that wrote the model last, and `extra` holds attributes that this release does not know.
    """

    model: str
    generation: int
    next_version: int
    latest_version: int | None = None
    production_version: int | None = None
    production_history: tuple[int, ...] = ()
    aliases: Mapping[str, int] = field(default_factory=dict)
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    deletion_in_progress: bool = False
    format: int = FORMAT
    extra: Mapping[str, Any] = field(default_factory=dict)

    def aliases_of(self, number: int) -> tuple[str, ...]:
        """The aliases of a version, sorted."""
        return tuple(sorted((alias for alias, target in self.aliases.items() if target == number), key=fold_alias))

    def alias_like(self, alias: str) -> str | None:
        """The alias that is looked up by this one, as it was written; `None` if there is none."""
        if alias in self.aliases:
            return alias
        folded = fold_alias(alias)
        return next((written for written in self.aliases if fold_alias(written) == folded), None)

    def with_production(self, number: int | None) -> "Head":
        """With `number` as production; the version before, if any, becomes the latest of the history."""
        history = self.production_history
        if self.production_version is not None:
            history = (*history, self.production_version)
        if history and history[-1] == number:
            history = history[:-1]
        return replace(self, production_version=number, production_history=history[-PRODUCTION_HISTORY_LENGTH:])

    def rolled_back(self) -> "Head":
        """With the latest of the history as production; the version before is dropped, so two rollbacks go two back."""
        *rest, target = self.production_history
        return replace(self, production_version=target, production_history=tuple(rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One complete version. Only stage, description, metrics and tags ever change.

    `aliases` comes from the head and is not stored with the version. `extra` holds attributes that other programs wrote
    into the item, `registry_extra` those that a newer release wrote beside ours; both are written back unchanged.
    `empty_folders` are paths without files, which a download makes as well. `run_id` and `source` are as in a
    `Registration`.
    """

    model: str
    number: int
    commit: str
    stage: Stage
    s3_path: str
    framework: str
    metrics: Mapping[str, Decimal]
    description: str
    tags: Mapping[str, str]
    artifacts: Manifest
    created_at: datetime
    created_by: str | None
    stage_changed_at: datetime
    stage_changed_by: str | None
    run_id: str | None = None
    source: str | None = None
    empty_folders: tuple[str, ...] = ()
    framework_inferred: bool = False
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    registry_extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int | None:
        """Bytes of all artifacts; `None` if one is unknown."""
        sizes = [artifact.size for artifact in self.artifacts if artifact.size is not None]
        return sum(sizes) if len(sizes) == len(self.artifacts) else None

    @property
    def was_moved(self) -> bool:
        """Whether it was ever moved to a stage: until then, its stage changed when it was created."""
        return self.stage_changed_at != self.created_at

    @property
    def is_verified(self) -> bool:
        """Whether all digests are known; those of an adopted version are not until it has been read once."""
        return all(artifact.sha256 for artifact in self.artifacts)

    @property
    def weight(self) -> int:
        """Approximate bytes in memory, for caches that are bounded."""
        return 4096 + 1024 * (len(self.artifacts) + len(self.empty_folders))

    def artifact(self, path: str) -> Artifact:
        """The artifact with this path. Raises `ArtifactNotFoundError`."""
        for artifact in self.artifacts:
            if artifact.path == path:
                return artifact
        raise ArtifactNotFoundError(self.model, self.number, path)

    def is_consistent_with(self, head: Head) -> bool:
        """Whether version and head agree on production; if not, one of them was read before a change."""
        return (self.stage is Stage.PRODUCTION) == (head.production_version == self.number)

    def with_head(self, head: Head) -> "Version":
        """This version with the head's aliases, and in production exactly if the head names it."""
        stage = self.stage
        if head.production_version == self.number:
            stage = Stage.PRODUCTION
        elif stage is Stage.PRODUCTION:
            stage = Stage.ARCHIVED
        return replace(self, stage=stage, aliases=head.aliases_of(self.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedVersion:
    """A deleted version, restorable until it is purged; `extra` is what a newer release noted of its deletion."""

    version: Version
    deleted_at: datetime
    deleted_by: str
    purge_after: datetime
    extra: Mapping[str, Any] = field(default_factory=dict)


def existing(head: Head | None, model: str) -> Head:
    """The head, if the model exists. Raises `ModelNotFoundError` if it never existed or was deleted."""
    if head is None or head.deleted_at is not None:
        raise ModelNotFoundError(model)
    return head


def require_known_format(head: Head | None) -> None:
    """Raise `NewerFormatError` for a model that this release can read at best, and must not change."""
    if head and head.format > FORMAT:
        raise NewerFormatError(head.model, format=head.format, supported=FORMAT)


def newest_production(versions: Sequence[Version]) -> int | None:
    """The highest number among versions whose stage is production."""
    return max((version.number for version in versions if version.stage is Stage.PRODUCTION), default=None)
