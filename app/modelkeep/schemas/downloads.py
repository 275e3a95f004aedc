"""Downloads on the wire: everything that a container needs, in one answer."""

from enum import StrEnum
from typing import Final, NamedTuple, Self
from weakref import WeakKeyDictionary

from pydantic import Field, TypeAdapter

from modelkeep.domain.downloads import Download, SignedArtifact, SignedArtifacts
from modelkeep.domain.values import Stage
from modelkeep.schemas.base import Answer, PresignedUrlResponse, presigned


class Format(StrEnum):
    """The formats of a download."""

    JSON = "json"
    CURL = "curl"
    SHA256SUM = "sha256sum"
    ENV = "env"


class DownloadArtifactResponse(PresignedUrlResponse):
    """One file: its path, size, digest, and a URL to read it from."""

    path: str
    size: int | None
    sha256: str | None
    executable: bool = False

    @classmethod
    def of(cls, located: SignedArtifact) -> Self:
        """Shape the service's signed artifact."""
        artifact = located.artifact
        return cls(
            path=artifact.path,
            size=artifact.size,
            sha256=artifact.sha256 and artifact.sha256.hex,
            executable=artifact.executable,
            **presigned(located.url),
        )


class DownloadSummary(Answer):
    """The version that a ref resolves to."""

    model: str
    version: int
    stage: Stage
    commit: str
    generation: int
    framework: str
    s3_path: str
    empty_folders: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, download: Download) -> "DownloadSummary":
        """Shape the service's download."""
        version = download.version
        return DownloadSummary(
            model=version.model,
            version=version.number,
            stage=version.stage,
            commit=version.commit,
            generation=download.generation,
            framework=version.framework,
            s3_path=version.s3_path,
            empty_folders=list(version.empty_folders),
        )


class DownloadResponse(DownloadSummary):
    """The version that a ref resolves to, and a URL for each of its files."""

    artifacts: list[DownloadArtifactResponse]


_ARTIFACTS: Final = TypeAdapter(list[DownloadArtifactResponse])


class _Rendered(NamedTuple):
    artifacts: bytes
    generation: int
    stage: Stage
    body: bytes


_rendered: Final[WeakKeyDictionary[SignedArtifacts, _Rendered]] = WeakKeyDictionary()
"""Bodies, kept for as long as their URLs are shared: a thousand containers get the same bytes."""


def download_body(download: Download, located: SignedArtifacts) -> bytes:
    """A `DownloadResponse` as JSON, rendered once for all requests that share its URLs."""
    rendered = _rendered.get(located)
    if rendered is None or (rendered.generation, rendered.stage) != (download.generation, download.version.stage):
        artifacts = rendered.artifacts if rendered else _artifacts_body(located)
        head = DownloadSummary.of(download).model_dump_json().encode()
        body = head.removesuffix(b"}") + b',"artifacts":' + artifacts + b"}"
        rendered = _rendered[located] = _Rendered(artifacts, download.generation, download.version.stage, body)
    return rendered.body


def _artifacts_body(located: SignedArtifacts) -> bytes:
    return _ARTIFACTS.dump_json([DownloadArtifactResponse.of(each) for each in located.artifacts])
