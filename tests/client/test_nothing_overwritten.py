"""A download replaces what downloads have put there, and nothing else; what is there already it does not fetch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelkeep.client import RegistryClient
from modelkeep.client.errors import LocalFileError
from tests.support.observed import Observed
from tests.support.processes.cli import Cli

Write = Callable[..., Path]

REFUSED = "was not put there by a download"


@pytest.fixture
def registry(url: str, model: str, write: Write) -> Iterator[RegistryClient]:
    """A registry on each backend, with two versions of one file."""
    with RegistryClient(url) as registry:
        for _ in range(2):
            registry.register(model, write(1000))
        yield registry


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def test_a_file_of_something_else_is_refused_and_left_alone(registry: RegistryClient, model: str, dest: Path) -> None:
    (dest / "model.pt").write_bytes(b"mine")
    with pytest.raises(LocalFileError, match=rf"here/model\.pt' {REFUSED}.* --force"):
        registry.download(model, 1, dest=dest)
    assert [(entry.name, entry.read_bytes()) for entry in dest.iterdir()] == [("model.pt", b"mine")]
    assert registry.download(model, 1, dest=dest, force=True).changed
    assert (dest / "model.pt").stat().st_size == 1000


def test_a_link_where_the_file_goes_is_refused_and_left_alone(
    registry: RegistryClient, model: str, dest: Path, tmp_path: Path
) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (dest / "model.pt").symlink_to(tmp_path / "theirs")
    with pytest.raises(LocalFileError, match=REFUSED):
        registry.download(model, 1, dest=dest)
    assert (dest / "model.pt").is_symlink()
    registry.download(model, 1, dest=dest, force=True)
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


def test_a_version_takes_the_place_of_another_that_was_deleted_since(
    registry: RegistryClient, model: str, dest: Path
) -> None:
    registry.download(model, 1, dest=dest)
    registry.delete_version(model, 1)
    assert registry.download(model, 2, dest=dest).changed


def test_a_file_that_was_changed_since_its_download_is_refused(
    registry: RegistryClient, model: str, dest: Path
) -> None:
    path = registry.download(model, 1, dest=dest).path
    path.write_bytes(b"trained further")
    with pytest.raises(LocalFileError, match="has changed since"):
        registry.download(model, 2, dest=dest)
    assert path.read_bytes() == b"trained further"


def test_the_bytes_of_another_version_may_be_replaced_whoever_put_them_there(
    registry: RegistryClient, model: str, dest: Path
) -> None:
    registry.download(model, 1, dest=dest)
    for marker in dest.glob(".*"):
        marker.unlink()
    assert registry.download(model, 2, dest=dest).changed


def test_a_folder_of_something_else_is_replaced_by_force(
    registry: RegistryClient, model: str, write: Write, dest: Path
) -> None:
    registry.register(model, write(**{"a.bin": 1, "b.bin": 2}))
    (dest / model).mkdir()
    (dest / model / "mine").write_bytes(b"mine")
    with pytest.raises(LocalFileError, match=REFUSED):
        registry.download(model, 3, dest=dest)
    path = registry.download(model, 3, dest=dest, force=True).path
    assert {entry.name for entry in path.iterdir()} == {"a.bin", "b.bin", ".modelkeep.json"}


@pytest.mark.parametrize("sizes", [{"model.pt": 3000}, {"a.bin": 1000, "b/c.bin": 2000}], ids=["file", "folder"])
def test_a_plain_repeat_fetches_nothing(
    observed: Observed, model: str, write: Write, dest: Path, sizes: dict[str, int]
) -> None:
    folder = write(**sizes)
    cli = Cli(observed.url)
    cli.does("register", model, folder if len(sizes) > 1 else folder / "model.pt", "--promote", "production")
    first = cli.does("download", model, "--dest", dest)
    mark = observed.mark()
    again = cli("download", model, "--dest", dest)
    assert (again.status, again.out) == (0, first)
    assert again.err[-1].startswith(f"{model} v1 is there: {len(sizes)} file")
    assert observed.since(mark, "GET") == []


def test_the_command_refuses_in_one_sentence(dev_url: str, model: str, write: Write, dest: Path) -> None:
    cli = Cli(dev_url)
    cli.does("register", model, write(1000))
    (dest / "model.pt").write_bytes(b"mine")
    code, sentence = cli.refusal("download", f"{model}@1", "--dest", dest)
    assert code == "local_file"
    assert sentence.startswith(f"'{dest / 'model.pt'}' {REFUSED}")
    assert cli.does("download", f"{model}@1", "--dest", dest, "--force") == [str(dest / "model.pt")]
