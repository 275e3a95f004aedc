"""A folder for state that cannot be used: registering goes on without what it would save, and says so."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep.client import Progress, RegistryClient
from tests.support.observed import Observed

Write = Callable[..., Path]


class Remarks(Progress):
    """What was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("as_zip", [False, True])
def test_where_no_state_can_be_kept_a_registration_is_made_all_the_same(
    observed: Observed,
    model: str,
    write: Write,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    as_zip: bool,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    remarks = Remarks()
    source = write(**{"a.bin": 1000, "b.bin": 1000})
    with RegistryClient(observed.url, progress=remarks) as registry:
        version = registry.register(model, source, as_zip=as_zip)
    assert [artifact.path for artifact in version.artifacts] == (["run-7.zip"] if as_zip else ["a.bin", "b.bin"])
    state = tmp_path / "file" / "modelkeep"
    archive = f"'{state / 'archives'}' cannot be used: Not a directory. The archive is made in '{temporary}'."
    pending = (
        f"'{state / 'uploads'}' cannot be used: Not a directory. If this registration is interrupted, it starts anew."
    )
    assert remarks.said == [*[archive][: int(as_zip)], pending]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("error", [37, 38, 95])
def test_where_there_are_no_locks_an_archive_is_made_in_the_temporary_folder(
    dev_url: str,
    model: str,
    write: Write,
    state_folder: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    remarks = Remarks()
    with monkeypatch.context() as patched, RegistryClient(dev_url, progress=remarks) as registry:
        patched.setattr(fcntl, "flock", refuse)
        registry.register(model, write(**{"a.bin": 1000}), as_zip=True)
    reason = os.strerror(error)
    archives = state_folder / "archives"
    assert remarks.said == [f"'{archives}' cannot be used: {reason}. The archive is made in '{temporary}'."]
    assert [*archives.iterdir(), *temporary.iterdir()] == []
