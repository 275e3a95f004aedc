"""Sources that are not what they say: files whose size is untrue, and what is no file; nothing is begun of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.processes.cli import Cli

MORE: Final = Path("/proc/version")
"""Its size is 0, and it has bytes, as files of some FUSE file systems."""

FEWER: Final = Path("/sys/devices/system/cpu/online")
"""Its size is that of a page, and it has a few bytes."""

NO_FILE: Final = "is no regular file. Only files with bytes of their own can be registered."


@pytest.fixture
def cli(dev_url: str, model: str) -> Iterator[Cli]:
    cli = Cli(dev_url)
    yield cli
    assert cli.refusal("show", model)[0] == "model_not_found"


@pytest.mark.parametrize(("source", "kind"), [(MORE, "more"), (FEWER, "fewer")], ids=["more", "fewer"])
def test_a_file_whose_size_is_untrue(cli: Cli, model: str, source: Path, kind: str) -> None:
    size = source.stat().st_size
    sentence = f"'{source}' gives {kind} bytes than the {size} of its size. Copy it to another disk, and register that."
    assert cli.refusal("register", model, source) == ("local_file", sentence)


def test_a_pipe_is_no_regular_file(cli: Cli, model: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert cli.refusal("register", model, tmp_path / "fifo") == ("local_file", f"'{tmp_path}/fifo' {NO_FILE}")
    reading, writing = os.pipe()
    try:
        source = f"/dev/fd/{reading}"
        assert cli.refusal("register", model, source) == ("local_file", f"'{source}' {NO_FILE}")
    finally:
        os.close(reading)
        os.close(writing)
    assert cli.refusal("register", model, "/dev/null") == ("local_file", f"'/dev/null' {NO_FILE}")
