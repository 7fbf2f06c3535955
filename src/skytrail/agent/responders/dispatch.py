"""One punted frame in, answers out: which responder, what is counted, what waits for config.

A just-plugged workload asks before its configuration has arrived: its DHCP and router
solicitations are kept for a few seconds and answered as soon as the port becomes active.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.responders.dhcp import answer_dhcp
from skytrail.agent.responders.dhcp6_ra import advertise_router, answer_dhcp6
from skytrail.agent.responders.dns import (
    DnsRequest,
    ForwardTo,
    UdpWay,
    Zones,
    answer_dns,
    decode_request,
    encode_reply,
    reply_frame,
    stream_request,
)
from skytrail.agent.responders.dns_tcp import TcpService
from skytrail.agent.responders.gateway import answer_echo
from skytrail.agent.responders.icmp_error import answer_undeliverable
from skytrail.agent.responders.mdns import MDNS_PORT, answer_mdns
from skytrail.agent.tables import VifId
from skytrail.wire.dns import DnsMessage, normalise_name
from skytrail.wire.dns.zones import VirtualDns
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import PROTOCOL_TCP, decode_ethernet, decode_ip, decode_udp

WAITING_TIME_S = 5.0
WAITING_COUNT_MAX = 4096
WAITING_PER_PORT_COUNT_MAX = 4
_DIGITS = re.compile("[0-9]+")
_WAITS = frozenset({PuntReason.DHCP, PuntReason.DHCP6, PuntReason.ROUTER_SOLICITATION})


@dataclass(frozen=True, slots=True)
class Forward:
    """A DNS question to be sent upstream."""

    request: DnsRequest
    target: ForwardTo


@dataclass(frozen=True, slots=True)
class Answers:
    """Frames for the workload's interface, and questions for the forwarder."""

    frames: tuple[bytes, ...] = ()
    forwards: tuple[Forward, ...] = ()


@dataclass(slots=True)
class _Waiting:
    punt: Punt
    deadline: float


def _zero() -> int:
    return 0


