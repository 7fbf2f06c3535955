"""What workloads are answered, frame in and frame out."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.responders.dhcp import answer_dhcp
from skytrail.agent.responders.dhcp6_ra import ROUTER_ADDRESS, advertise_router, answer_dhcp6
from skytrail.agent.responders.dispatch import WAITING_TIME_S, Dispatcher
from skytrail.agent.responders.gateway import answer_echo
from skytrail.agent.responders.icmp_error import answer_undeliverable
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet
from skytrail.wire.arp_nd import decode_nd
from skytrail.wire.dhcp import (
    BOOT_REQUEST,
    FLAG_BROADCAST,
    Dhcp6Message,
    Dhcp6MessageType,
    Dhcp6Option,
    DhcpMessage,
    DhcpMessageType,
    DhcpOption,
    IdentityAssociation,
    decode_classless_routes,
    decode_dhcp,
    decode_dhcp6,
    decode_ia_address,
    decode_identity_association,
    duid_of_mac,
)
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
    internet_checksum,
    pseudo_header,
)
from skytrail.wire.icmp import IcmpMessage, decode_icmp

BROADCAST = Mac(b"\xff" * 6)
ANY = IPv4Address(0)


def active(**settings):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24", **settings), subnet("fd00:1::/64")])
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host.active("a")


def ip_frame(port, source, destination, protocol, payload, mac=GATEWAY_MAC):
    packet = IpPacket(ip_address(source), ip_address(destination), protocol, payload)
    ether_type = ETHERTYPE_IPV6 if ":" in source else ETHERTYPE_IPV4
    return EthernetFrame(mac, port.port.mac, ether_type, packet.encode()).encode()


def request(port, kind, *, mac=None, client=ANY, **options):
    fields = {DhcpOption.MESSAGE_TYPE: bytes((kind,))}
    fields |= {DhcpOption[name]: value for name, value in options.items()}
    message = DhcpMessage(
        operation=BOOT_REQUEST,
        transaction_id=77,
        client_mac=mac or port.port.mac,
        options=fields,
        client_address=client,
    )
    datagram = UdpDatagram(68, 67, message.encode()).encode(ANY, IPv4Address("255.255.255.255"))
    return ip_frame(port, str(client), "255.255.255.255", PROTOCOL_UDP, datagram, BROADCAST)


def reply_of(frames):
    (frame,) = frames
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    return ethernet, packet, decode_dhcp(decode_udp(packet.payload).payload)


def test_discover_is_offered_the_port_address_with_its_subnet():
    port = active()

    _, packet, offer = reply_of(
        answer_dhcp(port, request(port, DhcpMessageType.DISCOVER), virtual_domain="demo.test")
    )

    assert offer.message_type is DhcpMessageType.OFFER
    assert (offer.your_address, offer.transaction_id) == (IPv4Address("10.1.1.3"), 77)
    assert packet.source == IPv4Address("10.1.1.1")
    expected = {
        DhcpOption.SUBNET_MASK: "255.255.255.0",
        DhcpOption.ROUTER: "10.1.1.1",
        DhcpOption.DNS_SERVER: "10.1.1.2",
        DhcpOption.SERVER_IDENTIFIER: "10.1.1.1",
    }
    assert {code: str(offer.address_option(code)) for code in expected} == expected
    assert offer.options[DhcpOption.INTERFACE_MTU] == (1450).to_bytes(2)
    assert offer.options[DhcpOption.HOST_NAME] == b"a"
    assert offer.options[DhcpOption.DOMAIN_NAME] == b"demo.test"


def test_request_for_another_address_is_refused():
    port = active()
    frame = request(port, DhcpMessageType.REQUEST, REQUESTED_ADDRESS=IPv4Address("10.1.1.9").packed)

    _, packet, reply = reply_of(answer_dhcp(port, frame, virtual_domain=""))

    assert reply.message_type is DhcpMessageType.NAK
    assert packet.destination == IPv4Address("255.255.255.255")
    assert reply.flags & FLAG_BROADCAST


def test_request_meant_for_another_server_is_ignored():
    port = active()
    frame = request(port, DhcpMessageType.REQUEST, SERVER_IDENTIFIER=IPv4Address("10.9.9.9").packed)

    assert answer_dhcp(port, frame, virtual_domain="") == []


def test_renewal_is_acknowledged_to_the_address_itself():
    port = active()
    frame = request(port, DhcpMessageType.REQUEST, client=IPv4Address("10.1.1.3"))

    ethernet, packet, reply = reply_of(answer_dhcp(port, frame, virtual_domain=""))

    assert reply.message_type is DhcpMessageType.ACK
    assert (packet.destination, ethernet.destination) == (
        IPv4Address("10.1.1.3"),
        port.port.mac,
    )


@pytest.mark.parametrize("kind", [DhcpMessageType.RELEASE, DhcpMessageType.DECLINE])
def test_release_and_decline_need_no_answer(kind):
    port = active()

    assert answer_dhcp(port, request(port, kind), virtual_domain="") == []


def test_another_clients_request_is_not_answered():
    port = active()
    frame = request(port, DhcpMessageType.DISCOVER, mac=Mac.parse("02:00:00:00:00:99"))

    assert answer_dhcp(port, frame, virtual_domain="") == []


def test_subnet_without_dhcp_is_silent():
    port = active(enable_dhcp=False)

    assert answer_dhcp(port, request(port, DhcpMessageType.DISCOVER), virtual_domain="") == []


def test_host_routes_come_with_the_default_route():
    routes = {"route": [{"prefix": "10.8.0.0/16", "next_hop": "10.1.1.77"}]}
    port = active(host_routes=routes)

    _, _, offer = reply_of(
        answer_dhcp(port, request(port, DhcpMessageType.DISCOVER), virtual_domain="")
    )

    assert decode_classless_routes(offer.options[DhcpOption.CLASSLESS_ROUTES]) == (
        (ip_network("10.8.0.0/16"), IPv4Address("10.1.1.77")),
        (ip_network("0.0.0.0/0"), IPv4Address("10.1.1.1")),
    )


def solicit(port, kind, *options):
    client = (Dhcp6Option.CLIENT_ID, duid_of_mac(port.port.mac))
    message = Dhcp6Message(kind, 5, (client, *options)).encode()
    source, group = IPv6Address("fe80::1"), IPv6Address("ff02::1:2")
    datagram = UdpDatagram(546, 547, message).encode(source, group)
    return ip_frame(port, str(source), str(group), PROTOCOL_UDP, datagram)


def reply6_of(frames):
    (frame,) = frames
    packet = decode_ip(decode_ethernet(frame).payload)
    return decode_dhcp6(decode_udp(packet.payload).payload)


ASKS = (Dhcp6Option.IA_NA, IdentityAssociation(9, 0, 0).encode())


def addresses_of(reply):
    association = decode_identity_association(reply.first(Dhcp6Option.IA_NA))
    return [
        str(decode_ia_address(value))
        for kind, value in association.options
        if kind == Dhcp6Option.IA_ADDRESS
    ]


def test_solicit_is_advertised_the_port_address():
    port = active()

    reply = reply6_of(
        answer_dhcp6(port, solicit(port, Dhcp6MessageType.SOLICIT, ASKS), virtual_domain="x.y")
    )

    assert reply.message_type == Dhcp6MessageType.ADVERTISE
    assert addresses_of(reply) == ["fd00:1::3"]
    assert reply.first(Dhcp6Option.DNS_SERVERS) == IPv6Address("fd00:1::2").packed
    assert reply.first(Dhcp6Option.DOMAIN_LIST) == b"\1x\1y\0"


def test_rapid_commit_is_replied_at_once():
    port = active()
    frame = solicit(port, Dhcp6MessageType.SOLICIT, ASKS, (Dhcp6Option.RAPID_COMMIT, b""))

    assert reply6_of(answer_dhcp6(port, frame, virtual_domain="")).message_type == (
        Dhcp6MessageType.REPLY
    )


def test_dhcp6_request_to_another_server_is_ignored():
    port = active()
    frame = solicit(port, Dhcp6MessageType.REQUEST, ASKS, (Dhcp6Option.SERVER_ID, b"other"))

    assert answer_dhcp6(port, frame, virtual_domain="") == []


def test_router_advertisement_tells_prefix_mtu_and_managed():
    port = active()

    (frame,) = advertise_router(port)

    packet = decode_ip(decode_ethernet(frame).payload)
    message = decode_nd(decode_icmp(packet.payload))
    assert (packet.source, packet.hop_limit) == (ROUTER_ADDRESS, 255)
    assert (message.managed, message.mtu_bytes, message.source_mac) == (True, 1450, GATEWAY_MAC)
    assert [str(option.prefix) for option in message.prefixes] == ["fd00:1::/64"]
    assert not message.prefixes[0].autonomous
    pseudo = pseudo_header(packet.source, packet.destination, PROTOCOL_ICMPV6, len(packet.payload))
    assert internet_checksum(pseudo, packet.payload) == 0


@pytest.mark.parametrize(
    ("source", "gateway", "protocol", "ask", "answer"),
    [
        ("10.1.1.3", "10.1.1.1", PROTOCOL_ICMP, 8, 0),
        ("fd00:1::3", "fd00:1::1", PROTOCOL_ICMPV6, 128, 129),
    ],
)
def test_gateway_answers_ping(source, gateway, protocol, ask, answer):
    port = active()
    echo = IcmpMessage(ask, 0, 0x00010002, b"payload")
    payload = echo.encode(ip_address(source), ip_address(gateway))

    (frame,) = answer_echo(ip_frame(port, source, gateway, protocol, payload))

    packet = decode_ip(decode_ethernet(frame).payload)
    reply = decode_icmp(packet.payload)
    assert (str(packet.source), str(packet.destination)) == (gateway, source)
    assert (reply.icmp_type, reply.rest, reply.payload) == (answer, 0x00010002, b"payload")


def test_gateway_does_not_answer_anything_else():
    port = active()
    frame = ip_frame(port, "10.1.1.3", "10.1.1.1", 6, b"\0" * 20)

    assert answer_echo(frame) == []


@pytest.mark.parametrize(
    ("reason", "argument", "expected"),
    [
        (PuntReason.ICMP_TTL_EXCEEDED, 0, (11, 0, 0)),
        (PuntReason.ICMP_TOO_BIG, 1400, (3, 4, 1400)),
        (PuntReason.ICMP_UNREACHABLE, 0, (3, 1, 0)),
    ],
)
def test_undeliverable_ipv4_packet_is_reported_with_its_header(reason, argument, expected):
    port = active()
    frame = ip_frame(port, "10.1.1.3", "10.2.2.2", PROTOCOL_UDP, b"\0" * 900)

    (answer,) = answer_undeliverable(port, reason, argument, frame)

    packet = decode_ip(decode_ethernet(answer).payload)
    error = decode_icmp(packet.payload)
    assert (error.icmp_type, error.code, error.rest) == expected
    assert str(packet.source) == "10.1.1.1"
    assert len(packet.payload) + 20 <= 576
    assert frame[14:].startswith(error.payload[:28])


def test_too_big_ipv6_packet_is_reported_within_the_minimum_mtu():
    port = active()
    frame = ip_frame(port, "fd00:1::3", "fd00:9::1", PROTOCOL_UDP, b"\0" * 1400)

    (answer,) = answer_undeliverable(port, PuntReason.ICMP_TOO_BIG, 1350, frame)

    packet = decode_ip(decode_ethernet(answer).payload)
    error = decode_icmp(packet.payload)
    assert (error.icmp_type, error.rest) == (2, 1350)
    assert len(packet.payload) + 40 <= 1280


@pytest.mark.parametrize(
    ("destination", "protocol", "payload"),
    [
        ("10.2.2.2", PROTOCOL_ICMP, bytes((3, 1)) + bytes(30)),
        ("224.0.0.5", PROTOCOL_UDP, bytes(30)),
    ],
)
def test_errors_are_never_sent_for_errors_or_groups(destination, protocol, payload):
    port = active()
    frame = ip_frame(port, "10.1.1.3", destination, protocol, payload)

    assert answer_undeliverable(port, PuntReason.ICMP_TTL_EXCEEDED, 0, frame) == []


def punt(port, frame, reason=PuntReason.DHCP, vif=2):
    return Punt(reason, vif, port.plugged.ifindex, 0, frame)


def test_request_before_configuration_is_answered_when_it_arrives():
    port = active()
    dispatcher = Dispatcher()
    waiting = AgentHost()
    waiting.plug("a", 10)
    state = waiting.compute().ports[port.plugged.vmi_uuid]

    first = dispatcher.receive(
        punt(port, request(port, DhcpMessageType.DISCOVER)), state, {}, now=1.0
    )
    frames = dispatcher.port_activated(2, port, {}, now=3.0)

    assert first.frames == ()
    assert reply_of(frames)[2].message_type is DhcpMessageType.OFFER
    assert dispatcher.waiting_count == 0


def test_request_that_waited_too_long_is_forgotten():
    port = active()
    dispatcher = Dispatcher()
    state = AgentHost()
    state.plug("a", 10)
    inactive = state.compute().ports[port.plugged.vmi_uuid]
    frame = request(port, DhcpMessageType.DISCOVER)
    dispatcher.receive(punt(port, frame), inactive, {}, now=1.0)

    assert dispatcher.port_activated(2, port, {}, now=1.0 + WAITING_TIME_S) == []


def test_waiting_requests_are_bounded_per_port():
    port = active()
    dispatcher = Dispatcher()
    state = AgentHost()
    state.plug("a", 10)
    inactive = state.compute().ports[port.plugged.vmi_uuid]
    frame = request(port, DhcpMessageType.DISCOVER)
    for _ in range(100):
        dispatcher.receive(punt(port, frame), inactive, {}, now=1.0)

    assert dispatcher.waiting_count == 4
    assert dispatcher.counts["ignored DHCP: port is not active"] == 96


def test_frame_of_an_unknown_interface_is_counted_and_ignored():
    port = active()
    dispatcher = Dispatcher()

    answers = dispatcher.receive(punt(port, b""), None, {}, now=0.0)

    assert answers.frames == ()
    assert dispatcher.counts["ignored DHCP: port is not active"] == 1


def test_malformed_frames_share_one_counter_whatever_their_numbers():
    port = active()
    dispatcher = Dispatcher()
    for version in range(7, 16):
        frame = BROADCAST.packed + port.port.mac.packed + b"\x08\0" + bytes((version << 4,))
        dispatcher.receive(punt(port, frame), port, {}, now=0.0)

    assert dispatcher.counts["malformed DHCP: IP version N is neither N nor N"] == 9
