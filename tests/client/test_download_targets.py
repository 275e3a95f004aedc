"""Where downloads appear: whole or not at all, beside other files and beside other processes that download there."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Timer

import pytest

from modelkeep.client import RegistryClient
from modelkeep.client.errors import LocalFileError
from modelkeep.domain.errors import ArtifactNotFoundError, ModelNotFoundError, VersionNotFoundError
from tests.support.observed import Observed
from tests.support.processes.children import Call

MIB = 1024 * 1024
MARK = ".modelkeep.json"
Write = Callable[..., Path]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".modelkeep."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".modelkeep."))


@pytest.fixture
def sources(client: RegistryClient, model: str, write: Write) -> list[Path]:
    """Two versions of many files, some of the same name."""
    sources = [
        write(**{f"only-{number}.bin": 10, **{f"{name}.bin": 1000 for name in "abcdefgh"}}, folder=f"run-{number}")
        for number in (1, 2)
    ]
    for source in sources:
        client.register(model, source)
    return sources


def are_running(processes: list[BaseProcess]) -> Iterator[None]:
    while any(process.is_alive() for process in processes):
        yield
    assert [process.exitcode for process in processes] == [0] * len(processes)


def taking_turns(observed: Observed, model: str, dest: Path) -> Iterator[None]:
    """Two processes put one version each into the same folder, again and again."""
    calls = [
        Call(url=observed.url, method="download", arguments=(model, version), options={"dest": dest}, times=12)
        for version in (1, 2)
    ]
    return are_running([call.start() for call in calls])


def test_a_reader_of_the_folder_sees_one_whole_version(
    observed: Observed, client: RegistryClient, model: str, sources: list[Path], tmp_path: Path
) -> None:
    dest = tmp_path / "serving"
    path = client.download(model, 1, dest=dest).path
    versions = [contents(source) for source in sources]
    seen = [0, 0]
    for _ in taking_turns(observed, model, dest):
        found = read_at_once(path)
        if found is not None:
            seen[versions.index(found)] += 1
    assert min(seen) > 0
    assert names(dest) == [model]


def read_at_once(path: Path) -> dict[str, bytes] | None:
    """The files of the folder that was at the path all the while; `None` if another took its place meanwhile."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = {name: read_in(folder, name) for name in os.listdir(folder) if name != MARK}  # noqa: PTH208
    except FileNotFoundError:
        found = {}
    finally:
        same = os.path.samestat(os.fstat(folder), path.stat())
        os.close(folder)
    return found if same else None


def read_in(folder: int, name: str) -> bytes:
    with open(name, "rb", opener=lambda file, flags: os.open(file, flags, dir_fd=folder)) as file:
        return file.read()


