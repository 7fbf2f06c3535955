"""One punted frame in, answers out: which responder, what is counted, what waits for config.

A just-plugged workload asks before its configuration has arrived: its DHCP and router
solicitations are kept for a few seconds and answered as soon as the port becomes active.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.responders.dhcp import answer_dhcp
from skytrail.agent.responders.dhcp6_ra import advertise_router, answer_dhcp6
from skytrail.agent.responders.dns import (
    DnsRequest,
    ForwardTo,
    Zones,
    answer_dns,
    decode_request,
    encode_reply,
    reply_frame,
)
from skytrail.agent.responders.gateway import answer_echo
from skytrail.agent.responders.icmp_error import answer_undeliverable
from skytrail.agent.tables import VifId
from skytrail.wire.dns import DnsMessage, normalise_name
from skytrail.wire.dns.zones import VirtualDns
from skytrail.wire.errors import DecodeError

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
    """Frames for the workload's interface, or a question for the forwarder."""

    frames: tuple[bytes, ...] = ()
    forward: Forward | None = None


@dataclass(slots=True)
class _Waiting:
    punt: Punt
    deadline: float


@dataclass(slots=True)
class Dispatcher:
    """Holds the waiting requests and the counters, nothing else."""

    counts: Counter[str] = field(default_factory=Counter[str])
    _waiting: deque[_Waiting] = field(default_factory=deque[_Waiting])
    _zones: Zones = field(default_factory=Zones)

    def receive(
        self, punt: Punt, state: PortState | None, servers: Mapping[str, VirtualDns], now: float
    ) -> Answers:
        """Answer one frame; malformed ones are counted and otherwise ignored."""
        self.counts[f"received {punt.reason.name}"] += 1
        if not isinstance(state, ActivePort):
            self._wait(punt, known=state is not None, now=now)
            return Answers()
        try:
            answers = _answer(punt, state, self._zones.use(servers), self.counts)
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


def _answer(punt: Punt, active: ActivePort, zones: Zones, seen: Counter[str]) -> Answers:
    domain = search_domain(active, zones, 4 if punt.reason is PuntReason.DHCP else 6)
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
            return _answer_dns(punt, active, zones)
        case PuntReason.RECEIVE:
            return Answers(tuple(answer_echo(punt.frame)))
        case PuntReason.ANNOUNCEMENT:
            return Answers()  # Nobody waits for an answer.
        case PuntReason.ICMP_TTL_EXCEEDED | PuntReason.ICMP_TOO_BIG | PuntReason.ICMP_UNREACHABLE:
            frames = answer_undeliverable(active, punt.reason, punt.argument, punt.frame)
            return Answers(tuple(frames))


def _answer_dns(punt: Punt, active: ActivePort, zones: Zones) -> Answers:
    request = decode_request(punt.vif_id, punt.frame)
    answer = answer_dns(active.port, request.query, zones)
    match answer:
        case DnsMessage():
            return Answers((reply_frame(request, encode_reply(answer)),))
        case ForwardTo():
            return Answers(forward=Forward(request, answer))


def search_domain(active: ActivePort, zones: Zones, version: int) -> str:
    """The domain of the virtual DNS that serves the port's subnets of a family, or empty."""
    port = active.port
    own = [port.network.subnet_of(each) for each in port.addresses if each.version == version]
    for subnet in (*own, *port.network.subnets):
        server = zones.server(subnet.ipam.virtual_dns) if subnet is not None else None
        if server is not None:
            return normalise_name(server.domain)
    return ""
