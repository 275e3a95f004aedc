"""The grammar of artifact paths: whatever real tools write, but nothing that cannot be seen or cannot be a file."""

import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import AfterValidator, WithJsonSchema

from modelkeep.kit.text import INVISIBLE, first_invisible

_MAX_BYTES: Final = 512
_MAX_SEGMENTS: Final = 32
_MAX_SEGMENT_BYTES: Final = 255

_NOT_ANYWHERE: Final = r"/\\\x00-\x1f\x7f-\x9f"
_ANY: Final = f"[^{_NOT_ANYWHERE}]"
_NO_SPACE: Final = f"[^ {_NOT_ANYWHERE}]"
_NO_DOT: Final = f"[^ .{_NOT_ANYWHERE}]"
_SEGMENT: Final = rf"(?:{_NO_DOT}(?:{_ANY}*{_NO_SPACE})?|\.(?:{_NO_DOT}|{_ANY}+{_NO_SPACE}))"
ARTIFACT_PATH_PATTERN: Final = rf"^{_SEGMENT}(?:/{_SEGMENT}){{0,31}}$"
"""The grammar as far as a pattern without lookahead and without classes of Unicode can say it."""


def check_artifact_path(path: str) -> str:
    """Return `path` if a version may have it; raise `ValueError` with the reason if not.

    A character that this program's Unicode does not assign is accepted: another process may know a later Unicode.
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise ValueError("an artifact path is text in UTF-8") from None
    if not 1 <= size <= _MAX_BYTES:
        raise ValueError(f"an artifact path has 1 to {_MAX_BYTES} bytes in UTF-8")
    if (character := first_invisible(path)) is not None:
        kind = INVISIBLE[unicodedata.category(character)]
        raise ValueError(f"an artifact path has no {kind} character, such as U+{ord(character):04X}")
    if "\\" in path:
        raise ValueError("an artifact path has no backslash")
    if not unicodedata.is_normalized("NFC", path):
        raise ValueError("an artifact path is in Unicode's composed form, NFC")
    segments = path.split("/")
    if len(segments) > _MAX_SEGMENTS:
        raise ValueError(f"an artifact path has at most {_MAX_SEGMENTS} segments")
    for segment in segments:
        _check_segment(segment)
    return path


def _check_segment(segment: str) -> None:
    if not 1 <= len(segment.encode()) <= _MAX_SEGMENT_BYTES:
        raise ValueError(f"each segment of an artifact path has 1 to {_MAX_SEGMENT_BYTES} bytes in UTF-8")
    if segment in {".", ".."}:
        raise ValueError("an artifact path has no '.' and no '..' segment")
    if "Zs" in {unicodedata.category(segment[0]), unicodedata.category(segment[-1])}:
        raise ValueError("no segment of an artifact path starts or ends with a space")


def check_new_artifact_path(path: str) -> str:
    """Return `path` if a version may be registered with it; raise `ValueError` with the reason if not."""
    for character in check_artifact_path(path):
        if unicodedata.category(character) == "Cn":
            raise ValueError(
                f"an artifact path has no unassigned character, such as U+{ord(character):04X}: Unicode"
                f" {unicodedata.unidata_version}, which comes with this Python, does not know it"
            )
    return path


def check_distinct_paths(paths: Iterable[str]) -> None:
    """Raise `ValueError` if two paths, of files or empty folders, cannot both be: alike but for case, or nested."""
    folded = sorted((_folded(path).split("/"), path) for path in paths)
    for (before, one), (after, other) in pairwise(folded):
        if after[: len(before)] == before:
            raise ValueError(
                f"'{one}' and '{other}' cannot both be in a version: paths are unique without regard to case and to"
                " Unicode's forms of a letter, and none is a folder of another"
            )


def _folded(path: str) -> str:
    """The same for all paths that a file system may take for one another."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "maxLength": _MAX_BYTES,
    "pattern": ARTIFACT_PATH_PATTERN,
    "examples": ["weights/model.pt"],
}
ArtifactPath = Annotated[str, AfterValidator(check_artifact_path), WithJsonSchema(_SCHEMA)]
NewArtifactPath = Annotated[str, AfterValidator(check_new_artifact_path), WithJsonSchema(_SCHEMA)]
