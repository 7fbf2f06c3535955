"""Consumer of the datapath's punt ring buffer, read straight from shared memory."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable

from skytrail.agent import abi
from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.tables import VifId

_PAGE = mmap.PAGESIZE
_HEADER_BYTES = 8
_BUSY = 1 << 31
_DISCARD = 1 << 30
_LENGTH_MASK = _DISCARD - 1
_POSITION = struct.Struct("=Q")
_RECORD_HEADER = struct.Struct("=I")
_EVENT_HEADER = struct.Struct("=IHB1xII")


class PuntRing:
    """Single consumer. The kernel wakes pollers of the map's descriptor when records arrive."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._mask = size_bytes - 1
        self._consumer = mmap.mmap(fd, _PAGE, flags=mmap.MAP_SHARED, offset=0)
        # The kernel maps the data twice in a row, so that no record ever wraps.
        self._producer = mmap.mmap(
            fd, _PAGE + 2 * size_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=_PAGE
        )

    def drain(self, receive: Callable[[Punt], None], count_max: int) -> int:
        """Hand over finished records, at most so many: workloads may add them as fast as they are
        taken. Returns how many were punts.
        """
        position = int(_POSITION.unpack_from(self._consumer)[0])
        delivered = 0
        while delivered < count_max and position < int(_POSITION.unpack_from(self._producer)[0]):
            start = _PAGE + (position & self._mask)
            word = int(_RECORD_HEADER.unpack_from(self._producer, start)[0])
            if word & _BUSY:
                break
            length = word & _LENGTH_MASK
            if not word & _DISCARD:
                punt = self._decode(start + _HEADER_BYTES)
                if punt is not None:
                    receive(punt)
                    delivered += 1
            position += (length + _HEADER_BYTES + 7) // 8 * 8
            _POSITION.pack_into(self._consumer, 0, position)
        return delivered

    def _decode(self, start: int) -> Punt | None:
        header: tuple[int, ...] = _EVENT_HEADER.unpack_from(self._producer, start)
        ifindex, vif, reason, argument, frame_bytes = header
        if frame_bytes > abi.PUNT_FRAME_BYTES_MAX or reason not in set(PuntReason):
            return None
        frame_start = start + _EVENT_HEADER.size
        return Punt(
            reason=PuntReason(reason),
            vif_id=VifId(vif),
            ifindex=ifindex,
            argument=argument,
            frame=self._producer[frame_start : frame_start + frame_bytes],
        )

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()
