"""Multicast DNS (RFC 6762): names of workloads below ``.local``, for those who ask everybody.

``web.local`` is what the virtual DNS of the port's network knows as ``web`` of its domain. Only what is
known is answered; the question goes on to the members of the network, who may answer for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.interface import ActivePort, link_local
from skytrail.agent.port_config import Port
from skytrail.agent.responders.dns import UdpWay, Zones
from skytrail.net import GATEWAY_MAC, IpAddress, Mac
from skytrail.wire.dns import (
    DnsMessage,
    Question,
    RecordType,
    ResourceRecord,
    decode_dns,
    normalise_name,
)
from skytrail.wire.dns.zones import VirtualDns, is_inside, is_reverse
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
)

MDNS_PORT = 5353
_QUESTIONS_COUNT_MAX = 8
_TTL_S_MAX = 120
_LEGACY_TTL_S_MAX = 10
_MESSAGE_BYTES_MAX = 1232
_UNICAST = 0x8000
_TOP = "local"
_GROUPS: tuple[tuple[IpAddress, Mac], ...] = (
    (IPv4Address("224.0.0.251"), Mac(bytes.fromhex("01005e0000fb"))),
    (IPv6Address("ff02::fb"), Mac(bytes.fromhex("3333000000fb"))),
)
_ROUTER = link_local(GATEWAY_MAC)


def answer_mdns(active: ActivePort, way: UdpWay, zones: Zones) -> list[bytes]:
    """Return the answer to a question of the workload, if there is one. Raises ``DecodeError``."""
    query = decode_dns(way.datagram.payload)
    # What comes with authorities asks whether a name is free (section 8.1): we own none.
    if query.is_response or query.opcode or query.authorities:
        return []
    port = active.port
    found = [
        record
        for question in query.questions[:_QUESTIONS_COUNT_MAX]
        for record in _records(port, question, zones)
    ]
    known = {(each.name, each.record_type, each.content) for each in query.answers}
    found = [each for each in found if (each.name, each.record_type, each.content) not in known]
    if not found:
        return []
    is_legacy = way.datagram.source_port != MDNS_PORT
    most = _LEGACY_TTL_S_MAX if is_legacy else _TTL_S_MAX
    answer = DnsMessage(
        message_id=query.message_id if is_legacy else 0,
        is_response=True,
        authoritative=True,
        questions=query.questions if is_legacy else (),
        answers=tuple(replace(each, ttl_s=min(each.ttl_s, most)) for each in dict.fromkeys(found)),
    )
    is_unicast = is_legacy or all(each.record_class & _UNICAST for each in query.questions)
    return _frames(port, way, answer.encode(_MESSAGE_BYTES_MAX), is_unicast=is_unicast)


def _records(port: Port, question: Question, zones: Zones) -> Iterator[ResourceRecord]:
    for server in _servers(port, zones):
        domain = normalise_name(server.domain)
        find = zones.finder(server)
        if is_inside(question.name, _TOP):
            asked = question.name.removesuffix(f".{_TOP}")
            records = find(f"{asked}.{domain}")
        elif is_reverse(question.name):
            records = find(question.name)
        else:
            return
        for record in records:
            if question.record_type not in {record.record_type, RecordType.ANY}:
                continue
            made = _local(record, question.name, domain)
            # A workload says its own name itself, and would take our answer for another's claim.
            if made is not None and not _is_own(port, record):
                yield made


def _servers(port: Port, zones: Zones) -> Iterator[VirtualDns]:
    for name in dict.fromkeys(subnet.ipam.virtual_dns for subnet in port.network.subnets):
        server = zones.server(name)
        if server is not None and normalise_name(server.domain):
            yield server


def _local(record: ResourceRecord, name: str, domain: str) -> ResourceRecord | None:
    """Return a record as it is said below ``.local``; None for what has no such form."""
    match record.content:
        case IPv4Address() | IPv6Address():
            return replace(record, name=name)
        case str() if record.record_type == RecordType.PTR and is_inside(record.content, domain):
            return replace(
                record, name=name, content=f"{record.content.removesuffix(domain)}{_TOP}"
            )
        case _:
            return None


def _is_own(port: Port, record: ResourceRecord) -> bool:
    if isinstance(record.content, IPv4Address | IPv6Address):
        return record.content in port.addresses
    return any(record.name == address.reverse_pointer for address in port.addresses)


def _frames(port: Port, way: UdpWay, message: bytes, *, is_unicast: bool) -> list[bytes]:
    version = way.packet.source.version
    source = next(
        (
            subnet.service_address
            for subnet in port.network.subnets
            if subnet.prefix.version == version and subnet.service_address is not None
        ),
        None,
    )
    if version == 6:
        source = _ROUTER
    if source is None:
        return []
    destination, mac = next(each for each in _GROUPS if each[0].version == version)
    to_port = MDNS_PORT
    if is_unicast:
        destination, mac = way.packet.source, way.ethernet.source
        to_port = way.datagram.source_port
    datagram = UdpDatagram(MDNS_PORT, to_port, message)
    packet = IpPacket(
        source=source,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(source, destination),
        hop_limit=255,
    )
    ether_type = ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6
    return [EthernetFrame(mac, GATEWAY_MAC, ether_type, packet.encode()).encode()]
