"""What a fake datapath remembers of packets: flows, counters, and who is told of them.

Flows follow the kernel's rules: the first packet is decided by the tables, answers are let in by the
flow, tables that changed are asked again at the next packet, a load-shared flow keeps a member
that is still there.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from skytrail.agent.capture import Captured, CaptureFilter, Point
from skytrail.agent.lookup import Tables
from skytrail.agent.plugin import Delivered, FlowRecord
from skytrail.agent.session_batch import SessionBatch, SessionEvent, SessionKind
from skytrail.agent.tables import (
    FloatingRow,
    IdentityId,
    InterfaceRow,
    NextHopId,
    PolicyId,
    Row,
    RuleId,
    VifId,
)
from skytrail.agent.trace import (
    DELIVERED,
    DROPPED,
    FORWARDED,
    NO_VIF,
    Trace,
    TracePacket,
    explain,
    explain_arrival,
)
from skytrail.net import IpAddress
from skytrail.testing.session_records import batch_of

TCP = 6
IDLE_TCP_S, IDLE_OTHER_S, IDLE_DENIED_S = 1800.0, 180.0, 10.0
FRAME_BYTES = 60
"""Every packet is taken to be so long."""
Ends = tuple[IpAddress, int, IpAddress, int, int]
"""Source and destination with their ports, and the protocol."""
FlowKey = tuple[VifId, bool, Ends]
"""The interface it is kept for, whether its workload sends it, and whose it is."""


class Held:
    """The tables at one time, and the same without policy: where an allowed packet goes."""

    def __init__(self, rows: Iterable[Row], generation: int) -> None:
        kept = list(rows)
        self.tables = Tables(kept)
        self.open = Tables(_without_policy(row) for row in kept)
        self.generation = generation


def _without_policy(row: Row) -> Row:
    if isinstance(row, InterfaceRow | FloatingRow):
        return replace(row, policy_egress=PolicyId(0), policy_ingress=PolicyId(0))
    return row


@dataclass(frozen=True, slots=True)
class Way:
    """Where a packet came in: by a workload's interface, or by a label or VNI."""

    vif_id: VifId = NO_VIF
    incoming: tuple[str, int] = ("", 0)

    def follow(self, tables: Tables, packet: TracePacket) -> Trace:
        if self.incoming[0]:
            return explain_arrival(tables, self.incoming, packet)
        return explain(tables, self.vif_id, packet)


@dataclass(slots=True)
class Flow:
    """One direction. ``opener`` is the direction that asked; None: this one."""

    trace: Trace
    generation: int
    created_s: float
    seen_s: float
    pair: int
    way: Way
    packet: TracePacket
    opener: FlowKey | None = None
    packets: int = 0


