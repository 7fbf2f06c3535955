"""The SQLite file: its tables, how it is opened, and its errors in our words.

    kv    key -> value, revision of creation and of last change: the present
    log   change -> key, new value, and what was there before: the past
    body  change -> the value it put, when that is no small one
    meta  present revision, compacted revision

A change is a revision and a place in it (``change_id``). Whatever is small stands in ``kv`` and
``log`` themselves; any other value is written once, to the end of ``body``, and both refer to it.
So a commit writes few pages: those of ``kv``, which are many keys each, and the ends of the others.

The log keeps the former value, so the state at revision R is kv with every change after R undone,
and compaction deletes the oldest changes with the bodies that they replaced.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from skytrail.store.plugin import StoreDamaged, StoreUnavailable

FORMAT_VERSION: Final = 2
SMALL_BYTES_MAX: Final = 256
"""Uuids and counters, that is. Longer values would make of ``kv`` a few keys a page."""
_PLACE_BITS: Final = 17
"""Places in a revision: more than a transaction may have operations."""
BUSY_TIMEOUT_S: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS kv (
    key TEXT PRIMARY KEY, value BLOB, body INTEGER, create_rev INTEGER NOT NULL,
    mod_rev INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    change INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, old_value BLOB, old_body INTEGER,
    old_create_rev INTEGER NOT NULL, old_mod_rev INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS body (change INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (
    id TEXT PRIMARY KEY, boot TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leader (name TEXT PRIMARY KEY, lease TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('compacted', 0);
"""

# Format 1 had each value where the key was, in kv and twice in the log. What a value becomes is named
# after its change; one whose change is discarded gets a number below zero that no other can have.
_SET_FORMAT_1_ASIDE: Final = """
ALTER TABLE kv RENAME TO old_kv;
ALTER TABLE log RENAME TO old_log;
CREATE INDEX old_log_key ON old_log (key, rev);
"""
_TAKE_OVER_FORMAT_1: Final = """
INSERT INTO body SELECT rev << 17 | position, value FROM old_log WHERE length(value) > 256;
INSERT INTO kv SELECT key, iif(is_small, value, NULL),
    iif(is_small, NULL, ifnull(
        (SELECT rev << 17 | position FROM old_log WHERE old_log.key = every.key AND rev = mod_rev),
        -number)),
    create_rev, mod_rev
    FROM (SELECT *, length(value) <= 256 AS is_small,
          row_number() OVER (ORDER BY key) AS number FROM old_kv) AS every;
INSERT INTO body SELECT kv.body, old_kv.value FROM kv JOIN old_kv USING (key) WHERE kv.body < 0;
INSERT INTO log SELECT rev << 17 | position, key, iif(length(value) <= 256, value, NULL),
    iif(length(old_value) <= 256, old_value, NULL),
    iif(length(old_value) > 256, ifnull(
        (SELECT rev << 17 | position FROM old_log AS former
         WHERE former.key = every.key AND former.rev = every.old_mod_rev),
        -(1 << 62) + (rev << 17 | position)), NULL),
    old_create_rev, old_mod_rev FROM old_log AS every ORDER BY rev, position;
INSERT INTO body SELECT log.old_body, old_log.old_value FROM log
    JOIN old_log ON log.change = rev << 17 | position WHERE log.old_body < 0;
DROP TABLE old_kv;
DROP TABLE old_log;
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


def change_id(revision: int, place: int = 0) -> int:
    """Return the number of a change: its revision, and its place in it."""
    return revision << _PLACE_BITS | place


def revision_of(change: int) -> int:
    """Return the revision of a change."""
    return change >> _PLACE_BITS


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
    connection.execute("BEGIN IMMEDIATE")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > FORMAT_VERSION:
        raise StoreUnavailable(
            f"{path} has format {version}, this release reads up to {FORMAT_VERSION}; upgrade"
        )
    script = _SCHEMA
    if version == 1:
        script = _SET_FORMAT_1_ASIDE + _SCHEMA + _TAKE_OVER_FORMAT_1
    for statement in script.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    present = horizon(connection)
    connection.execute("COMMIT")
    return present
