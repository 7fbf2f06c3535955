"""Floating and alias addresses: what the agent makes of them, and how first packets then go."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from skytrail.agent.interface import troubles
from skytrail.agent.introspect import interface_rows
from skytrail.agent.port_rows import FABRIC_INSTANCE
from skytrail.agent.tables import (
    FloatingPortRow,
    FloatingRow,
    InetRouteRow,
    NextHopRow,
    SourceRow,
    VniRow,
)
from skytrail.agent.trace import DELIVERED, DROPPED, FORWARDED, TracePacket, explain
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, rule, subnet, uuid_of
from skytrail.testing.fake_datapath import FakeFabric
from skytrail.wire.xmpp import ConfigDelete, ConfigKey, EnetKey

PUBLIC_VRF = f"{PROJECT}:public:public"
PRIVATE_VRF = f"{PROJECT}:private:private"
FLOATING = "198.18.0.9"
DEFAULT = ip_network("0.0.0.0/0")


class World:
    """Networks private (web, twin) and public (client), with web reached as FLOATING."""

    def __init__(self, *, underlay=False, **properties):
        self.config = config = ConfigBuilder()
        self.private = config.network("private", 5, [subnet("10.1.1.0/24")])
        self.public = config.network("public", 6, [subnet("198.18.0.0/24")])
        if underlay:
            provider = config.node("virtual-network", "default-domain:default-project:ip-fabric")
            config.link(self.public, provider)
        self.web = config.port("web", self.private, ["10.1.1.3", "10.1.1.5"])
        self.twin = config.port("twin", self.private, ["10.1.1.4"])
        self.client = config.port("client", self.public, ["198.18.0.20"])
        self.binding = config.floating(FLOATING, self.web, self.public, **properties)


def host(world, *names, address="192.0.2.1"):
    made = AgentHost(address)
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(world.config.update())
    made.reconcile()
    return made


def exchange(one, other):
    for left, right in ((one, other), (other, one)):
        for instance, route in left.published():
            right.learn(instance, [route], end=False)
        right.resolve(str(left.address))
    one.reconcile()
    other.reconcile()


def two_hosts(world):
    """Web on one, client on the other; a function that sends a first packet."""
    left, right = host(world, "web"), host(world, "client", address="192.0.2.2")
    exchange(left, right)
    fabric = FakeFabric()
    homes = {"web": left, "client": right}
    for made in homes.values():
        fabric.add(made.address, made.datapath)

    def send(name, source, destination, port=80, protocol=6):
        packet = TracePacket(ip_address(source), ip_address(destination), protocol, 40000, port)
        made = homes[name]
        return fabric.send(made.address, made.vif(name), packet)[1]

    return send


def ends(trace):
    packet = trace.leaves_as
    return str(packet.source), str(packet.destination), packet.destination_port


def rows_of(made, kind):
    return [row for row in made.desired.rows[kind].values() if isinstance(row, kind)]


def published(made):
    return {(instance, route.key): route for instance, route in made.published()}


def test_the_address_is_published_in_its_network_with_the_port_s_label():
    made = host(World(), "web")

    routes = published(made)
    (hop,) = routes[PUBLIC_VRF, ip_network(FLOATING)].next_hops
    (own,) = routes[PRIVATE_VRF, ip_network("10.1.1.3")].next_hops
    assert (hop.label, hop.virtual_network, hop.vni) == (own.label, f"{PROJECT}:public", 6)
    assert str(hop.mac) == "02:5e:c0:00:02:01"
    assert (PRIVATE_VRF, ip_network(FLOATING)) not in routes
    assert not [
        key for instance, key in routes if instance == PUBLIC_VRF and isinstance(key, EnetKey)
    ]


def test_the_network_s_routes_are_asked_for_and_its_number_leads_in():
    made = host(World(), "web")

    assert PUBLIC_VRF in made.desired.vrfs
    assert {5, 6} == set(made.desired.rows[VniRow])


def test_first_packets_come_for_the_address_and_leave_by_it():
    send = two_hosts(World())

    inward = send("client", "198.18.0.20", FLOATING)
    outward = send("web", "10.1.1.3", "198.18.0.20")

    assert (inward.outcome, ends(inward)) == (DELIVERED, ("198.18.0.20", "10.1.1.3", 80))
    assert outward.outcome == DELIVERED
    assert [step.stage for step in inward.steps].count("floating address") == 1


@pytest.mark.parametrize("is_private_known", [True, False])
def test_an_address_wins_over_the_host_s_where_both_know_no_more_than_a_way_out(is_private_known):
    """A default route that the workload's own network learnt is another matter."""
    world = World()
    world.config.node(
        "virtual-network", f"{PROJECT}:private", virtual_network_network_id=5, fabric_snat=True
    )
    left, right = host(world, "web"), host(world, "client", address="192.0.2.2")
    exchange(left, right)
    default = replace(published(right)[PUBLIC_VRF, ip_network("198.18.0.20/32")], key=DEFAULT)
    left.learn(PUBLIC_VRF, [default], end=False)
    if is_private_known:
        left.learn(PRIVATE_VRF, [default], end=False)
    left.reconcile()
    packet = TracePacket(ip_address("10.1.1.3"), ip_address("203.0.113.9"), 6, 40000, 443)

    trace = explain(left.datapath.tables(), left.vif("web"), packet)

    assert trace.outcome == FORWARDED
    assert (trace.leaves_as is None) is is_private_known


