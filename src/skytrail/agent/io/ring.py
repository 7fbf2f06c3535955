"""Reader of a kernel ring buffer, straight from shared memory."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = mmap.PAGESIZE
_HEADER_BYTES = 8
_BUSY = 1 << 31
_DISCARD = 1 << 30
_LENGTH_MASK = _DISCARD - 1
_RECORD_HEADER = struct.Struct("=I")


class RecordRing:
    """Single consumer. The kernel wakes pollers of the map's descriptor when records arrive."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._mask = size_bytes - 1
        self._consumer = mmap.mmap(fd, _PAGE, flags=mmap.MAP_SHARED, offset=0)
        # Positions are read and written as one word: ``struct`` clears what it packs into first, and for that
        # moment the kernel would think that nothing was read for long, and find the ring full.
        self._consumed = memoryview(self._consumer).cast("Q")
        # The kernel maps the data twice in a row, so that no record ever wraps.
        self._producer = mmap.mmap(
            fd, _PAGE + 2 * size_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=_PAGE
        )
        self._produced = memoryview(self._producer)[:_PAGE].cast("Q")

    def drain(self, receive: Callable[[bytes], None], records_max: int = 1 << 30) -> int:
        """Hand over finished records, at most so many; returns how many."""
        position = self._consumed[0]
        delivered = 0
        while delivered < records_max:
            if position >= self._produced[0]:
                break
            start = _PAGE + (position & self._mask)
            word = int(_RECORD_HEADER.unpack_from(self._producer, start)[0])
            if word & _BUSY:
                break
            length = word & _LENGTH_MASK
            if not word & _DISCARD:
                first = start + _HEADER_BYTES
                receive(self._producer[first : first + length])
                delivered += 1
            position += (length + _HEADER_BYTES + 7) // 8 * 8
            self._consumed[0] = position
        return delivered

    def take(self, record: np.dtype[Any], records_max: int) -> NDArray[Any]:
        """Remove finished records, at most so many, and return them; all of the ring are of this type."""
        framed = np.dtype([("length", "=u4"), ("page", "=u4"), ("record", record)])
        taken: list[NDArray[Any]] = []
        room = records_max
        position = self._consumed[0]
        while room:
            waiting = self._produced[0] - position
            start = _PAGE + (position & self._mask)
            count = min(waiting // framed.itemsize, room)
            view = np.frombuffer(self._producer, framed, count, start)
            is_odd = view["length"] != record.itemsize
            whole = int(is_odd.argmax()) if is_odd.any() else count
            if whole:
                taken.append(view["record"][:whole].copy())
                position += whole * framed.itemsize
                room -= whole
            elif count and view["length"][0] & _DISCARD:
                position += framed.itemsize
            else:
                break
            # Only now: the kernel writes over what is behind this position.
            self._consumed[0] = position
        # The type is said, or fields in network order would be turned round.
        return np.concatenate([np.zeros(0, record), *taken], dtype=record)

    def close(self) -> None:
        self._consumed.release()
        self._produced.release()
        self._consumer.close()
        self._producer.close()
