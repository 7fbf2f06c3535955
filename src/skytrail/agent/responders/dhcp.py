"""DHCPv4: every configured port gets exactly its own address (RFC 2131) and what is configured."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

from skytrail.agent.interface import ActivePort
from skytrail.agent.network_config import Subnet
from skytrail.agent.responders.dhcp_choice import (
    configured,
    dns_servers,
    host_routes,
    of_family4,
)
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
_FOREVER = 0xFFFF_FFFF
_SIZE_BYTES = 576
"""Of a packet, that every client takes (RFC 2131 section 2)."""
_IP_UDP_BYTES = 28
_LEASE_OPTIONS = (DhcpOption.LEASE_TIME, DhcpOption.RENEWAL_TIME, DhcpOption.REBINDING_TIME)
_ALWAYS = (DhcpOption.SERVER_IDENTIFIER, DhcpOption.SUBNET_MASK, *_LEASE_OPTIONS)


def answer_dhcp(
    active: ActivePort, frame: bytes, *, virtual_domain: str, seen: Counter[str] | None = None
) -> list[bytes]:
    """Return the reply frames to a request from a port's workload, possibly none.

    ``virtual_domain`` is the search domain to hand out, empty for none; requests of the workload
    itself are counted by kind in ``seen``. Raises ``DecodeError``.
    """
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    request = decode_dhcp(decode_udp(packet.payload).payload)
    if request.operation != BOOT_REQUEST or request.client_mac != active.port.mac:
        if seen is not None:
            seen["dhcp ignored: not a request of the port's own MAC"] += 1
        return []
    if seen is not None and request.message_type is not None:
        seen[f"dhcp {request.message_type.name}"] += 1
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
    options = _settings(active, request, subnet, virtual_domain)
    options[DhcpOption.MESSAGE_TYPE] = bytes((kind,))
    options[DhcpOption.SERVER_IDENTIFIER] = server.packed
    if given == _UNSPECIFIED:
        for code in _LEASE_OPTIONS:
            options.pop(code, None)
    else:
        _add_lease(options)
    return DhcpMessage(
        operation=BOOT_REPLY,
        transaction_id=request.transaction_id,
        client_mac=request.client_mac,
        options=options,
        flags=request.flags,
        client_address=request.client_address if given != _UNSPECIFIED else _UNSPECIFIED,
        your_address=given,
        server_address=_boot_server(options) or server,
        relay_address=request.relay_address,
        server_name=options.get(DhcpOption.BOOT_SERVER_NAME, b""),
        boot_file=options.get(DhcpOption.BOOT_FILE, b""),
    )


def _add_lease(options: dict[int, bytes]) -> None:
    lease = options.setdefault(DhcpOption.LEASE_TIME, LEASE_S.to_bytes(4))
    lease_s = int.from_bytes(lease)
    renewal, rebinding = lease_s // 2, lease_s * 7 // 8
    if lease_s == _FOREVER:
        renewal = rebinding = _FOREVER
    options.setdefault(DhcpOption.RENEWAL_TIME, renewal.to_bytes(4))
    options.setdefault(DhcpOption.REBINDING_TIME, rebinding.to_bytes(4))


def _boot_server(options: dict[int, bytes]) -> IPv4Address | None:
    """Where a boot program asks for its file, as far as that is an address."""
    listed = options.get(DhcpOption.BOOT_SERVERS, b"")
    if len(listed) >= 4:
        return IPv4Address(listed[:4])
    try:
        return IPv4Address(options.get(DhcpOption.BOOT_SERVER_NAME, b"").decode("ascii"))
    except ValueError:
        return None


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


def _settings(
    active: ActivePort, request: DhcpMessage, subnet: Subnet, virtual_domain: str
) -> dict[int, bytes]:
    port, prefix = active.port, subnet.prefix
    options = configured(port, subnet)
    options[DhcpOption.SUBNET_MASK] = prefix.netmask.packed
    options[DhcpOption.BROADCAST_ADDRESS] = prefix.broadcast_address.packed
    wanted_mtu = int.from_bytes(options.get(DhcpOption.INTERFACE_MTU, b"\xff\xff"))
    # More than the tunnel carries would be refused packet by packet.
    options[DhcpOption.INTERFACE_MTU] = min(wanted_mtu, active.mtu_bytes).to_bytes(2)
    if isinstance(subnet.gateway, IPv4Address):
        gateway = subnet.gateway.packed
        options[DhcpOption.ROUTER] = options.get(DhcpOption.ROUTER, b"") + gateway
    servers = of_family4(dns_servers(port, subnet))
    if servers:
        options[DhcpOption.DNS_SERVER] = encode_addresses(servers)
    host_name = port.host_name.encode("ascii", "ignore")[:63]
    if host_name:
        options.setdefault(DhcpOption.HOST_NAME, host_name)
    if virtual_domain:
        domain = virtual_domain.encode("ascii", "ignore")[:253]
        options.setdefault(DhcpOption.DOMAIN_NAME, domain)
    routes = host_routes(port, subnet)
    if routes:
        value = encode_classless_routes(routes)
        options[DhcpOption.CLASSLESS_ROUTES] = value
        if DhcpOption.CLASSLESS_ROUTES_OF_OLD in request.options.get(
            DhcpOption.PARAMETER_LIST, b""
        ):
            options[DhcpOption.CLASSLESS_ROUTES_OF_OLD] = value
    return options


def _encoded(active: ActivePort, request: DhcpMessage, reply: DhcpMessage) -> bytes:
    """Encode within what the client takes: what it asked for comes before what it did not."""
    said = request.options.get(DhcpOption.MAXIMUM_SIZE, b"")
    limit = max(int.from_bytes(said), _SIZE_BYTES) if len(said) == 2 else _SIZE_BYTES
    room = min(limit, active.mtu_bytes) - _IP_UDP_BYTES
    order = (*_ALWAYS, *request.options.get(DhcpOption.PARAMETER_LIST, b""))
    return reply.encode(order, room)


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
    datagram = UdpDatagram(DHCP_SERVER_PORT, DHCP_CLIENT_PORT, _encoded(active, request, reply))
    packet = IpPacket(
        source=server,
        destination=destination,
        protocol=PROTOCOL_UDP,
        payload=datagram.encode(server, destination),
    )
    return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_IPV4, packet.encode()).encode()
