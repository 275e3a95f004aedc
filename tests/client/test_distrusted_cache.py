"""A cache that others may have prepared or broken: no link is followed, no file is believed, and no download fails."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelkeep.client import Progress, RegistryClient, cache_folder
from tests.client.conftest import digest
from tests.support.observed import Observed
from tests.support.processes.cli import Cli

MIB = 1024 * 1024
OTHER_USER = 12345
NO_FLOCK = [37, 38, 95]
"""ENOLCK, ENOSYS, EOPNOTSUPP: what flock(2) fails with on Lustre, CIFS and mounted buckets."""

Write = Callable[..., Path]


class Remarks(Progress):
    """What was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir(0o755)
    return folder


@pytest.fixture
def cached(observed: Observed, cache: Path, remarks: Remarks) -> Iterator[RegistryClient]:
    with RegistryClient(observed.url, cache_dir=cache, progress=remarks) as cached:
        yield cached


@pytest.fixture
def file(client: RegistryClient, model: str, write: Write) -> Path:
    source = write(100_000)
    client.register(model, source)
    return source


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside the cache, which a planted link leads to."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    return path


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that other users can reach; `tmp_path` is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def give_to_another(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root may give a file to another user")
    os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)


@contextmanager
def as_another_user() -> Iterator[None]:
    """All threads of this process, until the block ends."""
    if os.geteuid():
        pytest.skip("only root may become another user")
    os.setegid(OTHER_USER)
    os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".modelkeep."))


# -- what is planted in the folder


@pytest.mark.parametrize("suffix", ["", ".partial", ".partial.blocks", ".lock"])
@pytest.mark.parametrize("leads_to", ["victim", "nowhere"])
def test_nothing_is_written_through_a_planted_link(
    cached: RegistryClient, model: str, file: Path, cache: Path, victim: Path, suffix: str, leads_to: str
) -> None:
    (cache / f"{digest(file)}{suffix}").symlink_to(victim.parent / leads_to)
    for number in range(2):
        path = cached.download(model, 1, dest=victim.parent / f"{number}").path
        assert path.read_bytes() == file.read_bytes()
        assert not path.is_symlink()
    assert victim.read_bytes() == b"precious"
    assert not (victim.parent / "nowhere").exists()


def test_a_link_is_not_read_although_it_leads_to_the_right_bytes(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, remarks: Remarks
) -> None:
    kept = cache / digest(file)
    kept.symlink_to(file)
    cached.download(model, 1, dest=tmp_path / "serving")
    assert remarks.said == [f"The cache is passed by: '{kept}' is a link."]
    assert (kept.is_symlink(), kept.read_bytes()) == (False, file.read_bytes())


def test_a_pipe_in_the_place_of_a_file_stops_nothing(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, remarks: Remarks
) -> None:
    os.mkfifo(cache / digest(file))
    assert cached.download(model, 1, dest=tmp_path / "serving").path.read_bytes() == file.read_bytes()
    assert remarks.said == [f"The cache is passed by: '{cache / digest(file)}' is no regular file."]


