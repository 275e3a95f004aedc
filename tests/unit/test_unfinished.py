"""The key of a registration is kept until it is done, and never shared with another."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelkeep.client.pending_registration import PendingRegistration, state_folder

WHAT = ("http://registry", "fraud-detector", "{}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "modelkeep" / "uploads"


def test_the_key_stays_until_it_is_forgotten(folder: Path) -> None:
    first = PendingRegistration(*WHAT).key()
    assert PendingRegistration(*WHAT).key() == first
    PendingRegistration(*WHAT).forget()
    assert list(folder.iterdir()) == []
    assert PendingRegistration(*WHAT).key() != first


@pytest.mark.parametrize("place", range(3))
def test_another_registration_has_another_key(place: int) -> None:
    other = [*WHAT]
    other[place] += "2"
    assert PendingRegistration(*other).key() != PendingRegistration(*WHAT).key()


def test_all_who_begin_at_once_have_the_same_key() -> None:
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(50):
            keys = list(pool.map(lambda _, what=str(round_): PendingRegistration(what).key(), range(8)))
            assert len(set(keys)) == 1


def test_without_a_folder_to_write_every_key_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert PendingRegistration(*WHAT).key() != PendingRegistration(*WHAT).key()
    PendingRegistration(*WHAT).forget()


def test_what_nobody_came_back_for_is_removed_after_a_week(folder: Path) -> None:
    PendingRegistration("old").key()
    (old,) = folder.iterdir()
    PendingRegistration("recent").key()
    eight_days_ago = time.time() - 8 * 24 * 3600
    os.utime(old, (eight_days_ago, eight_days_ago), follow_symlinks=False)
    PendingRegistration(*WHAT).forget()
    assert old not in folder.iterdir()
    assert len(list(folder.iterdir())) == 1


def test_the_state_folder_is_where_programs_keep_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_folder() == tmp_path / "modelkeep"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local" / "state" / "modelkeep"
