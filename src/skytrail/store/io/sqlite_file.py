"""The SQLite file: its tables, how it is opened, and its errors in our words.

    kv    key -> value, revision of creation and of last change: the present
    log   revision, position in it -> key, new value, and what was there before: the past
    meta  present revision, compacted revision

The log keeps the former value, so the state at revision R is kv with every change after R undone,
and compaction is one range delete that touches nothing a reader at a later revision needs.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from skytrail.store.plugin import StoreDamaged, StoreUnavailable

FORMAT_VERSION: Final = 1
BUSY_TIMEOUT_S: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS kv (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL,
    mod_rev INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    rev INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, value BLOB,
    old_value BLOB, old_create_rev INTEGER NOT NULL, old_mod_rev INTEGER NOT NULL,
    PRIMARY KEY (rev, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (
    id TEXT PRIMARY KEY, boot TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leader (name TEXT PRIMARY KEY, lease TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('compacted', 0);
"""

_DAMAGED_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Horizon(NamedTuple):
    """The present revision and the last discarded one."""

    revision: int
    compacted: int


def prepare(path: Path) -> Horizon:
    """Create the file if there is none, check it, return its revisions.

    Raises StoreUnavailable or StoreDamaged with what to do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot create folder {path.parent}: {error.strerror}") from error
    try:
        # The configuration holds keys and passwords; SQLite's side files take the same rights.
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    try:
        connection = connect(path)
        try:
            return _prepare(path, connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translate(error, path) from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection as every part uses it: WAL, full sync, explicit transactions."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -32768")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def horizon(connection: sqlite3.Connection) -> Horizon:
    """Read both revisions inside the connection's transaction."""
    rows: list[tuple[str, int]] = connection.execute("SELECT name, number FROM meta").fetchall()
    numbers = dict(rows)
    return Horizon(numbers["revision"], numbers["compacted"])


def translate(error: sqlite3.Error, path: Path) -> StoreUnavailable:
    """Say in the operator's words what SQLite met, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED_CODES:
        return StoreDamaged(
            f"the store file {path} is damaged ({error}); stop the API and restore a backup"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailable(f"the disk of {path} is full; free space, then try again")
    if code == sqlite3.SQLITE_BUSY:
        return StoreUnavailable(f"another process holds {path} locked; try again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreUnavailable(f"the store file {path} cannot be opened for writing: {error}")
    return StoreUnavailable(f"the store file {path} failed: {error}")


def _prepare(path: Path, connection: sqlite3.Connection) -> Horizon:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > FORMAT_VERSION:
        raise StoreUnavailable(
            f"{path} has format {version}, this release reads up to {FORMAT_VERSION}; upgrade"
        )
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    return horizon(connection)
