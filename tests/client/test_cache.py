"""A cache that several processes share: each file is fetched once, and never trusted unread."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from modelkeep.client import RegistryClient
from modelkeep.client import cache as cache_module
from modelkeep.client.errors import LocalFileError
from tests.client.conftest import digest
from tests.support.observed import Observed
from tests.support.processes.children import Call

MIB = 1024 * 1024
Write = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cached(observed: Observed, cache: Path) -> Iterator[RegistryClient]:
    with RegistryClient(observed.url, cache_dir=cache) as cached:
        yield cached


@pytest.fixture
def source(client: RegistryClient, model: str, write: Write) -> Path:
    """A version of several files, two of them alike."""
    source = write(**{f"{name}.bin": 200_000 for name in "abcdef"})
    shutil.copyfile(source / "a.bin", source / "like-a.bin")
    client.register(model, source)
    return source


@pytest.fixture
def file(client: RegistryClient, model: str, write: Write) -> Path:
    source = write(100_000)
    client.register(model, source)
    return source


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    folder = Path("/dev/shm") / uuid4().hex
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("there is no /dev/shm")
    try:
        if folder.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no other file system")
        yield folder
    finally:
        shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".modelkeep.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_ten_processes_fetch_each_digest_once(
    observed: Observed, model: str, source: Path, cache: Path, tmp_path: Path
) -> None:
    mark = observed.mark()
    call = partial(Call, url=observed.url, method="download", arguments=(model, 1), client={"cache_dir": cache})
    processes = [call(options={"dest": tmp_path / f"serving-{number}"}).start() for number in range(10)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 10
    fetched = Counter(move.piece.rpartition("/")[2].removeprefix("like-") for move in observed.since(mark, "GET"))
    assert fetched == Counter(f"{name}.bin" for name in "abcdef")
    assert all(contents(tmp_path / f"serving-{number}" / model) == contents(source) for number in range(10))
    assert names(cache) == sorted({digest(path) for path in source.iterdir()})


def test_a_file_that_came_while_its_absence_was_noticed_is_not_fetched_again(
    observed: Observed,
    cached: RegistryClient,
    model: str,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached.download(model, 1, dest=tmp_path / "one")
    mark = observed.mark()
    answers = iter([False])
    real = cache_module._is_intact
    monkeypatch.setattr(cache_module, "_is_intact", lambda kept: next(answers, True) and real(kept))
    cached.download(model, 1, dest=tmp_path / "two")
    assert observed.since(mark, "GET") == []


def test_the_environment_names_the_cache(
    observed: Observed, model: str, file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELKEEP_CACHE_DIR", str(cache))
    mark = observed.mark()
    with RegistryClient(observed.url) as registry:
        for number in range(3):
            assert registry.download(model, 1, dest=tmp_path / f"{number}").path.read_bytes() == file.read_bytes()
    assert len(observed.since(mark, "GET")) == 1


def test_no_cache_is_made_unless_it_is_asked_for(
    client: RegistryClient, model: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(home))
    client.download(model, 1, dest=tmp_path / "serving")
    assert names(home) == []
    assert names(tmp_path / "serving") == ["model.pt"]


@pytest.mark.parametrize("damage", [bytes(100_000), b"", b"short"])
def test_a_damaged_file_is_fetched_again(
    observed: Observed, cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, damage: bytes
) -> None:
    cached.download(model, 1, dest=tmp_path / "one")
    kept = cache / digest(file)
    kept.chmod(0o644)
    kept.write_bytes(damage)
    mark = observed.mark()
    assert cached.download(model, 1, dest=tmp_path / "two").path.read_bytes() == file.read_bytes()
    assert kept.read_bytes() == file.read_bytes()
    assert len(observed.since(mark, "GET")) == 1


@pytest.mark.parametrize(
    "step",
    [
        "modelkeep.client.partial_file.PartialFile.write",
        "modelkeep.client.partial_file.PartialFile.finish",
        "modelkeep.client.cache._copy_out",
        "modelkeep.client.cache.os.unlink",
    ],
)
def test_a_process_that_dies_over_the_cache_does_no_harm(
    observed: Observed, cached: RegistryClient, model: str, source: Path, cache: Path, tmp_path: Path, step: str
) -> None:
    call = partial(Call, url=observed.url, method="download", arguments=(model, 1), client={"cache_dir": cache})
    digests = {digest(path) for path in source.iterdir()}
    call(options={"dest": tmp_path / "one"}, dies=f"before {step}").be_killed()
    for dest in ("two", "one"):
        assert contents(cached.download(model, 1, dest=tmp_path / dest).path) == contents(source)
        assert names(tmp_path / dest) == [model]
    assert {entry.stat().st_size for entry in cache.iterdir() if entry.name not in digests} <= {0, 257}


def test_a_cache_on_another_file_system_is_copied_from(
    observed: Observed, model: str, source: Path, tmp_path: Path, elsewhere: Path
) -> None:
    with RegistryClient(observed.url, cache_dir=elsewhere) as registry:
        for number in range(2):
            path = registry.download(model, 1, dest=tmp_path / f"{number}").path
            assert contents(path) == contents(source)
            assert {file.stat().st_nlink for file in path.glob("*.bin")} == {1}


def test_a_copy_that_was_cut_short_is_no_file_of_the_version(
    observed: Observed,
    client: RegistryClient,
    model: str,
    file: Path,
    tmp_path: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_short(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:1000])
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched, RegistryClient(observed.url, cache_dir=elsewhere) as registry:
        patched.setattr("modelkeep.client.cache.shutil.copyfile", cut_short)
        with pytest.raises(LocalFileError, match="Input/output error"):
            registry.download(model, 1, dest=tmp_path / "serving")
    assert client.download(model, 1, dest=tmp_path / "serving").path.read_bytes() == file.read_bytes()


def test_files_that_may_only_be_read_are_replaced_by_later_downloads(
    cached: RegistryClient, client: RegistryClient, model: str, source: Path, write: Write, tmp_path: Path, cache: Path
) -> None:
    dest = tmp_path / "serving"
    cached.download(model, 1, dest=dest)
    assert (cache / digest(source / "b.bin")).stat().st_mode & 0o777 == 0o444
    client.register(model, write(**{"a.bin": 10, "b.bin": 10}, folder="second"))
    client.register(model, write(10))
    client.register(model, write(20))
    for version in (2, 1, 2, 3, 4, 3, 2):
        for registry in (client, cached):
            registry.download(model, version, dest=dest)
    assert contents(dest / model) == contents(tmp_path / "second")
    assert (dest / "model.pt").stat().st_size == 10
    assert contents(cached.download(model, 1, dest=dest).path) == contents(source)


def test_a_download_may_be_changed_without_hurting_later_ones(
    cached: RegistryClient, model: str, file: Path, tmp_path: Path
) -> None:
    path = cached.download(model, 1, dest=tmp_path / "one").path
    path.chmod(0o644)
    path.write_bytes(b"changed")
    assert cached.download(model, 1, dest=tmp_path / "two").path.read_bytes() == file.read_bytes()


def test_a_cache_that_is_full_is_named_and_left_as_it_was(
    observed: Observed, client: RegistryClient, model: str, write: Write, tmp_path: Path, small_disk: Path
) -> None:
    client.register(model, write(9 * MIB))
    with RegistryClient(observed.url, cache_dir=small_disk) as registry, pytest.raises(LocalFileError) as full:
        registry.download(model, 1, dest=tmp_path / "serving")
    assert str(full.value) == f"'{small_disk}' cannot be used as a cache: No space left on device."
    assert names(small_disk) == []


def test_what_cannot_be_a_cache_is_told_in_a_sentence(
    observed: Observed, client: RegistryClient, model: str, file: Path, tmp_path: Path
) -> None:
    with (
        RegistryClient(observed.url, cache_dir=file) as registry,
        pytest.raises(LocalFileError, match=f"'{file}' cannot be"),
    ):
        registry.download(model, 1, dest=tmp_path / "serving")
    assert file.is_file()
