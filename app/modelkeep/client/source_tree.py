"""What lies in a folder that is to be registered: its files by name, and the links that are not followed.

A link to a file is followed if it stays within the folder, or leads to the blobs of the Hugging Face cache that the
folder is a snapshot in: there, every file is a link to `../../blobs/<digest>`. Any other is followed if that is wanted.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from modelkeep.client.errors import LocalFileError
from modelkeep.client.selection import Selection
from modelkeep.kit.text import escaped

_REPOSITORY: Final = re.compile(r"(models|datasets|spaces)--")
"""https://huggingface.co/docs/huggingface_hub/guides/manage-cache"""

Identity = tuple[int, int]


class LinkKind(StrEnum):
    """Why a link is not followed. A circle leads into a folder that it lies in, or into itself."""

    OUTSIDE = "outside"
    FOLDER = "folder"
    DANGLING = "dangling"
    CIRCLE = "circle"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLink:
    """A link that is not followed, and its target as it is written in it."""

    name: str
    target: str
    kind: LinkKind

    def __str__(self) -> str:
        return f"'{escaped(self.name)}' to '{escaped(self.target)}' ({self.kind})"


class SourceTree:
    """The files below a folder that a selection takes, and no others that are in it.

    `files` are by name as it is written on the disk; each is at its real path, which has no link in it. `empty_folders`
    have nothing in them at all: one whose files are all left out is none.
    """

    def __init__(self, folder: Path, selection: Selection, *, follow_links: bool) -> None:
        """Raises `LocalFileError` for what cannot be read, and for links that are not followed: all in one sentence."""
        self.files: dict[str, Path] = {}
        self.empty_folders: list[str] = []
        self._folder = folder
        self._root = folder.resolve()
        self._blobs = _blobs_beside(self._root)
        self._selection = selection
        self._follow_links = follow_links
        self._refused: list[RefusedLink] = []
        self._enter("", self._root, ())
        if self._refused:
            raise LocalFileError(folder, _refusal(self._refused))

    def _enter(self, prefix: str, folder: Path, above: Sequence[Identity]) -> None:
        """List a folder and those in it; `above` are the folders on the way to it."""
        try:
            identity = _identity(folder)
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            raise self._unreadable(prefix, error) from error
        if identity in above:
            raise LocalFileError(self._folder / prefix, "is a folder that lies in itself. --exclude it.")
        if prefix and not entries and self._selection.takes(_composed(prefix)):
            self.empty_folders.append(prefix.removesuffix("/"))
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_symlink():
                self._visit_link(name, folder / entry.name, (*above, identity))
            elif entry.is_dir():
                if self._selection.opens(_composed(f"{name}/")):
                    self._enter(f"{name}/", folder / entry.name, (*above, identity))
            elif self._selection.takes(_composed(name)):
                self.files[name] = folder / entry.name

    def _visit_link(self, name: str, link: Path, above: Sequence[Identity]) -> None:
        is_folder = os.path.isdir(link)  # noqa: PTH112 -- it is False of what cannot be asked
        takes = self._selection.opens if is_folder else self._selection.takes
        if not takes(_composed(f"{name}/" if is_folder else name)):
            return
        try:
            target = link.resolve(strict=True)
            is_circle = is_folder and _identity(target) in above
        except (FileNotFoundError, NotADirectoryError):
            self._refuse(name, link, LinkKind.DANGLING)
        except RuntimeError:
            self._refuse(name, link, LinkKind.CIRCLE)
        except OSError as error:
            raise self._unreadable(name, error) from error
        else:
            if is_circle:
                self._refuse(name, link, LinkKind.CIRCLE)
            elif is_folder and self._follow_links:
                self._enter(f"{name}/", target, above)
            elif is_folder:
                self._refuse(name, link, LinkKind.FOLDER)
            elif self._follow_links or self._is_own(target):
                self.files[name] = target
            else:
                self._refuse(name, link, LinkKind.OUTSIDE)

    def _is_own(self, target: Path) -> bool:
        return target.is_relative_to(self._root) or (self._blobs is not None and target.is_relative_to(self._blobs))

    def _refuse(self, name: str, link: Path, kind: LinkKind) -> None:
        self._refused.append(RefusedLink(name=name, target=str(link.readlink()), kind=kind))

    def _unreadable(self, name: str, error: OSError) -> LocalFileError:
        return LocalFileError(
            self._folder / name, f"cannot be read: {error.strerror}. Make it readable, or --exclude it."
        )


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _blobs_beside(root: Path) -> Path | None:
    """The blobs of the Hugging Face cache that `root` is a snapshot in, or a folder of one."""
    return next(_blobs_of_snapshots(root), None)


def _blobs_of_snapshots(root: Path) -> Iterator[Path]:
    for snapshot in (root, *root.parents):
        snapshots = snapshot.parent
        if snapshots.name == "snapshots" and _REPOSITORY.match(snapshots.parent.name):
            yield snapshots.parent / "blobs"


def _refusal(links: Sequence[RefusedLink]) -> str:
    named = ", ".join(map(str, links))
    may_be_followed = {link.kind for link in links} & {LinkKind.OUTSIDE, LinkKind.FOLDER}
    follow = ", --exclude the links, or follow those that lead to files and folders with --follow-links"
    advice = follow if may_be_followed else ", or --exclude the links"
    count = "a link that is" if len(links) == 1 else "links that are"
    return f"has {count} not followed: {named}. Put the files themselves there{advice}."
