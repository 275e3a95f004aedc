"""The files of a version: the manifest, its keys, and the commit."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from modelkeep.domain.values import Digest

KEY_PREFIX: Final = "models/"
_DIGEST_DIGITS: Final = 32
_NUMBERED_KEY: Final = re.compile(re.escape(KEY_PREFIX) + r"([^/]+)/v([1-9][0-9]{0,9})/.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of a version.

    `key` names its object, `version_id` exactly these bytes in a versioned bucket. Size and digest are `None` only if
    the version was adopted from a table of the public recipe and is not verified yet. `parts_sha256` is the digest of
    the digests of its object's parts, if that is all that the store knows of the object. `executable` asks a download
    to make the file so. `extra` is what a newer release wrote beside them.
    """

    path: str
    size: int | None
    sha256: Digest | None
    key: str
    version_id: str | None = None
    parts_sha256: Digest | None = None
    executable: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


Manifest = tuple[Artifact, ...]
"""The closed list of a version's artifacts, sorted by path."""


def object_key(model: str, number: int, path: str) -> str:
    """The key of a new version's artifact: `models/<model>/v<n>/<path>`, as in the public recipe."""
    return f"{version_prefix(model, number)}{path}"


def version_prefix(model: str, number: int) -> str:
    """The prefix of the keys of a new version's artifacts, ending in `/`."""
    return f"{KEY_PREFIX}{model}/v{number}/"


def numbered_key(key: str) -> tuple[str, int] | None:
    """The model and the number of a key below a `version_prefix`; `None` for any other key."""
    found = _NUMBERED_KEY.match(key)
    return (found[1], int(found[2])) if found else None


def s3_path_of(model: str, number: int, manifest: Manifest, uri: Callable[[str], str]) -> str:
    """The `s3_path` of a version: the address of its one artifact, or of its folder (ending in `/`) if there are more.

    `uri` is the store's, from a key to an address.
    """
    if len(manifest) == 1:
        return uri(manifest[0].key)
    return f"{uri(version_prefix(model, number).rstrip('/'))}/"


def manifest_of(artifacts: Iterable[Artifact]) -> Manifest:
    """Sort artifacts by path into a manifest."""
    return tuple(sorted(artifacts, key=lambda artifact: artifact.path))


def have_same_files(a: Manifest, b: Manifest) -> bool:
    """Whether both have the same paths with the same bytes; a digest that is not known is equal to none."""
    return all(item.sha256 for item in a) and [(i.path, i.sha256) for i in a] == [(i.path, i.sha256) for i in b]


def commit_of(model: str, number: int, manifest: Sequence[Artifact], empty_folders: Iterable[str] = ()) -> str:
    """40 hex digits that name this version for good: 32 of a SHA-256 over the manifest, then the number in 8.

    So a commit is resolved without a reverse index: read the version with the number in its tail, compare the rest.
    A line that ends in `/` is an empty folder, one that ends in ` executable` an executable artifact: no other line
    does, as each ends in a digest or in `-`.
    """
    lines = [model, str(number), *map(_line, manifest), *(f"{folder}/" for folder in sorted(empty_folders))]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return f"{digest[:_DIGEST_DIGITS]}{number:08x}"


def is_named_by(
    commit: str, model: str, number: int, manifest: Sequence[Artifact], empty_folders: Iterable[str] = ()
) -> bool:
    """Whether the commit is that of this manifest, or what one of these made of it.

    Before an adopted version was verified, its size and digest were unknown. An earlier release that completed an
    upload of this one kept empty folders and executable files without knowing them.
    """
    unverified = [replace(item, size=None, sha256=None) for item in manifest]
    files_alone = [replace(item, executable=False) for item in manifest]
    return commit in {
        commit_of(model, number, manifest, empty_folders),
        commit_of(model, number, unverified),
        commit_of(model, number, files_alone),
    }


def _line(item: Artifact) -> str:
    return f"{item.path} {_known(item.size)} {_known(item.sha256)}{' executable' if item.executable else ''}"


def _known(value: object) -> str:
    return "-" if value is None else str(value)


def adopted(s3_path: str) -> Artifact:
    """The one artifact of a version that the public recipe wrote, which stores only the object's address."""
    key = s3_path.partition("://")[2].partition("/")[2]
    return Artifact(path=key.rpartition("/")[2], size=None, sha256=None, key=key)
