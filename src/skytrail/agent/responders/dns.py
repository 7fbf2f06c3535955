"""DNS at the service address: authoritative for the tenant's virtual DNS, else forwarded.

Only UDP: names of workloads are short answers; a truncated forwarded answer tells the client to
use TCP, which the service address does not serve. The forwarder's state machine is pure: it takes
random ids and the time as arguments and returns what to send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.agent.tables import IpNetwork, VifId
from skytrail.agent.view import DnsRecord, Port, VirtualDns
from skytrail.wire.dns import (
    UDP_BYTES_MAX,
    DnsMessage,
    MailExchange,
    RecordType,
    ResourceRecord,
    ResponseCode,
    StartOfAuthority,
    decode_dns,
    is_encodable_name,
    normalise_name,
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
CHAIN_LENGTH_MAX = 5
_CNAME_CHAIN_MAX = 8
_CLASS_IN = 1
_REVERSE_ZONES = ("in-addr.arpa", "ip6.arpa")
IpAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class DnsRequest:
    """A question as it arrived, with what the reply needs."""

    vif_id: VifId
    ethernet: EthernetFrame
    packet: IpPacket
    datagram: UdpDatagram
    query: DnsMessage


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
    return DnsRequest(vif_id, ethernet, packet, datagram, query)


class Zones:
    """The virtual DNS servers' records indexed by name, made once per configuration."""

    def __init__(self) -> None:
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

    def records(self, server: VirtualDns) -> Mapping[str, list[ResourceRecord]]:
        found = self._records.get(server.name)
        if found is None:
            found = self._records[server.name] = _records(server, normalise_name(server.domain))
        return found


def answer_dns(port: Port, query: DnsMessage, zones: Zones) -> DnsMessage | ForwardTo:
    """Answer from the virtual DNS of the port's subnets, or say where to forward."""
    if query.opcode != 0:
        return reply_code(query, ResponseCode.NOT_IMPLEMENTED)
    if len(query.questions) != 1:
        return reply_code(query, ResponseCode.FORMAT_ERROR)
    ipams = [subnet.ipam for subnet in port.network.subnets]
    if ipams and all(ipam.dns_method == "none" for ipam in ipams):
        return reply_code(query, ResponseCode.REFUSED)
    first = next((ipam.virtual_dns for ipam in ipams if ipam.virtual_dns), "")
    own_prefixes = [subnet.prefix for subnet in port.network.subnets]
    name = first
    for _ in range(CHAIN_LENGTH_MAX):
        server = zones.server(name)
        if server is None:
            break
        answer = _authoritative(server, zones.records(server), query, own_prefixes)
        if answer is not None:
            return answer
        name = server.next_server
        next_address = _address(name)
        if next_address is not None:
            return ForwardTo(next_address)
    return ForwardTo()


def _address(text: str) -> IpAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _authoritative(
    server: VirtualDns,
    records: Mapping[str, list[ResourceRecord]],
    query: DnsMessage,
    own_prefixes: Iterable[IpNetwork],
) -> DnsMessage | None:
    """Return the server's answer, or None when the name is outside what it knows."""
    domain = normalise_name(server.domain)
    question = query.questions[0]
    name = question.name
    inside = bool(domain) and (name == domain or name.endswith("." + domain))
    if not inside and name not in records and not _is_own_reverse(name, own_prefixes):
        return None
    answers: list[ResourceRecord] = []
    for _ in range(_CNAME_CHAIN_MAX):
        found = records.get(name, ())
        wanted = [r for r in found if question.record_type in {r.record_type, RecordType.ANY}]
        answers += wanted
        alias = next((r for r in found if r.record_type == RecordType.CNAME), None)
        if wanted or alias is None or not isinstance(alias.content, str):
            break
        answers.append(alias)
        name = alias.content
    known = question.name in records or question.name == domain or bool(answers)
    code = ResponseCode.NO_ERROR if known else ResponseCode.NAME_ERROR
    authority = () if answers else (_start_of_authority(server, domain),)
    return DnsMessage(
        message_id=query.message_id,
        is_response=True,
        authoritative=True,
        recursion_desired=query.recursion_desired,
        recursion_available=True,
        response_code=code,
        questions=query.questions,
        answers=tuple(answers),
        authorities=authority,
    )


