"""Where a key lies on disk: two models never share a folder, also on a disk that folds case (macOS, some shares).

In the folder of a model each capital is an exclamation mark and the small letter, as in the module cache of Go: the
bytes of `models/Fraud/v1/Model.pt` are at `models/!fraud/v1/Model.pt`. Names of models are ASCII, so nothing is left
that such a disk could fold or normalise. Paths within a version stay as they are: `check_distinct_paths` refuses two of
them that differ by case alone. Source: https://go.dev/ref/mod#module-cache
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.kit import durable_files

_CAPITAL: Final = re.compile("[A-Z]")
_TO_ESCAPE: Final = re.compile("[A-Z!]")
_ESCAPED: Final = re.compile("!([a-z!])")


def path_of(key: str) -> str:
    """The path of a key, relative to the folder of all objects, or to that of all checksums."""
    return _with_model(key, lambda model: _TO_ESCAPE.sub(lambda found: f"!{found[0].lower()}", model))


def key_at(path: str) -> str:
    """The inverse of `path_of`. A path that an earlier release made, with capitals, is its key."""
    return _with_model(path, lambda model: _ESCAPED.sub(lambda found: found[1].upper(), model))


def has_older(root: Path) -> bool:
    """Whether an earlier release has made folders of models below `root` that are not where `path_of` says."""
    return any(_older(root))


def move_older(root: Path) -> None:
    """Move such folders to where `path_of` says. It can be repeated if it was killed at any point.

    The caller excludes every other process. A file that is there already is not replaced. Raises `OSError`.
    """
    for folder in list(_older(root)):
        _move(folder, root / path_of(folder.relative_to(root).as_posix()))
        durable_files.sync(folder.parent)


def _with_model(path: str, change: Callable[[str], str]) -> str:
    if not path.startswith(KEY_PREFIX):
        return path
    model, slash, rest = path.removeprefix(KEY_PREFIX).partition("/")
    return f"{KEY_PREFIX}{change(model)}{slash}{rest}"


def _older(root: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for folder in (root / KEY_PREFIX).iterdir():
            if _CAPITAL.search(folder.name):
                yield folder


def _move(source: Path, target: Path) -> None:
    """Move a folder; if there is one already, move what is in it."""
    if not target.exists():
        source.rename(target)
    elif source.is_dir() and target.is_dir():
        for entry in list(source.iterdir()):
            _move(entry, target / entry.name)
        durable_files.sync(target)
        with suppress(OSError):
            source.rmdir()
