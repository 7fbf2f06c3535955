"""IPv6 configuration: router advertisements that say "managed", and DHCPv6 that hands it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, IPv6Network

from skytrail.agent.interface import ActivePort, link_local
from skytrail.agent.network_config import Subnet
from skytrail.agent.port_config import Port
from skytrail.agent.responders.dhcp_choice import configured, dns_servers, of_family6, routes6
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.wire.arp_nd import (
    PrefixOption,
    RouterAdvertisement,
    dns_servers_option,
    domains_option,
    route_option,
)
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
    encode_options6,
    encode_status,
)
from skytrail.wire.errors import DecodeError
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


def advertise_router(active: ActivePort, *, virtual_domain: str = "") -> list[bytes]:
    """Return the advertisement for a port with IPv6 subnets, also the answer to a solicitation.

    Name servers, search domain and routes through the gateway are in it as well, for those who do not
    ask by DHCPv6, which cannot give routes.
    """
    subnets = [s for s in active.port.network.subnets if s.prefix.version == 6]
    if not subnets or not active.port.network.forwarding.routes:
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
        more=tuple(_more(active.port, subnets, virtual_domain)),
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


def _more(
    port: Port, subnets: Sequence[Subnet], virtual_domain: str
) -> Iterator[tuple[int, bytes]]:
    for prefix in dict.fromkeys(each for subnet in subnets for each in routes6(port, subnet)):
        yield route_option(prefix, ROUTER_LIFETIME_S)
    servers = _dns_servers(port, subnets)
    if servers:
        yield dns_servers_option(servers, ROUTER_LIFETIME_S)
    domains = _domains(port, subnets, virtual_domain)
    if domains:
        yield domains_option(domains, ROUTER_LIFETIME_S)


def _dns_servers(port: Port, subnets: Sequence[Subnet]) -> list[IPv6Address]:
    found = (each for subnet in subnets for each in of_family6(dns_servers(port, subnet)))
    return list(dict.fromkeys(found))


def _domains(port: Port, subnets: Sequence[Subnet], virtual_domain: str) -> bytes:
    said = (configured(port, subnet).get(Dhcp6Option.DOMAIN_LIST) for subnet in subnets)
    own = encode_domain_list([virtual_domain]) if virtual_domain else b""
    return next((value for value in said if value), own)


def answer_dhcp6(
    active: ActivePort, frame: bytes, *, virtual_domain: str, seen: Counter[str] | None = None
) -> list[bytes]:
    """Return the reply frames to a workload's DHCPv6 message, counted by kind in ``seen``.

    Raises ``DecodeError``.
    """
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    if not isinstance(packet.source, IPv6Address):
        return []
    request = decode_dhcp6(decode_udp(packet.payload).payload)
    if seen is not None and request.message_type in set(Dhcp6MessageType):
        seen[f"dhcp6 {Dhcp6MessageType(request.message_type).name}"] += 1
    client_id = request.first(Dhcp6Option.CLIENT_ID)
    server_id = request.first(Dhcp6Option.SERVER_ID)
    if not _is_for_us(request, client_id, server_id):
        return []
    subnets = [s for s in active.port.network.subnets if s.prefix.version == 6 and s.dhcp_enabled]
    kind = _reply_kind(request)
    if not subnets or kind is None:
        return []
    options: list[tuple[int, bytes]] = [(Dhcp6Option.SERVER_ID, _SERVER_ID)]
    if client_id is not None:
        options.insert(0, (Dhcp6Option.CLIENT_ID, client_id))
    options += _body(active, request, subnets)
    options += _settings(active.port, subnets, virtual_domain)
    reply = Dhcp6Message(kind, request.transaction_id, tuple(options))
    return [_frame(ethernet.source, packet.source, reply)]


def _is_for_us(request: Dhcp6Message, client_id: bytes | None, server_id: bytes | None) -> bool:
    """RFC 8415 section 16: what a server discards."""
    kind = request.message_type
    if client_id is None and kind != Dhcp6MessageType.INFORMATION_REQUEST:
        return False
    if kind in _NEEDS_OUR_ID:
        return server_id == _SERVER_ID
    if kind == Dhcp6MessageType.INFORMATION_REQUEST:
        associations = (Dhcp6Option.IA_NA, Dhcp6Option.IA_TA, Dhcp6Option.IA_PD)
        asks = any(request.first(code) is not None for code in associations)
        return server_id in {None, _SERVER_ID} and not asks
    return server_id is None


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
            asked = [decode_identity_association(each) for each in request.all(Dhcp6Option.IA_NA)]
            bindings: list[tuple[int, bytes]] = [
                # An address belongs to one association alone: further ones get none.
                (Dhcp6Option.IA_NA, _bind(each, () if place else addresses, addresses).encode())
                for place, each in enumerate(asked)
            ]
            bindings += _unavailable(request)
            rapid = request.message_type == Dhcp6MessageType.SOLICIT and (
                request.first(Dhcp6Option.RAPID_COMMIT) is not None
            )
            return [*bindings, *([(Dhcp6Option.RAPID_COMMIT, b"")] if rapid else [])]


def _bind(
    asked: IdentityAssociation, given: Sequence[IPv6Address], owned: Sequence[IPv6Address]
) -> IdentityAssociation:
    options: list[tuple[int, bytes]] = [
        (
            Dhcp6Option.IA_ADDRESS,
            encode_ia_address(address, preferred_s=LEASE6_S, valid_s=LEASE6_S),
        )
        for address in given
    ]
    for kind, old in asked.options:
        # What the client believes to own and does not is ended at once (RFC 8415 §18.3.4).
        if kind == Dhcp6Option.IA_ADDRESS and decode_ia_address(old) not in owned:
            ended = encode_ia_address(decode_ia_address(old), preferred_s=0, valid_s=0)
            options.append((Dhcp6Option.IA_ADDRESS, ended))
    if not given:
        status = encode_status(Dhcp6Status.NO_ADDRESSES_AVAILABLE, "no address configured")
        options.append((Dhcp6Option.STATUS_CODE, status))
    return IdentityAssociation(asked.iaid, LEASE6_S // 2, LEASE6_S * 4 // 5, tuple(options))


def _unavailable(request: Dhcp6Message) -> Iterator[tuple[int, bytes]]:
    """Refuse temporary addresses and prefixes: whatever the model does not know would be spoofed."""
    none = encode_status(Dhcp6Status.NO_ADDRESSES_AVAILABLE, "no temporary addresses")
    for value in request.all(Dhcp6Option.IA_TA):
        if len(value) < 4:
            raise DecodeError("identity association is cut short", len(value), "RFC 8415")
        yield Dhcp6Option.IA_TA, value[:4] + encode_options6([(Dhcp6Option.STATUS_CODE, none)])
    none = encode_status(Dhcp6Status.NO_PREFIXES_AVAILABLE, "no prefixes to delegate")
    for value in request.all(Dhcp6Option.IA_PD):
        asked = decode_identity_association(value)
        refused = IdentityAssociation(asked.iaid, 0, 0, ((Dhcp6Option.STATUS_CODE, none),))
        yield Dhcp6Option.IA_PD, refused.encode()


def _confirm(request: Dhcp6Message, addresses: Sequence[IPv6Address]) -> bytes:
    for value in request.all(Dhcp6Option.IA_NA):
        for kind, old in decode_identity_association(value).options:
            if kind == Dhcp6Option.IA_ADDRESS and decode_ia_address(old) not in addresses:
                return encode_status(Dhcp6Status.NOT_ON_LINK, "not this port's address")
    return encode_status(Dhcp6Status.SUCCESS)


def _settings(
    port: Port, subnets: Sequence[Subnet], virtual_domain: str
) -> list[tuple[int, bytes]]:
    options: dict[int, bytes] = {}
    for subnet in subnets:
        options = configured(port, subnet) | options
    options.pop(Dhcp6Option.DOMAIN_LIST, None)
    servers = _dns_servers(port, subnets)
    if servers:
        options[Dhcp6Option.DNS_SERVERS] = b"".join(server.packed for server in servers)
    domains = _domains(port, subnets, virtual_domain)
    if domains:
        options[Dhcp6Option.DOMAIN_LIST] = domains
    return sorted(options.items())


def _frame(mac: Mac, destination: IPv6Address, reply: Dhcp6Message) -> bytes:
    datagram = UdpDatagram(DHCP6_SERVER_PORT, DHCP6_CLIENT_PORT, reply.encode())
    packet = IpPacket(
        source=ROUTER_ADDRESS,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(ROUTER_ADDRESS, destination),
    )
    return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_IPV6, packet.encode()).encode()
