"""Uploads on the wire."""

import operator
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo

from modelkeep.domain.artifact_paths import ArtifactPath, NewArtifactPath, check_distinct_paths
from modelkeep.domain.changes import Copy
from modelkeep.domain.upload_progress import UploadProgress
from modelkeep.domain.uploads import (
    MAX_ARTIFACTS,
    MAX_EMPTY_FOLDERS,
    MAX_PARTS,
    MAX_REUSE_FROM,
    MAX_TAGS,
    MAX_VERSION_SIZE,
    ArtifactStatus,
    Declared,
    Registration,
    SignedPart,
    UploadStatus,
)
from modelkeep.domain.values import UNSET, Digest, ModelName, Sha256, VersionNumber, metric_to_decimal
from modelkeep.schemas.base import (
    Answer,
    Description,
    Name,
    PageResponse,
    PresignedUrlResponse,
    Request,
    TagValue,
    presigned,
)
from modelkeep.schemas.versions import Metrics

T = TypeVar("T")


class DeclaredArtifact(Request):
    """A file to upload: its path in the version, its size in bytes, its SHA-256, and whether it is a program."""

    path: NewArtifactPath
    size: Annotated[int, Field(ge=0, json_schema_extra={"maximum": MAX_VERSION_SIZE})]
    sha256: Sha256
    executable: Annotated[bool, Field(exclude_if=operator.not_)] = False


class CopiedVersion(Request):
    """The version whose objects another one is made of."""

    model: ModelName
    version: VersionNumber


def _check_artifacts(artifacts: list[DeclaredArtifact], body: ValidationInfo) -> list[DeclaredArtifact]:
    if not artifacts and "from_" in body.data and body.data["from_"] is None:
        raise ValueError("it is missing: a version has at least one file, or is made from another version")
    if artifacts:
        _check_is_no_copy(artifacts, body)
    check_distinct_paths(artifact.path for artifact in artifacts)
    return artifacts


def _check_is_no_copy(given: T, body: ValidationInfo) -> T:
    if body.data.get("from_") is not None:
        raise ValueError("a version that is made from another one has that one's files, as they are")
    return given


def _check_empty_folders(folders: list[str], body: ValidationInfo) -> list[str]:
    artifacts: list[DeclaredArtifact] = body.data.get("artifacts", [])
    check_distinct_paths([*(artifact.path for artifact in artifacts), *folders])
    return folders


_NOT_OF_A_COPY: Final = ("artifacts", "empty_folders", "multipart", "reuse", "reuse_from")
"""What a version that is made from another one is not given."""


class CreateUpload(Request):
    """A version to register. `multipart` turns multipart uploads on or off for every artifact.

    `empty_folders` are paths without files, none of them in another or in a file's path. With `from` in place of
    `artifacts` the version is made of another one's objects and is complete at once, with its metadata but for what is
    given: metrics and tags are set over its own.
    """

    model_config = ConfigDict(
        serialize_by_alias=True,
        json_schema_extra={
            "oneOf": [
                {"required": ["artifacts"], "properties": {"from": {"type": "null"}}},
                {
                    "required": ["from"],
                    "properties": {"from": {"type": "object"}, **dict.fromkeys(_NOT_OF_A_COPY, False)},
                },
            ]
        },
    )

    from_: Annotated[CopiedVersion | None, Field(alias="from", exclude_if=operator.not_)] = None
    artifacts: Annotated[
        list[DeclaredArtifact],
        Field(validate_default=True, json_schema_extra={"minItems": 1, "maxItems": MAX_ARTIFACTS}),
        AfterValidator(_check_artifacts),
        Field(exclude_if=operator.not_),
    ] = Field(default_factory=list)
    empty_folders: Annotated[
        list[NewArtifactPath],
        Field(max_length=MAX_EMPTY_FOLDERS, exclude_if=operator.not_),
        AfterValidator(_check_empty_folders),
        AfterValidator(_check_is_no_copy),
    ] = Field(default_factory=list)
    framework: Annotated[
        Annotated[Name, Field(max_length=64)] | None,
        Field(description="The framework that loads the version. If absent, it is inferred from the paths."),
    ] = None
    metrics: Metrics = Field(default_factory=dict)
    description: Description = ""
    tags: Annotated[dict[Name, TagValue], Field(max_length=MAX_TAGS)] = Field(default_factory=dict)
    run_id: Annotated[
        Name | None,
        Field(exclude_if=operator.not_, description="The training run that made it, as its tracker names it."),
    ] = None
    source: Annotated[
        Annotated[TagValue, Field(min_length=1)] | None,
        Field(exclude_if=operator.not_, description="Where it comes from: an address, for people and other tools."),
    ] = None
    multipart: Annotated[bool | None, AfterValidator(_check_is_no_copy)] = None
    reuse: Annotated[
        bool,
        AfterValidator(_check_is_no_copy),
        Field(
            exclude_if=bool,
            description="Whether bytes that an earlier version of the model holds are taken from it, not sent.",
        ),
    ] = True
    reuse_from: Annotated[
        list[VersionNumber],
        Field(
            max_length=MAX_REUSE_FROM,
            exclude_if=operator.not_,
            description="Versions to take bytes from, beside the latest and production.",
        ),
        AfterValidator(_check_is_no_copy),
    ] = Field(default_factory=list)

    def to_request(self) -> Registration | Copy:
        """The domain's form."""
        return self._to_registration() if self.from_ is None else self._to_copy(self.from_)

    def _to_copy(self, copied: CopiedVersion) -> Copy:
        return Copy(
            model=copied.model,
            number=copied.version,
            framework=self.framework,
            metrics=self._metrics(),
            description=self.description if "description" in self.model_fields_set else UNSET,
            tags=self.tags,
            run_id=self.run_id,
            source=self.source,
        )

    def _metrics(self) -> dict[str, Decimal]:
        return {name: metric_to_decimal(value) for name, value in self.metrics.items()}

    def _to_registration(self) -> Registration:
        return Registration(
            artifacts=[
                Declared(
                    path=artifact.path,
                    size=artifact.size,
                    sha256=Digest(artifact.sha256),
                    executable=artifact.executable,
                )
                for artifact in self.artifacts
            ],
            empty_folders=self.empty_folders,
            framework=self.framework,
            metrics=self._metrics(),
            description=self.description,
            tags=self.tags,
            run_id=self.run_id,
            source=self.source,
            multipart=self.multipart,
            reuse=self.reuse,
            reuse_from=self.reuse_from,
        )


