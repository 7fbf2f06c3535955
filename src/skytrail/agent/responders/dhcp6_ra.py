"""IPv6 configuration: router advertisements that say "managed", and DHCPv6 that hands it out."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network

from skytrail.agent.interface import ActivePort, link_local
from skytrail.agent.responders.dhcp import dns_servers
from skytrail.agent.view import Subnet
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.wire.arp_nd import PrefixOption, RouterAdvertisement
from skytrail.wire.dhcp import (
    DHCP6_CLIENT_PORT,
    DHCP6_SERVER_PORT,
    Dhcp6Message,
    Dhcp6MessageType,
    Dhcp6Option,
    Dhcp6Status,
    IdentityAssociation,
    decode_dhcp6,
    decode_ia_address,
    decode_identity_association,
    duid_of_mac,
    encode_domain_list,
    encode_ia_address,
    encode_status,
)
from skytrail.wire.frame import (
    ETHERTYPE_IPV6,
    PROTOCOL_ICMPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
)

LEASE6_S = 86400
ROUTER_LIFETIME_S = 9000
"""The longest that RFC 4861 allows: hosts ask once, and we repeat it every few minutes."""
ADVERTISEMENT_INTERVAL_S = 600.0
_HOP_LIMIT = 255
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = Mac(bytes.fromhex("333300000001"))
ROUTER_ADDRESS = link_local(GATEWAY_MAC)
_SERVER_ID = duid_of_mac(GATEWAY_MAC)
_NEEDS_OUR_ID = frozenset(
    {
        Dhcp6MessageType.REQUEST,
        Dhcp6MessageType.RENEW,
        Dhcp6MessageType.RELEASE,
        Dhcp6MessageType.DECLINE,
    }
)


def advertise_router(active: ActivePort) -> list[bytes]:
    """Return the advertisement for a port with IPv6 subnets, also the answer to a solicitation."""
    subnets = [s for s in active.port.network.subnets if s.prefix.version == 6]
    if not subnets:
        return []
    has_router = any(subnet.gateway for subnet in subnets)
    managed = any(subnet.dhcp_enabled for subnet in subnets)
    advertisement = RouterAdvertisement(
        hop_limit=64,
        managed=managed,
        other=managed,
        router_lifetime_s=ROUTER_LIFETIME_S if has_router else 0,
        source_mac=GATEWAY_MAC,
        mtu_bytes=max(active.mtu_bytes, 1280),
        prefixes=tuple(
            PrefixOption(
                prefix=subnet.prefix,
                on_link=True,
                # Addresses are the model's: anything a host makes up itself would be spoofed.
                autonomous=False,
                valid_lifetime_s=LEASE6_S,
                preferred_lifetime_s=LEASE6_S,
            )
            for subnet in subnets
            if isinstance(subnet.prefix, IPv6Network)
        ),
    )
    message = advertisement.encode().encode(ROUTER_ADDRESS, _ALL_NODES)
    packet = IpPacket(
        source=ROUTER_ADDRESS,
        destination=_ALL_NODES,
        protocol=PROTOCOL_ICMPV6,
        payload=message,
        hop_limit=_HOP_LIMIT,
    )
    frame = EthernetFrame(_ALL_NODES_MAC, GATEWAY_MAC, ETHERTYPE_IPV6, packet.encode())
    return [frame.encode()]


def answer_dhcp6(active: ActivePort, frame: bytes, *, virtual_domain: str) -> list[bytes]:
    """Return the reply frames to a workload's DHCPv6 message. Raises ``DecodeError``."""
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    if not isinstance(packet.source, IPv6Address):
        return []
    request = decode_dhcp6(decode_udp(packet.payload).payload)
    client_id = request.first(Dhcp6Option.CLIENT_ID)
    server_id = request.first(Dhcp6Option.SERVER_ID)
    if request.message_type in _NEEDS_OUR_ID and server_id != _SERVER_ID:
        return []
    subnets = [s for s in active.port.network.subnets if s.prefix.version == 6 and s.dhcp_enabled]
    kind = _reply_kind(request)
    if not subnets or kind is None:
        return []
    options: list[tuple[int, bytes]] = [(Dhcp6Option.SERVER_ID, _SERVER_ID)]
    if client_id is not None:
        options.insert(0, (Dhcp6Option.CLIENT_ID, client_id))
    options += _body(active, request, subnets)
    options += _settings(subnets, virtual_domain)
    reply = Dhcp6Message(kind, request.transaction_id, tuple(options))
    return [_frame(ethernet.source, packet.source, reply)]


