"""Which files are registered, and their digests."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelkeep.client.errors import ChangedFileError, LocalFileError
from modelkeep.client.local_files import HashedFile, LocalFile, find_tree, hash_file, is_unchanged
from modelkeep.domain.uploads import plan_parts
from modelkeep.kit.digests import sha256_of_file

MIB = 1024 * 1024


def make(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())
    return folder


def hashed(file: LocalFile, part_size: int | None = None) -> tuple[HashedFile, int]:
    seen: list[int] = []
    with ThreadPoolExecutor(1) as beside:
        return hash_file(file, beside, seen.append, part_size=part_size), sum(seen)


def test_files_are_found_by_artifact_path_in_order(tmp_path: Path) -> None:
    make(tmp_path, "b.bin", "a/c.bin", "a/b/d.bin", "a.bin", ".modelkeep.json", "a/.modelkeep.json", "a/.git/config")
    assert [file.path for file in find_tree(tmp_path).files] == sorted(["b.bin", "a/c.bin", "a/b/d.bin", "a.bin"])


def test_one_file_has_its_own_name_even_behind_a_link(tmp_path: Path) -> None:
    make(tmp_path, "checkpoint-9000.bin")
    (tmp_path / "model.pt").symlink_to("checkpoint-9000.bin")
    (found,) = find_tree(tmp_path / "model.pt").files
    assert (found.path, found.source, found.size) == ("model.pt", tmp_path / "checkpoint-9000.bin", 19)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.bin"], [], ["a.bin", "w/b.bin"]),
        (["w/*"], [], ["w/b.bin", "w/x/c.txt"]),
        ([], ["w/*"], ["a.bin", "d.txt"]),
        (["*.txt"], ["d*"], ["w/x/c.txt"]),
        (["[ad].*"], [], ["a.bin", "d.txt"]),
    ],
)
def test_a_pattern_with_a_slash_is_of_paths_and_one_without_of_names(
    tmp_path: Path, include: list[str], exclude: list[str], expected: list[str]
) -> None:
    make(tmp_path, "a.bin", "w/b.bin", "w/x/c.txt", "d.txt")
    assert [file.path for file in find_tree(tmp_path, include=include, exclude=exclude).files] == expected


@given(size=st.integers(0, 5000), part_size=st.integers(1, 3000))
@settings(deadline=None)
def test_a_file_is_read_once_for_all_its_digests(
    tmp_path_factory: pytest.TempPathFactory, size: int, part_size: int
) -> None:
    content = os.urandom(size)
    path = tmp_path_factory.getbasetemp() / "hashed.bin"
    path.write_bytes(content)
    found, reported = hashed(find_tree(path).files[0], part_size)
    parts = [content[start : start + part_size] for start in range(0, max(1, size), part_size)]
    assert found.sha256 == sha256_of_file(path) == hashlib.sha256(content).hexdigest()
    assert list(found.parts) == [hashlib.sha256(part).hexdigest() for part in parts]
    assert reported == size


def test_a_file_of_several_parts_is_hashed_by_two_threads_alike(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB + 5)
    (tmp_path / "a.bin").write_bytes(content)
    found, _ = hashed(find_tree(tmp_path).files[0], 2 * MIB)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert list(found.parts) == [hashlib.sha256(part).hexdigest() for part in (content[: 2 * MIB], content[2 * MIB :])]


def test_parts_are_those_that_the_registry_plans(tmp_path: Path) -> None:
    make(tmp_path, "a.bin")
    assert hashed(find_tree(tmp_path).files[0])[0].part_size == plan_parts("", 5).part_size


@pytest.mark.parametrize("change", ["longer", "as long", "gone"])
def test_a_file_that_changes_is_noticed(tmp_path: Path, change: str) -> None:
    (found,) = find_tree(make(tmp_path, "a.bin")).files
    assert is_unchanged(found)
    if change == "gone":
        found.source.unlink()
    else:
        found.source.write_bytes(b"longer" if change == "longer" else b"abcde")
        os.utime(found.source, ns=(0, found.mtime_ns + 1))
    assert not is_unchanged(found)
    with pytest.raises(LocalFileError if change == "gone" else ChangedFileError, match=r"a\.bin"):
        hashed(found)
