"""The key of a registration is stored until the registration is complete, and no other has it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from modelkeep.client.disk_layout import state_folder
from modelkeep.client.pending_registration import PendingRegistration as Pending

PendingRegistration = partial(Pending, remark=lambda _: None)
IDENTITY = ("http://registry", "fraud-detector", "{}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "modelkeep" / "uploads"


def test_the_key_is_stored_until_it_is_cleared(folder: Path) -> None:
    first = PendingRegistration(*IDENTITY).key()
    assert PendingRegistration(*IDENTITY).key() == first
    PendingRegistration(*IDENTITY).clear()
    assert list(folder.iterdir()) == []
    assert PendingRegistration(*IDENTITY).key() != first


@pytest.mark.parametrize("position", range(3))
def test_another_registration_has_another_key(position: int) -> None:
    other = [*IDENTITY]
    other[position] += "2"
    assert PendingRegistration(*other).key() != PendingRegistration(*IDENTITY).key()


def test_calls_at_the_same_time_get_the_same_key() -> None:
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(50):
            keys = list(pool.map(lambda _, what=str(round_): PendingRegistration(what).key(), range(8)))
            assert len(set(keys)) == 1


def test_where_no_file_can_be_written_every_key_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert PendingRegistration(*IDENTITY).key() != PendingRegistration(*IDENTITY).key()
    PendingRegistration(*IDENTITY).clear()


def test_an_abandoned_key_is_removed_after_a_week(folder: Path) -> None:
    PendingRegistration("old").key()
    (old,) = folder.iterdir()
    PendingRegistration("recent").key()
    eight_days_ago = time.time() - 8 * 24 * 3600
    os.utime(old, (eight_days_ago, eight_days_ago), follow_symlinks=False)
    PendingRegistration(*IDENTITY).clear()
    assert old not in folder.iterdir()
    assert len(list(folder.iterdir())) == 1


def test_the_state_folder_follows_the_base_directory_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_folder() == tmp_path / "modelkeep"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local" / "state" / "modelkeep"
