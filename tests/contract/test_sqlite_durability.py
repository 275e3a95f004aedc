"""What the local table promises beyond the contract: several processes, sudden deaths, and files it cannot use."""

import asyncio
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from modelkeep.storage.local import sqlite, sqlite_file
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import (
    Absent,
    CommitStateUnknownError,
    ConditionFailedError,
    Item,
    ItemKey,
    Present,
    Put,
    TableUnavailableError,
    TransactionConflictError,
)

ROOT = Path(__file__).parents[2]
HERE = ItemKey("model", 1)
WRITE = Put({"model_name": "model", "version": 1}, Absent())

WRITER = """
import asyncio, sys
from pathlib import Path
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import Absent, Put, TransactionConflictError

async def main(path, writer):
    async with SqliteTable.open(Path(path)) as table:
        print("ready", flush=True)
        for n in range(1, 1_000_000):
            names = f"first-{writer}", f"second-{writer}"
            pair = [{"model_name": name, "version": n, "text": "x" * 3000} for name in names]
            while True:
                try:
                    await table.transact([Put(item, Absent()) for item in pair], request_token=f"{writer}-{n}")
                except TransactionConflictError:
                    continue
                break
            print(n, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "registry.sqlite3"


@pytest.fixture
def other_file(path: Path) -> Path:
    path.parent.mkdir()
    path.write_text("not a database, but long enough to look at " * 100)
    return path


@pytest.fixture
async def table(path: Path) -> AsyncIterator[SqliteTable]:
    async with SqliteTable.open(path) as table:
        yield table


def writer(path: Path, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), name]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def kill_after(process: "subprocess.Popen[str]", seconds: float) -> int:
    """Kill it without warning, and return the last number that it had acknowledged."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    await asyncio.sleep(seconds)
    process.kill()
    said = process.communicate()[0].splitlines(keepends=True)
    return max((int(line) for line in said if line.endswith("\n")), default=0)


async def numbers(table: SqliteTable, partition: str) -> list[int]:
    return [int(item["version"]) for item in (await table.query(partition, limit=100_000)).items]


async def test_a_killed_writer_loses_no_acknowledged_write(path: Path) -> None:
    for attempt in range(8):
        acknowledged = await kill_after(writer(path, f"w{attempt}"), 0.02 + attempt * 0.03)
        async with SqliteTable.open(path) as table:
            first, second = [await numbers(table, f"{half}-w{attempt}") for half in ("first", "second")]
        assert first == second
        assert first == list(range(1, len(first) + 1))
        assert acknowledged <= len(first) <= acknowledged + 1


async def test_processes_share_the_file_and_survive_the_death_of_one(path: Path) -> None:
    processes = [writer(path, name) for name in ("a", "b", "c")]
    acknowledged = [await kill_after(process, 0.15) for process in processes]
    async with SqliteTable.open(path) as table:
        for name, told in zip("abc", acknowledged, strict=True):
            kept = await numbers(table, f"second-{name}")
            assert told <= len(kept) <= told + 1
            assert kept == list(range(1, len(kept) + 1))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_many_may_open_a_new_file_at_once(path: Path) -> None:
    processes = [writer(path, f"w{n}") for n in range(6)]
    assert all([await kill_after(process, 0.05) >= 0 for process in processes])


async def test_a_write_is_on_disk_before_it_is_acknowledged(table: SqliteTable) -> None:
    for connection in (table._writer, table._reader, table._lister):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_what_is_kept_is_there_after_reopening(path: Path) -> None:
    item: Item = {"model_name": "model", "version": 1, "blob": b"\xff", "names": frozenset({"a"})}
    async with SqliteTable.open(path) as table:
        await table.transact([Put(item, Absent())], request_token="once")
    async with SqliteTable.open(path) as table:
        assert await table.get(HERE) == item
        await table.transact([Put(item, Absent())], request_token="once")


async def test_a_token_is_forgotten_after_ten_minutes(table: SqliteTable, monkeypatch: pytest.MonkeyPatch) -> None:
    await table.transact([WRITE], request_token="once")
    monkeypatch.setattr(sqlite, "_REQUEST_TOKEN_SECONDS", -1)
    with pytest.raises(ConditionFailedError):
        await table.transact([WRITE], request_token="once")
    await table.transact([Put(WRITE.item, Present())], request_token="twice")
    assert table._writer.execute("SELECT token FROM tokens").fetchall() == [("twice",)]


async def test_a_file_of_a_newer_release_is_refused(path: Path) -> None:
    async with SqliteTable.open(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(TableUnavailableError, match="newer release"):
        async with SqliteTable.open(path):
            pass


async def test_a_file_of_something_else_is_refused(other_file: Path) -> None:
    with pytest.raises(TableUnavailableError, match="is not a registry's database"):
        async with SqliteTable.open(other_file):
            pass


async def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TableUnavailableError, match="cannot be used"):
        async with SqliteTable.open(tmp_path / "file" / "registry.sqlite3"):
            pass


async def test_another_writer_is_contention_and_nobody_waits_to_read(
    table: SqliteTable, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await table.transact([WRITE], request_token="first")
    table._writer.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransactionConflictError):
            await table.transact([Put(WRITE.item, Present())], request_token="second")
        assert await table.get(HERE) == WRITE.item
        other.execute("ROLLBACK")
    await table.transact([Put(WRITE.item, Present())], request_token="second")


async def test_a_full_disk_is_explained_and_writes_nothing(table: SqliteTable) -> None:
    pages = table._writer.execute("PRAGMA page_count").fetchone()[0]
    table._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(TableUnavailableError, match="is full"):
        await table.transact([Put({**WRITE.item, "text": "x" * 100_000}, Absent())], request_token="large")
    assert await table.get(HERE) is None
    table._writer.execute("PRAGMA max_page_count = 1000000")
    await table.transact([WRITE], request_token="small")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (sqlite3.SQLITE_IOERR, CommitStateUnknownError),
        (sqlite3.SQLITE_IOERR_FSYNC, CommitStateUnknownError),
        (sqlite3.SQLITE_FULL, TableUnavailableError),
        (sqlite3.SQLITE_BUSY, TransactionConflictError),
    ],
)
def test_a_commit_that_fails_says_what_is_known(tmp_path: Path, code: int, outcome: type[Exception]) -> None:
    connection = FailingCommit(code)
    with pytest.raises(outcome), sqlite_file.transaction(connection, tmp_path):  # type: ignore[arg-type]
        pass
    assert connection.said == ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"]


class FailingCommit:
    """A connection on a disk that fails in the act of committing."""

    in_transaction = True

    def __init__(self, code: int) -> None:
        self._code = code
        self.said: list[str] = []

    def execute(self, statement: str) -> None:
        self.said.append(statement)
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self._code
            raise error


async def test_a_cancelled_caller_leaves_the_table_usable(table: SqliteTable) -> None:
    tasks = [
        asyncio.create_task(
            table.transact([Put({"model_name": "model", "version": n}, Absent())], request_token=str(uuid.uuid4()))
        )
        for n in range(1, 51)
    ]
    await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    await table.transact([Put({"model_name": "other", "version": 1}, Absent())], request_token="after")
    kept = await numbers(table, "model")
    assert {n for n, outcome in enumerate(done, 1) if outcome is None} <= set(kept)
