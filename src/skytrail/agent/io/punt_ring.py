"""Consumer of the datapath's punt ring buffer."""

from __future__ import annotations

import struct
from collections.abc import Callable

from skytrail.agent import abi
from skytrail.agent.io.ring import RecordRing
from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.tables import VifId

_EVENT_HEADER = struct.Struct("=IHB1xII")


class PuntRing:
    """Hands over frames that are for the agent."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._ring = RecordRing(fd, size_bytes)

    def drain(self, receive: Callable[[Punt], None], count_max: int) -> int:
        """Hand over finished records, at most so many: workloads may add them as fast as they are
        taken. Returns how many were punts.
        """
        delivered = 0

        def take(record: bytes) -> None:
            nonlocal delivered
            punt = _decode(record)
            if punt is not None:
                receive(punt)
                delivered += 1

        self._ring.drain(take, count_max)
        return delivered

    def close(self) -> None:
        self._ring.close()


def _decode(record: bytes) -> Punt | None:
    header: tuple[int, ...] = _EVENT_HEADER.unpack_from(record)
    ifindex, vif, reason, argument, frame_bytes = header
    if frame_bytes > abi.PUNT_FRAME_BYTES_MAX or reason not in set(PuntReason):
        return None
    return Punt(
        reason=PuntReason(reason),
        vif_id=VifId(vif),
        ifindex=ifindex,
        argument=argument,
        frame=record[_EVENT_HEADER.size : _EVENT_HEADER.size + frame_bytes],
    )
