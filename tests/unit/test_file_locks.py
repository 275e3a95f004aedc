"""Locks between processes: exclusion, sharing, and lock files that vanish."""

import asyncio
import fcntl
import threading
from pathlib import Path

import pytest

from modelkeep.kit.file_locks import async_locked, locked


async def test_one_at_a_time_holds_a_vanishing_lock_and_the_last_leaves_no_file(tmp_path: Path) -> None:
    path, holding, waits = tmp_path / "lock", 0, []

    async def hold() -> None:
        nonlocal holding
        async with async_locked(path) as waited:
            holding += 1
            assert holding == 1
            waits.append(waited)
            await asyncio.sleep(0.01)
            holding -= 1

    await asyncio.gather(*(hold() for _ in range(4)))
    assert waits[0] is False
    assert all(waits[1:])
    assert not path.exists()


async def test_a_lock_on_a_file_that_was_unlinked_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("ab") as unlinked:
        fcntl.flock(unlinked, fcntl.LOCK_EX)
        waiting = asyncio.create_task(_hold(path))
        await asyncio.sleep(0.01)
        path.unlink()
        async with async_locked(path):
            fcntl.flock(unlinked, fcntl.LOCK_UN)
            await asyncio.sleep(0.15)
            assert not waiting.done()
    assert await waiting


async def _hold(path: Path) -> bool:
    async with async_locked(path) as waited:
        return waited


async def test_a_lock_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await _hold(tmp_path / "absent" / "lock")


def test_shared_holders_admit_each_other_and_no_exclusive_one(tmp_path: Path) -> None:
    path, taken = tmp_path / "lock", threading.Event()

    def take() -> None:
        with locked(path):
            taken.set()

    with locked(path, shared=True), locked(path, shared=True):
        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.05)
    assert taken.wait(5)
    thread.join()
