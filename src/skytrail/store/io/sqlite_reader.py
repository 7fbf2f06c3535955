"""Reading the SQLite file at a revision; plain functions on a connection, for reader threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, TypeVar

from skytrail.store.io.sqlite_file import change_id, horizon, revision_of
from skytrail.store.key_space import prefix_end
from skytrail.store.plugin import Batch, Change, Compacted, KeyValue, Page

LOG_REVISIONS_PER_READ: Final = 128
_KEY_AFTER_ALL: Final = chr(0x10FFFF) * 8
T = TypeVar("T")

_Row = tuple[str, bytes, int, int]

_GET: Final = """
SELECT key, ifnull(kv.value, body.value), create_rev, mod_rev
FROM kv LEFT JOIN body ON body.change = kv.body WHERE key = ?
"""

_PRESENT: Final = """
SELECT key, ifnull(kv.value, body.value), create_rev, mod_rev
FROM kv LEFT JOIN body ON body.change = kv.body WHERE key >= ? AND key < ?
ORDER BY key LIMIT ?
"""

# The first change of a key after the revision tells what the key was at the revision; SQLite
# takes the bare columns of a group from the row that has the minimum.
_PAST: Final = """
SELECT key, ifnull(held.value, body.value), create_rev, mod_rev FROM (
  SELECT key, value, body, create_rev, mod_rev FROM kv WHERE key >= :first AND key < :end
    AND mod_rev <= :at
  UNION ALL
  SELECT key, old_value, old_body, old_create_rev, old_mod_rev FROM (
    SELECT key, old_value, old_body, old_create_rev, old_mod_rev, min(change) FROM log
    WHERE change >= :after AND key >= :first AND key < :end GROUP BY key)
  WHERE old_mod_rev > 0
  ORDER BY key LIMIT :count) AS held LEFT JOIN body ON body.change = held.body
ORDER BY key
"""

_LOG: Final = """
SELECT log.change, key, ifnull(log.value, body.value)
FROM log LEFT JOIN body ON body.change = log.change
WHERE log.change >= ? AND log.change < ? ORDER BY log.change
"""


def in_snapshot(connection: sqlite3.Connection, read: Callable[[sqlite3.Connection], T]) -> T:
    """Run a read in one transaction, so that all of it sees the same revision."""
    connection.execute("BEGIN")
    try:
        return read(connection)
    finally:
        connection.execute("ROLLBACK")


def get(connection: sqlite3.Connection, key: str, revision: int | None) -> KeyValue | None:
    """Return one key as it was at a revision (None: now)."""
    if revision is None:
        row: _Row | None = connection.execute(_GET, (key,)).fetchone()
        return None if row is None else KeyValue(*row)
    check_revision(connection, revision)
    rows = _read(connection, revision, first=key, end=key + "\0", count=1)
    return rows[0] if rows else None


def get_range(
    connection: sqlite3.Connection,
    prefix: str,
    *,
    start: str | None,
    limit: int,
    revision: int | None,
) -> Page:
    """Return one page of a prefix as it was at a revision (None: now)."""
    present = horizon(connection).revision
    at = present if revision is None else revision
    check_revision(connection, at)
    first, end = max(prefix, start or ""), prefix_end(prefix) or _KEY_AFTER_ALL
    if at == present:
        found = connection.execute(_PRESENT, (first, end, limit + 1)).fetchall()
        rows = [KeyValue(*row) for row in found]
    else:
        rows = _read(connection, at, first=first, end=end, count=limit + 1)
    following = rows[limit].key if len(rows) > limit else None
    return Page(tuple(rows[:limit]), at, following)


def get_log(connection: sqlite3.Connection, position: int) -> Sequence[Batch]:
    """Return the next batches from a revision on; empty when there are none yet."""
    if position <= horizon(connection).compacted:
        raise Compacted(f"revision {position} is discarded")
    rows: Iterable[tuple[int, str, bytes | None]] = connection.execute(
        _LOG, (change_id(position), change_id(position + LOG_REVISIONS_PER_READ))
    )
    return [
        Batch(revision, tuple(Change(key, value) for _change, key, value in group))
        for revision, group in groupby(rows, key=lambda row: revision_of(row[0]))
    ]


def check_revision(connection: sqlite3.Connection, revision: int) -> None:
    """Raise ValueError for a revision to come and Compacted for a discarded one."""
    present = horizon(connection)
    if revision > present.revision:
        raise ValueError(f"revision {revision} is to come; the current is {present.revision}")
    if revision < present.compacted:
        raise Compacted(f"revision {revision} is discarded up to {present.compacted}")


def _read(
    connection: sqlite3.Connection, at: int, *, first: str, end: str, count: int
) -> list[KeyValue]:
    after = change_id(at + 1)
    bounds = {"first": first, "end": end, "at": at, "after": after, "count": count}
    found: list[_Row] = connection.execute(_PAST, bounds).fetchall()
    return [KeyValue(*row) for row in found]
