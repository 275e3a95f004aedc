"""Versions on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.changes import Edit
from modelkeep.domain.models import Version
from modelkeep.domain.uploads import MAX_METRICS
from modelkeep.domain.values import LARGEST_METRIC, SMALLEST_METRIC, UNSET, Stage, check_metric, metric_to_decimal
from modelkeep.schemas.base import Answer, Description, Name, PageResponse, Request
from modelkeep.schemas.models import TagsEdit

_STORED_NUMBERS: Final[list[JsonSchemaValue]] = [
    {"type": "number", "const": 0},
    {"type": "number", "minimum": SMALLEST_METRIC, "maximum": LARGEST_METRIC},
    {"type": "number", "minimum": -LARGEST_METRIC, "maximum": -SMALLEST_METRIC},
]


def _check_change(value: object) -> float | None:
    return None if value is None else check_metric(value)


Metric = Annotated[float, BeforeValidator(check_metric), WithJsonSchema({"anyOf": _STORED_NUMBERS})]
MetricChange = Annotated[
    float | None, BeforeValidator(_check_change), WithJsonSchema({"anyOf": [*_STORED_NUMBERS, {"type": "null"}]})
]
Metrics = Annotated[dict[Name, Metric], Field(max_length=MAX_METRICS)]
MetricsEdit = Annotated[dict[Name, MetricChange], Field(max_length=MAX_METRICS)]


class EditVersion(Request):
    """Changes to a version's metadata. Metrics and tags are merged; a null value removes the key."""

    description: Description | None = None
    metrics: MetricsEdit | None = None
    tags: TagsEdit | None = None

    def to_edit(self) -> Edit:
        """The domain's form: what was not sent stays as it is."""
        metrics = (
            UNSET
            if self.metrics is None
            else {name: None if value is None else metric_to_decimal(value) for name, value in self.metrics.items()}
        )
        return Edit(
            description=(self.description or "") if "description" in self.model_fields_set else UNSET,
            metrics=metrics,
            tags=UNSET if self.tags is None else self.tags,
        )


class ArtifactResponse(Answer):
    """One file of a version. Size and digest are null only in an adopted version that is not verified yet."""

    path: str
    size: int | None
    sha256: str | None
    executable: bool = False

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """Shape the domain's artifact."""
        return cls(
            path=artifact.path,
            size=artifact.size,
            sha256=artifact.sha256 and artifact.sha256.hex,
            executable=artifact.executable,
        )


class VersionResponse(Answer):
    """A complete version."""

    model: str
    version: int
    commit: str
    stage: Stage
    aliases: list[str]
    s3_path: str
    framework: str
    framework_inferred: Annotated[
        bool, Field(description="Whether the framework was not given, but inferred from the files' names.")
    ] = False
    metrics: dict[str, float]
    description: str
    tags: dict[str, str]
    run_id: str | None = None
    source: str | None = None
    artifacts: list[ArtifactResponse]
    empty_folders: list[str] = Field(default_factory=list)
    size: int | None
    created_at: datetime
    created_by: str | None
    stage_changed_at: Annotated[
        datetime, Field(description="When it was last moved to a stage; if it never was, equal to `created_at`.")
    ]
    stage_changed_by: str | None

    @classmethod
    def of(cls, version: Version) -> Self:
        """Shape the domain's version."""
        return cls(
            model=version.model,
            version=version.number,
            commit=version.commit,
            stage=version.stage,
            aliases=list(version.aliases),
            s3_path=version.s3_path,
            framework=version.framework,
            framework_inferred=version.framework_inferred,
            metrics={name: float(value) for name, value in version.metrics.items()},
            description=version.description,
            tags=dict(version.tags),
            run_id=version.run_id,
            source=version.source,
            artifacts=[ArtifactResponse.of(artifact) for artifact in version.artifacts],
            empty_folders=list(version.empty_folders),
            size=version.size,
            created_at=version.created_at,
            created_by=version.created_by,
            stage_changed_at=version.stage_changed_at,
            stage_changed_by=version.stage_changed_by,
        )


class VersionPage(PageResponse[VersionResponse]):
    """One page of versions, newest first; `next_cursor` continues the list and is null at its end."""

    @classmethod
    def of(
        cls, versions: Sequence[Version], next_cursor: str | None, *, older_left_out: bool | None
    ) -> "VersionPage | SortedVersionPage":
        """Shape a page of the domain's versions."""
        items = [VersionResponse.of(version) for version in versions]
        if older_left_out is None:
            return cls(items=items, next_cursor=next_cursor)
        return SortedVersionPage(items=items, next_cursor=next_cursor, older_left_out=older_left_out)


class SortedVersionPage(PageResponse[VersionResponse]):
    """One page of a list with `sort`. `older_left_out`: whether there are others than the newest 1,000 versions."""

    older_left_out: bool