class FakeTraffic:
    """Carries packets by tables that it is given anew whenever they change."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.flows: dict[FlowKey, Flow] = {}
        self.drops: Counter[tuple[VifId, str]] = Counter()
        self.delivered: Counter[VifId] = Counter()
        self.captures = FakeCaptures()
        self.sessions = FakeSessions()
        self._pairs = 0

    def carry(self, held: Held, way: Way, packet: TracePacket) -> Trace:
        """What happens to a packet; it is counted, remembered and told of."""
        arrived = way.follow(held.open, packet)
        vif_id = arrived.vif_id if way.incoming[0] else way.vif_id
        key = _key(vif_id, packet, is_sent=not way.incoming[0])
        flow = self.flows.get(key)
        if flow is None:
            trace = way.follow(held.tables, packet)
            flow = self._begin(key, trace, held.generation, way, packet)
        elif flow.generation != held.generation:
            self._decide_again(held, flow)
        trace = flow.trace if flow is not None else way.follow(held.tables, packet)
        if flow is not None:
            flow.packets, flow.seen_s = flow.packets + 1, self.now_s
        self._tell(trace, vif_id, packet, is_sent=not way.incoming[0])
        return trace

    def _begin(
        self, key: FlowKey, trace: Trace, generation: int, way: Way, packet: TracePacket
    ) -> Flow | None:
        is_allowed = trace.outcome in {DELIVERED, FORWARDED}
        if not is_allowed and trace.drop_reason != "POLICY":
            return None
        self._pairs += 1
        flow = Flow(trace, generation, self.now_s, self.now_s, self._pairs, way, packet)
        self.flows[key] = flow
        self.sessions.tell(_session(SessionKind.BEGIN, key, flow))
        if is_allowed:
            there = trace.vif_id if not way.incoming[0] else VifId(0)
            back = (there or key[0], bool(there) or bool(way.incoming[0]), _mirrored(key[2]))
            answer = Trace((), DELIVERED, vif_id=key[0])
            # Its own way is looked up by its first packet: the next generation is not this one.
            self.flows[back] = Flow(
                answer, generation - 1, self.now_s, self.now_s, self._pairs, way, packet, opener=key
            )
        return flow

    def _decide_again(self, held: Held, flow: Flow) -> None:
        """Tables changed. An answer is allowed while what it answers is."""
        opener = self.flows.get(flow.opener) if flow.opener is not None else flow
        if opener is None:
            return
        decided = opener.way.follow(held.tables, opener.packet)
        opener.trace = _kept(held.tables, opener, decided)
        opener.generation = held.generation
        if flow is opener:
            return
        flow.generation = held.generation
        if decided.outcome == DROPPED:
            flow.trace = decided
            return
        flow.trace = self._answer(held, opener)

    @staticmethod
    def _answer(held: Held, opener: Flow) -> Trace:
        """Where what answers an allowed packet goes, whatever its own policy says."""
        asked = opener.packet
        if asked.source is None:
            return opener.trace
        answer = replace(
            asked,
            source=asked.destination,
            destination=asked.source,
            source_port=asked.destination_port,
            destination_port=asked.source_port,
        )
        there = opener.way.follow(held.open, asked).vif_id
        if there:
            return explain(held.open, there, answer)
        return Trace((), DELIVERED, vif_id=opener.way.vif_id)

    def _tell(self, trace: Trace, vif_id: VifId, packet: TracePacket, *, is_sent: bool) -> None:
        if is_sent:
            self.captures.offer(Point.SENT, vif_id, packet)
        if trace.outcome == DROPPED:
            self.drops[vif_id, trace.drop_reason] += 1
            self.captures.offer(Point.DROPPED, vif_id, packet, trace.drop_reason)
        elif trace.outcome == DELIVERED:
            self.delivered[trace.vif_id] += 1
            self.captures.offer(Point.DELIVERED, trace.vif_id, packet)

    def age(self, now_s: float) -> int:
        """Forget what was silent too long; a pair goes when its opener's direction may."""
        self.now_s = max(self.now_s, now_s)
        seen: dict[int, float] = {}
        for flow in self.flows.values():
            seen[flow.pair] = max(seen.get(flow.pair, flow.seen_s), flow.seen_s)
        old = {
            flow.pair
            for flow in self.flows.values()
            if flow.opener is None and now_s - seen[flow.pair] > _idle_s(flow)
        }
        return self._forget(lambda _, flow: flow.pair in old)

    def purge(self, vif_id: VifId) -> None:
        """Forget the flows of an interface that is gone."""
        pairs = {flow.pair for key, flow in self.flows.items() if key[0] == vif_id}
        self._forget(lambda _, flow: flow.pair in pairs)
        del self.delivered[vif_id]

    def _forget(self, is_gone: Callable[[FlowKey, Flow], bool]) -> int:
        gone = [(key, flow) for key, flow in self.flows.items() if is_gone(key, flow)]
        for key, flow in gone:
            del self.flows[key]
            if flow.opener is None:
                self.sessions.tell(_session(SessionKind.END, key, flow))
        return sum(flow.opener is None for _, flow in gone)

    def records(self) -> list[FlowRecord]:
        return [_record(key, flow, self.now_s) for key, flow in self.flows.items()]

    def delivered_to(self, vif_id: VifId) -> Delivered:
        count = self.delivered[vif_id]
        return Delivered(count, count * FRAME_BYTES)


