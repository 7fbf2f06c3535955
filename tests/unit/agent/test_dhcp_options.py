"""Which configured options a workload is told: the most specific level wins."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from skytrail.agent.responders.dhcp import answer_dhcp
from skytrail.agent.responders.dhcp6_ra import advertise_router, answer_dhcp6
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.arp_nd import decode_nd
from skytrail.wire.dhcp import (
    BOOT_REQUEST,
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
    decode_identity_association,
    duid_of_mac,
)
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
)
from skytrail.wire.icmp import decode_icmp

ANY = IPv4Address(0)
BROADCAST = IPv4Address("255.255.255.255")
NTP = 42


def options(**values):
    return {
        "dhcp_option": [
            {"dhcp_option_name": name.replace("_", "-"), "dhcp_option_value": value}
            for name, value in values.items()
        ]
    }


def routes(*pairs):
    return {"route": [{"prefix": prefix, "next_hop": via} for prefix, via in pairs]}


def active(*, port=None, subnets=None, manager=None, network_routes=None):
    """A port, with what its levels say."""
    config = ConfigBuilder()
    config.node("network-ipam", f"{PROJECT}:ipam", network_ipam_mgmt=manager or {})
    listed = subnets or [subnet("10.1.1.0/24"), subnet("fd00:1::/64")]
    red = config.network("red", 5, listed)
    if network_routes:
        ipam = next(key for key in config.nodes if key.type_name == "network-ipam")
        config.link(red, ipam, {"ipam_subnets": listed, "host_routes": network_routes})
    key = config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    node = config.nodes[key]
    config.node(key.type_name, key.name, **{**dict(node.properties), **(port or {})})
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host.active("a")


def ask4(port, kind=DhcpMessageType.DISCOVER, domain="", **wanted):
    fields = {DhcpOption.MESSAGE_TYPE: bytes((kind,))}
    fields |= {DhcpOption[name]: value for name, value in wanted.items()}
    message = DhcpMessage(BOOT_REQUEST, 7, port.port.mac, fields)
    datagram = UdpDatagram(68, 67, message.encode()).encode(ANY, BROADCAST)
    packet = IpPacket(ANY, BROADCAST, PROTOCOL_UDP, datagram)
    frame = EthernetFrame(Mac(b"\xff" * 6), port.port.mac, ETHERTYPE_IPV4, packet.encode())
    (answer,) = answer_dhcp(port, frame.encode(), virtual_domain=domain)
    payload = decode_udp(decode_ip(decode_ethernet(answer).payload).payload).payload
    return decode_dhcp(payload), len(payload)


def ask6(port, kind, *more, client=True):
    head = [(Dhcp6Option.CLIENT_ID, duid_of_mac(port.port.mac))] if client else []
    message = Dhcp6Message(kind, 5, (*head, *more)).encode()
    source, group = IPv6Address("fe80::1"), IPv6Address("ff02::1:2")
    datagram = UdpDatagram(546, 547, message).encode(source, group)
    packet = IpPacket(source, group, PROTOCOL_UDP, datagram)
    frame = EthernetFrame(GATEWAY_MAC, port.port.mac, ETHERTYPE_IPV6, packet.encode())
    found = answer_dhcp6(port, frame.encode(), virtual_domain="")
    if not found:
        return None
    return decode_dhcp6(decode_udp(decode_ip(decode_ethernet(found[0]).payload).payload).payload)


def address(text):
    return IPv4Address(text).packed


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ("port subnet manager", "10.0.0.1"),
        ("subnet manager", "10.0.0.2"),
        ("manager", "10.0.0.3"),
    ],
)
def test_most_specific_level_that_names_an_option_wins(levels, expected):
    port = active(
        port={"virtual_machine_interface_dhcp_option_list": options(ntp_servers="10.0.0.1")}
        if "port" in levels
        else None,
        subnets=[
            subnet(
                "10.1.1.0/24",
                **(
                    {"dhcp_option_list": options(ntp_servers="10.0.0.2")}
                    if "subnet" in levels
                    else {}
                ),
            )
        ],
        manager={"dhcp_option_list": options(ntp_servers="10.0.0.3", domain_name="of.manager")},
    )

    offer, _ = ask4(port)

    assert offer.options[NTP] == address(expected)
    assert offer.options[DhcpOption.DOMAIN_NAME] == b"of.manager"


def test_configured_domain_wins_over_the_virtual_dns():
    port = active(manager={"dhcp_option_list": options(domain_name="of.manager")})

    assert ask4(port, domain="red.example")[0].options[DhcpOption.DOMAIN_NAME] == b"of.manager"


def test_lease_time_and_the_times_that_follow_from_it_are_configurable():
    port = active(manager={"dhcp_option_list": options(dhcp_lease_time="800")})

    offered = ask4(port)[0].options

    assert int.from_bytes(offered[DhcpOption.LEASE_TIME]) == 800
    assert int.from_bytes(offered[DhcpOption.RENEWAL_TIME]) == 400
    assert int.from_bytes(offered[DhcpOption.REBINDING_TIME]) == 700


def test_inform_is_told_no_lease_even_where_one_is_configured():
    port = active(manager={"dhcp_option_list": options(dhcp_lease_time="800")})

    assert DhcpOption.LEASE_TIME not in ask4(port, DhcpMessageType.INFORM)[0].options


def test_mtu_may_be_configured_smaller_but_not_beyond_what_tunnels_carry():
    small = active(manager={"dhcp_option_list": options(interface_mtu="1300")})
    large = active(manager={"dhcp_option_list": options(interface_mtu="9000")})

    assert ask4(small)[0].options[DhcpOption.INTERFACE_MTU] == (1300).to_bytes(2)
    assert ask4(large)[0].options[DhcpOption.INTERFACE_MTU] == large.mtu_bytes.to_bytes(2)


def test_configured_routers_come_before_the_gateway():
    port = active(manager={"dhcp_option_list": options(routers="10.1.1.9")})

    assert ask4(port)[0].options[DhcpOption.ROUTER] == address("10.1.1.9") + address("10.1.1.1")


def test_subnet_without_gateway_has_no_router():
    port = active(subnets=[subnet("10.1.1.0/24", default_gateway="0.0.0.0")])

    assert DhcpOption.ROUTER not in ask4(port)[0].options


@pytest.mark.parametrize(
    ("manager", "subnet_servers", "port_option", "expected"),
    [
        ({}, (), None, ["10.1.1.2"]),
        ({"ipam_dns_method": "default-dns-server"}, (), None, ["10.1.1.2"]),
        ({"ipam_dns_method": "virtual-dns-server"}, (), None, ["10.1.1.2"]),
        ({"ipam_dns_method": "none"}, (), None, []),
        (
            {
                "ipam_dns_method": "tenant-dns-server",
                "ipam_dns_server": {"tenant_dns_server_address": {"ip_address": ["10.9.9.9"]}},
            },
            (),
            None,
            ["10.9.9.9"],
        ),
        ({"dhcp_option_list": options(domain_name_servers="10.7.7.7")}, (), None, ["10.7.7.7"]),
        (
            {"dhcp_option_list": options(domain_name_servers="10.7.7.7")},
            ("10.8.8.8",),
            None,
            ["10.8.8.8"],
        ),
        ({}, ("10.8.8.8",), "10.6.6.6 10.6.6.7", ["10.6.6.6", "10.6.6.7"]),
        ({}, ("10.8.8.8",), "0.0.0.0", []),
    ],
)
def test_name_servers_are_those_of_the_first_level_that_says_so(
    manager, subnet_servers, port_option, expected
):
    found = None
    if port_option:
        given = options(domain_name_servers=port_option)
        found = {"virtual_machine_interface_dhcp_option_list": given}
    port = active(
        port=found,
        subnets=[subnet("10.1.1.0/24", dns_nameservers=list(subnet_servers))],
        manager=manager,
    )

    told = ask4(port)[0].options.get(DhcpOption.DNS_SERVER, b"")

    assert [str(IPv4Address(told[at : at + 4])) for at in range(0, len(told), 4)] == expected


LEVELS = {
    "port": "10.21.0.0/16",
    "port option": "10.22.0.0/16",
    "subnet": "10.23.0.0/16",
    "subnet option": "10.24.0.0/16",
    "network": "10.25.0.0/16",
    "manager": "10.26.0.0/16",
    "manager option": "10.27.0.0/16",
}


@pytest.mark.parametrize("first", range(len(LEVELS)))
def test_host_routes_are_those_of_the_most_specific_level_that_has_some(first):
    used = dict(list(LEVELS.items())[first:])

    def level(name, option_list, host_routes):
        found = {}
        if f"{name} option" in used:
            text = f"{LEVELS[f'{name} option']} 10.1.1.7"
            found[option_list] = options(classless_static_routes=text)
        if name in used:
            found[host_routes] = routes((LEVELS[name], "10.1.1.7"))
        return found

    of_subnet = level("subnet", "dhcp_option_list", "host_routes")
    port = active(
        port=level(
            "port",
            "virtual_machine_interface_dhcp_option_list",
            "virtual_machine_interface_host_routes",
        ),
        subnets=[subnet("10.1.1.0/24", **of_subnet)],
        manager=level("manager", "dhcp_option_list", "host_routes"),
        network_routes=routes((LEVELS["network"], "10.1.1.7")) if "network" in used else None,
    )

    told = decode_classless_routes(ask4(port)[0].options[DhcpOption.CLASSLESS_ROUTES])

    assert told == (
        (ip_network(next(iter(used.values()))), IPv4Address("10.1.1.7")),
        (ip_network("0.0.0.0/0"), IPv4Address("10.1.1.1")),
    )


def test_route_without_a_gateway_of_its_own_leads_to_the_subnets():
    port = active(subnets=[subnet("10.1.1.0/24", host_routes=routes(("10.8.0.0/16", "0.0.0.0")))])

    told = decode_classless_routes(ask4(port)[0].options[DhcpOption.CLASSLESS_ROUTES])

    assert told[0] == (ip_network("10.8.0.0/16"), IPv4Address("10.1.1.1"))


def test_clients_of_old_are_told_the_routes_by_the_option_they_ask_for():
    port = active(subnets=[subnet("10.1.1.0/24", host_routes=routes(("10.8.0.0/16", "10.1.1.7")))])

    offered = ask4(port, PARAMETER_LIST=bytes((1, 249)))[0].options

    assert offered[249] == offered[121]
    assert 249 not in ask4(port, PARAMETER_LIST=bytes((1, 121)))[0].options


@pytest.mark.parametrize(
    "given",
    [
        options(tftp_server_name="10.3.3.3", bootfile_name="pxelinux.0"),
        options(tftp_server_address="10.3.3.3", bootfile_name="pxelinux.0"),
        options(server_ip_address="10.3.3.3", bootfile_name="pxelinux.0"),
    ],
)
def test_network_boot_is_told_by_options_and_by_the_header(given):
    port = active(manager={"dhcp_option_list": given})

    offer, _ = ask4(port)

    assert offer.server_address == IPv4Address("10.3.3.3")
    assert offer.boot_file == b"pxelinux.0"
    assert offer.options[DhcpOption.BOOT_FILE] == b"pxelinux.0"


def test_reply_fits_what_the_client_takes_and_holds_first_what_it_asked_for():
    many = {f"pxe_vendor_specific_{number}": "x" * 200 for number in range(129, 136)}
    port = active(manager={"dhcp_option_list": options(**many, default_url="http://x/")})

    short, short_bytes = ask4(port, PARAMETER_LIST=bytes((114,)))
    long, _ = ask4(port, MAXIMUM_SIZE=(1500).to_bytes(2))

    assert short_bytes <= 576 - 28
    assert 114 in short.options
    assert DhcpOption.LEASE_TIME in short.options
    assert len(long.options) > len(short.options)


def test_several_subnets_each_have_their_own_settings():
    port = active(
        subnets=[
            subnet("10.9.0.0/24", dhcp_option_list=options(domain_name="other")),
            subnet("10.1.1.0/24", dhcp_option_list=options(domain_name="mine")),
            subnet("fd00:1::/64"),
        ]
    )

    assert ask4(port)[0].options[DhcpOption.DOMAIN_NAME] == b"mine"


ASK = (Dhcp6Option.IA_NA, IdentityAssociation(9, 0, 0).encode())


def test_dhcpv6_options_have_names_of_their_own_in_the_same_list():
    given = options(
        v6_name_servers="fd00::53",
        v6_domain_search="a.b",
        v6_ntp_server="fd00::7b",
        ntp_servers="10.0.0.1",
    )
    port = active(manager={"dhcp_option_list": given})

    reply = ask6(port, Dhcp6MessageType.SOLICIT, ASK)

    assert reply.first(Dhcp6Option.DNS_SERVERS) == IPv6Address("fd00::53").packed
    assert reply.first(Dhcp6Option.DOMAIN_LIST) == b"\1a\1b\0"
    assert reply.first(56) == b"\0\1\0\x10" + IPv6Address("fd00::7b").packed
    assert reply.first(42) is None


def test_stateless_client_is_told_settings_without_an_address():
    port = active(manager={"dhcp_option_list": options(v6_name_servers="fd00::53")})

    reply = ask6(port, Dhcp6MessageType.INFORMATION_REQUEST, client=False)

    assert reply.first(Dhcp6Option.DNS_SERVERS) == IPv6Address("fd00::53").packed
    assert reply.first(Dhcp6Option.IA_NA) is None


def test_temporary_addresses_and_prefixes_are_refused_by_name():
    wanted = [
        ASK,
        (Dhcp6Option.IA_TA, (5).to_bytes(4)),
        (Dhcp6Option.IA_PD, IdentityAssociation(6, 0, 0).encode()),
    ]

    reply = ask6(active(), Dhcp6MessageType.SOLICIT, *wanted)

    assert reply.first(Dhcp6Option.IA_TA)[:10] == b"\0\0\0\5\0\x0d\0\x18\0\2"
    refused = decode_identity_association(reply.first(Dhcp6Option.IA_PD))
    assert refused.options[0][1][:2] == b"\0\6"


def test_second_association_does_not_get_the_address_again():
    second = (Dhcp6Option.IA_NA, IdentityAssociation(10, 0, 0).encode())

    found = [
        decode_identity_association(value)
        for value in ask6(active(), Dhcp6MessageType.SOLICIT, ASK, second).all(Dhcp6Option.IA_NA)
    ]

    assert [kind for kind, _ in found[0].options] == [Dhcp6Option.IA_ADDRESS]
    assert [kind for kind, _ in found[1].options] == [Dhcp6Option.STATUS_CODE]


@pytest.mark.parametrize(
    ("kind", "more", "client"),
    [
        (Dhcp6MessageType.SOLICIT, [ASK], False),
        (Dhcp6MessageType.SOLICIT, [ASK, (Dhcp6Option.SERVER_ID, b"x")], True),
        (Dhcp6MessageType.REBIND, [ASK, (Dhcp6Option.SERVER_ID, b"x")], True),
        (Dhcp6MessageType.INFORMATION_REQUEST, [ASK], True),
        (Dhcp6MessageType.INFORMATION_REQUEST, [(Dhcp6Option.SERVER_ID, b"x")], True),
        (Dhcp6MessageType.ADVERTISE, [ASK], True),
    ],
)
def test_messages_that_servers_discard_get_no_answer(kind, more, client):
    assert ask6(active(), kind, *more, client=client) is None


def test_router_advertisement_tells_name_servers_domain_and_routes_through_the_gateway():
    listed = routes(("fd99::/48", "fd00:1::1"), ("fd98::/48", "fd00:1::7"))
    port = active(subnets=[subnet("10.1.1.0/24"), subnet("fd00:1::/64", host_routes=listed)])

    (frame,) = advertise_router(port, virtual_domain="x.y")

    more = dict(decode_nd(decode_icmp(decode_ip(decode_ethernet(frame).payload).payload)).more)
    assert more[25][6:] == IPv6Address("fd00:1::2").packed
    assert more[31][6:11] == b"\1x\1y\0"
    assert more[24][0] == 48
    assert more[24][6:] == IPv6Address("fd99::").packed