class Dispatcher:
    """Holds the waiting requests, the connections of DNS and the counters, nothing else.

    ``number`` returns 32 random bits.
    """

    def __init__(self, zones: Zones | None = None, number: Callable[[], int] = _zero) -> None:
        self.counts: Counter[str] = Counter()
        self.streams = TcpService(number)
        self._zones = zones or Zones()
        self._waiting: deque[_Waiting] = deque()

    def receive(
        self, punt: Punt, state: PortState | None, servers: Mapping[str, VirtualDns], now: float
    ) -> Answers:
        """Answer one frame; malformed ones are counted and otherwise ignored."""
        self.counts[f"received {punt.reason.name}"] += 1
        if not isinstance(state, ActivePort):
            self._wait(punt, known=state is not None, now=now)
            return Answers()
        try:
            answers = self._answer(punt, state, self._zones.use(servers), now)
        except DecodeError as error:
            # Numbers in the text come from the frame: each would be a counter of its own.
            text = _DIGITS.sub("N", error.reason)
            self.counts[f"malformed {punt.reason.name}: {text}"[:100]] += 1
            return Answers()
        if answers.frames:
            self.counts[f"answered {punt.reason.name}"] += 1
        return answers

    def port_activated(
        self, vif_id: VifId, state: ActivePort, servers: Mapping[str, VirtualDns], now: float
    ) -> list[bytes]:
        """Answer what a port asked while it was not configured yet."""
        frames: list[bytes] = []
        kept: deque[_Waiting] = deque()
        for waiting in self._waiting:
            if waiting.punt.vif_id == vif_id:
                if waiting.deadline > now:
                    frames += self.receive(waiting.punt, state, servers, now).frames
            elif waiting.deadline > now:
                kept.append(waiting)
        self._waiting = kept
        return frames

    def advertise(self, state: ActivePort, servers: Mapping[str, VirtualDns]) -> list[bytes]:
        """Return the router advertisement that nobody asked for."""
        domain = search_domain(state, self._zones.use(servers), 6)
        return advertise_router(state, virtual_domain=domain)

    def reply(self, request: DnsRequest, message: bytes, now: float) -> list[bytes]:
        """Return the frames of a reply that was waited for."""
        if isinstance(request.way, UdpWay):
            return [reply_frame(request.way, message)]
        return self.streams.answer(request.way, message, now)

    def _answer(self, punt: Punt, active: ActivePort, zones: Zones, now: float) -> Answers:
        domain = search_domain(active, zones, 4 if punt.reason is PuntReason.DHCP else 6)
        seen = self.counts
        match punt.reason:
            case PuntReason.DHCP:
                frames = answer_dhcp(active, punt.frame, virtual_domain=domain, seen=seen)
                return Answers(tuple(frames))
            case PuntReason.DHCP6:
                frames = answer_dhcp6(active, punt.frame, virtual_domain=domain, seen=seen)
                return Answers(tuple(frames))
            case PuntReason.ROUTER_SOLICITATION:
                return Answers(tuple(advertise_router(active, virtual_domain=domain)))
            case PuntReason.DNS:
                return self._answer_dns(punt, active, zones, now)
            case PuntReason.RECEIVE:
                return Answers(tuple(answer_echo(punt.frame)))
            case PuntReason.ANNOUNCEMENT | PuntReason.MEMBERSHIP | PuntReason.MAC:
                return Answers()  # Nobody waits for an answer.
            case (
                PuntReason.ICMP_TTL_EXCEEDED | PuntReason.ICMP_TOO_BIG | PuntReason.ICMP_UNREACHABLE
            ):
                frames = answer_undeliverable(active, punt.reason, punt.argument, punt.frame)
                return Answers(tuple(frames))

    def _answer_dns(self, punt: Punt, active: ActivePort, zones: Zones, now: float) -> Answers:
        ethernet = decode_ethernet(punt.frame)
        packet = decode_ip(ethernet.payload)
        if packet.protocol != PROTOCOL_TCP:
            datagram = decode_udp(packet.payload)
            if datagram.destination_port == MDNS_PORT:
                return Answers(
                    tuple(answer_mdns(active, UdpWay(ethernet, packet, datagram), zones))
                )
            return self._resolve(decode_request(punt.vif_id, punt.frame), active, zones, now)
        frames, key, questions = self.streams.receive(punt.vif_id, ethernet, packet, now)
        forwards: list[Forward] = []
        for question in questions:
            try:
                found = self._resolve(stream_request(key, question), active, zones, now)
            except DecodeError:
                self.streams.abandon(key)
                raise
            frames += found.frames
            forwards += found.forwards
        return Answers(tuple(frames), tuple(forwards))

    def _resolve(
        self, request: DnsRequest, active: ActivePort, zones: Zones, now: float
    ) -> Answers:
        answer = answer_dns(active.port, request.query, zones, request.asked_at)
        match answer:
            case DnsMessage():
                return Answers(tuple(self.reply(request, encode_reply(request, answer), now)))
            case ForwardTo():
                return Answers(forwards=(Forward(request, answer),))

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    def _wait(self, punt: Punt, *, known: bool, now: float) -> None:
        while self._waiting and self._waiting[0].deadline <= now:
            self._waiting.popleft()
        mine = sum(waiting.punt.vif_id == punt.vif_id for waiting in self._waiting)
        if (
            not known
            or punt.reason not in _WAITS
            or mine >= WAITING_PER_PORT_COUNT_MAX
            or len(self._waiting) >= WAITING_COUNT_MAX
        ):
            self.counts[f"ignored {punt.reason.name}: port is not active"] += 1
            return
        self._waiting.append(_Waiting(punt, now + WAITING_TIME_S))


def search_domain(active: ActivePort, zones: Zones, version: int) -> str:
    """The domain of the virtual DNS that serves the port's subnets of a family, or empty."""
    port = active.port
    own = [port.network.subnet_of(each) for each in port.addresses if each.version == version]
    for subnet in (*own, *port.network.subnets):
        server = zones.server(subnet.ipam.virtual_dns) if subnet is not None else None
        if server is not None:
            return normalise_name(server.domain)
    return ""
