"""A cache that several processes share: each file is fetched once, and never trusted unread."""

import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from modelkeep.client import RegistryClient
from modelkeep.client.cache import Cache
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
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".modelkeep."))


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
    real = Cache._take
    monkeypatch.setattr(Cache, "_take", lambda *given: next(answers, True) and real(*given))
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
        "modelkeep.client.cache.Cache._keep",
        "modelkeep.client.cache_folder.os.rename",
        "modelkeep.client.cache_folder.copy_bytes",
        "modelkeep.kit.file_locks._remove",
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
    assert {entry.suffix for entry in cache.iterdir() if entry.name not in digests} <= {".lock"}


def test_a_cache_on_another_file_system_is_copied_from(
    observed: Observed, model: str, source: Path, tmp_path: Path, elsewhere: Path
) -> None:
    for links in (False, True):
        with RegistryClient(observed.url, cache_dir=elsewhere, cache_hard_links=links) as registry:
            for number in range(2):
                path = registry.download(model, 1, dest=tmp_path / f"{links}-{number}").path
                assert contents(path) == contents(source)
                assert {file.stat().st_nlink for file in path.glob("*.bin")} == {1}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_download_is_a_file_of_its_own_with_the_mode_that_it_has_without_a_cache(
    client: RegistryClient, cached: RegistryClient, model: str, source: Path, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        paths = [
            registry.download(model, 1, dest=tmp_path / f"{number}").path
            for number, registry in enumerate([client, cached, cached])
        ]
    finally:
        os.umask(before)
    for path in paths:
        assert {(file.stat().st_nlink, stat.S_IMODE(file.stat().st_mode)) for file in path.glob("*.bin")} == {
            (1, 0o666 & ~umask)
        }


def test_hard_links_are_made_by_request_alone_and_are_read_only(
    observed: Observed, model: str, file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELKEEP_CACHE_HARD_LINKS", "true")
    with RegistryClient(observed.url, cache_dir=cache) as registry:
        paths = [registry.download(model, 1, dest=tmp_path / f"{number}").path for number in range(2)]
    kept = (cache / digest(file)).stat()
    assert (kept.st_nlink, stat.S_IMODE(kept.st_mode)) == (3, 0o444)
    assert all(path.samefile(cache / digest(file)) for path in paths)


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
    path.write_bytes(b"changed")
    assert cached.download(model, 1, dest=tmp_path / "two").path.read_bytes() == file.read_bytes()