def _reply_kind(request: Dhcp6Message) -> Dhcp6MessageType | None:
    match request.message_type:
        case Dhcp6MessageType.SOLICIT:
            rapid = request.first(Dhcp6Option.RAPID_COMMIT) is not None
            return Dhcp6MessageType.REPLY if rapid else Dhcp6MessageType.ADVERTISE
        case (
            Dhcp6MessageType.REQUEST
            | Dhcp6MessageType.CONFIRM
            | Dhcp6MessageType.RENEW
            | Dhcp6MessageType.REBIND
            | Dhcp6MessageType.RELEASE
            | Dhcp6MessageType.DECLINE
            | Dhcp6MessageType.INFORMATION_REQUEST
        ):
            return Dhcp6MessageType.REPLY
        case _:
            return None


def _body(
    active: ActivePort, request: Dhcp6Message, subnets: Sequence[Subnet]
) -> list[tuple[int, bytes]]:
    addresses = [
        address
        for address in active.port.addresses
        if isinstance(address, IPv6Address) and any(address in s.prefix for s in subnets)
    ]
    match request.message_type:
        case Dhcp6MessageType.INFORMATION_REQUEST:
            return []
        case Dhcp6MessageType.RELEASE | Dhcp6MessageType.DECLINE:
            return [(Dhcp6Option.STATUS_CODE, encode_status(Dhcp6Status.SUCCESS))]
        case Dhcp6MessageType.CONFIRM:
            return [(Dhcp6Option.STATUS_CODE, _confirm(request, addresses))]
        case _:
            bindings = [
                (Dhcp6Option.IA_NA, _bind(value, addresses).encode())
                for value in request.all(Dhcp6Option.IA_NA)
            ]
            rapid = request.message_type == Dhcp6MessageType.SOLICIT and (
                request.first(Dhcp6Option.RAPID_COMMIT) is not None
            )
            return [*bindings, *([(Dhcp6Option.RAPID_COMMIT, b"")] if rapid else [])]


def _bind(value: bytes, addresses: Sequence[IPv6Address]) -> IdentityAssociation:
    asked = decode_identity_association(value)
    options: list[tuple[int, bytes]] = [
        (
            Dhcp6Option.IA_ADDRESS,
            encode_ia_address(address, preferred_s=LEASE6_S, valid_s=LEASE6_S),
        )
        for address in addresses
    ]
    for kind, old in asked.options:
        # What the client believes to own and does not is ended at once (RFC 8415 §18.3.4).
        if kind == Dhcp6Option.IA_ADDRESS and decode_ia_address(old) not in addresses:
            ended = encode_ia_address(decode_ia_address(old), preferred_s=0, valid_s=0)
            options.append((Dhcp6Option.IA_ADDRESS, ended))
    if not addresses:
        status = encode_status(Dhcp6Status.NO_ADDRESSES_AVAILABLE, "no address configured")
        options.append((Dhcp6Option.STATUS_CODE, status))
    return IdentityAssociation(asked.iaid, LEASE6_S // 2, LEASE6_S * 4 // 5, tuple(options))


def _confirm(request: Dhcp6Message, addresses: Sequence[IPv6Address]) -> bytes:
    for value in request.all(Dhcp6Option.IA_NA):
        for kind, old in decode_identity_association(value).options:
            if kind == Dhcp6Option.IA_ADDRESS and decode_ia_address(old) not in addresses:
                return encode_status(Dhcp6Status.NOT_ON_LINK, "not this port's address")
    return encode_status(Dhcp6Status.SUCCESS)


def _settings(subnets: Sequence[Subnet], virtual_domain: str) -> list[tuple[int, bytes]]:
    servers = [
        server.packed
        for subnet in subnets
        for server in dns_servers(subnet)
        if isinstance(server, IPv6Address)
    ]
    options: list[tuple[int, bytes]] = []
    if servers:
        options.append((Dhcp6Option.DNS_SERVERS, b"".join(servers)))
    if virtual_domain:
        options.append((Dhcp6Option.DOMAIN_LIST, encode_domain_list([virtual_domain])))
    return options


def _frame(mac: Mac, destination: IPv6Address, reply: Dhcp6Message) -> bytes:
    datagram = UdpDatagram(DHCP6_SERVER_PORT, DHCP6_CLIENT_PORT, reply.encode())
    packet = IpPacket(
        source=ROUTER_ADDRESS,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(ROUTER_ADDRESS, destination),
    )
    return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_IPV6, packet.encode()).encode()
