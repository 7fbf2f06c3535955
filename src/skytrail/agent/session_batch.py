"""Records of sessions as the datapath writes them, many at once: as columns, or one by one. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skytrail.agent import abi
from skytrail.agent.tables import IdentityId, IpNetwork, NextHopId, RuleId, VifId

Array: TypeAlias = NDArray[Any]
RECORD: Final = np.dtype(
    [
        *(("time_ns", "=u8"), ("created_ns", "=u8"), ("pair", "=u4"), ("rule", "=u4")),
        *(("identity", "=u4"), ("source_bits", "=u2"), ("destination_bits", "=u2")),
        *(("nexthop", "=u2"), ("peer_vif", "=u2"), ("kind", "u1"), ("family", "u1")),
        *(("flags", "u1"), ("drop_reason", "u1"), ("source", "V16"), ("destination", "V16")),
        *(("source_port", ">u2"), ("destination_port", ">u2"), ("vif", "=u2")),
        *(("protocol", "u1"), ("direction", "u1"), ("packets", "=u8", 2), ("bytes", "=u8", 2)),
    ]
)
"""``struct session_event`` of ``bpf/include/abi_watch.h``."""
IPV4: Final = 4


class SessionKind(enum.IntEnum):
    """Numbered as in ``bpf/include/abi_watch.h``."""

    BEGIN = 1
    END = 2


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What the datapath tells of a flow."""

    kind: SessionKind
    time_ns: int
    """Since 1970."""
    created_ns: int
    """Of the monotonic clock: with ``pair`` the flow's name."""
    pair: int
    vif_id: VifId
    peer_vif_id: VifId
    """Where the other end is plugged, if it is on this host as well; else 0."""
    is_opened_here: bool
    """The port sent the first packet."""
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int
    destination_port: int
    protocol: int
    rule_id: RuleId
    identity: IdentityId
    """Of the far end; known at the beginning."""
    nexthop_id: NextHopId
    drop_reason: str
    """Empty: the flow is allowed."""
    packets: tuple[int, int]
    """Of the direction that began, and of its answers; at the end."""
    bytes: tuple[int, int]
    folded: tuple[IpNetwork, IpNetwork] | None = None
    """Source and destination of a flow that is one for many addresses, whose own are the prefixes'."""

    @property
    def id(self) -> str:
        return f"{self.vif_id}-{self.pair}-{self.created_ns}"


@dataclass(frozen=True, slots=True, eq=False)
class SessionBatch:
    """Records in the order in which they were written."""

    records: Array
    """Of type :data:`RECORD`."""
    ahead_ns: int = 0
    """How far the clock of ``time_ns`` is ahead of the time since 1970."""
    monotonic_ns: int = 0
    """When the clock of ``created_ns`` was 0, since 1970."""

    def __len__(self) -> int:
        return len(self.records)

    def events(self) -> Iterator[SessionEvent]:
        """Yield the records one by one."""
        for fields in abi.SESSION_EVENT_LAYOUT.iter_unpack(self.records.tobytes()):
            yield _decoded(abi.SessionEvent._make(fields), self.ahead_ns)


def folded_prefix(address: IPv4Address | IPv6Address, bits: int) -> IpNetwork:
    """Return what a folded flow's key has of an address."""
    return ip_network((address, min(bits, address.max_prefixlen)))


def _decoded(event: abi.SessionEvent, ahead_ns: int) -> SessionEvent:
    key = abi.FlowKey6.unpack(event.key)
    ends = [
        IPv4Address(raw[:4]) if event.family == IPV4 else IPv6Address(raw)
        for raw in (key.source, key.destination)
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
        drop_reason=drop_reason_name(event.drop_reason),
        packets=(event.packets_0, event.packets_1),
        bytes=(event.bytes_0, event.bytes_1),
    )


def drop_reason_name(number: int) -> str:
    """Return the name of a reason; empty for none."""
    return abi.DropReason(number).name if number else ""