def test_only_the_fixed_address_leaves_by_it():
    send = two_hosts(World(floating_ip_fixed_ip_address="10.1.1.5"))

    assert send("web", "10.1.1.3", "198.18.0.20").drop_reason == "NO_ROUTE"
    assert send("web", "10.1.1.5", "198.18.0.20").outcome == DELIVERED
    assert ends(send("client", "198.18.0.20", FLOATING))[1] == "10.1.1.5"


@pytest.mark.parametrize(
    ("direction", "inward", "outward"),
    [
        ("both", DELIVERED, DELIVERED),
        ("ingress", DELIVERED, DROPPED),
        ("egress", DROPPED, DELIVERED),
    ],
)
def test_direction_says_who_may_open_connections(direction, inward, outward):
    send = two_hosts(World(floating_ip_traffic_direction=direction))

    assert send("client", "198.18.0.20", FLOATING).outcome == inward
    assert send("web", "10.1.1.3", "198.18.0.20").outcome == outward


def mapped():
    mapping = {"protocol": "TCP", "src_port": 80, "dst_port": 8080}
    return World(
        floating_ip_port_mappings_enable=True,
        floating_ip_port_mappings={"port_mappings": [mapping]},
    )


def test_mapped_ports_have_a_row_for_each_side():
    made = host(mapped(), "web")

    rows = rows_of(made, FloatingPortRow)
    assert {(r.protocol, r.port, r.to_port, r.is_inside) for r in rows} == {
        (6, 80, 8080, False),
        (6, 8080, 80, True),
    }


def test_a_port_that_is_not_mapped_is_refused_by_name():
    send = two_hosts(mapped())

    assert ends(send("client", "198.18.0.20", FLOATING, 80))[2] == 8080
    assert send("client", "198.18.0.20", FLOATING, 81).drop_reason == "FLOATING_PORT"


def test_rules_of_the_floating_network_and_groups_of_the_port_decide():
    world = World()
    anyone = {"virtual_network": "any"}
    world.config.access_list(world.private, "private", [rule(anyone, anyone, action="deny")])
    entry = rule(anyone, anyone, protocol="6", ports=(80, 90))
    world.config.access_list(world.public, "public", [entry])
    group = world.config.security_group(
        "web", 8000001, [rule({}, {}, protocol="6", ports=(80, 85))], [rule({}, {})]
    )
    world.config.link(world.web, group)
    send = two_hosts(world)

    assert send("client", "198.18.0.20", FLOATING, 80).outcome == DELIVERED
    assert send("client", "198.18.0.20", FLOATING, 88).drop_reason == "POLICY"
    assert send("client", "198.18.0.20", FLOATING, 91).drop_reason == "POLICY"


def test_several_ports_with_the_address_share_its_load():
    world = World()
    world.config.floating(FLOATING, world.twin, world.public)
    made = host(world, "web", "twin")

    route = published(made)[PUBLIC_VRF, ip_network(FLOATING)]
    assert len(route.next_hops) == 2
    assert {row.inside for row in rows_of(made, FloatingRow)} == {
        ip_address("10.1.1.3"),
        ip_address("10.1.1.4"),
    }


