"""The agent's seam: a datapath holds the desired tables and reports what happened to packets.

Two implementations: ``agent/io/ebpf.py`` (the kernel) and ``testing/fake_datapath.py``, which
executes the same tables on parsed packets so that pure tests can ask "does A reach B?". What both
promise beyond their types is the suite in ``testing/datapath_cases.py``; a third back end is proven by it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, TypeVar

from skytrail.agent.capture import Captured, CaptureFilter
from skytrail.agent.session_batch import SessionBatch
from skytrail.agent.table_use import TableUse
from skytrail.agent.tables import IpNetwork, NextHopId, Row, RuleId, VifId
from skytrail.net import Mac

RowT = TypeVar("RowT", bound=Row)
_TO_LEARN = 1
"""``PUNTED_TO_LEARN`` of ``bpf/include/abi_punt.h``."""


class PuntReason(enum.IntEnum):
    """Why the datapath hands a frame to the agent, numbered as in ``bpf/include/abi.h``."""

    DHCP = 1
    DHCP6 = 2
    DNS = 3
    ROUTER_SOLICITATION = 4
    ICMP_TTL_EXCEEDED = 5
    ICMP_TOO_BIG = 6
    """``Punt.argument`` is the MTU to report."""
    RECEIVE = 7
    """Anything else addressed to the vRouter itself (ping of the gateway)."""
    ICMP_UNREACHABLE = 8
    ANNOUNCEMENT = 9
    """A gratuitous ARP, or an unsolicited neighbour advertisement, of an interface with ``InterfaceRow.announces``."""
    MEMBERSHIP = 10
    """IGMP or MLD of an interface whose ``FloodRow.snoops``."""
    MAC = 11
    """From a MAC that is not known to be behind an interface that learns; it goes on, too."""


@dataclass(frozen=True, slots=True)
class Punt:
    """A frame handed over; ``frame`` starts at the Ethernet header and may be truncated to 2 KiB.
    Its transport checksum may be unfinished: never verify it for frames from a local workload.
    """

    reason: PuntReason
    vif_id: VifId
    ifindex: int
    argument: int
    frame: bytes

    @property
    def is_to_learn(self) -> bool:
        """Of an announcement: of an address that is not known, or asked for, of an interface with
        ``InterfaceRow.learns_addresses``; the frame goes on, too.
        """
        return self.argument == _TO_LEARN


@dataclass(frozen=True, slots=True)
class FlowEnds:
    """Addresses and ports of a packet."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """One direction of a flow as the kernel holds it."""

    vif_id: VifId
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    source_port: int
    destination_port: int
    is_reverse: bool
    allowed: bool
    drop_reason: str | None
    rule_id: RuleId
    """Deciding rule of the local interface's policy; 0 for none."""
    nexthop_id: NextHopId
    label: int
    packets: int
    bytes: int
    age_s: float
    """Since creation."""
    leaves_as: FlowEnds | None = None
    """What its packets leave with when they are translated."""
    folded: tuple[IpNetwork, IpNetwork] | None = None
    """Source and destination of a flow that is one for many addresses."""


class TableFullError(OSError):
    """Some rows had no room; everything else of the call was written."""


class CaptureSource(Protocol):
    """Captures of a datapath: ``SLOTS_COUNT_MAX`` at once. Cheap calls, of any one thread."""

    @property
    def fd(self) -> int:
        """A pollable descriptor, readable when frames wait."""
        ...

    def start(self, slot: int, wanted: CaptureFilter) -> None: ...

    def stop(self, slot: int) -> None: ...

    def counts(self, slot: int) -> tuple[int, int]:
        """(frames that matched, those of them that got lost) since the slot's start."""
        ...

    def drain(self, receive: Callable[[Captured], None], frames_max: int) -> int:
        """Hand over frames that wait, at most so many; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """What an interface was given since it came; ``packets`` as the workload counts them."""

    packets: int = 0
    bytes: int = 0


class SessionSource(Protocol):
    """Beginnings and ends of flows. Cheap calls, of any one thread."""

    def want(self, *, wanted: bool) -> None:
        """Have the datapath tell, or not."""
        ...

    def drain(self, records_max: int) -> SessionBatch:
        """Remove and return records that wait, at most so many."""
        ...

    def counts(self) -> tuple[int, int]:
        """(records since load, those of them that got lost)."""
        ...


class Datapath(Protocol):
    """Synchronous; the agent calls it from one worker thread. ``OSError`` when the kernel refuses."""

    def dump(self, row_type: type[RowT]) -> list[RowT]:
        """Return every row actually installed, decoded from the kernel."""
        ...

    def apply(self, puts: Sequence[Row], deletes: Sequence[Row]) -> None:
        """Install and remove rows; puts are idempotent. Batches rows of one type."""
        ...

    def attach(self, ifindex: int) -> None:
        """Attach the right program to an interface that has an InterfaceRow; idempotent."""
        ...

    def detach(self, ifindex: int) -> None: ...

    def carried_before(self) -> frozenset[int]:
        """Interfaces that programs of another version carry, by tables of their own."""
        ...

    def retire_before(self) -> None:
        """Take those programs and tables away: what is to be carried is carried by this version."""
        ...

    def invalidate_flows(self) -> None:
        """Bump the generation: live flows are re-evaluated by their next packet."""
        ...

    def flows(self) -> Iterable[FlowRecord]: ...

    def age_flows(self, now_s: float) -> int:
        """Delete flows idle beyond their protocol's time; returns how many."""
        ...

    def drop_counts(self) -> Mapping[str, int]:
        """Packets dropped since load, by ``drop_reasons.h`` name without ``DROP_``."""
        ...

    def captures(self) -> CaptureSource:
        """Return what captures are turned on and read by."""
        ...

    def sessions(self) -> SessionSource:
        """Return who tells of beginnings and ends of flows."""
        ...

    def mirror_counts(self) -> Mapping[int, tuple[int, int, int]]:
        """(copies, copies that were cut off, copies lost) since load, by mirror."""
        ...

    def macs_seen(self) -> Mapping[tuple[VifId, Mac], float]:
        """When each :class:`SeenMacRow` last sent, of the monotonic clock; 0: not since it is there."""
        ...

    def interface_drop_counts(self) -> Mapping[VifId, Mapping[str, int]]: ...

    def table_uses(self) -> Iterable[TableUse]:
        """Tell what the datapath's tables hold, and the memory they take."""
        ...

    def delivered(self, vifs: Iterable[VifId]) -> Mapping[VifId, Delivered]:
        """Return what interfaces were given; what they send, the kernel's links count."""
        ...

    def open_punts(self, receive: Callable[[Punt], None]) -> int:
        """Register the consumer; returns a pollable file descriptor."""
        ...

    def poll_punts(self, count_max: int = ...) -> int:
        """Hand pending punts to the consumer, at most about so many; returns how many."""
        ...

    def close(self) -> None:
        """Release file descriptors; pinned maps and programs keep forwarding."""
        ...
