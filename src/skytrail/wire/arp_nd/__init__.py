"""Address resolution: ARP for IPv4, neighbour discovery for IPv6."""

from skytrail.wire.arp_nd.arp import ARP_REPLY, ARP_REQUEST, ArpMessage, decode_arp
from skytrail.wire.arp_nd.nd import (
    ND_ROUTER_SOLICITATION,
    NdMessage,
    NeighbourAdvertisement,
    NeighbourSolicitation,
    PrefixOption,
    RouterAdvertisement,
    RouterSolicitation,
    decode_nd,
    dns_servers_option,
    domains_option,
    route_option,
)

__all__ = [
    "ARP_REPLY",
    "ARP_REQUEST",
    "ND_ROUTER_SOLICITATION",
    "ArpMessage",
    "NdMessage",
    "NeighbourAdvertisement",
    "NeighbourSolicitation",
    "PrefixOption",
    "RouterAdvertisement",
    "RouterSolicitation",
    "decode_arp",
    "decode_nd",
    "dns_servers_option",
    "domains_option",
    "route_option",
]
