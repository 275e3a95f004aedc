"""What the Hub's API answers: models, files, refs and commits, as its clients parse them.

Clients require `id`, `sha` and `siblings[].rfilename` of a model; the rest is what they show. Every file is presented
as one of Git LFS, whose pointer names the SHA-256, because a Git blob would be checked by its SHA-1.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from modelkeep.domain.access.principals import Principal
from modelkeep.domain.models import Version
from modelkeep.domain.values import Stage
from modelkeep.faces.huggingface.naming import MAIN


def _milliseconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


Moment = Annotated[datetime, PlainSerializer(_milliseconds)]


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, protected_namespaces=())


class LfsPointer(_Answer):
    """What Git keeps of a file of LFS. A model's `siblings` name the digest `sha256`, a tree names it `oid`."""

    oid: str | None = None
    sha256: str | None = None
    size: int
    pointer_size: int


class Sibling(_Answer):
    """A file, in the description of a model."""

    rfilename: str
    size: int | None = None
    blob_id: str | None = None
    lfs: LfsPointer | None = None


class Registered(_Answer):
    """What the registry calls the version; no client needs it."""

    version: int
    stage: str
    aliases: Sequence[str]
    framework: str


class ModelInfo(_Answer):
    """A version of a model, as the description of a repository at a revision."""

    internal_id: str = Field(serialization_alias="_id")
    id: str
    model_id: str
    author: str | None
    sha: str
    created_at: Moment
    last_modified: Moment
    private: bool = False
    gated: bool = False
    disabled: bool = False
    downloads: int = 0
    likes: int = 0
    tags: Sequence[str]
    library_name: str = Field(serialization_alias="library_name")
    pipeline_tag: str | None = Field(serialization_alias="pipeline_tag")
    siblings: Sequence[Sibling] | None
    registry: Registered

    @classmethod
    def of(cls, repository: str, version: Version, siblings: Sequence[Sibling] | None = None) -> "ModelInfo":
        """Describe a version, in a list without its files."""
        return cls(
            internal_id=version.commit,
            id=repository,
            model_id=repository,
            author=repository.rpartition("/")[0] or None,
            sha=version.commit,
            created_at=version.created_at,
            last_modified=version.created_at,
            tags=[version.framework, *(f"{name}:{value}" for name, value in sorted(version.tags.items()))],
            library_name=version.tags.get("library_name", version.framework),
            pipeline_tag=version.tags.get("pipeline_tag"),
            siblings=siblings,
            registry=Registered(
                version=version.number, stage=version.stage, aliases=version.aliases, framework=version.framework
            ),
        )


class LastCommit(_Answer):
    """The version, as the commit that changed a file last: all of its files came with it."""

    id: str
    title: str
    date: Moment

    @classmethod
    def of(cls, version: Version) -> "LastCommit":
        """The commit that a version is."""
        return cls(id=version.commit, title=title_of(version), date=version.created_at)


class TreeEntry(_Answer):
    """A file or a folder. `path` is that from the root."""

    type: Literal["file", "directory"]
    path: str
    size: int
    oid: str
    lfs: LfsPointer | None = None
    last_commit: LastCommit | None = None


class RefInfo(_Answer):
    """A branch or a tag."""

    name: str
    ref: str
    target_commit: str


class Refs(_Answer):
    """The branches and tags of a model."""

    branches: Sequence[RefInfo]
    tags: Sequence[RefInfo]
    converts: Sequence[RefInfo] = ()

    @classmethod
    def of(cls, versions: Sequence[Version], main: Version | None) -> "Refs":
        """The refs of versions, newest first; `main` first of the branches, and without it none.

        A client that finds no `main` takes whatever branch is listed first.
        """
        branches = {MAIN: main, **_branches(versions)} if main else {}
        return cls(
            branches=[
                RefInfo(name=name, ref=f"refs/heads/{name}", target_commit=version.commit)
                for name, version in branches.items()
                if version
            ],
            tags=[
                RefInfo(name=f"v{version.number}", ref=f"refs/tags/v{version.number}", target_commit=version.commit)
                for version in versions
            ],
        )


def in_stage(versions: Iterable[Version], stage: Stage) -> Version | None:
    """The first of the versions that is in a stage."""
    return next((version for version in versions if version.stage is stage), None)


def _branches(versions: Sequence[Version]) -> Mapping[str, Version | None]:
    aliases = {alias: version for version in versions for alias in version.aliases}
    return {
        Stage.PRODUCTION.value: in_stage(versions, Stage.PRODUCTION),
        Stage.STAGING.value: in_stage(versions, Stage.STAGING),
        **dict(sorted(aliases.items())),
    }


class CommitInfo(_Answer):
    """A version, as a commit."""

    id: str
    title: str
    message: str
    date: Moment
    authors: Sequence[dict[str, str]]

    @classmethod
    def of(cls, version: Version) -> "CommitInfo":
        """The commit that a version is."""
        return cls(
            id=version.commit,
            title=title_of(version),
            message=version.description,
            date=version.created_at,
            authors=[{"user": version.created_by or ""}],
        )


def whoami(principal: Principal) -> dict[str, Any]:
    """The account of a caller, who may only read."""
    return {
        "type": "user",
        "id": principal.name,
        "name": principal.name,
        "fullname": principal.name,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": principal.name, "role": "read"}},
    }


def as_json(answer: BaseModel | Iterable[BaseModel]) -> Any:
    """The JSON of one or many, without the fields that have nothing."""
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return [as_json(each) for each in answer]


def title_of(version: Version) -> str:
    """One line for a version."""
    first, *_ = version.description.splitlines() or [""]
    return f"v{version.number}: {first}" if first else f"v{version.number}"
