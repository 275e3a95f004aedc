"""A download over an earlier one: what both share is copied from what is there, and verified."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.faults.proxy import Proxy
from tests.support.processes.cli import Cli

Write = Callable[..., Path]
STORE = r"^/local-store/"


@pytest.fixture
def versions(proxy: Proxy, model: str, write: Write) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two versions of twenty files: the second has one that changed, and one under another name."""
    cli = Cli(proxy.url)
    folder = write(**{f"{number}.bin": 1000 for number in range(20)})
    cli.does("register", model, folder)
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / "7.bin").write_bytes(b"x" * 1000)
    (folder / "8.bin").rename(folder / "eight.bin")
    cli.does("register", model, folder)
    return first, {file.name: file.read_bytes() for file in folder.iterdir()}


def found(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != ".modelkeep.json"}


def test_what_two_versions_share_is_not_fetched(
    proxy: Proxy, model: str, tmp_path: Path, versions: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    cli, there = Cli(proxy.url), tmp_path / "there"
    cli.does("download", f"{model}@1", "--dest", there)
    fetched = len(proxy.asked("GET", STORE))
    cli.does("download", f"{model}@2", "--dest", there)
    assert found(there / model) == versions[1]
    assert len(proxy.asked("GET", STORE)) == fetched + 1 == 21
    cli.does("download", f"{model}@2", "--dest", there)
    assert len(proxy.asked("GET", STORE)) == 21
    cli.does("download", f"{model}@1", "--dest", there)
    assert found(there / model) == versions[0]
    assert len(proxy.asked("GET", STORE)) == 22


def test_what_has_changed_or_is_a_link_is_fetched(
    proxy: Proxy, model: str, tmp_path: Path, versions: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    cli, there = Cli(proxy.url), tmp_path / "there"
    cli.does("download", f"{model}@1", "--dest", there)
    fetched = len(proxy.asked("GET", STORE))
    (there / model / "1.bin").write_bytes(b"y" * 1000)
    (there / model / "2.bin").rename(tmp_path / "2.bin")
    (there / model / "2.bin").symlink_to(tmp_path / "2.bin")
    cli.does("download", f"{model}@2", "--dest", there)
    assert found(there / model) == versions[1]
    assert not (there / model / "2.bin").is_symlink()
    assert len(proxy.asked("GET", STORE)) == fetched + 3


def test_a_copy_is_no_other_name_of_what_was_there(
    proxy: Proxy, model: str, tmp_path: Path, versions: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    cli, there = Cli(proxy.url), tmp_path / "there"
    cli.does("download", f"{model}@1", "--dest", there)
    with (there / model / "1.bin").open("r+b") as held:
        cli.does("download", f"{model}@2", "--dest", there)
        held.write(b"written by who holds the old one")
    assert found(there / model) == versions[1]