def test_a_file_that_changes_between_check_and_copy_is_not_taken(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.download(model, 1, dest=tmp_path / "one")
    kept, opened = cache / digest(file), cache_folder.CacheFolder._open

    @contextmanager
    def change_after_opening(folder: cache_folder.CacheFolder, name: str) -> Iterator[object]:
        with opened(folder, name) as cached_file:
            kept.chmod(0o644)
            kept.write_bytes(bytes(100_000))
            yield cached_file

    monkeypatch.setattr(cache_folder.CacheFolder, "_open", change_after_opening)
    assert digest(cached.download(model, 1, dest=tmp_path / "two").path) == digest(file)


@pytest.mark.parametrize("hard_links", [False, True])
def test_a_file_that_is_replaced_between_check_and_copy_is_not_taken(
    observed: Observed,
    model: str,
    file: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    hard_links: bool,
) -> None:
    with RegistryClient(observed.url, cache_dir=cache, cache_hard_links=hard_links) as registry:
        registry.download(model, 1, dest=tmp_path / "one")
        kept, opened = cache / digest(file), cache_folder.CacheFolder._open

        @contextmanager
        def replace_after_opening(folder: cache_folder.CacheFolder, name: str) -> Iterator[object]:
            with opened(folder, name) as cached_file:
                kept.unlink()
                kept.symlink_to(tmp_path / "elsewhere")
                yield cached_file

        monkeypatch.setattr(cache_folder.CacheFolder, "_open", replace_after_opening)
        path = registry.download(model, 1, dest=tmp_path / "two").path
    assert (path.is_symlink(), path.read_bytes()) == (False, file.read_bytes())


def test_what_happens_in_the_cache_afterwards_does_not_matter(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path
) -> None:
    paths = [cached.download(model, 1, dest=tmp_path / f"{number}").path for number in range(2)]
    (cache / digest(file)).chmod(0o644)
    (cache / digest(file)).write_bytes(b"changed")
    assert all(path.read_bytes() == file.read_bytes() for path in paths)


# -- who may write there


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_that_others_may_write_to_is_passed_by(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, remarks: Remarks, mode: int
) -> None:
    cache.chmod(mode)
    for number in range(2):
        assert cached.download(model, 1, dest=tmp_path / f"{number}").path.read_bytes() == file.read_bytes()
    advice = "run chmod go-w on it, or name a folder in it"
    assert remarks.said == [
        f"The cache is passed by: '{cache}' may be written to by others (mode {mode:04o}); {advice}."
    ]
    assert names(cache) == []


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022])
def test_a_folder_that_is_made_is_of_use_whatever_the_umask(
    observed: Observed, model: str, file: Path, tmp_path: Path, remarks: Remarks, umask: int
) -> None:
    before = os.umask(umask)
    try:
        with RegistryClient(observed.url, cache_dir=tmp_path / "made", progress=remarks) as registry:
            registry.download(model, 1, dest=tmp_path / "serving")
    finally:
        os.umask(before)
    assert (names(tmp_path / "made"), remarks.said) == ([digest(file)], [])


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_file_that_others_may_write_to_is_replaced(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, remarks: Remarks, mode: int
) -> None:
    kept = cache / digest(file)
    shutil.copyfile(file, kept)
    kept.chmod(mode)
    cached.download(model, 1, dest=tmp_path / "serving")
    assert remarks.said == [f"The cache is passed by: '{kept}' may be written to by others (mode {mode:04o})."]
    assert kept.stat().st_mode & 0o777 == 0o444


def test_a_file_of_another_user_is_replaced(
    observed: Observed,
    cached: RegistryClient,
    model: str,
    file: Path,
    cache: Path,
    tmp_path: Path,
    remarks: Remarks,
) -> None:
    kept = cache / digest(file)
    shutil.copyfile(file, kept)
    give_to_another(kept)
    mark = observed.mark()
    cached.download(model, 1, dest=tmp_path / "serving")
    assert len(observed.since(mark, "GET")) == 1
    assert remarks.said == [
        f"The cache is passed by: '{kept}' belongs to user {OTHER_USER}, who is neither you nor root."
    ]
    assert kept.stat().st_uid == os.geteuid()


def test_a_folder_of_another_user_is_passed_by(
    cached: RegistryClient, model: str, file: Path, cache: Path, tmp_path: Path, remarks: Remarks
) -> None:
    give_to_another(cache)
    assert cached.download(model, 1, dest=tmp_path / "serving").path.read_bytes() == file.read_bytes()
    assert remarks.said == [
        f"The cache is passed by: '{cache}' belongs to user {OTHER_USER}, who is neither you nor root."
    ]
    assert names(cache) == []


def test_what_root_has_cached_others_may_read_and_the_rest_is_fetched_without_it(
    dev_url: str, model: str, write: Write, open_to_all: Path, remarks: Remarks
) -> None:
    with RegistryClient(dev_url, cache_dir=open_to_all / "cache", progress=remarks) as registry:
        registry.register(model, write(100_000))
        registry.download(model, 1, dest=open_to_all / "root")
        registry.register(model, write(50_000))
        home = open_to_all / "home"
        home.mkdir()
        give_to_another(home)
        kept = names(open_to_all / "cache")
        with as_another_user():
            one = registry.download(model, 1, dest=home / "one").path
            assert (one.read_bytes(), remarks.said) == ((open_to_all / "root" / one.name).read_bytes(), [])
            two = registry.download(model, 2, dest=home / "two").path
        assert two.stat().st_size == 50_000
        assert remarks.said == [
            f"The cache is passed by: '{open_to_all / 'cache' / digest(two)}.lock' cannot be used: Permission denied."
        ]
        assert names(open_to_all / "cache") == kept