def test_unbinding_takes_everything_back():
    world = World()
    made = host(world, "web")

    gone = ConfigDelete(nodes=(world.binding,))
    made.sessions.received("control", gone, made.now)
    made.reconcile()

    assert (PUBLIC_VRF, ip_network(FLOATING)) not in published(made)
    assert PUBLIC_VRF not in made.desired.vrfs
    assert not made.desired.rows[FloatingRow]
    assert {5} == set(made.desired.rows[VniRow])


def test_an_alias_address_may_be_sent_from_and_goes_by_its_network():
    world = World()
    world.config.alias("198.18.0.30", world.web, world.public)
    send = two_hosts(world)
    made = host(world, "web")

    came = send("client", "198.18.0.20", "198.18.0.30")
    assert (came.outcome, came.leaves_as) == (DELIVERED, None)
    assert send("web", "198.18.0.30", "198.18.0.20").outcome == DELIVERED
    vif_id = made.vif("web")
    assert (vif_id, ip_network("198.18.0.30")) in made.desired.rows[SourceRow]


def test_an_address_below_an_instance_ip_is_that_one_s():
    world = World()
    service = world.config.node("instance-ip", "service", instance_ip_address="10.1.1.200")
    world.config.link(service, world.private)
    entry = world.config.node("floating-ip", "service:address")
    world.config.link(service, entry)
    world.config.link(entry, world.twin)
    made = host(world, "twin")

    (row,) = rows_of(made, FloatingRow)
    assert (str(row.outside), str(row.inside)) == ("10.1.1.200", "10.1.1.4")
    assert (PRIVATE_VRF, ip_network("10.1.1.200")) in published(made)


def test_what_cannot_be_served_is_told_and_the_rest_works():
    world = World()
    world.config.floating("fd00::9", world.web, world.public)
    fixed = "10.1.1.3"
    world.config.floating("fd00::8", world.web, world.public, floating_ip_fixed_ip_address=fixed)
    world.config.floating("198.18.0.40", world.web, ConfigKey("virtual-network", "d:p:unknown"))
    made = host(world, "web")

    (trouble,) = [
        each for each in troubles(made.desired.ports, made.view) if each.uuid == uuid_of("web")
    ]
    assert "the interface has no address of IPv6 to stand for" in trouble.reason
    assert "fd00::8 cannot stand for 10.1.1.3, an address of IPv4" in trouble.reason
    assert "network d:p:unknown has not arrived" in trouble.reason
    (shown,) = [row for row in interface_rows(made.desired) if row["vmi_uuid"] == uuid_of("web")]
    assert shown["floating_addresses"] == [FLOATING]
    assert len(made.desired.rows[FloatingRow]) == 1


def test_beyond_sixteen_addresses_are_left_out_and_told():
    world = World()
    for last in range(100, 117):
        world.config.floating(f"198.18.0.{last}", world.web, world.public)
    made = host(world, "web")

    assert len(made.desired.rows[FloatingRow]) == 16
    reasons = [each.reason for each in troubles(made.desired.ports, made.view)]
    assert sum("at most 16" in reason for reason in reasons) == 1


def test_an_address_of_a_network_the_underlay_routes_is_routed_by_it():
    made = host(World(underlay=True), "web")

    (hop,) = published(made)[FABRIC_INSTANCE, ip_network(FLOATING)].next_hops
    assert (str(hop.address), hop.encapsulations) == ("192.0.2.1", ("native",))
    assert (FABRIC_INSTANCE, ip_network("10.1.1.3")) not in published(made)


def test_a_local_client_is_one_of_the_floating_network_to_it():
    world = World()
    made = host(world, "web", "client")
    packet = TracePacket(ip_address("10.1.1.3"), ip_address("198.18.0.20"), 6, 4000, 80)

    trace = made.datapath.send(made.vif("web"), packet)

    assert (trace.outcome, ends(trace)) == (DELIVERED, (FLOATING, "198.18.0.20", 80))


def test_a_tunnelled_packet_carries_the_address_onward():
    world = World()
    made = host(world, "web")
    other = host(world, "client", address="192.0.2.2")
    exchange(made, other)
    packet = TracePacket(ip_address("10.1.1.3"), ip_address("198.18.0.20"), 6, 4000, 80)

    trace = made.datapath.send(made.vif("web"), packet)

    assert (trace.outcome, ends(trace)[0]) == (FORWARDED, FLOATING)


