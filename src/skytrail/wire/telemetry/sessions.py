"""Sessions of a host as packed columns: what has few different values is told once, numbers as arrays.

A column of texts is its different words and, for each row, the place of its word: two bytes, little-endian. A column of
numbers is an array of fixed width. So a collector checks and stores thousands of sessions without touching each.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Final, cast

import msgspec

from skytrail.wire.errors import DecodeError

TEXTS: Final = (
    *("session_type", "vrouter_ip", "vmi", "vn", "remote_vn", "tags", "remote_tags"),
    *("remote_prefix", "security_policy_rule", "local_ip", "remote_ip", "other_vrouter_ip"),
    *("forward_action", "reverse_action", "drop_reason"),
)
"""Columns of texts. Tags are numbers, ``0x00010005 0x00000003``: the collector names them."""
_COUNTERS: Final = tuple(
    f"{way}_{kind}_{unit}"
    for way in ("forward", "reverse")
    for kind in ("sampled", "logged")
    for unit in ("bytes", "pkts")
)
NUMBERS: Final[Mapping[str, str]] = {
    "T": "q",
    "server_port": "H",
    "client_port": "H",
    "protocol": "B",
    "underlay_proto": "B",
    "sample_weight": "d",
    **dict.fromkeys(_COUNTERS, "Q"),
    "setup_time": "q",
    "teardown_time": "q",
}
"""Columns of numbers, with the type code of their array; times in microseconds since 1970."""
PLACE: Final = "H"
ROWS_COUNT_MAX: Final = 20_000
"""Of one message: no more different words than two bytes can tell apart."""


class Texts(msgspec.Struct, frozen=True, array_like=True):
    """A column of texts: row ``i`` has ``words[places[i]]``."""

    words: list[str]
    places: bytes


class Sessions(msgspec.Struct, frozen=True, kw_only=True, tag="sessions"):
    """Sessions of a host's workloads that ended; a column that is not told is empty or zero."""

    count: int
    texts: dict[str, Texts]
    numbers: dict[str, bytes]
    number: int = 0
    """Of logs, sessions and losses of a run together; 0: nobody waits for its being kept."""


def array_of(code: str, content: bytes) -> array[int] | array[float]:
    """Return what an array of the wire holds; its length must be whole."""
    values = array(code, content)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def bytes_of(values: array[int] | array[float]) -> bytes:
    """Return an array as the wire has it."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def pack(rows: Sequence[Mapping[str, object]]) -> Sessions:
    """Return up to ``ROWS_COUNT_MAX`` rows as a message; rows may lack columns, ``T`` excepted."""
    present = dict.fromkeys(name for row in rows for name in row)
    return Sessions(
        count=len(rows),
        texts={
            name: texts_of([cast("str", row.get(name, "")) for row in rows])
            for name in present
            if name in TEXTS
        },
        numbers={
            name: bytes_of(array(NUMBERS[name], [cast("int", row.get(name, 0)) for row in rows]))
            for name in present
            if name in NUMBERS
        },
    )


def texts_of(values: Sequence[str]) -> Texts:
    """Return a column of up to ``ROWS_COUNT_MAX`` texts."""
    places = {word: place for place, word in enumerate(dict.fromkeys(values))}
    return Texts(list(places), bytes_of(array(PLACE, [places[each] for each in values])))


def unpack(message: Sessions) -> dict[str, list[object]]:
    """Return the columns of a message as lists; ``DecodeError`` for one that does not fit together."""
    check(message)
    columns: dict[str, list[object]] = {
        name: [each.words[place] for place in cast("array[int]", array_of(PLACE, each.places))]
        for name, each in message.texts.items()
    }
    for name, content in message.numbers.items():
        columns[name] = list(array_of(NUMBERS[name], content))
    return columns


def select(message: Sessions, chosen: Sequence[bool]) -> Sessions:
    """Return the chosen rows of a message that fits together; at least one."""

    def rows(code: str, content: bytes) -> bytes:
        return bytes_of(array(code, compress(array_of(code, content), chosen)))

    return msgspec.structs.replace(
        message,
        count=sum(chosen),
        texts={
            name: Texts(each.words, rows(PLACE, each.places))
            for name, each in message.texts.items()
        },
        numbers={name: rows(NUMBERS[name], each) for name, each in message.numbers.items()},
    )


def check(message: Sessions) -> None:
    """Raise ``DecodeError`` unless every column is known, and has a value for each row."""
    if not 0 < message.count <= ROWS_COUNT_MAX:
        raise DecodeError(f"{message.count} sessions in one message")
    unknown = sorted(
        (message.texts.keys() - set(TEXTS)) | (message.numbers.keys() - NUMBERS.keys())
    )
    if unknown:
        raise DecodeError(f"sessions have no column {unknown[0][:64]!r}")
    for name, texts in message.texts.items():
        if len(texts.places) != message.count * 2:
            raise DecodeError(f"column {name}: not one value for each session")
        if max(cast("array[int]", array_of(PLACE, texts.places))) >= len(texts.words):
            raise DecodeError(f"column {name}: a place beyond its words")
    for name, content in message.numbers.items():
        if len(content) != message.count * array(NUMBERS[name]).itemsize:
            raise DecodeError(f"column {name}: not one value for each session")
