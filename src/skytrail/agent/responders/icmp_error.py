"""ICMP errors for packets the datapath could not forward (RFC 792, 1812, 4443, 8201).

The datapath limits how often it asks; this module only decides whether an error is allowed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.interface import ActivePort
from skytrail.agent.plugin import PuntReason
from skytrail.net import GATEWAY_MAC
from skytrail.wire.frame import (
    IPV4_HEADER_BYTES,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    EthernetFrame,
    IpAddress,
    IpPacket,
    decode_ethernet,
    decode_ip,
)
from skytrail.wire.icmp import (
    ICMP_CODE_FRAGMENTATION_NEEDED,
    ICMP_CODE_HOST_UNREACHABLE,
    ICMP_TIME_EXCEEDED,
    ICMP_UNREACHABLE,
    ICMPV4_QUOTE_BYTES_MAX,
    ICMPV6_QUOTE_BYTES_MAX,
    ICMPV6_TIME_EXCEEDED,
    ICMPV6_TOO_BIG,
    ICMPV6_UNREACHABLE,
    IcmpMessage,
    is_error,
)


def answer_undeliverable(
    active: ActivePort, reason: PuntReason, argument: int, frame: bytes
) -> list[bytes]:
    """Return the error for a frame the workload sent, or nothing where none may be sent.

    ``argument`` is the MTU for ``ICMP_TOO_BIG``. Raises ``DecodeError``.
    """
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    source = _source(active, packet)
    if source is None or ethernet.destination.is_group or not _may_answer(packet):
        return []
    error = _error(reason, argument, packet, ethernet.payload)
    if error is None:
        return []
    protocol = PROTOCOL_ICMP if isinstance(source, IPv4Address) else PROTOCOL_ICMPV6
    answer = IpPacket(
        source=source,
        destination=packet.source,
        protocol=protocol,
        payload=error.encode(source, packet.source),
    )
    back = EthernetFrame(ethernet.source, GATEWAY_MAC, ethernet.ether_type, answer.encode())
    return [back.encode()]


def _source(active: ActivePort, packet: IpPacket) -> IpAddress | None:
    """Our own address in the sender's subnet."""
    subnet = active.port.network.subnet_of(packet.source)
    if subnet is None:
        return None
    return subnet.gateway or subnet.service_address


def _may_answer(packet: IpPacket) -> bool:
    """RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e)."""
    if packet.fragment_offset_bytes or packet.destination.is_multicast:
        return False
    if packet.source.is_unspecified or packet.source.is_multicast:
        return False
    ipv6 = isinstance(packet.source, IPv6Address)
    if packet.protocol == (PROTOCOL_ICMPV6 if ipv6 else PROTOCOL_ICMP):
        return bool(packet.payload) and not is_error(packet.payload[0], ipv6=ipv6)
    return True


def _error(
    reason: PuntReason, argument: int, packet: IpPacket, original: bytes
) -> IcmpMessage | None:
    if isinstance(packet.source, IPv6Address):
        quote = original[:ICMPV6_QUOTE_BYTES_MAX]
        match reason:
            case PuntReason.ICMP_TTL_EXCEEDED:
                return IcmpMessage(ICMPV6_TIME_EXCEEDED, 0, 0, quote)
            case PuntReason.ICMP_TOO_BIG:
                return IcmpMessage(ICMPV6_TOO_BIG, 0, max(argument, 1280), quote)
            case PuntReason.ICMP_UNREACHABLE:
                return IcmpMessage(ICMPV6_UNREACHABLE, 0, 0, quote)
            case _:
                return None
    quote = original[: max(ICMPV4_QUOTE_BYTES_MAX, IPV4_HEADER_BYTES + 8)]
    match reason:
        case PuntReason.ICMP_TTL_EXCEEDED:
            return IcmpMessage(ICMP_TIME_EXCEEDED, 0, 0, quote)
        case PuntReason.ICMP_TOO_BIG:
            code = ICMP_CODE_FRAGMENTATION_NEEDED
            return IcmpMessage(ICMP_UNREACHABLE, code, argument & 0xFFFF, quote)
        case PuntReason.ICMP_UNREACHABLE:
            return IcmpMessage(ICMP_UNREACHABLE, ICMP_CODE_HOST_UNREACHABLE, 0, quote)
        case _:
            return None