def pair(address, mode):
    prefix = {"ip_prefix": address, "ip_prefix_len": 32}
    return {"allowed_address_pair": [{"ip": prefix, "address_mode": mode}]}


def paired(mode):
    world = World()
    for port in (world.web, world.twin):
        node = world.config.nodes[port]
        world.config.node(
            port.type_name,
            port.name,
            **node.properties,
            virtual_machine_interface_allowed_address_pairs=pair("10.1.1.50", mode),
        )
    return world


def test_an_active_active_pair_is_shared_by_the_ports_that_have_it():
    world = paired("active-active")
    left, right = host(world, "web"), host(world, "twin", address="192.0.2.2")
    exchange(left, right)
    both = host(world, "web", "twin")
    shared = ip_network("10.1.1.50")

    assert len(published(left)[PRIVATE_VRF, shared].next_hops) == 1
    assert len(published(both)[PRIVATE_VRF, shared].next_hops) == 2
    key = (left.desired.vrfs[PRIVATE_VRF], shared)
    (route,) = [row for row in rows_of(left, InetRouteRow) if row.key == key]
    (nexthop,) = [row for row in rows_of(left, NextHopRow) if row.key == route.nexthop_id]
    assert len(nexthop.members) == 2


def test_a_pair_of_which_one_is_active_is_not_published():
    routes = published(host(paired("active-standby"), "web", "twin"))

    assert (PRIVATE_VRF, ip_network("10.1.1.50")) not in routes


def test_an_address_stands_for_the_port_s_first_of_its_own_family():
    world = World()
    world.web6 = world.config.port("web6", world.private, ["10.1.1.7", "fd00:1::7", "fd00:1::8"])
    world.config.floating("2001:db8::9", world.web6, world.public)
    world.config.floating("198.18.0.77", world.web6, world.public)
    world.config.alias("2001:db8::a", world.web6, world.public)
    made = host(world, "web6")

    rows = {str(row.outside): str(row.inside) for row in rows_of(made, FloatingRow)}
    assert rows == {
        "198.18.0.77": "10.1.1.7",
        "2001:db8::9": "fd00:1::7",
        "2001:db8::a": "2001:db8::a",
    }
    (hop,) = published(made)[PUBLIC_VRF, ip_network("2001:db8::9")].next_hops
    assert (hop.virtual_network, str(hop.mac)) == (f"{PROJECT}:public", "02:5e:c0:00:02:01")
    vif_id = made.vif("web6")
    assert (vif_id, ip_network("2001:db8::a")) in made.desired.rows[SourceRow]
    assert (vif_id, ip_network("2001:db8::9")) not in made.desired.rows[SourceRow]


def test_ipv6_first_packets_come_for_the_address_and_leave_by_it():
    world = World()
    world.web = world.config.port("web6", world.private, ["fd00:1::7"])
    world.config.port("client6", world.public, ["2001:db8::20"])
    world.config.floating("2001:db8::9", world.web, world.public)
    made = host(world, "web6", "client6")

    def send(name, source, destination):
        packet = TracePacket(ip_address(source), ip_address(destination), 6, 40000, 80)
        return made.datapath.send(made.vif(name), packet)

    inward = send("client6", "2001:db8::20", "2001:db8::9")
    outward = send("web6", "fd00:1::7", "2001:db8::20")
    assert (inward.outcome, ends(inward)) == (DELIVERED, ("2001:db8::20", "fd00:1::7", 80))
    assert (outward.outcome, ends(outward)) == (DELIVERED, ("2001:db8::9", "2001:db8::20", 80))


def test_an_ipv6_address_of_a_network_the_underlay_routes_is_not_told_to_it():
    """Its routes there are IPv4's."""
    world = World(underlay=True)
    web6 = world.config.port("web6", world.private, ["fd00:1::7"])
    world.config.floating("2001:db8::9", web6, world.public)
    made = host(world, "web6")

    assert (FABRIC_INSTANCE, ip_network("2001:db8::9")) not in published(made)
    (hop,) = published(made)[PUBLIC_VRF, ip_network("2001:db8::9")].next_hops
    assert "native" not in hop.encapsulations