def test_a_reader_of_the_file_sees_one_whole_version(
    observed: Observed, client: RegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    versions = []
    for _ in range(2):
        versions.append(write(MIB).read_bytes())
        client.register(model, tmp_path / "model.pt")
    path = client.download(model, 1, dest=tmp_path / "serving").path
    seen = [0, 0]
    for _ in taking_turns(observed, model, tmp_path / "serving"):
        seen[versions.index(path.read_bytes())] += 1
    assert min(seen) > 0
    assert names(tmp_path / "serving") == ["model.pt"]


@pytest.mark.parametrize("version_of", [lambda _: 1, lambda number: number % 2 + 1], ids=["same", "different"])
def test_five_processes_may_download_to_one_folder(
    observed: Observed,
    client: RegistryClient,
    model: str,
    sources: list[Path],
    write: Write,
    tmp_path: Path,
    version_of: Callable[[int], int],
) -> None:
    dest = tmp_path / "serving"
    other = f"{model}-other"
    client.register(other, write(**{"x.bin": 10, "y.bin": 10}, folder="other"))
    mark = observed.mark()
    options = {"dest": dest, "if_changed": version_of(0) == version_of(1)}
    calls = [(model, version_of(number)) for number in range(5)] + [(other, 1)]
    processes = [
        Call(url=observed.url, method="download", arguments=arguments, options=options).start() for arguments in calls
    ]
    for _ in are_running(processes):
        processes[0].join()
    assert names(dest) == [model, other]
    assert contents(dest / model) in [contents(source) for source in sources]
    assert contents(dest / other) == contents(tmp_path / "other")
    if options["if_changed"]:
        assert len(observed.since(mark, "GET")) == 9 + 2


def test_a_folder_of_something_else_is_refused_and_left_alone(
    client: RegistryClient, model: str, sources: list[Path], tmp_path: Path
) -> None:
    dest = tmp_path / "serving"
    theirs = dest / model / "notes.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(LocalFileError, match="was not put there by a download"):
        client.download(model, 1, dest=dest)
    assert contents(dest) == {f"{model}/notes.txt": b"mine"}
    assert names(dest) == [model]


@pytest.mark.parametrize("mark", ["{}", "no JSON", "[1]", '{"model": "another"}'])
def test_a_folder_with_another_marker_is_not_replaced(
    client: RegistryClient, model: str, sources: list[Path], tmp_path: Path, mark: str
) -> None:
    (tmp_path / "serving" / model).mkdir(parents=True)
    (tmp_path / "serving" / model / MARK).write_text(mark)
    with pytest.raises(LocalFileError, match="was not put there by a download"):
        client.download(model, 1, dest=tmp_path / "serving")


def test_neighbours_are_left_alone(client: RegistryClient, model: str, sources: list[Path], tmp_path: Path) -> None:
    dest = tmp_path / "serving"
    (dest / "other").mkdir(parents=True)
    (dest / "other" / "a.bin").write_bytes(b"theirs")
    (dest / ".hidden").write_bytes(b"theirs")
    client.download(model, 1, dest=dest)
    client.download(model, 2, dest=dest)
    assert names(dest) == [".hidden", model, "other"]
    assert (dest / "other" / "a.bin").read_bytes() == (dest / ".hidden").read_bytes() == b"theirs"


def test_the_destination_may_be_missing_a_link_or_a_mount_point(
    client: RegistryClient, model: str, sources: list[Path], tmp_path: Path, small_disk: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for dest in (tmp_path / "a" / "b" / "c", tmp_path / "link", small_disk):
        for version, source in enumerate(sources, 1):
            assert contents(client.download(model, version, dest=dest).path) == contents(source)
        assert names(dest) == [model]
    assert (tmp_path / "link").is_symlink()


def test_what_cannot_be_a_destination_is_reported_in_a_sentence(
    client: RegistryClient, model: str, sources: list[Path], tmp_path: Path, small_disk: Path
) -> None:
    (tmp_path / "file").write_bytes(b"theirs")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / model).symlink_to(tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for dest, reason in {
        tmp_path / "file": "is a file. Give a folder",
        tmp_path / "file" / "below": "Not a directory",
        tmp_path / "dangling": "File exists",
        tmp_path / "links": "was not put there by a download",
        small_disk: "Read-only file system",
        Path("/proc/models"): "No such file or directory",
    }.items():
        with pytest.raises(LocalFileError, match=reason):
            client.download(model, 1, dest=dest)
    assert (tmp_path / "file").read_bytes() == b"theirs"


def test_a_target_may_change_between_one_file_and_many(
    client: RegistryClient, model: str, sources: list[Path], write: Write, tmp_path: Path
) -> None:
    client.register(model, write(100))
    dest = tmp_path / "serving"
    for version in (3, 1, 3, 2):
        path = client.download(model, version, dest=dest).path
        expected = {"": b""} if version == 3 else contents(sources[version - 1])
        assert path == dest / ("model.pt" if version == 3 else model)
        assert version == 3 or contents(path) == expected
    assert (dest / "model.pt").read_bytes() == (tmp_path / "model.pt").read_bytes()
    assert names(dest) == [model, "model.pt"]


def test_an_only_file_named_like_a_file_of_the_download_itself_is_not_lost(
    client: RegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    source = write(100).rename(tmp_path / f".{model}.lock")
    client.register(model, source)
    path = client.download(model, 1, dest=tmp_path / "serving").path
    assert contents(path) == {source.name: source.read_bytes()}


def test_nothing_is_done_where_the_target_is_up_to_date(
    observed: Observed, client: RegistryClient, model: str, sources: list[Path], tmp_path: Path
) -> None:
    for paths in ((), ("a.bin", "*b.bin")):
        dest = tmp_path / f"serving-{len(paths)}"
        assert client.download(model, 1, dest=dest, paths=paths, if_changed=True).changed
        mark = observed.mark()
        assert not client.download(model, 1, dest=dest, paths=paths, if_changed=True).changed
        assert observed.since(mark, "GET") == []
        assert client.download(model, 2, dest=dest, paths=paths, if_changed=True).changed
        assert names(dest) == [model]


@pytest.mark.parametrize("damage", ["altered", "altered within its time", "missing", "extra", "linked"])
def test_any_difference_from_the_version_is_noticed(
    client: RegistryClient, model: str, sources: list[Path], tmp_path: Path, damage: str
) -> None:
    dest = tmp_path / "serving"
    path = client.download(model, 1, dest=dest).path
    status = (path / "c.bin").stat()
    if damage.startswith("altered"):
        (path / "c.bin").write_bytes(bytes(1000))
        if damage == "altered within its time":
            os.utime(path / "c.bin", ns=(status.st_atime_ns, status.st_mtime_ns))
    elif damage == "extra":
        (path / "new.bin").write_bytes(b"")
    else:
        (path / "c.bin").rename(tmp_path / "moved.bin")
        if damage == "linked":
            (path / "c.bin").symlink_to(tmp_path / "moved.bin")
    verify = damage == "altered within its time"
    assert client.download(model, 1, dest=dest, if_changed=True, verify=verify).changed
    assert contents(path) == contents(sources[0])
    assert not (path / "c.bin").is_symlink()
    assert not client.download(model, 1, dest=dest, if_changed=True).changed


def test_an_altered_file_is_noticed(client: RegistryClient, model: str, write: Write, tmp_path: Path) -> None:
    source = write(1000)
    client.register(model, source)
    path = client.download(model, 1, dest=tmp_path / "serving").path
    assert not client.download(model, 1, dest=path.parent, if_changed=True).changed
    path.write_bytes(bytes(1000))
    assert client.download(model, 1, dest=path.parent, if_changed=True, force=True).changed
    assert path.read_bytes() == source.read_bytes()


def test_patterns_pick_artifacts(client: RegistryClient, model: str, write: Write, tmp_path: Path) -> None:
    source = write(**{"config.json": 1, "weights/a.bin": 2, "weights/b.bin": 3, "weights/b.txt": 4})
    client.register(model, source)
    for paths, expected in {
        ("*.bin",): {"weights/a.bin", "weights/b.bin"},
        ("weights/b.*", "config.json"): {"weights/b.bin", "weights/b.txt", "config.json"},
    }.items():
        found = client.download(model, 1, dest=tmp_path / "serving", paths=paths)
        assert set(contents(found.path)) == {artifact.path for artifact in found.artifacts} == expected
    with pytest.raises(ArtifactNotFoundError, match=r"\*\.onnx"):
        client.download(model, 1, dest=tmp_path / "serving", paths=["*.bin", "*.onnx"])


def test_a_download_waits_for_the_first_production_version(
    observed: Observed, client: RegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    source = write(1000)

    def register() -> None:
        with RegistryClient(observed.url) as other:
            other.promote(model, other.register(model, source).version)

    later = Timer(0.5, register)
    later.start()
    path = client.download(model, dest=tmp_path / "serving", wait=30).path
    later.join()
    assert path.read_bytes() == source.read_bytes()


def test_a_download_that_waited_in_vain_says_what_is_missing(
    client: RegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFoundError):
        client.download(model, dest=tmp_path / "serving", wait=0.1)
    client.register(model, write(10))
    with pytest.raises(VersionNotFoundError):
        client.download(model, dest=tmp_path / "serving", wait=0.5)
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("is_seen_before", [True, False])
def test_a_full_disk_is_reported_and_left_as_it_was(
    client: RegistryClient,
    model: str,
    write: Write,
    small_disk: Path,
    is_seen_before: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.register(model, write(**{"a.bin": 3 * MIB, "b.bin": 3 * MIB, "c.bin": 3 * MIB}))
    reason = "9437184 bytes are needed and 83.* are free" if is_seen_before else "No space left on device"
    if not is_seen_before:
        monkeypatch.setattr("modelkeep.client.version_downloader._check_free_space", lambda *_: None)
    with pytest.raises(LocalFileError, match=reason):
        client.download(model, 1, dest=small_disk)
    assert names(small_disk) == []


def test_what_has_arrived_needs_no_room_again(
    observed: Observed, model: str, client: RegistryClient, write: Write, small_disk: Path
) -> None:
    source = write(**{"a.bin": 3 * MIB, "b.bin": 3 * MIB})
    client.register(model, source)
    call = partial(Call, url=observed.url, method="download", arguments=(model, 1), options={"dest": small_disk})
    call(dies="before modelkeep.client.partial_file.PartialFile.finish", client={"jobs": 1}).be_killed()
    call().finish()
    assert contents(small_disk / model) == contents(source)
    assert names(small_disk) == [model]


def test_the_marker_of_a_download_is_never_registered(
    client: RegistryClient, model: str, sources: list[Path], tmp_path: Path
) -> None:
    path = client.download(model, 1, dest=tmp_path / "serving").path
    version = client.register(f"{model}-copy", path)
    assert MARK not in [artifact.path for artifact in version.artifacts]
