"""Link-local services, source translation by the host, its ports: rows of what is configured."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.fabric import (
    HOST_ADDRESS,
    HOST_ADDRESS6,
    FabricInputs,
    fabric_rows,
    host_side_address,
    host_side_address6,
    relayed,
    vif_of_host_side,
)
from skytrail.agent.fabric_config import NOTHING_SET, PORT_RANGE_DEFAULT, FabricConfig
from skytrail.agent.identity import IdentityTable
from skytrail.agent.label import VIF_LAST
from skytrail.agent.nexthop import HostSide, NextHopTable, Underlay
from skytrail.agent.tables import (
    InetRouteRow,
    InterfaceRow,
    LinkServiceRow,
    NextHopKind,
    NextHopRow,
    PortPoolRow,
    VifId,
)
from skytrail.agent.trace import LEFT, TracePacket, explain
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet

METADATA = IPv4Address("169.254.169.254")


def entry(name, address, port, targets=(), to_port=8775, dns_name=""):
    return {
        "linklocal_service_name": name,
        "linklocal_service_ip": address,
        "linklocal_service_port": port,
        "ip_fabric_service_ip": list(targets),
        "ip_fabric_service_port": to_port,
        "ip_fabric_DNS_service_name": dns_name,
    }


def host(*services, pools=(), snat=False):
    config = ConfigBuilder()
    config.node(
        "global-vrouter-config",
        "default-global-system-config:default-global-vrouter-config",
        linklocal_services={"linklocal_service_entry": list(services)},
        port_translation_pools={"port_translation_pool": list(pools)},
    )
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    if snat:
        config.node(
            "virtual-network",
            f"{PROJECT}:red",
            virtual_network_network_id=5,
            fabric_snat=True,
        )
    config.port("a", red, ["10.1.1.3"])
    made = AgentHost()
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def rows(made, kind):
    return list(made.datapath.rows[kind].values())


def routes(made, prefix):
    return [row for row in rows(made, InetRouteRow) if row.prefix == ip_network(prefix)]


def test_a_service_in_the_underlay_is_reached_from_every_network():
    made = host(entry("ntp", "169.254.1.1", 123, ["203.0.113.9", "203.0.113.8"], 1230))

    (service,) = rows(made, LinkServiceRow)
    targets = (IPv4Address("203.0.113.9"), IPv4Address("203.0.113.8"))
    assert (service.port, service.targets, service.to_port) == (123, targets, 1230)
    (route,) = routes(made, "169.254.1.1/32")
    assert route.mac == GATEWAY_MAC
    hops = {row.nexthop_id: row.kind for row in rows(made, NextHopRow)}
    assert hops[route.nexthop_id] is NextHopKind.FABRIC
    assert [row.translates for row in rows(made, InterfaceRow) if row.ifindex == 1] == [True]


def test_without_services_and_translation_nothing_of_it_is_there():
    made = host()

    assert rows(made, PortPoolRow) == []
    assert not any(row.translates for row in rows(made, InterfaceRow))


@pytest.mark.parametrize(
    "wrong",
    [
        entry("a", "10.0.0.1", 80, ["203.0.113.9"]),
        entry("a", "169.254.1.1", 0, ["203.0.113.9"]),
        entry("a", "169.254.1.1", 70000, ["203.0.113.9"]),
        entry("a", "169.254.1.1", 80, ["203.0.113.9"], 0),
        entry("a", "169.254.1.1", 80),
        entry("a", "2001:db8::9", 80, ["203.0.113.9"]),
    ],
)
def test_what_cannot_be_read_is_left_out(wrong):
    assert rows(host(wrong), LinkServiceRow) == []


def test_the_first_of_two_services_at_one_place_has_it():
    one, two = (entry(name, "169.254.1.1", 80, [f"203.0.113.{n}"]) for n, name in enumerate("ba"))

    (service,) = rows(host(one, two), LinkServiceRow)

    assert service.targets == (IPv4Address("203.0.113.1"),)


@pytest.mark.parametrize(
    ("pool", "ranges"),
    [
        (None, (PORT_RANGE_DEFAULT,)),
        (
            {"protocol": "udp", "port_range": {"start_port": 2000, "end_port": 2010}},
            ((2000, 2010),),
        ),
        ({"protocol": "17", "port_range": {"start_port": 1, "end_port": 1030}}, ((1024, 1030),)),
        ({"protocol": "UDP", "port_count": 100}, ((65436, 65535),)),
        ({"protocol": "udp", "port_count": 0}, (PORT_RANGE_DEFAULT,)),
        (
            {"protocol": "udp", "port_range": {"start_port": 4788, "end_port": 4790}},
            ((4788, 4788), (4790, 4790)),
        ),
        ({"protocol": "tcp", "port_count": 100}, (PORT_RANGE_DEFAULT,)),
    ],
)
def test_pools_of_ports(pool, ranges):
    made = host(entry("a", "169.254.1.1", 80, ["203.0.113.9"]), pools=[pool] if pool else [])

    assert next(row.ranges for row in rows(made, PortPoolRow) if row.protocol == 17) == ranges


def test_a_network_with_fabric_snat_has_a_way_out_but_not_for_its_own_addresses():
    made = host(snat=True)

    hops = {row.nexthop_id: row.kind for row in rows(made, NextHopRow)}
    assert hops[routes(made, "0.0.0.0/0")[0].nexthop_id] is NextHopKind.FABRIC
    assert hops[routes(made, "10.1.1.0/24")[0].nexthop_id] is NextHopKind.DISCARD
    assert routes(host(), "0.0.0.0/0") == []


def test_a_network_of_a_router_to_the_underlay_has_it_too():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.node(
        "routing-instance",
        f"{PROJECT}:red:red",
        routing_instance_is_default=True,
        routing_instance_fabric_snat=True,
    )
    config.port("a", red, ["10.1.1.3"])
    made = AgentHost()
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()

    assert len(routes(made, "0.0.0.0/0")) == 1


def traced(made, destination, port=0, protocol=6):
    packet = TracePacket(ip_address("10.1.1.3"), ip_address(destination), protocol, 4000, port)
    return explain(made.datapath.tables(), made.vif("a"), packet)


def test_trace_tells_how_a_packet_leaves_by_the_host():
    made = host(entry("ntp", "169.254.1.1", 123, ["203.0.113.9"], 1230), snat=True)

    out, service = traced(made, "203.0.113.20", 443), traced(made, "169.254.1.1", 123, 17)

    assert (out.outcome, service.outcome) == (LEFT, LEFT)
    assert out.leaves_as is not None and service.leaves_as is not None
    assert (str(out.leaves_as.source), str(out.leaves_as.destination)) == (
        "192.0.2.1",
        "203.0.113.20",
    )
    assert "61000 to 65535" in out.steps[-1].answer
    assert (str(service.leaves_as.destination), service.leaves_as.destination_port) == (
        "203.0.113.9",
        1230,
    )
    assert "egress policy" not in [step.stage for step in service.steps]


def test_ipv6_has_no_way_out_by_the_host():
    config = ConfigBuilder()
    config.node("global-vrouter-config", "default-global-system-config:g")
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    config.node("virtual-network", f"{PROJECT}:red", virtual_network_network_id=5, fabric_snat=True)
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    made = AgentHost()
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    packet = TracePacket(ip_address("fd00:1::3"), ip_address("2001:db8::9"), 6, 4000, 443)

    trace = explain(made.datapath.tables(), made.vif("a"), packet)

    assert traced(made, "203.0.113.9", 443).outcome == LEFT
    assert trace.drop_reason == "NO_ROUTE"


@pytest.mark.parametrize(
    ("destination", "port", "protocol", "reason"),
    [
        ("169.254.1.1", 124, 6, "LINK_SERVICE"),
        ("169.254.1.1", 8, 1, "LINK_SERVICE"),
        ("203.0.113.9", 13, 1, "FABRIC_PROTOCOL"),
        ("203.0.113.9", 0, 47, "FABRIC_PROTOCOL"),
        ("192.0.2.1", 22, 6, "FABRIC_ADDRESS"),
        ("127.0.0.1", 22, 6, "FABRIC_ADDRESS"),
        ("10.1.1.77", 22, 6, "DISCARD"),
    ],
)
def test_trace_names_why_a_packet_does_not_leave(destination, port, protocol, reason):
    made = host(entry("ntp", "169.254.1.1", 123, ["203.0.113.9"], 1230), snat=True)

    assert traced(made, destination, port, protocol).drop_reason == reason


SIDE4 = HostSide(7, 1500, 8097)


def rows_with_side(names=(), side=SIDE4, **service):
    config = FabricConfig(services=host_services(**service), pools=NOTHING_SET.pools)
    address = IPv4Address("192.0.2.1")
    underlay = Underlay("underlay", 1, address, GATEWAY_MAC, 1500, host=side)
    return rows_of(config, underlay, names)


def rows_of(config, underlay, names=()):
    made = AgentHost()
    table = NextHopTable(made.numbers.nexthop, underlay, lambda _: None)
    numbers = made.numbers.spaces()
    number = lambda kind, name: numbers[kind].number(name)  # noqa: E731
    tables = (table, IdentityTable(made.numbers.identity), number)
    return list(fabric_rows(FabricInputs(config, dict(names)), underlay, tables))


def host_services(name="a", targets=(), dns_name="", address="169.254.1.1"):
    made = host(entry(name, address, 80, targets, 9000, dns_name))
    return made.view.fabric.services


@pytest.mark.parametrize(
    ("service", "names", "targets", "to_host", "to_port"),
    [
        ({"name": "metadata", "targets": ["203.0.113.9"]}, {}, "192.0.2.1", True, 8097),
        ({"targets": ["127.0.0.1"]}, {}, "192.0.2.1", True, 9000),
        ({"targets": ["192.0.2.1", "203.0.113.9"]}, {}, "203.0.113.9", False, 9000),
        ({"dns_name": "x"}, {"x": (IPv4Address("203.0.113.7"),)}, "203.0.113.7", False, 9000),
    ],
)
def test_services_of_the_host_itself_are_behind_its_own_side(
    service, names, targets, to_host, to_port
):
    made = rows_with_side(names, **service)

    row = next(each for each in made if isinstance(each, LinkServiceRow))
    assert (row.targets, row.to_port) == ((IPv4Address(targets),), to_port)
    assert bool(row.nexthop_id) is to_host


SIDE6 = HostSide(7, 1500, 8097, 8098, has_ipv6=True)


@pytest.mark.parametrize(
    ("service", "to_port", "is_agents"),
    [
        ({"name": "metadata", "targets": ["203.0.113.9"]}, 8098, True),
        ({"name": "Metadata6", "targets": ["2001:db8::9"]}, 8098, True),
        ({"targets": ["::1"]}, 9000, False),
        ({"targets": ["127.0.0.1"]}, 9000, False),
    ],
)
def test_services_at_ipv6_addresses_are_the_host_s(service, to_port, is_agents):
    """How much may be sent is limited where the agent serves."""
    made = rows_with_side(side=SIDE6, address="fe80::a9fe:a9fe", **service)

    (row,) = [each for each in made if isinstance(each, LinkServiceRow)]
    assert (row.targets, row.to_port) == ((HOST_ADDRESS6,), to_port)
    assert row.nexthop_id
    assert row.is_agents is is_agents
    assert any(each.is_host_side for each in made if isinstance(each, InterfaceRow))


@pytest.mark.parametrize(
    ("at", "own"), [("169.254.169.254", HOST_ADDRESS), ("fe80::a9fe:a9fe", HOST_ADDRESS6)]
)
def test_a_host_with_an_ipv6_underlay_answers_for_metadata_and_takes_no_ports(at, own):
    config = FabricConfig(
        services=(
            *host_services("metadata", ["2001:db8::9"], address=at),
            *host_services("b", ["203.0.113.9"], address="169.254.1.2"),
        ),
        pools=NOTHING_SET.pools,
        leaves=True,
    ).apart()
    underlay = Underlay("underlay", 1, ip_address("2001:db8::1"), GATEWAY_MAC, 1500, host=SIDE6)

    made = rows_of(config, underlay)

    (row,) = [each for each in made if isinstance(each, LinkServiceRow)]
    assert (row.address, row.targets) == (ip_address(at), (own,))
    assert not any(isinstance(each, PortPoolRow) for each in made)
    assert not config.takes_ports


V4, V6 = ip_address("203.0.113.9"), ip_address("2001:db8::9")
OWN4, OWN6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
AT4, AT6 = "169.254.1.1", "fe80::a9fe:a9fe"


def relayed_by(own, address, targets=(), names=(), side=SIDE6):
    """The servers a host with this underlay address relays to, and where it sends packets."""
    dns_name = "" if targets else "x"
    texts = [str(each) for each in targets]
    services = host_services(targets=texts, dns_name=dns_name, address=address)
    config = FabricConfig(services=services, pools=NOTHING_SET.pools)
    known = {"x": tuple(names)} if names else {}
    address4 = own if own.version == 4 else None
    found = relayed(config, known, address4)
    relay_ports = dict.fromkeys(found, 45000)
    host_side = replace(side, relay_ports=relay_ports)
    underlay = Underlay("underlay", 1, own, GATEWAY_MAC, 1500, host=host_side)
    made = [each for each in rows_of(config, underlay, known) if isinstance(each, LinkServiceRow)]
    return [server for servers in found.values() for server in servers], made


@pytest.mark.parametrize(
    ("own", "address", "targets", "names", "servers"),
    [
        (OWN6, AT4, [V6], [], [V6]),
        (OWN6, AT4, [V4], [], [V4]),
        (OWN6, AT4, [V6, V4], [], [V4, V6]),
        (OWN6, AT6, [V6], [], [V6]),
        (OWN6, AT4, [], [V6], [V6]),
        (OWN6, AT6, [], [V4, V6], [V4, V6]),
        (OWN4, AT4, [V6], [], [V6]),
        (OWN4, AT4, [], [V6], [V6]),
        (OWN4, AT6, [V6], [], [V6]),
        (OWN4, AT6, [V4], [], [V4]),
        (OWN4, AT6, [OWN4], [], [OWN4]),
        (OWN6, AT6, ["::1", V6], [], [V6]),
    ],
)
def test_a_service_that_no_translation_leads_to_is_relayed(own, address, targets, names, servers):
    found, (row,) = relayed_by(own, address, targets, names)
    own4 = HOST_ADDRESS if own == OWN6 else OWN4

    assert found == [(server, 9000) for server in servers]
    assert row.targets == (own4 if address == AT4 else HOST_ADDRESS6,)
    assert row.to_port == 45000
    assert row.nexthop_id


@pytest.mark.parametrize(
    ("own", "address", "targets", "names", "to"),
    [
        (OWN4, AT4, [V4, V6], [], V4),
        (OWN4, AT4, [], [V4, V6], V4),
        (OWN4, AT4, [OWN4, V6], [], OWN4),
        (OWN4, AT4, ["127.0.0.1", V6], [], OWN4),
        (OWN4, AT6, ["::1"], [], HOST_ADDRESS6),
        (OWN6, AT4, ["127.0.0.1"], [], HOST_ADDRESS),
        (OWN6, AT4, ["::1"], [], HOST_ADDRESS),
    ],
)
def test_what_is_translated_or_on_the_host_is_not_relayed(own, address, targets, names, to):
    found, made = relayed_by(own, address, targets, names)

    assert found == []
    (row,) = made
    assert (row.targets, row.to_port) == ((to,), 9000)


def test_a_relay_that_does_not_listen_yet_is_no_service():
    services = host_services(targets=[str(V6)])
    config = FabricConfig(services=services, pools=NOTHING_SET.pools)
    underlay = Underlay("underlay", 1, OWN6, GATEWAY_MAC, 1500, host=SIDE6)

    assert not any(isinstance(each, LinkServiceRow) for each in rows_of(config, underlay))


@pytest.mark.parametrize(
    ("side", "service"),
    [
        (SIDE6, {"dns_name": "x"}),
        (HostSide(7, 1500, 8097), {"name": "metadata", "targets": ["203.0.113.9"]}),
        (HostSide(7, 1500, has_ipv6=True), {"name": "metadata", "targets": ["203.0.113.9"]}),
    ],
)
def test_what_the_host_cannot_offer_over_ipv6_is_no_service(side, service):
    made = rows_with_side(side=side, address="fe80::a9fe:a9fe", **service)

    assert not any(isinstance(each, LinkServiceRow) for each in made)


def test_an_ipv6_service_has_its_route_in_every_network():
    made = host(entry("metadata6", "fe80::a9fe:a9fe", 80, ["203.0.113.9"]))

    (route,) = routes(made, "fe80::a9fe:a9fe/128")
    assert route.mac == GATEWAY_MAC


@pytest.mark.parametrize(("port", "protocol"), [(81, 6), (80, 58)])
def test_trace_tells_that_nothing_else_is_at_a_link_local_address(port, protocol):
    made = host(entry("a", "fe80::a9fe:a9fe", 80, ["::1"], 9000))
    packet = TracePacket(ip_address("fe80::5"), ip_address("fe80::a9fe:a9fe"), protocol, 4000, port)

    assert explain(made.datapath.tables(), made.vif("a"), packet).drop_reason == "LINK_LOCAL"


def test_a_name_nobody_knows_is_no_service():
    made = rows_with_side(dns_name="x")

    assert not any(isinstance(each, LinkServiceRow) for each in made)


@pytest.mark.parametrize("number", [1, 255, 256, VIF_LAST])
def test_the_host_tells_interfaces_by_address(number):
    assert vif_of_host_side(host_side_address(VifId(number))) == number
    assert vif_of_host_side(host_side_address6(VifId(number))) == number


@pytest.mark.parametrize(
    "address",
    [
        "169.254.0.0",
        "169.254.128.0",
        "10.0.0.1",
        "fd73:6b79:7472::",
        "fd73:6b79:7472::8000",
        str(HOST_ADDRESS6),
    ],
)
def test_other_addresses_are_nobody_s(address):
    assert vif_of_host_side(ip_address(address)) is None
