"""The files and folders of a version, as Git with LFS would name them."""

import hashlib
from collections.abc import Iterable, Sequence

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import DigestUnknownError
from modelkeep.domain.models import Version
from modelkeep.faces.huggingface.schemas import LastCommit, LfsPointer, Sibling, TreeEntry


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
