"""The datapath's side of the session log: events out of a ring buffer, while somebody wants them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent import abi
from skytrail.agent.io.bpf_syscall import BpfMap
from skytrail.agent.io.ebpf_qos_rows import folded_prefix
from skytrail.agent.io.ebpf_rows import u32
from skytrail.agent.io.ring import RecordRing
from skytrail.agent.session_log import SessionEvent, SessionKind
from skytrail.agent.tables import IdentityId, NextHopId, RuleId, VifId

_NANOSECONDS = 1_000_000_000


class SessionEvents:
    """Implements :class:`skytrail.agent.plugin.SessionSource`."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._maps = maps
        self._ring: RecordRing | None = None

    def want(self, *, wanted: bool) -> None:
        """Have the datapath tell of sessions, or not."""
        if wanted and self._ring is None:
            ring = self._maps["sessions"]
            self._ring = RecordRing(ring.fd, ring.max_entries)
        self._maps["sessions_wanted"].update(u32(0), u32(int(wanted)))

    def drain(self, receive: Callable[[SessionEvent], None], events_max: int) -> int:
        """Hand over events that wait, at most so many; returns how many."""
        if self._ring is None:
            return 0
        ahead_ns = round(time.clock_gettime(time.CLOCK_TAI) - time.time()) * _NANOSECONDS
        return self._ring.drain(lambda record: receive(_decoded(record, ahead_ns)), events_max)

    def counts(self) -> tuple[int, int]:
        """(events since load, those of them that got lost)."""
        raw = self._maps["session_counters"].lookup(u32(0))
        words = memoryview(raw or bytes(16)).cast("Q")
        return sum(words[0::2]), sum(words[1::2])

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None


def _decoded(record: bytes, ahead_ns: int) -> SessionEvent:
    event = abi.SessionEvent.unpack(record[: abi.SESSION_EVENT_LAYOUT.size])
    key = abi.FlowKey6.unpack(event.key)
    is_v4 = event.family == 4
    ends = [
        IPv4Address(raw[:4]) if is_v4 else IPv6Address(raw) for raw in (key.source, key.destination)
    ]
    return SessionEvent(
        kind=SessionKind(event.kind),
        time_ns=event.time_ns - ahead_ns,
        created_ns=event.created_ns,
        pair=event.pair,
        vif_id=VifId(key.vif),
        peer_vif_id=VifId(event.peer_vif),
        is_opened_here=not key.direction & abi.FlowDirection.FROM_UNDERLAY,
        source=ends[0],
        destination=ends[1],
        folded=(
            folded_prefix(ends[0], event.source_bits),
            folded_prefix(ends[1], event.destination_bits),
        )
        if key.direction & abi.FlowDirection.FOLDED
        else None,
        source_port=int.from_bytes(key.source_port, "big"),
        destination_port=int.from_bytes(key.destination_port, "big"),
        protocol=key.protocol,
        rule_id=RuleId(event.rule),
        identity=IdentityId(event.identity),
        nexthop_id=NextHopId(event.nexthop),
        drop_reason=abi.DropReason(event.drop_reason).name if event.drop_reason else "",
        packets=(event.packets_0, event.packets_1),
        bytes=(event.bytes_0, event.bytes_1),
    )
