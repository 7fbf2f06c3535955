"""What an answer of ClickHouse's HTTP that is no success means: again later, or never. Pure.

A cluster refuses rows for reasons that pass (too many parts, a full disk, a replica that has lost its keeper); rows that it gets for these
must wait, not be counted as ours. Numbers are those of its header ``X-ClickHouse-Exception-Code``, which the process of the embedded store tells as well.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

_NO_TABLES: Final = ("Code: 60.", "Code: 81.", "Code: 60,", "Code: 81,")
"""UNKNOWN_TABLE and UNKNOWN_DATABASE, as newer and older servers write them."""
CODE_HEADER: Final = "x-clickhouse-exception-code"
NOT_ENOUGH_SPACE: Final = "243"
_PASSING: Final = frozenset(
    {
        192,  # UNKNOWN_USER, and the next two of older servers: mended by who runs it
        193,  # WRONG_PASSWORD
        194,  # REQUIRED_PASSWORD
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        279,  # ALL_CONNECTION_TRIES_FAILED
        425,  # SYSTEM_ERROR
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
        999,  # KEEPER_EXCEPTION
    }
)
_PASSING_FOR_ROWS: Final = _PASSING | {
    159,  # TIMEOUT_EXCEEDED
    160,  # TOO_SLOW
    164,  # READONLY
    241,  # MEMORY_LIMIT_EXCEEDED
    242,  # TABLE_IS_READ_ONLY
    243,  # NOT_ENOUGH_SPACE
    252,  # TOO_MANY_PARTS
    285,  # TOO_FEW_LIVE_REPLICAS
    286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    319,  # UNKNOWN_STATUS_OF_INSERT: the token says whether the rows are there
    394,  # QUERY_WAS_CANCELLED
}
_NO_ENTRY: Final = frozenset({401, 403, 407})
"""Also of what stands in front of a server."""


class Verdict(Enum):
    """What to do after an answer."""

    DONE = "done"
    LATER = "later"
    REFUSED = "refused"


def verdict(status: int, code: str, *, brings_rows: bool) -> Verdict:
    """Judge an answer by its status and the code in its header, empty where there is none."""
    if status == 200 and not code:
        return Verdict.DONE
    number = int(code) if code.isascii() and code.isdigit() and len(code) < 6 else 0
    if number in (_PASSING_FOR_ROWS if brings_rows else _PASSING) or status in _NO_ENTRY:
        return Verdict.LATER
    is_in_front = status >= 500 and not number
    return Verdict.LATER if is_in_front or status == 429 else Verdict.REFUSED


def has_no_tables(reason: str) -> bool:
    """Tell whether a statement was refused because what it is about is not made yet.

    Queries are of tables of ours alone: one that is not there will be.
    """
    return reason.startswith(_NO_TABLES)


def are_rows(lines: bytes) -> bool:
    """Tell whether whole lines are rows of JSON, and none is what a server says that fails amid its answer."""
    return lines.startswith(b"{") and lines.count(b"\n{") == lines.count(b"\n") - 1
