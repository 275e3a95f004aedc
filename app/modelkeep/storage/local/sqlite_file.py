"""The SQLite file behind the local `Table`: its schema, its connections, and its errors.

The table `tokens` has the request tokens of `Table.transact`.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from modelkeep.storage.table import CommitStateUnknownError, TableUnavailableError, TransactionConflictError

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = (
    """CREATE TABLE items (
        partition TEXT NOT NULL,
        sort INTEGER NOT NULL,
        item TEXT NOT NULL,
        stage TEXT,
        catalog TEXT,
        PRIMARY KEY (partition, sort)
    )""",
    'CREATE INDEX "stage-index" ON items (partition, stage, sort) WHERE stage IS NOT NULL',
    'CREATE INDEX "catalog-index" ON items (catalog, partition, sort) WHERE catalog IS NOT NULL',
    "CREATE TABLE tokens (token TEXT PRIMARY KEY, writes TEXT NOT NULL, sent_at REAL NOT NULL)",
    "CREATE INDEX tokens_by_age ON tokens (sent_at)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_BUSY_TIMEOUT_SECONDS: Final = 2.0
_OPEN_TIMEOUT_SECONDS: Final = 15.0
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full. Make room, then try again.",
    sqlite3.SQLITE_READONLY: "{path} cannot be written. Check its owner and permissions, and those of its folder.",
    sqlite3.SQLITE_PERM: "{path} cannot be used. Check its owner and permissions, and those of its folder.",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened. Check that its folder exists and can be written.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged. Stop the service and restore the file from a backup.",
    sqlite3.SQLITE_NOTADB: "{path} is not a registry's database. Choose another folder, or restore the file.",
    sqlite3.SQLITE_IOERR: "The disk that holds {path} fails. Check the system log.",
}


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection to a file of the present schema; create the file if it does not exist.

    Safe in several processes at once. Raises `TableUnavailableError`.
    """
    with unavailable(path):
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        _create_private(path)
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def unavailable(path: Path) -> Iterator[None]:
    """Convert every failure of SQLite or its folder to `TableUnavailableError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise TableUnavailableError(explain(error, path)) from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Commit the block's writes to disk, or none of them if it raises.

    Raises `TransactionConflictError`, `TableUnavailableError` or, if the disk failed during the commit itself,
    `CommitStateUnknownError`.
    """
    try:
        with _nothing_written(path):
            connection.execute("BEGIN IMMEDIATE")
            yield
        _commit(connection, path)
    finally:
        _roll_back(connection)


def explain(error: Exception, path: Path) -> str:
    """One sentence on what an operator should do about a failure of SQLite."""
    sentence = _SENTENCES.get(_code(error), "{path} cannot be used at present. Try again; if it lasts, check its disk.")
    return sentence.format(path=path)


def _code(error: Exception) -> int:
    extended: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return extended & 0xFF


@contextmanager
def _nothing_written(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if _code(error) in _BUSY:
            raise TransactionConflictError(f"another process is writing {path}") from error
        raise TableUnavailableError(explain(error, path)) from error
    except sqlite3.DatabaseError as error:
        raise TableUnavailableError(explain(error, path)) from error


def _commit(connection: sqlite3.Connection, path: Path) -> None:
    """Commit. After SQLITE_FULL nothing was committed; after another error the commit record may be on disk.

    Source: https://www.sqlite.org/wal.html, section 2: a commit is the append of a record to the WAL.
    """
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if _code(error) in _BUSY:
            raise TransactionConflictError(f"another process is writing {path}") from error
        if _code(error) == sqlite3.SQLITE_FULL:
            raise TableUnavailableError(explain(error, path)) from error
        raise CommitStateUnknownError(explain(error, path)) from error


def _create_private(path: Path) -> None:
    """Create the file for its owner alone, if there is none; SQLite gives its log and index the same mode.

    An existing file is not opened: closing it would release the locks of the process's connections. Where it cannot be
    created, SQLite cannot create it either, and its error says why.
    Sources: https://www.sqlite.org/howtocorrupt.html, section 2.2; `findCreateFileMode` in SQLite's os_unix.c
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _use_wal(connection, path)
    connection.execute("PRAGMA synchronous = FULL")
    if _version(connection) < SCHEMA_VERSION:
        _create_schema(connection)
    if _version(connection) > SCHEMA_VERSION:
        raise TableUnavailableError(
            f"{path} was written by a newer release of this program. Run that release or a later one."
        )


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to WAL. The busy timeout of SQLite does not apply while another process does the same."""
    deadline = time.monotonic() + _OPEN_TIMEOUT_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise TableUnavailableError(
                f"{path} is on a file system without shared memory. Choose a folder on a local disk."
            )
        return


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) < SCHEMA_VERSION:
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        _roll_back(connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