class DeclaredPart(Request):
    """A part to upload, and the SHA-256 of its bytes."""

    number: Annotated[int, Field(ge=1, le=MAX_PARTS)]
    sha256: Sha256


def _check_parts(parts: list[DeclaredPart]) -> list[DeclaredPart]:
    if len({part.number for part in parts}) != len(parts):
        raise ValueError("each part number is named once")
    return parts


class SignParts(Request):
    """Parts of one multipart artifact to upload."""

    path: ArtifactPath
    parts: Annotated[list[DeclaredPart], Field(min_length=1, max_length=MAX_PARTS), AfterValidator(_check_parts)]

    def to_digests(self) -> dict[int, Digest]:
        """The domain's form."""
        return {part.number: Digest(part.sha256) for part in self.parts}


class PartResponse(PresignedUrlResponse):
    """A part, and the URL to PUT it to."""

    number: int


class PartsResponse(Answer):
    """The URLs to PUT the parts of one artifact to."""

    path: str
    parts: list[PartResponse]

    @classmethod
    def of(cls, path: str, parts: Iterable[SignedPart]) -> Self:
        """Shape the service's signed parts."""
        return cls(path=path, parts=[PartResponse(number=part.number, **presigned(part.url)) for part in parts])


class MultipartResponse(Answer):
    """How an artifact is uploaded in parts, each of `part_size` bytes but the last; `parts_done` have arrived."""

    part_size: int
    part_count: int
    parts_done: list[int]


class UploadArtifactResponse(Answer):
    """One file of an upload. A missing one has `upload`, or `multipart` and its URLs from `upload/parts`.

    One whose bytes an earlier version holds has arrived, and names that version.
    """

    path: str
    size: int | None
    sha256: str | None
    state: Literal["missing", "arrived"]
    upload: PresignedUrlResponse | None = None
    multipart: MultipartResponse | None = None
    reused_from: Annotated[int | None, Field(exclude_if=operator.not_)] = None


class UploadResponse(Answer):
    """An upload. `expires_at` is null once it has become a version."""

    model: str
    version: int
    expires_at: datetime | None
    artifacts: list[UploadArtifactResponse]

    @classmethod
    def of(cls, status: UploadStatus) -> Self:
        """Shape the service's upload status."""
        return cls(
            model=status.model,
            version=status.number,
            expires_at=status.expires_at,
            artifacts=[_artifact(artifact) for artifact in status.artifacts],
        )


class UploadProgressResponse(Answer):
    """How much of an upload has arrived: whole artifacts, and bytes, which include parts of large ones."""

    model: str
    version: int
    artifact_count: int
    arrived_count: int
    size: int
    arrived_size: int
    created_at: datetime
    created_by: str
    expires_at: datetime

    @classmethod
    def of(cls, progress: UploadProgress) -> Self:
        """Shape the domain's progress."""
        upload = progress.upload
        return cls(
            model=upload.model,
            version=upload.number,
            artifact_count=len(upload.artifacts),
            arrived_count=progress.arrived_count,
            size=progress.size,
            arrived_size=progress.arrived_size,
            created_at=upload.created_at,
            created_by=upload.created_by,
            expires_at=upload.expires_at,
        )


class UploadPage(PageResponse[UploadProgressResponse]):
    """One page of uploads, newest first; `next_cursor` continues the list and is null at its end."""


def _artifact(artifact: ArtifactStatus) -> UploadArtifactResponse:
    parts = artifact.multipart
    return UploadArtifactResponse(
        path=artifact.path,
        size=artifact.size,
        sha256=artifact.sha256 and artifact.sha256.hex,
        state=artifact.state,
        upload=artifact.upload and PresignedUrlResponse(**presigned(artifact.upload)),
        multipart=parts
        and MultipartResponse(
            part_size=parts.part_size, part_count=parts.part_count, parts_done=list(parts.parts_done)
        ),
        reused_from=artifact.reused_from,
    )
