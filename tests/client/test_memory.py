"""The client's memory does not grow with what it moves."""

from pathlib import Path

import pytest

from tests.support.observed import Observed
from tests.support.processes.children import Call

MIB = 1024 * 1024
LARGE = 300 * MIB
LIMIT = 200 * MIB


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One file with a hole of 300 MiB in it, and 300 small ones."""
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    for number in range(300):
        (folder / f"{number}.bin").write_bytes(bytes([number % 256]) * 1000)
    return folder


def test_large_files_and_many_files_take_little_memory(
    observed: Observed, model: str, source: Path, tmp_path: Path
) -> None:
    register = Call(url=observed.url, method="register", arguments=(model, source))
    download = Call(url=observed.url, method="download", arguments=(model, 1), options={"dest": tmp_path / "serving"})
    peaks = [call.peak() for call in (register, download)]
    print(f"{peaks[0] / MIB:.0f} MiB to register, {peaks[1] / MIB:.0f} MiB to download")  # noqa: T201
    assert max(peaks) < LIMIT
