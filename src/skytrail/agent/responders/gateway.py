"""What reaches the vRouter's own addresses: only ping is answered."""

from __future__ import annotations

from ipaddress import IPv6Address

from skytrail.wire.frame import (
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    EthernetFrame,
    IpPacket,
    decode_ethernet,
    decode_ip,
)
from skytrail.wire.icmp import (
    ICMP_ECHO_REPLY,
    ICMP_ECHO_REQUEST,
    ICMPV6_ECHO_REPLY,
    ICMPV6_ECHO_REQUEST,
    IcmpMessage,
    decode_icmp,
)


def answer_echo(frame: bytes) -> list[bytes]:
    """Return the echo reply to an unfragmented echo request, else nothing. ``DecodeError``."""
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    ipv6 = isinstance(packet.source, IPv6Address)
    protocol = PROTOCOL_ICMPV6 if ipv6 else PROTOCOL_ICMP
    if packet.protocol != protocol or packet.is_fragment or packet.destination.is_multicast:
        return []
    message = decode_icmp(packet.payload)
    if message.icmp_type != (ICMPV6_ECHO_REQUEST if ipv6 else ICMP_ECHO_REQUEST):
        return []
    kind = ICMPV6_ECHO_REPLY if ipv6 else ICMP_ECHO_REPLY
    reply = IcmpMessage(kind, 0, message.rest, message.payload)
    answer = IpPacket(
        source=packet.destination,
        destination=packet.source,
        protocol=protocol,
        payload=reply.encode(packet.destination, packet.source),
        traffic_class=packet.traffic_class,
    )
    back = EthernetFrame(
        ethernet.source, ethernet.destination, ethernet.ether_type, answer.encode()
    )
    return [back.encode()]
