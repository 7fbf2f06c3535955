"""Frames the agent reads and writes itself: Ethernet, IP, UDP, TCP and their checksums."""

from skytrail.wire.frame.checksum import IpAddress, internet_checksum, pseudo_header
from skytrail.wire.frame.ethernet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EthernetFrame,
    decode_ethernet,
)
from skytrail.wire.frame.inet import (
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    IpPacket,
    decode_ip,
)
from skytrail.wire.frame.tcp import TcpFlag, TcpSegment, decode_tcp
from skytrail.wire.frame.udp import UdpDatagram, decode_udp

__all__ = [
    "ETHERTYPE_ARP",
    "ETHERTYPE_IPV4",
    "ETHERTYPE_IPV6",
    "IPV4_HEADER_BYTES",
    "IPV6_HEADER_BYTES",
    "PROTOCOL_ICMP",
    "PROTOCOL_ICMPV6",
    "PROTOCOL_TCP",
    "PROTOCOL_UDP",
    "EthernetFrame",
    "IpAddress",
    "IpPacket",
    "TcpFlag",
    "TcpSegment",
    "UdpDatagram",
    "decode_ethernet",
    "decode_ip",
    "decode_tcp",
    "decode_udp",
    "internet_checksum",
    "pseudo_header",
]
