"""What can be registered from this machine, what cannot, and in which words that is said."""

import errno
import fcntl
import io
import os
import socket
import subprocess
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep.client import Progress, RegistryClient, Step
from modelkeep.client.archives import _name
from modelkeep.client.errors import ChangedFileError, LocalFileError
from modelkeep.domain.errors import ModelNotFoundError, RegistryError, TooManyArtifactsError
from modelkeep.kit.text import escaped
from tests.support.observed import Observed
from tests.support.processes.cli import Cli

Write = Callable[..., Path]


def left_in(state_folder: Path) -> list[Path]:
    return [path for path in state_folder.rglob("*") if path.is_symlink() or not path.is_dir()]


@pytest.fixture
def source(write: Write) -> Path:
    return write(**{"config.json": 10, "weights/a.bin": 20, "weights/b.bin": 30, "weights/notes.txt": 0})


def test_an_archive_holds_the_files_and_has_the_same_bytes_each_time(
    client: RegistryClient, model: str, source: Path, state_folder: Path, tmp_path: Path
) -> None:
    first = client.register(model, source, as_zip=True)
    for file in source.rglob("*"):
        os.utime(file, (1, 1))
    second = client.register(model, source, as_zip=True)
    (artifact,) = first.artifacts
    assert artifact.path == "run-7.zip"
    assert (first.version, second.version) == (1, 2)
    assert artifact.sha256 == second.artifacts[0].sha256
    archive = client.download(model, 1, dest=tmp_path / "serving").path
    with zipfile.ZipFile(archive) as bundle:
        assert bundle.testzip() is None
        assert {name: bundle.read(name) for name in bundle.namelist()} == {
            path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()
        }
        assert bundle.namelist() == sorted(bundle.namelist())
        assert {entry.external_attr >> 16 for entry in bundle.infolist()} == {0o644}
    assert left_in(state_folder) == []


def test_an_archive_is_gone_when_its_registration_fails(
    client: RegistryClient, observed: Observed, model: str, source: Path, state_folder: Path
) -> None:
    class Failing(Progress):
        def begin(self, step: Step, sizes: object) -> None:
            raise ModelNotFoundError("whatever")

    with RegistryClient(observed.url, progress=Failing()) as failing, pytest.raises(ModelNotFoundError):
        failing.register(model, source, as_zip=True)
    assert left_in(state_folder) == []


