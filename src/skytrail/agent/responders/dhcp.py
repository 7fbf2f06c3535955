"""DHCPv4: every configured port gets exactly its own address (RFC 2131)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from skytrail.agent.interface import ActivePort
from skytrail.agent.view import IpAddress, Subnet
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.wire.dhcp import (
    BOOT_REPLY,
    BOOT_REQUEST,
    DHCP_CLIENT_PORT,
    DHCP_SERVER_PORT,
    FLAG_BROADCAST,
    DhcpMessage,
    DhcpMessageType,
    DhcpOption,
    decode_dhcp,
    encode_addresses,
    encode_classless_routes,
)
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
)

LEASE_S = 86400
"""The address is the port's for life; renewals only refresh the other options."""
_BROADCAST_MAC = Mac(b"\xff" * 6)
_BROADCAST = IPv4Address("255.255.255.255")
_UNSPECIFIED = IPv4Address(0)
_ANY_ROUTE = IPv4Network("0.0.0.0/0")


def answer_dhcp(active: ActivePort, frame: bytes, *, virtual_domain: str) -> list[bytes]:
    """Return the reply frames to a request from a port's workload, possibly none.

    ``virtual_domain`` is the search domain to hand out, empty for none. Raises ``DecodeError``.
    """
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    request = decode_dhcp(decode_udp(packet.payload).payload)
    if request.operation != BOOT_REQUEST or request.client_mac != active.port.mac:
        return []
    lease = _lease(active)
    if lease is None:
        return []
    address, subnet = lease
    reply = _reply(active, request, address, subnet, virtual_domain)
    if reply is None:
        return []
    return [_frame(active, request, reply, _server(subnet))]


def _lease(active: ActivePort) -> tuple[IPv4Address, Subnet] | None:
    for address in active.port.addresses:
        subnet = active.port.network.subnet_of(address)
        if isinstance(address, IPv4Address) and subnet is not None and subnet.dhcp_enabled:
            return address, subnet
    return None


def _server(subnet: Subnet) -> IPv4Address:
    """An address of ours inside the subnet, so that renewals sent to it reach us."""
    for address in (subnet.gateway, subnet.service_address):
        if isinstance(address, IPv4Address):
            return address
    return IPv4Address("169.254.169.254")


def _reply(
    active: ActivePort,
    request: DhcpMessage,
    address: IPv4Address,
    subnet: Subnet,
    virtual_domain: str,
) -> DhcpMessage | None:
    server = _server(subnet)
    named = request.address_option(DhcpOption.SERVER_IDENTIFIER)
    match request.message_type:
        case DhcpMessageType.DISCOVER:
            kind, given = DhcpMessageType.OFFER, address
        case DhcpMessageType.INFORM:
            kind, given = DhcpMessageType.ACK, _UNSPECIFIED
        case DhcpMessageType.REQUEST:
            if named is not None and named != server:
                return None
            wanted = request.address_option(DhcpOption.REQUESTED_ADDRESS)
            wanted = wanted or request.client_address
            if wanted not in {address, _UNSPECIFIED}:
                return _refusal(request, server)
            kind, given = DhcpMessageType.ACK, address
        case _:
            return None
    options: dict[int, bytes] = {
        DhcpOption.MESSAGE_TYPE: bytes((kind,)),
        DhcpOption.SERVER_IDENTIFIER: server.packed,
        **_settings(active, subnet, virtual_domain),
    }
    if given != _UNSPECIFIED:
        options[DhcpOption.LEASE_TIME] = LEASE_S.to_bytes(4)
        options[DhcpOption.RENEWAL_TIME] = (LEASE_S // 2).to_bytes(4)
        options[DhcpOption.REBINDING_TIME] = (LEASE_S * 7 // 8).to_bytes(4)
    return DhcpMessage(
        operation=BOOT_REPLY,
        transaction_id=request.transaction_id,
        client_mac=request.client_mac,
        options=options,
        flags=request.flags,
        client_address=request.client_address if given != _UNSPECIFIED else _UNSPECIFIED,
        your_address=given,
        server_address=server,
        relay_address=request.relay_address,
    )


def _refusal(request: DhcpMessage, server: IPv4Address) -> DhcpMessage:
    return DhcpMessage(
        operation=BOOT_REPLY,
        transaction_id=request.transaction_id,
        client_mac=request.client_mac,
        flags=request.flags | FLAG_BROADCAST,
        options={
            DhcpOption.MESSAGE_TYPE: bytes((DhcpMessageType.NAK,)),
            DhcpOption.SERVER_IDENTIFIER: server.packed,
        },
    )


def _settings(active: ActivePort, subnet: Subnet, virtual_domain: str) -> dict[int, bytes]:
    prefix = subnet.prefix
    options: dict[int, bytes] = {
        DhcpOption.SUBNET_MASK: prefix.netmask.packed,
        DhcpOption.BROADCAST_ADDRESS: prefix.broadcast_address.packed,
        DhcpOption.INTERFACE_MTU: active.mtu_bytes.to_bytes(2),
    }
    if isinstance(subnet.gateway, IPv4Address):
        options[DhcpOption.ROUTER] = subnet.gateway.packed
    servers = dns_servers(subnet)
    if servers:
        options[DhcpOption.DNS_SERVER] = encode_addresses(
            server for server in servers if isinstance(server, IPv4Address)
        )
    host_name = active.port.host_name.encode("ascii", "ignore")[:63]
    if host_name:
        options[DhcpOption.HOST_NAME] = host_name
    if virtual_domain:
        options[DhcpOption.DOMAIN_NAME] = virtual_domain.encode("ascii", "ignore")[:253]
    routes = [
        (route.prefix, route.gateway)
        for route in subnet.host_routes
        if isinstance(route.prefix, IPv4Network) and isinstance(route.gateway, IPv4Address)
    ]
    if routes:
        if isinstance(subnet.gateway, IPv4Address) and all(r[0] != _ANY_ROUTE for r in routes):
            # A client that takes option 121 ignores the router option (RFC 3442).
            routes.append((_ANY_ROUTE, subnet.gateway))
        options[DhcpOption.CLASSLESS_ROUTES] = encode_classless_routes(routes)
    return options


def dns_servers(subnet: Subnet) -> tuple[IpAddress, ...]:
    """What workloads are told to ask: the user's servers, the tenant's, or our own address."""
    if subnet.dns_servers:
        return subnet.dns_servers
    if subnet.ipam.dns_method == "tenant-dns-server":
        return subnet.ipam.tenant_dns_servers
    if subnet.ipam.dns_method == "none" or subnet.service_address is None:
        return ()
    return (subnet.service_address,)


def _frame(
    active: ActivePort, request: DhcpMessage, reply: DhcpMessage, server: IPv4Address
) -> bytes:
    """Address the reply as RFC 2131 section 4.1 says."""
    broadcast = bool(reply.flags & FLAG_BROADCAST)
    destination, mac = _BROADCAST, _BROADCAST_MAC
    if request.client_address != _UNSPECIFIED and not broadcast:
        destination, mac = request.client_address, active.port.mac
    elif not broadcast and reply.your_address != _UNSPECIFIED:
        destination, mac = reply.your_address, active.port.mac
    datagram = UdpDatagram(DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply.encode())
    packet = IpPacket(
        source=server,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(server, destination),
    )
    return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_IPV4, packet.encode()).encode()