# -- what does not work


def test_a_cache_that_is_full_is_passed_by_and_left_as_it_was(
    observed: Observed,
    client: RegistryClient,
    model: str,
    write: Write,
    tmp_path: Path,
    small_disk: Path,
    remarks: Remarks,
) -> None:
    client.register(model, source := write(9 * MIB))
    cache = small_disk / "cache"
    with RegistryClient(observed.url, cache_dir=cache, progress=remarks) as registry:
        assert registry.download(model, 1, dest=tmp_path / "serving").path.read_bytes() == source.read_bytes()
    assert remarks.said == [
        f"The cache is passed by: '{cache / digest(source)}' cannot be used: No space left on device."
    ]
    assert names(cache) == []


@pytest.mark.parametrize("kind", ["file", "link", "below a file"])
def test_what_is_no_folder_is_no_cache(
    observed: Observed, model: str, file: Path, cache: Path, tmp_path: Path, remarks: Remarks, kind: str
) -> None:
    (tmp_path / "link").symlink_to(cache)
    place = {"file": file, "link": tmp_path / "link", "below a file": file / "cache"}[kind]
    with RegistryClient(observed.url, cache_dir=place, progress=remarks) as registry:
        assert registry.download(model, 1, dest=tmp_path / "serving").path.read_bytes() == file.read_bytes()
    assert remarks.said == [f"The cache is passed by: '{place}' is no folder, or a link to one."]
    assert (file.is_file(), names(cache)) == (True, [])


@pytest.mark.parametrize("error", NO_FLOCK)
def test_a_file_system_without_locks_stops_nothing(
    cached: RegistryClient,
    model: str,
    file: Path,
    cache: Path,
    tmp_path: Path,
    remarks: Remarks,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        for number in range(2):
            dest = tmp_path / f"{number}"
            assert cached.download(model, 1, dest=dest).path.read_bytes() == file.read_bytes()
            assert names(dest) == [file.name]
    reason = os.strerror(error)
    assert set(remarks.said) == {
        f"The destination cannot be locked: {reason}. Let no other download into it run at the same time.",
        f"The cache is passed by: '{cache / digest(file)}.lock' cannot be used: {reason}.",
    }
    assert names(cache) == [digest(file)]


def test_a_lock_file_of_another_user_at_the_destination_stops_nothing(
    dev_url: str, model: str, write: Write, open_to_all: Path, remarks: Remarks
) -> None:
    dest = open_to_all / "serving"
    dest.mkdir()
    lock = dest / f".{model}.lock"
    lock.touch(0o644)
    with RegistryClient(dev_url, progress=remarks) as registry:
        registry.register(model, source := write(1000))
        content = source.read_bytes()
        give_to_another(dest)
        with as_another_user():
            assert registry.download(model, 1, dest=dest).path.read_bytes() == content
    assert (names(dest), remarks.said) == ([source.name], [])


def test_a_link_in_the_place_of_the_lock_at_the_destination_is_not_followed(
    observed: Observed, model: str, file: Path, tmp_path: Path, remarks: Remarks
) -> None:
    dest = tmp_path / "serving"
    dest.mkdir()
    (dest / f".{model}.lock").symlink_to(tmp_path / "nowhere")
    with RegistryClient(observed.url, progress=remarks) as registry:
        assert registry.download(model, 1, dest=dest).path.read_bytes() == file.read_bytes()
    assert len(remarks.said) == 1
    assert not (tmp_path / "nowhere").exists()


def test_the_command_says_on_standard_error_that_it_passes_the_cache_by(
    observed: Observed, model: str, file: Path, cache: Path, tmp_path: Path
) -> None:
    cache.chmod(0o777)
    cli = Cli(observed.url, {"MODELKEEP_CACHE_DIR": str(cache)})
    said = cli("download", f"{model}@1", "--dest", tmp_path / "serving")
    assert (said.status, said.out) == (0, [str(tmp_path / "serving" / file.name)])
    advice = "run chmod go-w on it, or name a folder in it"
    remark = f"The cache is passed by: '{cache}' may be written to by others (mode 0777); {advice}."
    assert [line for line in said.err if "cache" in line] == [remark]
    assert cli("--quiet", "download", f"{model}@1", "--dest", tmp_path / "two").err == []
    cli.answer("download", f"{model}@1", "--dest", tmp_path / "three")
