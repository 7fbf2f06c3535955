"""Frames by which addresses behind a port are learnt, and by which it is asked whether they are there. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.address_learning import Claim, Question
from skytrail.agent.interface import link_local
from skytrail.agent.port_config import Port
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.wire.arp_nd.arp import ARP_REQUEST, ArpMessage, decode_arp
from skytrail.wire.arp_nd.nd import NeighbourAdvertisement, NeighbourSolicitation, decode_nd
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.ethernet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV6,
    EthernetFrame,
    decode_ethernet,
)
from skytrail.wire.frame.inet import PROTOCOL_ICMPV6, IpPacket, decode_ip
from skytrail.wire.icmp.message import decode_icmp

_HOP_LIMIT = 255
_ROUTER = link_local(GATEWAY_MAC)


def claim_of(frame: bytes) -> Claim:
    """Return who has which address by an ARP message or a neighbour's; raises ``DecodeError``.

    ARP has to name the MAC that it comes from: who answers for others tells nothing of itself.
    """
    outer = decode_ethernet(frame)
    if outer.ether_type == ETHERTYPE_ARP:
        message = decode_arp(outer.payload)
        if message.sender_mac != outer.source:
            raise DecodeError("ARP is for another MAC than it comes from", 8, "RFC 826")
        return message.sender_address, message.sender_mac
    packet = decode_ip(outer.payload)
    if packet.protocol != PROTOCOL_ICMPV6:
        raise DecodeError("neither ARP nor neighbour discovery", 0, "RFC 4861")
    match decode_nd(decode_icmp(packet.payload)):
        case NeighbourSolicitation():
            return packet.source, outer.source
        case NeighbourAdvertisement(target=target):
            return target, outer.source
        case _:
            raise DecodeError("no neighbour speaks of itself", 0, "RFC 4861")


def question_frame(port: Port, question: Question) -> bytes | None:
    """Return a request to the very MAC that had the address, from the vRouter; None: there is nobody
    to ask it.
    """
    address, mac = question.address, question.mac
    if isinstance(address, IPv6Address):
        solicitation = NeighbourSolicitation(address, GATEWAY_MAC).encode()
        packet = IpPacket(
            source=_ROUTER,
            destination=address,
            protocol=PROTOCOL_ICMPV6,
            payload=solicitation.encode(_ROUTER, address),
            hop_limit=_HOP_LIMIT,
        )
        return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_IPV6, packet.encode()).encode()
    subnet = port.network.subnet_of(address)
    asker = subnet and (subnet.gateway or subnet.service_address)
    if not isinstance(asker, IPv4Address):
        return None
    request = ArpMessage(ARP_REQUEST, GATEWAY_MAC, asker, Mac(bytes(6)), address)
    return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_ARP, request.encode()).encode()
