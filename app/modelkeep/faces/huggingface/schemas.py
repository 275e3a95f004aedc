"""What the Hub's API answers: models, files, refs and commits, as its clients parse them.

Clients require `id`, `sha` and `siblings[].rfilename` of a model; the rest is what they show. Every file is presented
as one of Git LFS, whose pointer names the SHA-256, because a Git blob would be checked by its SHA-1.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from modelkeep.domain.access.principals import Principal
from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import DigestUnknownError
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


def tree_of(version: Version, folder: str, *, is_recursive: bool, with_commits: bool) -> Sequence[TreeEntry] | None:
    """What is in a folder ("" is the root), by path; `None` if there is no such folder.

    Raises `DigestUnknownError` if the version has not been verified.
    """
    start = f"{folder}/" if folder else ""
    folders = {each: _folder(version, each) for each in _folders_of(version)}
    if folder and folder not in folders:
        return None
    files = {each.path: _file(version, each) for each in version.artifacts}
    inside = [
        entry
        for path, entry in sorted({**folders, **files}.items())
        if path.startswith(start) and (is_recursive or "/" not in path.removeprefix(start))
    ]
    return [_with_commit(entry, version) for entry in inside] if with_commits else inside


def entries_of(version: Version, paths: Iterable[str], *, with_commits: bool) -> Sequence[TreeEntry]:
    """The files and folders at these paths; those that do not exist are left out. Raises as `tree_of`."""
    wanted = set(paths)
    every = tree_of(version, "", is_recursive=True, with_commits=with_commits) or ()
    return [entry for entry in every if entry.path in wanted]


def _with_commit(entry: TreeEntry, version: Version) -> TreeEntry:
    return entry.model_copy(update={"last_commit": LastCommit.of(version)})


def _folders_of(version: Version) -> set[str]:
    paths = [*(artifact.path for artifact in version.artifacts), *(f"{each}/" for each in version.empty_folders)]
    return {path[:at] for path in paths for at, character in enumerate(path) if character == "/"}


def _folder(version: Version, path: str) -> TreeEntry:
    return TreeEntry(type="directory", path=path, size=0, oid=_git_digest("tree", f"{version.commit} {path}".encode()))


def _file(version: Version, artifact: Artifact) -> TreeEntry:
    size, digest, pointer = _blob(version, artifact)
    return TreeEntry(
        type="file",
        path=artifact.path,
        size=size,
        oid=_git_digest("blob", pointer),
        lfs=LfsPointer(oid=digest, size=size, pointer_size=len(pointer)),
    )


def siblings_of(version: Version, *, with_blobs: bool) -> Sequence[Sibling]:
    """The files of a version. Raises `DigestUnknownError` if the blobs of an unverified one are asked for."""
    return [_sibling(version, artifact, with_blobs=with_blobs) for artifact in version.artifacts]


def _sibling(version: Version, artifact: Artifact, *, with_blobs: bool) -> Sibling:
    if not with_blobs:
        return Sibling(rfilename=artifact.path)
    size, digest, pointer = _blob(version, artifact)
    return Sibling(
        rfilename=artifact.path,
        size=size,
        blob_id=_git_digest("blob", pointer),
        lfs=LfsPointer(sha256=digest, size=size, pointer_size=len(pointer)),
    )


def _blob(version: Version, artifact: Artifact) -> tuple[int, str, bytes]:
    """Size, digest, and the text that Git has in place of a file of LFS. Raises `DigestUnknownError`."""
    size, digest = known_bytes(version, artifact)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n"
    return size, digest, pointer.encode()


def known_bytes(version: Version, artifact: Artifact) -> tuple[int, str]:
    """Size and digest of an artifact. Raises `DigestUnknownError` for one that was adopted and is not verified."""
    if artifact.size is None or artifact.sha256 is None:
        raise DigestUnknownError(version.model, version.number, artifact.path)
    return artifact.size, artifact.sha256.hex


def _git_digest(kind: str, content: bytes) -> str:
    """The SHA-1 by which Git would name an object; a name, which protects nothing."""
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(content), content), usedforsecurity=False).hexdigest()
