"""The SQLite file behind the local `Table`: its schema, how it is opened, and what its failures mean."""

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
_WRITE_PATIENCE: Final = 2.0
_OPENING_PATIENCE: Final = 15.0
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full. Make room, then try again.",
    sqlite3.SQLITE_READONLY: "{path} cannot be written. Check its owner and permissions, and those of its folder.",
    sqlite3.SQLITE_PERM: "{path} cannot be used. Check its owner and permissions, and those of its folder.",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened. Check that its folder exists and can be written.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged. Stop the service and restore the file from a backup.",
    sqlite3.SQLITE_NOTADB: "{path} is not a registry's database. Choose another folder, or restore the file.",
    sqlite3.SQLITE_IOERR: "The disk that holds {path} fails. Check the system's log.",
}


def connect(path: Path) -> sqlite3.Connection:
    """Open one connection to a file of the present schema, and create the file if need be.

    Several processes may do so at once. Raises `TableUnavailableError`.
    """
    with unavailable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_WRITE_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def unavailable(path: Path) -> Iterator[None]:
    """Turn every failure of SQLite or its folder into `TableUnavailableError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise TableUnavailableError(explain(error, path)) from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Commit the block's writes to disk, or none of them if it raises.

    Raises `TransactionConflictError`, `TableUnavailableError` or, where the disk failed in the very act of committing,
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
    """Say in one sentence what an operator should do about a failure of SQLite."""
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
            raise TransactionConflictError(f"another process writes {path}") from error
        raise TableUnavailableError(explain(error, path)) from error
    except sqlite3.DatabaseError as error:
        raise TableUnavailableError(explain(error, path)) from error


def _commit(connection: sqlite3.Connection, path: Path) -> None:
    """Commit; a full disk refuses the commit record itself, but a disk that fails may have taken it.

    https://www.sqlite.org/wal.html
    """
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if _code(error) in _BUSY:
            raise TransactionConflictError(f"another process writes {path}") from error
        if _code(error) == sqlite3.SQLITE_FULL:
            raise TableUnavailableError(explain(error, path)) from error
        raise CommitStateUnknownError(explain(error, path)) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _use_wal(connection, path)
    connection.execute("PRAGMA synchronous = FULL")
    if _version(connection) < SCHEMA_VERSION:
        _create_schema(connection)
    if _version(connection) > SCHEMA_VERSION:
        raise TableUnavailableError(
            f"{path} was written by a newer release of this program. Run that one, or a later one."
        )


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch the journal; SQLite does not wait here by itself while another process does the same."""
    deadline = time.monotonic() + _OPENING_PATIENCE
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
