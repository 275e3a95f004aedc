"""Folders without files, and files that are programs: registered, downloaded and archived, over real sockets."""

import os
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelkeep.client import RegistryClient
from modelkeep.client.errors import LocalFileError
from modelkeep.domain.errors import ArtifactNotFoundError
from tests.support.processes.cli import Cli
from tests.support.programs import Server


@pytest.fixture(params=["dev", "aws"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(server: Server) -> Iterator[RegistryClient]:
    with RegistryClient(server.url) as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """As Triton and TensorFlow write it, with a program beside."""
    folder = tmp_path / "ensemble"
    for empty in ("ensemble/1", "saved/assets", "noch größer (2)"):
        (folder / empty).mkdir(parents=True)
    (folder / "ensemble" / "config.pbtxt").write_text("platform: ensemble")
    (folder / "saved" / "saved_model.pb").write_bytes(b"graph")
    program = folder / "run.sh"
    program.write_text("#!/bin/sh\necho it runs\n")
    program.chmod(0o700)
    return folder


EMPTY = ["ensemble/1", "noch größer (2)", "saved/assets"]


def empty_folders(folder: Path) -> list[str]:
    found = (entry for entry in folder.rglob("*") if entry.is_dir() and not any(entry.iterdir()))
    return sorted(entry.relative_to(folder).as_posix() for entry in found)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_folder_comes_back_with_its_empty_folders_and_programs(
    client: RegistryClient, model: str, source: Path, tmp_path: Path
) -> None:
    version = client.register(model, source)
    assert version.empty_folders == EMPTY
    assert [artifact.path for artifact in version.artifacts if artifact.executable] == ["run.sh"]
    found = client.download(model, version.version, dest=tmp_path / "serving")
    assert empty_folders(found.path) == EMPTY
    assert subprocess.run([found.path / "run.sh"], capture_output=True, check=True).stdout == b"it runs\n"
    assert mode(found.path / "saved" / "saved_model.pb") & 0o111 == 0
    assert not client.download(model, version.version, dest=tmp_path / "serving", if_changed=True).changed


@pytest.mark.parametrize("lose", ["folder", "mode", "more"])
def test_what_is_lost_or_too_much_is_seen_and_mended(
    client: RegistryClient, model: str, source: Path, tmp_path: Path, lose: str
) -> None:
    client.register(model, source)
    folder = client.download(model, 1, dest=tmp_path / "serving").path
    if lose == "folder":
        (folder / "ensemble" / "1").rmdir()
    elif lose == "mode":
        (folder / "run.sh").chmod(0o644)
    else:
        (folder / "another").mkdir()
    assert client.download(model, 1, dest=tmp_path / "serving", if_changed=True).changed
    assert empty_folders(folder) == EMPTY
    assert os.access(folder / "run.sh", os.X_OK)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027], ids=oct)
@pytest.mark.parametrize("cache", [None, "own", "links"])
def test_a_program_has_its_mode_with_and_without_a_cache(
    server: Server, model: str, source: Path, tmp_path: Path, cache: str | None, mask: int
) -> None:
    variables = {"MODELKEEP_CACHE_DIR": str(tmp_path / "cache")} if cache else {}
    if cache == "links":
        variables["MODELKEEP_CACHE_HARD_LINKS"] = "true"
    cli = Cli(server.url, variables)
    cli.does("register", model, source)
    own_mask = os.umask(mask)
    try:
        for dest in ("first", "second"):
            cli.does("download", f"{model}@1", "--dest", tmp_path / dest)
    finally:
        os.umask(own_mask)
    assert {mode(tmp_path / dest / model / "run.sh") for dest in ("first", "second")} == {0o755 & ~mask}
    if cache:
        assert {mode(file) & 0o111 for file in (tmp_path / "cache").iterdir()} == {0}


def test_a_selection_has_the_folders_that_it_names(
    client: RegistryClient, model: str, source: Path, tmp_path: Path
) -> None:
    client.register(model, source)
    for number, (paths, expected) in enumerate(
        [
            (["*.pb"], []),
            (["saved/"], ["saved/assets"]),
            (["/ensemble/1"], ["ensemble/1"]),
            (["run.sh", "noch*"], EMPTY[1:2]),
        ]
    ):
        found = client.download(model, 1, dest=tmp_path / f"{number}", paths=paths)
        assert empty_folders(found.path) == expected
        assert not client.download(model, 1, dest=tmp_path / f"{number}", paths=paths, if_changed=True).changed
    with pytest.raises(ArtifactNotFoundError):
        client.download(model, 1, dest=tmp_path / "none", paths=["ensemble/2"])


def test_an_archive_has_entries_for_them(client: RegistryClient, model: str, source: Path, tmp_path: Path) -> None:
    first, second = (client.register(model, source, as_zip=True) for _ in range(2))
    assert first.empty_folders == []
    assert first.artifacts[0].sha256 == second.artifacts[0].sha256
    archive = client.download(model, 1, dest=tmp_path / "serving").path
    with zipfile.ZipFile(archive) as bundle:
        assert [entry.filename for entry in bundle.infolist() if entry.is_dir()] == [f"{path}/" for path in EMPTY]
        assert {entry.filename: entry.external_attr >> 16 & 0o777 for entry in bundle.infolist()} == {
            "ensemble/config.pbtxt": 0o644,
            "run.sh": 0o755,
            "saved/saved_model.pb": 0o644,
            **{f"{path}/": 0o755 for path in EMPTY},
        }
    subprocess.run(["python3", "-m", "zipfile", "-e", archive, tmp_path / "unpacked"], check=True)
    assert empty_folders(tmp_path / "unpacked") == EMPTY


def test_only_a_folder_with_nothing_in_it_that_is_taken_is_declared(dev: Server, model: str, source: Path) -> None:
    (source / "left" / "out").mkdir(parents=True)
    (source / "notes").mkdir()
    (source / "notes" / "a.tmp").touch()
    (source / ".git" / "refs").mkdir(parents=True)
    with RegistryClient(dev.url) as client:
        assert client.register(model, source, exclude=["left/", "*.tmp"]).empty_folders == EMPTY
        assert client.register(model, source, include=["*.pb", "saved/assets"]).empty_folders == ["saved/assets"]
        assert client.register(model, source / "run.sh").empty_folders == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(" ensemble", "starts or ends with a space"), ("RUN.sh", "cannot both be in a version")],
)
def test_names_of_folders_that_cannot_be_are_refused(
    dev: Server, model: str, source: Path, name: str, sentence: str
) -> None:
    (source / name).mkdir()
    with RegistryClient(dev.url) as client, pytest.raises(LocalFileError, match=sentence):
        client.register(model, source)


def test_more_folders_than_a_version_has_go_into_an_archive(dev: Server, model: str, source: Path) -> None:
    for number in range(1000):
        (source / "many" / f"{number}").mkdir(parents=True)
    with RegistryClient(dev.url) as client:
        with pytest.raises(LocalFileError, match=r"1,003 empty folders; at most 1,000 are registered, more with --zip"):
            client.register(model, source)
        assert client.register(model, source, as_zip=True).version == 1
