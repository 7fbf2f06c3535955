"""A datapath without a kernel: holds the rows, answers "does A reach B?" by executing them."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from skytrail.agent.lookup import Tables
from skytrail.agent.plugin import (
    CaptureSource,
    Delivered,
    FlowRecord,
    Punt,
    RowT,
    SessionSource,
)
from skytrail.agent.table_use import TableUse
from skytrail.agent.tables import ROW_TYPES, InterfaceRow, Row, VifId
from skytrail.agent.trace import (
    DROPPED,
    FORWARDED,
    NATIVE,
    Trace,
    TracePacket,
    explain,
    explain_arrival,
)
from skytrail.net import Mac
from skytrail.testing.fake_traffic import FakeTraffic, Held, Way


class FakeDatapath:
    """Implements :class:`skytrail.agent.plugin.Datapath`; ``refuse`` makes writes fail."""

    def __init__(self) -> None:
        self.rows: dict[type[Row], dict[object, Row]] = {kind: {} for kind in ROW_TYPES}
        self.attached: set[int] = set()
        self.seen: dict[tuple[VifId, Mac], float] = {}
        self.before: set[int] = set()
        """Interfaces that another version carries."""
        self.generation = 1
        self.batches: list[tuple[tuple[Row, ...], tuple[Row, ...]]] = []
        """Every ``apply`` so far, for tests of order."""
        self.refuse: OSError | None = None
        self.traffic = FakeTraffic()
        self._held: Held | None = None
        self._receive: Callable[[Punt], None] | None = None
        self._punts: list[Punt] = []
        self._read_fd, self._write_fd = -1, -1

    def dump(self, row_type: type[RowT]) -> list[RowT]:
        return [row for row in self.rows[row_type].values() if isinstance(row, row_type)]

    def apply(self, puts: Sequence[Row], deletes: Sequence[Row]) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.batches.append((tuple(puts), tuple(deletes)))
        self.generation += 1
        for row in puts:
            self.rows[type(row)][row.key] = row
        for row in deletes:
            self.rows[type(row)].pop(row.key, None)
            if isinstance(row, InterfaceRow):
                self.traffic.purge(row.vif_id)

    def attach(self, ifindex: int) -> None:
        if all(row.ifindex != ifindex for row in self.dump(InterfaceRow)):
            raise OSError(errno.ENOENT, f"interface {ifindex} has no row")
        self.attached.add(ifindex)
        self.before.discard(ifindex)

    def detach(self, ifindex: int) -> None:
        self.attached.discard(ifindex)

    def carried_before(self) -> frozenset[int]:
        return frozenset(self.before)

    def retire_before(self) -> None:
        self.before.clear()

    def invalidate_flows(self) -> None:
        self.generation += 1

    def flows(self) -> Iterable[FlowRecord]:
        return self.traffic.records()

    def age_flows(self, now_s: float) -> int:
        return self.traffic.age(now_s)

    def drop_counts(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for (_, reason), count in self.traffic.drops.items():
            counts[reason] += count
        return counts

    def captures(self) -> CaptureSource:
        return self.traffic.captures

    def sessions(self) -> SessionSource:
        return self.traffic.sessions

    def mirror_counts(self) -> Mapping[int, tuple[int, int, int]]:
        return {}

    def macs_seen(self) -> Mapping[tuple[VifId, Mac], float]:
        return self.seen

    def table_uses(self) -> Iterable[TableUse]:
        return ()

    def interface_drop_counts(self) -> Mapping[VifId, Mapping[str, int]]:
        counts: dict[VifId, dict[str, int]] = {}
        for (vif_id, reason), count in self.traffic.drops.items():
            counts.setdefault(vif_id, {})[reason] = count
        return counts

    def delivered(self, vifs: Iterable[VifId]) -> Mapping[VifId, Delivered]:
        return {vif_id: self.traffic.delivered_to(vif_id) for vif_id in vifs}

    def open_punts(self, receive: Callable[[Punt], None]) -> int:
        self._receive = receive
        if self._read_fd < 0:
            self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        return self._read_fd

    def poll_punts(self, count_max: int = 1 << 16) -> int:
        del count_max
        if self._read_fd >= 0 and self._punts:
            os.read(self._read_fd, 4096)
        punts, self._punts = self._punts, []
        for punt in punts:
            if self._receive is not None:
                self._receive(punt)
        return len(punts)

    def close(self) -> None:
        for fd in (self._read_fd, self._write_fd):
            if fd >= 0:
                os.close(fd)
        self._read_fd = self._write_fd = -1
        self.traffic.captures.close()

    def punt(self, punt: Punt) -> None:
        """Hand a frame over as the kernel would."""
        self._punts.append(punt)
        if self._write_fd >= 0:
            os.write(self._write_fd, b"\0")

    def carry(self, way: Way, packet: TracePacket) -> Trace:
        """A packet with all it leaves behind: flows, counters, captures, sessions."""
        if self._held is None or self._held.generation != self.generation:
            rows = [row for rows in self.rows.values() for row in rows.values()]
            self._held = Held(rows, self.generation)
        return self.traffic.carry(self._held, way, packet)

    def tables(self) -> Tables:
        return Tables(row for rows in self.rows.values() for row in rows.values())

    def send(self, vif_id: VifId, packet: TracePacket) -> Trace:
        """What happens to a workload's first packet of a flow on this host."""
        return explain(self.tables(), vif_id, packet)


class FakeFabric:
    """Hosts joined by an underlay that delivers every tunnelled packet."""

    def __init__(self) -> None:
        self._hosts: dict[IPv4Address, FakeDatapath] = {}

    def add(self, address: IPv4Address, datapath: FakeDatapath) -> None:
        self._hosts[address] = datapath

    def send(
        self, host: IPv4Address, vif_id: VifId, packet: TracePacket
    ) -> tuple[IPv4Address, Trace]:
        """Return (host where it ended, trace of the last part)."""
        trace = self._hosts[host].send(vif_id, packet)
        if trace.outcome != FORWARDED:
            return host, trace
        remote = IPv4Address(trace.remote)
        target = self._hosts.get(remote)
        if target is None:
            return remote, Trace(trace.steps, DROPPED, drop_reason="UNDERLAY_UNRESOLVED")
        packet = trace.leaves_as or packet
        kind = {"VXLAN": "vxlan", "NATIVE": NATIVE}.get(trace.encapsulation, "mpls")
        arriving = TracePacket(
            source=packet.source,
            destination=packet.destination,
            protocol=packet.protocol,
            source_port=packet.source_port,
            destination_port=packet.destination_port,
            destination_mac=self._rewritten_mac(host, vif_id, packet),
        )
        return remote, explain_arrival(target.tables(), (kind, trace.label), arriving)

    def _rewritten_mac(self, host: IPv4Address, vif_id: VifId, packet: TracePacket) -> Mac:
        """A routed packet's inner destination MAC is the route's."""
        tables = self._hosts[host].tables()
        route = tables.route(tables.vifs[vif_id].vrf_id, packet.destination)
        return route.mac if route is not None and route.mac else packet.destination_mac