def _is_own_reverse(name: str, own_prefixes: Iterable[IpNetwork]) -> bool:
    """True for the reverse name of an address of the port's own subnets."""
    if not name.endswith(_REVERSE_ZONES):
        return False
    return any(
        prefix.version == 4
        and (address := _reverse_address4(name)) is not None
        and address in prefix
        for prefix in own_prefixes
    )


def _reverse_address4(name: str) -> IPv4Address | None:
    parts = name.removesuffix(".in-addr.arpa").split(".")
    try:
        return IPv4Address(".".join(reversed(parts))) if len(parts) == 4 else None
    except ValueError:
        return None


def _records(server: VirtualDns, domain: str) -> dict[str, list[ResourceRecord]]:
    found: dict[str, list[ResourceRecord]] = {}
    for record in server.records:
        made = _record(record, domain)
        if made is not None:
            found.setdefault(made.name, []).append(made)
    return found


def _record(record: DnsRecord, domain: str) -> ResourceRecord | None:
    """Turn a configured record into a wire record; unusable ones are left out."""
    name = _qualified(record.name, domain, record.record_type)
    content: IPv4Address | IPv6Address | str | MailExchange
    try:
        match record.record_type:
            case "A":
                kind, content = RecordType.A, IPv4Address(record.content)
            case "AAAA":
                kind, content = RecordType.AAAA, IPv6Address(record.content)
            case "PTR":
                kind, content = RecordType.PTR, _qualified(record.content, domain, "")
            case "CNAME":
                kind, content = RecordType.CNAME, _qualified(record.content, domain, "")
            case "NS":
                kind, content = RecordType.NS, normalise_name(record.content)
            case "MX":
                exchange = normalise_name(record.content)
                kind, content = RecordType.MX, MailExchange(record.preference & 0xFFFF, exchange)
            case _:
                return None
    except ValueError:
        return None
    target = content.exchange if isinstance(content, MailExchange) else content
    if not is_encodable_name(name) or (isinstance(target, str) and not is_encodable_name(target)):
        return None
    return ResourceRecord(name, kind, min(record.ttl_s, 0x7FFFFFFF), content)


def _qualified(text: str, domain: str, record_type: str) -> str:
    """Complete a relative name with the domain; reverse names are given as address or name."""
    name = normalise_name(text)
    if record_type == "PTR":
        address = _address(name)
        if address is not None:
            return address.reverse_pointer
        if name.endswith(_REVERSE_ZONES):
            return name
    if not name or not domain or name == domain or name.endswith("." + domain):
        return name or domain
    return f"{name}.{domain}" if "." not in name else name


def _start_of_authority(server: VirtualDns, domain: str) -> ResourceRecord:
    zone = domain if is_encodable_name(domain) else ""
    host = f"ns.{zone}" if zone else "ns"
    mailbox = f"hostmaster.{zone}" if zone else "hostmaster"
    content = StartOfAuthority(host, mailbox, 1, 3600, 600, 86400, min(server.ttl_s, 60))
    return ResourceRecord(zone, RecordType.SOA, 60, content)


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


def reply_frame(request: DnsRequest, payload: bytes) -> bytes:
    """Wrap a reply's bytes to go back where the request came from."""
    source, destination = request.packet.destination, request.packet.source
    datagram = UdpDatagram(request.datagram.destination_port, request.datagram.source_port, payload)
    packet = IpPacket(
        source=source,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(source, destination),
    )
    ether_type = ETHERTYPE_IPV4 if source.version == 4 else ETHERTYPE_IPV6
    ethernet = request.ethernet
    frame = EthernetFrame(ethernet.source, ethernet.destination, ether_type, packet.encode())
    return frame.encode()


def encode_reply(reply: DnsMessage) -> bytes:
    """The reply within what plain UDP clients take."""
    return reply.encode(UDP_BYTES_MAX)


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
        return free.to_bytes(2) + request.datagram.payload[2:]

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
