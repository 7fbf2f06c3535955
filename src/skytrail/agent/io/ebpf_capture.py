"""The datapath's side of captures: filters into slots, frames out of a ring buffer."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent import abi
from skytrail.agent.capture import Captured, CaptureFilter, Point
from skytrail.agent.io.bpf_syscall import BpfMap
from skytrail.agent.io.ebpf_rows import u32
from skytrail.agent.io.ring import RecordRing
from skytrail.agent.tables import VifId

_EVENT_HEADER = struct.Struct("=QIIIBBBx")
_ADDRESS_BYTES = 16
_NANOSECONDS = 1_000_000_000


class CaptureSlots:
    """Turns captures on and off. Nothing is read, and no ring mapped, while none is on."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._maps = maps
        self._points: dict[int, Point] = {}
        self._ring: RecordRing | None = None
        self._before: dict[int, tuple[int, int]] = {}

    @property
    def fd(self) -> int:
        """Readable when frames wait."""
        return self._maps["captured"].fd

    def start(self, slot: int, wanted: CaptureFilter) -> None:
        if self._ring is None:
            ring = self._maps["captured"]
            self._ring = RecordRing(ring.fd, ring.max_entries)
        self._before[slot] = self._totals(slot)
        self._maps["captures"].update(u32(slot), _packed(wanted))
        self._points[slot] = wanted.points
        self._write_points()

    def stop(self, slot: int) -> None:
        self._points.pop(slot, None)
        self._write_points()
        self._maps["captures"].update(u32(slot), bytes(abi.CAPTURE_FILTER_LAYOUT.size))

    def stop_all(self) -> None:
        """End what an earlier run left on: nobody reads it."""
        for slot in range(abi.CAPTURE_SLOTS):
            self.stop(slot)

    def counts(self, slot: int) -> tuple[int, int]:
        """(frames that matched, those of them that got lost) since the slot's start."""
        now, before = self._totals(slot), self._before.get(slot, (0, 0))
        return now[0] - before[0], now[1] - before[1]

    def drain(self, receive: Callable[[Captured], None], frames_max: int) -> int:
        """Hand over frames that wait, at most so many."""
        if self._ring is None:
            return 0
        ahead_ns = round(time.clock_gettime(time.CLOCK_TAI) - time.time()) * _NANOSECONDS
        return self._ring.drain(lambda record: receive(_decoded(record, ahead_ns)), frames_max)

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _totals(self, slot: int) -> tuple[int, int]:
        raw = self._maps["capture_counters"].lookup(u32(slot))
        words = memoryview(raw or b"").cast("Q") if raw else ()
        return sum(words[0::2]), sum(words[1::2])

    def _write_points(self) -> None:
        union = 0
        for points in self._points.values():
            union |= points
        self._maps["capture_points"].update(u32(0), u32(union))


def _packed(wanted: CaptureFilter) -> bytes:
    asks = 0
    for value, bit in (
        (wanted.source, abi.CaptureAsks.SOURCE),
        (wanted.destination, abi.CaptureAsks.DESTINATION),
        (wanted.source_port, abi.CaptureAsks.SOURCE_PORT),
        (wanted.destination_port, abi.CaptureAsks.DESTINATION_PORT),
        (wanted.protocol, abi.CaptureAsks.PROTOCOL),
    ):
        if value is not None:
            asks |= bit
    address = wanted.source or wanted.destination
    return abi.CaptureFilter(
        snap=wanted.snap_bytes,
        vif=wanted.vif_id,
        points=wanted.points,
        asks=asks,
        protocol=wanted.protocol or 0,
        reason=abi.DropReason[wanted.reason] if wanted.reason else 0,
        family=address.version if address else 0,
        source=_address(wanted.source),
        destination=_address(wanted.destination),
        source_port=(wanted.source_port or 0).to_bytes(2, "big"),
        destination_port=(wanted.destination_port or 0).to_bytes(2, "big"),
    ).pack()


def _address(address: IPv4Address | IPv6Address | None) -> bytes:
    return (address.packed if address else b"").ljust(_ADDRESS_BYTES, b"\0")


def _decoded(record: bytes, ahead_ns: int) -> Captured:
    time_ns, vif, original, kept, slots, point, reason = _EVENT_HEADER.unpack_from(record)
    return Captured(
        time_ns=time_ns - ahead_ns,
        vif_id=VifId(vif),
        slots=slots,
        point=Point(point),
        reason=abi.DropReason(reason).name if reason else "",
        original_bytes=original,
        frame=record[_EVENT_HEADER.size : _EVENT_HEADER.size + kept],
    )