def test_an_archive_that_does_not_fit_is_told_in_a_sentence(
    client: RegistryClient, model: str, write: Write, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(LocalFileError, match=r"cannot hold the archive: No space left on device\. Set TMPDIR"):
        client.register(model, write(**{"a.bin": 9 * 1024 * 1024}), as_zip=True)
    assert left_in(small_disk) == []


class Remarks(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, sentence: str) -> None:
        self.said.append(sentence)


def read_only(state: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    state.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    return "Read-only file system"


def too_small(state: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    return "No space left on device"


def a_file(state: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    state.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    return "Not a directory"


def no_locks(state: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    really = fcntl.flock

    def unsupported(file: int | io.IOBase, operation: int) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        if "/archives/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        really(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", unsupported)
    return os.strerror(errno.ENOSYS)


def someone_elses(state: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    return "Permission denied"


@pytest.mark.parametrize("spoil", [read_only, too_small, a_file, no_locks, someone_elses])
def test_an_archive_is_written_to_the_temporary_folder_where_the_state_folder_cannot_hold_it(
    observed: Observed,
    model: str,
    write: Write,
    tmp_path: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, Path, pytest.MonkeyPatch], str],
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = write(**{"a.bin": 9 * 1024 * 1024})
    reason = spoil(tmp_path / "spoilt", small_disk, monkeypatch)
    remarks = Remarks()
    with RegistryClient(observed.url, progress=remarks) as client:
        assert [each.path for each in client.register(model, folder, as_zip=True).artifacts] == ["run-7.zip"]
    said = " ".join(remarks.said)
    assert f"archives' cannot be used: {reason}. The archive is made in '{temporary}'." in said
    assert list(temporary.iterdir()) == []
    assert left_in(small_disk) == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("modèle", "modèle.zip"),
        (unicodedata.normalize("NFD", "modèle"), "modèle.zip"),
        ("run [3], final", "run [3], final.zip"),
        ("x" * 251, f"{'x' * 251}.zip"),
        *[(folder, None) for folder in (os.fsdecode(b"\xff"), "x" * 252, " run", "run\u200b", "back\\slash")],
    ],
    ids=ascii,
)
def test_an_archive_has_the_name_of_its_folder_or_of_the_model(
    url: str, model: str, write: Write, folder: str, name: str | None
) -> None:
    with RegistryClient(url) as client:
        version = client.register(model, write(folder=folder, **{"a.bin": 9}), as_zip=True)
    assert [artifact.path for artifact in version.artifacts] == [name or f"{model}.zip"]


def test_an_archive_of_the_folder_of_all_has_the_name_of_the_model(tmp_path: Path) -> None:
    assert _name(Path("/"), "fraud") == "fraud.zip"


def test_a_file_that_grows_while_it_is_archived_is_reported(
    client: RegistryClient, model: str, source: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = zipfile.ZipFile.open

    def growing(self: zipfile.ZipFile, *arguments: object, **options: object) -> object:
        with (source / "config.json").open("ab") as file:
            file.write(b"more")
        return real(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "open", growing)
    with pytest.raises(ChangedFileError, match=r"config\.json"):
        client.register(model, source, as_zip=True)
    assert left_in(state_folder) == []


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], ["config.json", "weights/a.bin", "weights/b.bin", "weights/notes.txt"]),
        (["*.bin"], [], ["weights/a.bin", "weights/b.bin"]),
        ([], ["*.txt", "config.*"], ["weights/a.bin", "weights/b.bin"]),
        (["*.bin", "*.json"], ["weights/b*"], ["config.json", "weights/a.bin"]),
        (["weights/*"], ["*.txt"], ["weights/a.bin", "weights/b.bin"]),
    ],
)
@pytest.mark.parametrize("as_zip", [False, True])
def test_patterns_choose_files(
    client: RegistryClient,
    model: str,
    source: Path,
    tmp_path: Path,
    include: list[str],
    exclude: list[str],
    expected: list[str],
    as_zip: bool,
) -> None:
    version = client.register(model, source, include=include, exclude=exclude, as_zip=as_zip)
    found = [artifact.path for artifact in version.artifacts]
    if as_zip:
        archive = client.download(model, 1, dest=tmp_path / "serving").path.read_bytes()
        found = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert found == expected


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def linked_folder(path: Path) -> None:
    path.symlink_to(path.parent / "weights")


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make devices")


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("dangling", dangling, "a link that is not followed"),
        ("folder-link", linked_folder, "a link that is not followed"),
        ("pipe", os.mkfifo, "is no regular file"),
        ("socket", listen, "is no regular file"),
        ("device", device, "is no regular file"),
        ("trailing ", Path.touch, "starts or ends with a space"),
        ("back\\slash", Path.touch, "no backslash"),
        ("zero\u200bwidth", Path.touch, "no format character, such as U\\+200B"),
        (os.fsdecode(b"\xff\xfe.bin"), Path.touch, "is text in UTF-8"),
        ("CONFIG.json", Path.touch, "cannot both be in a version"),
    ],
)
def test_what_cannot_be_registered_is_named_and_may_be_excluded(
    client: RegistryClient, model: str, source: Path, name: str, make: Callable[[Path], object], said: str
) -> None:
    make(source / name)
    for as_zip in (False, True):
        with pytest.raises(LocalFileError, match=said) as refused:
            client.register(model, source, as_zip=as_zip)
        assert escaped(name).casefold() in str(refused.value).casefold()
        assert "\n" not in str(refused.value)
    with pytest.raises(ModelNotFoundError):
        client.get_model(model)
    assert client.register(model, source, exclude=[f"{name[:4]}*"]).version == 1


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_source_without_files_is_reported(client: RegistryClient, model: str, tmp_path: Path, as_zip: bool) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    for source, said in {
        "nowhere": "does not exist",
        "pipe": "is no regular file",
        "pipe/below": "does not exist",
        "n" * 300: "File name too long",
        "\0": "does not exist",
        "empty": "has no files",
    }.items():
        with pytest.raises(LocalFileError, match=said):
            client.register(model, tmp_path / source, as_zip=as_zip)


def test_patterns_that_match_nothing_are_reported(client: RegistryClient, model: str, source: Path) -> None:
    with pytest.raises(LocalFileError, match="has no files that match the patterns"):
        client.register(model, source, include=["*.onnx"])


def test_more_files_than_a_version_holds_are_counted_before_one_is_read(
    client: RegistryClient, observed: Observed, model: str, tmp_path: Path
) -> None:
    class Begun(Progress):
        def begin(self, step: Step, sizes: object) -> None:
            raise AssertionError(step)

    (tmp_path / "many").mkdir()
    for number in range(1001):
        (tmp_path / "many" / f"{number}").touch()
    with RegistryClient(observed.url, progress=Begun()) as counting:
        with pytest.raises(TooManyArtifactsError, match=r"^1001 artifacts; .* at most 1000\. .*--zip") as refused:
            counting.register(model, tmp_path / "many")
        assert not hasattr(refused.value, "__notes__"), "the registry was not asked"
    code, sentence = Cli(observed.url).refusal("register", model, tmp_path / "many")
    assert (code, sentence) == ("too_many_artifacts", str(refused.value))
    assert client.register(model, tmp_path / "many", as_zip=True).version == 1
    assert client.register(model, tmp_path / "many", exclude=["1000"]).version == 2


def test_a_failed_registration_is_begun_anew_and_a_finished_one_is_not_repeated(
    client: RegistryClient, observed: Observed, model: str, source: Path, state_folder: Path
) -> None:
    class Failing(Progress):
        def begin(self, step: Step, sizes: object) -> None:
            if step is Step.UPLOADING:
                raise RegistryError

    with RegistryClient(observed.url, progress=Failing()) as failing, pytest.raises(RegistryError):
        failing.register(model, source)
    assert len(left_in(state_folder)) == 1
    assert client.register(model, source).version == 1
    assert client.register(model, source).version == 2
    assert left_in(state_folder) == []
