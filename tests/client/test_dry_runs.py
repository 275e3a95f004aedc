"""A dry run says what would be sent or fetched, and changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes.cli import Cli

Write = Callable[..., Path]


@pytest.fixture
def cli(url: str) -> Cli:
    """The command line of each backend."""
    return Cli(url)


def test_a_registration_is_described_and_not_begun(cli: Cli, model: str, write: Write, state_folder: Path) -> None:
    folder = write(**{"a.onnx": 10, "b/c.bin": 2000, "d.tmp": 1})
    said = cli("register", model, folder, "--exclude", "*.tmp", "--dry-run")
    assert (said.status, [line.split() for line in said.out]) == (
        0,
        [["file", "size"], ["a.onnx", "10", "B"], ["b/c.bin", "2.0", "KiB"]],
    )
    assert said.err[-1] == f"Would register {model} (onnx, inferred): 2 files, 2.0 KiB"
    found = cli.answer("register", model, folder, "--framework", "jax", "--zip", "--dry-run")
    assert (found["framework"], found["framework_inferred"], found["archive"], found["size"]) == (
        "jax",
        False,
        True,
        2011,
    )
    assert cli.refusal("show", model)[0] == "model_not_found"
    assert not state_folder.exists()


def test_an_empty_folder_is_described_too(cli: Cli, model: str, write: Write) -> None:
    folder = write(folder="run", **{"a.onnx": 10})
    (folder / "assets" / "1").mkdir(parents=True)
    said = cli("register", model, folder, "--dry-run")
    assert [line.split() for line in said.out[1:]] == [["a.onnx", "10", "B"], ["assets/1/", "-"]]
    assert said.err[-1] == f"Would register {model} (onnx, inferred): 1 file, 10 B, 1 empty folder"
    described = cli.answer("register", model, folder, "--dry-run")
    cli.does("register", model, folder)
    registered = cli.answer("show", f"{model}@1")
    assert described["empty_folders"] == registered["empty_folders"] == ["assets/1"]
    assert [each["path"] for each in described["artifacts"]] == ["a.onnx"]


def test_a_download_is_described_and_nothing_is_written(cli: Cli, model: str, write: Write, tmp_path: Path) -> None:
    cli.does("register", model, write(1000), "--promote", "production")
    dest = tmp_path / "there"
    said = cli("download", model, "--dest", dest, "--dry-run")
    assert (said.status, said.out) == (0, [str(dest / "model.pt")])
    assert said.err[-1] == f"Would download {model} v1: 1 file, 1000 B"
    assert not dest.exists()
    cli.does("download", model, "--dest", dest)
    assert cli.answer("download", model, "--dest", dest, "--dry-run")["changed"] is False
    (dest / "model.pt").write_bytes(b"mine")
    assert cli.refusal("download", model, "--dest", dest, "--dry-run")[0] == "local_file"
    assert cli.answer("download", model, "--dest", dest, "--dry-run", "--force")["changed"] is True
    assert (dest / "model.pt").read_bytes() == b"mine"