class FakeCaptures:
    """Implements :class:`skytrail.agent.plugin.CaptureSource` for packets the fake carries."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = -1, -1
        self._slots: dict[int, CaptureFilter] = {}
        self._matched: Counter[int] = Counter()
        self._waiting: deque[Captured] = deque()

    @property
    def fd(self) -> int:
        if self._read_fd < 0:
            self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        return self._read_fd

    def start(self, slot: int, wanted: CaptureFilter) -> None:
        self._slots[slot] = wanted
        self._matched[slot] = 0

    def stop(self, slot: int) -> None:
        self._slots.pop(slot, None)

    def counts(self, slot: int) -> tuple[int, int]:
        return self._matched[slot], 0

    def drain(self, receive: Callable[[Captured], None], frames_max: int) -> int:
        count = min(len(self._waiting), frames_max)
        for _ in range(count):
            receive(self._waiting.popleft())
        if not self._waiting and self._write_fd >= 0 and count:
            os.read(self._read_fd, 65536)
        return count

    def offer(self, point: Point, vif_id: VifId, packet: TracePacket, reason: str = "") -> None:
        slots = [
            slot
            for slot, want in self._slots.items()
            if _wants(want, point, vif_id, packet, reason)
        ]
        if not slots:
            return
        self._matched.update(slots)
        snap = max(self._slots[slot].snap_bytes for slot in slots)
        number = sum(1 << slot for slot in slots)
        frame = _frame(packet)[:snap]
        self._waiting.append(Captured(0, vif_id, number, point, reason, FRAME_BYTES, frame))
        if self._write_fd >= 0:
            os.write(self._write_fd, b"\0")

    def close(self) -> None:
        for fd in (self._read_fd, self._write_fd):
            if fd >= 0:
                os.close(fd)
        self._read_fd = self._write_fd = -1


class FakeSessions:
    """Implements :class:`skytrail.agent.plugin.SessionSource`."""

    def __init__(self) -> None:
        self._wanted = False
        self._waiting: deque[SessionEvent] = deque()
        self._told = 0

    def want(self, *, wanted: bool) -> None:
        self._wanted = wanted

    def drain(self, records_max: int) -> SessionBatch:
        count = min(len(self._waiting), records_max)
        return batch_of([self._waiting.popleft() for _ in range(count)])

    def counts(self) -> tuple[int, int]:
        return self._told, 0

    def tell(self, event: SessionEvent) -> None:
        if self._wanted:
            self._told += 1
            self._waiting.append(event)


def _wants(
    want: CaptureFilter, point: Point, vif_id: VifId, packet: TracePacket, reason: str
) -> bool:
    own = (packet.source, packet.source_port, packet.destination, packet.destination_port)
    asked = (want.source, want.source_port, want.destination, want.destination_port)
    ways = (own, own[2:] + own[:2])
    return (
        bool(want.points & point)
        and want.vif_id in {VifId(0), vif_id}
        and want.protocol in {None, packet.protocol}
        and want.reason in {"", reason}
        and any(all(a in {None, e} for a, e in zip(asked, ends, strict=True)) for ends in ways)
    )


def _frame(packet: TracePacket) -> bytes:
    """Enough of it to be told from another: no sums, no payload."""
    version = packet.destination.version
    source = packet.source.packed if packet.source is not None else bytes(version * version)
    ports = packet.source_port.to_bytes(2, "big") + packet.destination_port.to_bytes(2, "big")
    ends = source + packet.destination.packed
    if version == 4:
        header = b"\x45\0\0\x2e\0\0\x40\0\x40" + bytes((packet.protocol,)) + b"\0\0" + ends
    else:
        header = b"\x60\0\0\0\0\x06" + bytes((packet.protocol,)) + b"\x40" + ends
    ethertype = b"\x08\0" if version == 4 else b"\x86\xdd"
    return (packet.destination_mac.packed + bytes(6) + ethertype + header + ports).ljust(
        FRAME_BYTES, b"\0"
    )


def _key(vif_id: VifId, packet: TracePacket, *, is_sent: bool) -> FlowKey:
    source = packet.source if packet.source is not None else packet.destination
    ends = (source, packet.source_port, packet.destination, packet.destination_port)
    return (vif_id, is_sent, (*ends, packet.protocol))


def _mirrored(ends: Ends) -> Ends:
    source, port, destination, to_port, protocol = ends
    return (destination, to_port, source, port, protocol)


def _kept(tables: Tables, flow: Flow, decided: Trace) -> Trace:
    """A load-shared flow stays with its member while that is one."""
    if flow.trace.outcome != FORWARDED or decided.outcome != FORWARDED:
        return decided
    row = tables.vifs.get(flow.way.vif_id)
    route = tables.route(row.vrf_id, flow.packet.destination) if row is not None else None
    shared = tables.nexthops.get(route.nexthop_id) if route is not None else None
    for member, label in shared.members if shared is not None else ():
        hop = tables.nexthops.get(member)
        if hop is not None and (str(hop.remote), label) == (flow.trace.remote, flow.trace.label):
            return flow.trace
    return decided


def _idle_s(flow: Flow) -> float:
    if flow.trace.outcome == DROPPED:
        return IDLE_DENIED_S
    return IDLE_TCP_S if flow.packet.protocol == TCP else IDLE_OTHER_S


def _rule(flow: Flow) -> RuleId:
    """Of the policy of the interface the flow is kept for."""
    found = [step.rule_id for step in flow.trace.steps if step.stage.endswith("policy")]
    return RuleId(found[0] if found else 0)


def _record(key: FlowKey, flow: Flow, now_s: float) -> FlowRecord:
    source, source_port, destination, destination_port, protocol = key[2]
    is_allowed = flow.trace.outcome != DROPPED
    return FlowRecord(
        vif_id=key[0],
        source=source,
        destination=destination,
        protocol=protocol,
        source_port=source_port,
        destination_port=destination_port,
        is_reverse=flow.opener is not None,
        allowed=is_allowed,
        drop_reason=None if is_allowed else flow.trace.drop_reason,
        rule_id=_rule(flow),
        nexthop_id=NextHopId(0),
        label=flow.trace.label,
        packets=flow.packets,
        bytes=flow.packets * FRAME_BYTES,
        age_s=now_s - flow.created_s,
    )


def _session(kind: SessionKind, key: FlowKey, flow: Flow) -> SessionEvent:
    record = _record(key, flow, flow.created_s)
    return SessionEvent(
        kind=kind,
        time_ns=0,
        created_ns=int(flow.created_s * 1e9),
        pair=flow.pair,
        vif_id=key[0],
        peer_vif_id=flow.trace.vif_id if not flow.way.incoming[0] else VifId(0),
        is_opened_here=key[1],
        source=record.source,
        destination=record.destination,
        source_port=record.source_port,
        destination_port=record.destination_port,
        protocol=record.protocol,
        rule_id=record.rule_id,
        identity=IdentityId(0),
        nexthop_id=record.nexthop_id,
        drop_reason=record.drop_reason or "",
        packets=(record.packets, 0),
        bytes=(record.bytes, 0),
    )
