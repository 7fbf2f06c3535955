"""DNS at the service address: authoritative for the tenant's virtual DNS, else forwarded.

Over UDP as much as the client says it takes (EDNS), else a truncated answer that sends it to TCP
(``dns_tcp``). The forwarder's state machine is pure: it takes random ids and the time as arguments and
returns what to send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skytrail.agent.port_config import Port
from skytrail.agent.responders.dns_tcp import ConnectionKey
from skytrail.agent.tables import VifId
from skytrail.net import IpAddress
from skytrail.wire.dns import (
    DnsMessage,
    ResourceRecord,
    ResponseCode,
    decode_dns,
    normalise_name,
)
from skytrail.wire.dns.edns import encode_answer, udp_bytes_max, version_is_known
from skytrail.wire.dns.ordering import Shuffle, arranged
from skytrail.wire.dns.zones import (
    CHAIN_LENGTH_MAX,
    FindRecords,
    VirtualDns,
    address_of,
    authoritative,
    record_of,
)
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
)

PENDING_COUNT_MAX = 1024
PENDING_PER_PORT_COUNT_MAX = 64
QUERY_TIMEOUT_S = 5.0
MESSAGE_BYTES_MAX = 65535
_NOT_HERE = frozenset({"none", "tenant-dns-server"})
"""DNS methods of those who are told others to ask, and get nobody else's answers here."""


@dataclass(frozen=True, slots=True)
class DnsRequest:
    """A question as it arrived, with what the reply needs."""

    vif_id: VifId
    query: DnsMessage
    message: bytes
    """As it came, without what TCP puts in front."""
    asked_at: IpAddress
    way: UdpWay | ConnectionKey
    """How the reply gets back."""


@dataclass(frozen=True, slots=True)
class UdpWay:
    ethernet: EthernetFrame
    packet: IpPacket
    datagram: UdpDatagram


@dataclass(frozen=True, slots=True)
class ForwardTo:
    """The question is not ours to answer; ``server`` None = the agent's own forwarder."""

    server: IpAddress | None = None


def decode_request(vif_id: VifId, frame: bytes) -> DnsRequest:
    """Raises ``DecodeError`` also for responses sent to us."""
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    datagram = decode_udp(packet.payload)
    query = decode_dns(datagram.payload)
    if query.is_response:
        raise DecodeError("DNS response sent to a server", 2, "RFC 1035 section 4.1.1")
    way = UdpWay(ethernet, packet, datagram)
    return DnsRequest(vif_id, query, datagram.payload, packet.destination, way)


def stream_request(key: ConnectionKey, message: bytes) -> DnsRequest:
    """Return the request that a question over TCP is. Raises ``DecodeError``."""
    query = decode_dns(message)
    if query.is_response:
        raise DecodeError("DNS response sent to a server", 2, "RFC 1035 section 4.1.1")
    return DnsRequest(key.vif_id, query, message, key.server, key)


def _as_it_is(records: list[ResourceRecord]) -> None:
    del records


class Zones:
    """The virtual DNS servers' records indexed by name, made once per configuration."""

    def __init__(self, shuffle: Shuffle = _as_it_is) -> None:
        self._shuffle = shuffle
        self._turns: Counter[str] = Counter()
        """Answers of each server that gives its records in turn."""
        self._servers: Mapping[str, VirtualDns] = {}
        self._records: dict[str, dict[str, list[ResourceRecord]]] = {}

    def use(self, servers: Mapping[str, VirtualDns]) -> Zones:
        """Return self, serving these servers; costs nothing while they are the same object."""
        if servers is not self._servers:
            self._servers = servers
            self._records = {}
        return self

    def server(self, name: str) -> VirtualDns | None:
        return self._servers.get(name)

    def finder(self, server: VirtualDns) -> FindRecords:
        """Return what finds the records of a name in one server."""
        records = self._records_of(server)
        return lambda name: records.get(name, ())

    def arranged(self, server: VirtualDns, answer: DnsMessage) -> DnsMessage:
        """Return the server's answer with its records in the server's order."""
        turn = self._turns[server.name]
        if server.order == "round-robin" and answer.answers:
            self._turns[server.name] += 1
        asked = answer.questions[0].record_type
        records = arranged(answer.answers, asked, server.order, turn=turn, shuffle=self._shuffle)
        return replace(answer, answers=tuple(records))

    def _records_of(self, server: VirtualDns) -> Mapping[str, list[ResourceRecord]]:
        found = self._records.get(server.name)
        if found is None:
            found = self._records[server.name] = _indexed(server)
        return found


def _indexed(server: VirtualDns) -> dict[str, list[ResourceRecord]]:
    domain = normalise_name(server.domain)
    found: dict[str, list[ResourceRecord]] = {}
    for record in server.records:
        made = record_of(record, domain)
        if made is not None:
            found.setdefault(made.name, []).append(made)
    return found


