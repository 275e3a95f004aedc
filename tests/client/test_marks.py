"""Verified files bear marks of size, time and inode: one that has not changed is neither read nor fetched again."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep import LocalFileError, RegistryClient
from modelkeep.client import download_target, present_files
from modelkeep.client.download_target import DownloadTarget
from modelkeep.kit.digests import sha256_of_file
from tests.client.test_present_files import found

Write = Callable[..., Path]


@pytest.fixture
def versions(client: RegistryClient, model: str, write: Write) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two versions of four files, of which two are the same: the second has one that changed."""
    folder = write(**{"a.bin": 1000, "b.bin": 1000, "c.bin": 1000})
    (folder / "d.bin").write_bytes((folder / "c.bin").read_bytes())
    client.register(model, folder)
    first = found(folder)
    (folder / "a.bin").write_bytes(b"x" * 1000)
    client.register(model, folder)
    return first, found(folder)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are read for their digest."""
    names: list[str] = []

    def noted(file: Path) -> str:
        names.append(file.name)
        return sha256_of_file(file)

    for module in (download_target, present_files):
        monkeypatch.setattr(module, "sha256_of_file", noted)
    return names


@pytest.fixture
def place(
    client: RegistryClient, model: str, tmp_path: Path, versions: tuple[dict[str, bytes], dict[str, bytes]]
) -> Path:
    """The folder of the first version, whose files are older than its marker by more than a tick."""
    place = client.download(model, 1, dest=tmp_path / "there").path
    assert found(place) == versions[0]
    set_time(place / ".modelkeep.json", ahead=1)
    return place


def set_time(file: Path, *, ahead: float) -> None:
    """Let a file have been changed so many seconds from now."""
    os.utime(file, (time.time(), time.time() + ahead))


def test_marked_files_are_not_read(client: RegistryClient, model: str, place: Path, read: list[str]) -> None:
    assert not client.download(model, 1, dest=place.parent).changed
    assert read == []
    assert not client.download(model, 1, dest=place.parent, verify=True).changed
    assert sorted(read) == ["a.bin", "b.bin", "c.bin", "d.bin"]


def test_what_two_versions_share_is_carried_over(
    client: RegistryClient,
    model: str,
    place: Path,
    read: list[str],
    versions: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    before = {file.name: file.stat().st_ino for file in place.iterdir()}
    assert client.download(model, 2, dest=place.parent).changed
    assert found(place) == versions[1]
    assert read == []
    after = {file.name: file.stat() for file in place.iterdir()}
    assert {name for name in before if before[name] == after[name].st_ino} == {"b.bin", "c.bin", "d.bin"}
    assert {status.st_nlink for status in after.values()} == {1}


def test_verification_copies_and_reads(
    client: RegistryClient,
    model: str,
    place: Path,
    read: list[str],
    versions: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    os.utime(place / "b.bin", ns=((place / "b.bin").stat().st_atime_ns,) * 2)
    assert client.download(model, 2, dest=place.parent, verify=True).changed
    assert found(place) == versions[1]
    assert read


def test_a_file_with_another_name_is_copied(
    client: RegistryClient,
    model: str,
    place: Path,
    tmp_path: Path,
    versions: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    (tmp_path / "saved.bin").hardlink_to(place / "b.bin")
    client.download(model, 2, dest=place.parent)
    (tmp_path / "saved.bin").write_bytes(b"written under its other name")
    assert found(place) == versions[1]


def test_a_file_that_is_held_open_for_writing_is_copied(
    client: RegistryClient, model: str, place: Path, versions: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    with (place / "b.bin").open("r+b") as held:
        client.download(model, 2, dest=place.parent)
        held.write(b"written by who holds the old one")
    assert found(place) == versions[1]


def test_a_file_that_is_newer_than_the_marker_is_read(
    client: RegistryClient, model: str, place: Path, read: list[str]
) -> None:
    set_time(place / ".modelkeep.json", ahead=-60)
    assert not client.download(model, 1, dest=place.parent).changed
    assert len(read) == 4


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_file_that_was_read_is_marked(
    client: RegistryClient, model: str, tmp_path: Path, write: Write, read: list[str], form: str
) -> None:
    source = write(1000) if form == "file" else write(**{"a.bin": 1000, "b.bin": 1000})
    client.register(model, source)
    path = client.download(model, 1, dest=tmp_path / "there").path
    read.clear()
    for file in [path] if form == "file" else [path / "a.bin", path / "b.bin"]:
        set_time(file, ahead=-3600)
    assert not client.download(model, 1, dest=path.parent, dry_run=True).changed
    assert not client.download(model, 1, dest=path.parent).changed
    count = len(read)
    assert count == (2 if form == "file" else 4)
    assert not client.download(model, 1, dest=path.parent).changed
    assert len(read) == count
    assert not list(path.parent.glob(".*.partial")) + list(path.parent.glob(".*.lock"))


@pytest.mark.parametrize("marker", ["", "[]", '{"model": 1}', '{"marks": []}', '{"marks": {"a.bin": [1]}}'])
def test_a_broken_marker_bears_no_marks(
    client: RegistryClient, model: str, place: Path, read: list[str], marker: str
) -> None:
    (place / ".modelkeep.json").write_text(marker)
    assert not client.download(model, 1, dest=place.parent, force=True).changed
    assert len(read) == 4


def test_what_is_changed_meanwhile_is_not_published(
    client: RegistryClient,
    model: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    versions: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    publish = DownloadTarget.publish

    def changed(self: DownloadTarget, *arguments: object) -> None:
        (place / "b.bin").write_bytes(b"y" * 1000)
        publish(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(DownloadTarget, "publish", changed)
    with pytest.raises(LocalFileError, match=r"b\.bin' was changed during the download\. Repeat it\."):
        client.download(model, 2, dest=place.parent)
    assert found(place) == versions[0] | {"b.bin": b"y" * 1000}
    monkeypatch.undo()
    client.download(model, 2, dest=place.parent)
    assert found(place) == versions[1]
