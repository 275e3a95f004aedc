"""Downloads on the wire: everything a container needs, in one answer."""

from typing import Self

from app.domain.downloads import Download, LocatedArtifact
from app.domain.values import Stage
from app.schemas.base import Answer, PresignedUrlResponse, presigned


class DownloadArtifactResponse(PresignedUrlResponse):
    """One file, what its bytes must be, and where to read them."""

    path: str
    size: int | None
    sha256: str | None

    @classmethod
    def of(cls, located: LocatedArtifact) -> Self:
        """Shape the service's located artifact."""
        artifact = located.artifact
        return cls(
            path=artifact.path,
            size=artifact.size,
            sha256=artifact.sha256 and artifact.sha256.hex,
            **presigned(located.url),
        )


class DownloadResponse(Answer):
    """The version that answers to a ref, and a URL for each of its files."""

    model: str
    version: int
    stage: Stage
    commit: str
    generation: int
    framework: str
    s3_path: str
    artifacts: list[DownloadArtifactResponse]

    @classmethod
    def of(cls, download: Download) -> Self:
        """Shape the service's download."""
        version = download.version
        return cls(
            model=version.model,
            version=version.number,
            stage=version.stage,
            commit=version.commit,
            generation=download.generation,
            framework=version.framework,
            s3_path=version.s3_path,
            artifacts=[DownloadArtifactResponse.of(located) for located in download.artifacts or ()],
        )