def answer_dns(
    port: Port, query: DnsMessage, zones: Zones, asked_at: IpAddress | None = None
) -> DnsMessage | ForwardTo:
    """Answer from the virtual DNS of the subnet whose address was asked, or say where to forward."""
    if query.opcode != 0:
        return reply_code(query, ResponseCode.NOT_IMPLEMENTED)
    if len(query.questions) != 1:
        return reply_code(query, ResponseCode.FORMAT_ERROR)
    if not version_is_known(query):
        return reply_code(query, ResponseCode.NO_ERROR)  # Its OPT record says BADVERS.
    asked = [
        each for each in port.network.subnets if asked_at in {each.service_address, each.gateway}
    ]
    ipams = [subnet.ipam for subnet in asked or port.network.subnets]
    if ipams and all(ipam.dns_method in _NOT_HERE for ipam in ipams):
        return reply_code(query, ResponseCode.REFUSED)
    first = next((ipam.virtual_dns for ipam in ipams if ipam.virtual_dns), "")
    own_prefixes = [subnet.prefix for subnet in port.network.subnets]
    name = first
    for _ in range(CHAIN_LENGTH_MAX):
        server = zones.server(name)
        if server is None:
            break
        answer = authoritative(server, zones.finder(server), query, own_prefixes)
        if answer is not None:
            return zones.arranged(server, answer)
        name = server.next_server
        next_address = address_of(name)
        if next_address is not None:
            return ForwardTo(next_address)
        if name.rpartition(":")[0] != first.rpartition(":")[0]:
            break  # Who owns a server could else read the names of all others on this host.
    return ForwardTo()


def reply_code(query: DnsMessage, code: ResponseCode) -> DnsMessage:
    """A reply without records."""
    return DnsMessage(
        message_id=query.message_id,
        is_response=True,
        opcode=query.opcode,
        recursion_desired=query.recursion_desired,
        recursion_available=True,
        response_code=code,
        questions=query.questions[:1],
    )


def reply_frame(way: UdpWay, payload: bytes) -> bytes:
    """Wrap a reply's bytes to go back where the request came from."""
    source, destination = way.packet.destination, way.packet.source
    datagram = UdpDatagram(way.datagram.destination_port, way.datagram.source_port, payload)
    packet = IpPacket(
        source=source,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(source, destination),
    )
    ether_type = ETHERTYPE_IPV4 if source.version == 4 else ETHERTYPE_IPV6
    ethernet = way.ethernet
    frame = EthernetFrame(ethernet.source, ethernet.destination, ether_type, packet.encode())
    return frame.encode()


def encode_reply(request: DnsRequest, reply: DnsMessage) -> bytes:
    """The reply within what the client takes by the way it asked."""
    is_udp = isinstance(request.way, UdpWay)
    bytes_max = udp_bytes_max(request.query) if is_udp else MESSAGE_BYTES_MAX
    return encode_answer(reply, request.query, bytes_max)


@dataclass(frozen=True, slots=True)
class _Pending:
    request: DnsRequest
    server: IpAddress
    deadline: float


class Forwarder:
    """Outstanding upstream queries: bounded in all and per port, each with a random id.

    A full table refuses the new question (the client asks again); it never evicts old ones.
    """

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._per_port: dict[VifId, int] = {}
        self.forwarded = 0
        self.answered = 0
        self.refused = 0
        self.timed_out = 0
        self.unmatched = 0

    def __len__(self) -> int:
        return len(self._pending)

    def forward(
        self, request: DnsRequest, server: IpAddress, *, now: float, candidate_ids: Iterable[int]
    ) -> bytes | None:
        """Return the datagram to send to ``server``, or None when no place is free."""
        mine = self._per_port.get(request.vif_id, 0)
        if len(self._pending) >= PENDING_COUNT_MAX or mine >= PENDING_PER_PORT_COUNT_MAX:
            self.refused += 1
            return None
        free = next((number for number in candidate_ids if number not in self._pending), None)
        if free is None:
            self.refused += 1
            return None
        self._pending[free] = _Pending(request, server, now + QUERY_TIMEOUT_S)
        self._per_port[request.vif_id] = mine + 1
        self.forwarded += 1
        return free.to_bytes(2) + request.message[2:]

    def receive(self, server: IpAddress, datagram: bytes) -> tuple[DnsRequest, bytes] | None:
        """Match an upstream answer; return the request and the reply's bytes, or None.

        The answer must come from the asked server and repeat the question (RFC 5452 section 9).
        """
        try:
            answer = decode_dns(datagram)
        except DecodeError:
            self.unmatched += 1
            return None
        pending = self._pending.get(answer.message_id)
        if (
            pending is None
            or not answer.is_response
            or pending.server != server
            or (answer.questions and answer.questions != pending.request.query.questions)
        ):
            self.unmatched += 1
            return None
        self._forget(answer.message_id)
        self.answered += 1
        original = pending.request.query.message_id
        return pending.request, original.to_bytes(2) + datagram[2:]

    def expire(self, now: float) -> list[DnsRequest]:
        """Drop overdue queries; return them to be answered SERVFAIL."""
        overdue = [number for number, p in self._pending.items() if p.deadline <= now]
        requests = [self._pending[number].request for number in overdue]
        for number in overdue:
            self._forget(number)
        self.timed_out += len(overdue)
        return requests

    def statistics(self) -> dict[str, int]:
        return {
            "pending": len(self._pending),
            "forwarded": self.forwarded,
            "answered": self.answered,
            "refused": self.refused,
            "timed_out": self.timed_out,
            "unmatched": self.unmatched,
        }

    def _forget(self, number: int) -> None:
        vif_id = self._pending.pop(number).request.vif_id
        left = self._per_port[vif_id] - 1
        if left:
            self._per_port[vif_id] = left
        else:
            del self._per_port[vif_id]
