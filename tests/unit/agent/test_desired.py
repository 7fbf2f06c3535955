"""Configuration and routes to rows, checked by packets through the fake datapath."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.interface import InactivePort
from skytrail.agent.tables import (
    BridgeRow,
    InetRouteRow,
    InterfaceRow,
    LabelRow,
    NextHopKind,
    NextHopRow,
    SourceRow,
    VniRow,
)
from skytrail.agent.trace import DELIVERED, DROPPED, FORWARDED, RECEIVED, TracePacket
from skytrail.net import Label, Vni
from skytrail.testing.agent_world import (
    PROJECT,
    AgentHost,
    ConfigBuilder,
    rule,
    subnet,
    uuid_of,
)
from skytrail.testing.fake_datapath import FakeFabric
from skytrail.wire.xmpp import (
    ConfigDelete,
    ConfigKey,
    EnetKey,
    Family,
    ItemsEvent,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
)

RED = f"{PROJECT}:red"
RED_VRF = f"{RED}:red"


def red_config(*, groups=False):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    ports = {
        "a": config.port("a", red, ["10.1.1.3", "fd00:1::3"]),
        "b": config.port("b", red, ["10.1.1.4"]),
        "c": config.port("c", red, ["10.1.1.5"]),
    }
    if groups:
        web = config.security_group(
            "web",
            8000001,
            ingress=[rule({"security_group": "-1"}, {}, protocol="6", ports=(80, 80))],
            egress=[rule({}, {"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}})],
        )
        config.link(ports["b"], web)
    return config


def host(config, *names, address="192.0.2.1"):
    made = AgentHost(address)
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def exchange(one, other):
    """Both hosts learn what the other publishes, as a reflecting control node would do."""
    for left, right in ((one, other), (other, one)):
        for instance, route in left.published():
            right.learn(instance, [route], end=False)
        right.resolve(str(left.address))
    one.reconcile()
    other.reconcile()


def packet(source, destination, protocol=6, port=80):
    return TracePacket(
        source=ip_address(source),
        destination=ip_address(destination),
        protocol=protocol,
        source_port=40000,
        destination_port=port,
    )


def test_ports_of_one_network_reach_each_other_on_one_host():
    made = host(red_config(), "a", "b")

    trace = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.4"))

    assert (DELIVERED, made.vif("b")) == (trace.outcome, trace.vif_id)


@pytest.mark.parametrize("encapsulation", ["MPLSoUDP", "MPLSoGRE", "VXLAN"])
def test_ports_reach_each_other_across_hosts(encapsulation):
    config = red_config()
    config.node(
        "global-vrouter-config",
        "default-global-system-config:default-global-vrouter-config",
        encapsulation_priorities={"encapsulation": [encapsulation]},
    )
    one, other = host(config, "a"), host(config, "b", address="192.0.2.2")
    exchange(one, other)
    fabric = FakeFabric()
    fabric.add(one.address, one.datapath)
    fabric.add(other.address, other.datapath)

    place, trace = fabric.send(one.address, one.vif("a"), packet("10.1.1.3", "10.1.1.4"))

    assert (other.address, DELIVERED) == (place, trace.outcome)
    assert trace.vif_id == other.vif("b")


def test_tunnel_without_known_neighbour_drops_until_it_is_resolved():
    one, other = host(red_config(), "a"), host(red_config(), "b", address="192.0.2.2")
    for instance, route in other.published():
        one.learn(instance, [route], end=False)
    one.reconcile()
    unresolved = one.datapath.send(one.vif("a"), packet("10.1.1.3", "10.1.1.4"))
    one.resolve("192.0.2.2")
    one.reconcile()

    assert unresolved.drop_reason == "UNDERLAY_UNRESOLVED"
    assert one.datapath.send(one.vif("a"), packet("10.1.1.3", "10.1.1.4")).outcome == FORWARDED


def test_gateway_and_service_addresses_are_received():
    made = host(red_config(), "a")

    for address in ("10.1.1.1", "10.1.1.2", "fd00:1::1", "fe80::200:5eff:fe00:100"):
        source = "fd00:1::3" if ":" in address else "10.1.1.3"
        assert made.datapath.send(made.vif("a"), packet(source, address)).outcome == RECEIVED


def test_spoofed_source_is_dropped():
    made = host(red_config(), "a", "b")

    trace = made.datapath.send(made.vif("a"), packet("10.1.1.9", "10.1.1.4"))

    assert (trace.outcome, trace.drop_reason) == (DROPPED, "SPOOFED_ADDRESS")


def test_security_group_allows_what_it_names_and_nothing_else():
    made = host(red_config(groups=True), "a", "b")

    allowed = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.4", port=80))
    denied = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.4", port=22))

    assert allowed.outcome == DELIVERED
    assert (denied.outcome, denied.drop_reason) == (DROPPED, "POLICY")


def test_group_that_has_not_arrived_denies_everything():
    config = red_config()
    config.link(
        ConfigKey("virtual-machine-interface", f"{PROJECT}:b"),
        ConfigKey("security-group", f"{PROJECT}:late"),
    )
    made = host(config, "a", "b")

    trace = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.4"))

    assert trace.drop_reason == "POLICY"


def test_unconfigured_interface_is_quarantined():
    made = AgentHost()
    made.plug("a", 10)
    made.connect()
    made.reconcile()

    row = made.datapath.rows[InterfaceRow][10]

    assert row.vrf_id == 0
    assert not made.datapath.rows[InetRouteRow]
    assert not made.datapath.rows[BridgeRow]
    assert not made.datapath.rows[SourceRow]
    assert made.datapath.attached == {1, 10}


def test_withdrawn_port_stops_forwarding_and_is_withdrawn_from_the_control_node():
    made = host(red_config(), "a", "b")
    made.sessions.received(
        "control",
        ConfigDelete(nodes=(ConfigKey("virtual-machine-interface", f"{PROJECT}:b"),)),
        made.now,
    )

    made.reconcile()

    assert isinstance(made.desired.ports[uuid_of("b")], InactivePort)
    assert made.datapath.rows[InterfaceRow][11].vrf_id == 0
    trace = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.4"))
    assert (trace.outcome, trace.drop_reason) == (DROPPED, "NO_ROUTE")
    assert {"10.1.1.3/32", "fd00:1::3/128"} == {
        str(key) for _, key in made.desired.published if not isinstance(key, EnetKey)
    }


def test_each_address_is_published_as_host_route_and_as_mac():
    made = host(red_config(groups=True), "b")
    subscriptions = [m for _, m in made.sent if isinstance(m, Subscribe)]
    routes = {m.route.key: m.route for _, m in made.sent if isinstance(m, PublishRoute)}

    layer3 = routes[ip_network("10.1.1.4/32")]
    layer2 = next(route for key, route in routes.items() if isinstance(key, EnetKey))

    assert [Subscribe(RED_VRF, made.desired.vrfs[RED_VRF])] == subscriptions
    hop = layer3.next_hops[0]
    assert (made.address, RED, Vni(5)) == (hop.address, hop.virtual_network, hop.vni)
    assert hop.encapsulations == ("udp", "gre", "vxlan")
    assert layer3.attributes.security_groups == (8000001,)
    labels = made.datapath.rows[LabelRow]
    assert labels[hop.label].nexthop_id != labels[layer2.next_hops[0].label].nexthop_id


def test_prefix_of_an_interface_route_table_leads_to_the_port_and_may_send():
    config = red_config()
    routes = [{"prefix": "172.16.0.0/16"}, {"prefix": "nonsense"}]
    table = config.node(
        "interface-route-table",
        f"{PROJECT}:behind-b",
        interface_route_table_routes={"route": routes},
    )
    config.link(ConfigKey("virtual-machine-interface", f"{PROJECT}:b"), table)
    made = host(config, "a", "b")

    there = made.datapath.send(made.vif("a"), packet("10.1.1.3", "172.16.9.9"))
    back = made.datapath.send(made.vif("b"), packet("172.16.9.9", "10.1.1.3"))
    spoofed = made.datapath.send(made.vif("b"), packet("172.17.0.1", "10.1.1.3"))

    assert (there.outcome, there.vif_id) == (DELIVERED, made.vif("b"))
    assert (back.outcome, back.vif_id) == (DELIVERED, made.vif("a"))
    assert spoofed.drop_reason == "SPOOFED_ADDRESS"
    published = {route.key for _, route in made.published()}
    assert ip_network("172.16.0.0/16") in published
    assert not any(
        isinstance(key, EnetKey) and key.address == ip_network("172.16.0.0/16") for key in published
    )


def test_routes_of_an_interface_route_table_carry_its_communities():
    config = red_config()
    given = {"community_attribute": ["64512:7", "no-export", "<x/>", "a" * 40]}
    for name, routes in {
        "one": [{"prefix": "172.16.0.0/16", "community_attributes": given}],
        "two": [
            {"prefix": "172.16.0.0/16", "community_attributes": {"community_attribute": ["1:2"]}},
            {"prefix": "172.17.0.0/16"},
            {"prefix": "10.1.1.4/32", "community_attributes": given},
        ],
    }.items():
        table = config.node(
            "interface-route-table",
            f"{PROJECT}:{name}",
            interface_route_table_routes={"route": routes},
        )
        config.link(ConfigKey("virtual-machine-interface", f"{PROJECT}:b"), table)

    published = {route.key: route.attributes for _, route in host(config, "b").published()}

    assert published[ip_network("172.16.0.0/16")].communities == ("1:2", "64512:7", "no-export")
    assert not published[ip_network("172.17.0.0/16")].communities
    assert not published[ip_network("10.1.1.4/32")].communities, "the port's own address"


def test_vni_leads_to_the_bridge_of_the_network():
    made = host(red_config(), "a")

    nexthop_id = made.datapath.rows[VniRow][5].nexthop_id

    row = made.datapath.rows[NextHopRow][nexthop_id]
    assert (NextHopKind.BRIDGE, made.desired.vrfs[RED_VRF]) == (row.kind, row.vrf_id)


def learnt(prefix, *addresses, preference=100, sequence=0, label=30):
    hops = tuple(
        NextHop(
            address=IPv4Address(address),
            label=Label(label + index),
            encapsulations=("udp",),
            virtual_network=RED,
        )
        for index, address in enumerate(addresses)
    )
    attributes = RouteAttributes(local_preference=preference, sequence_number=sequence)
    return Route(ip_network(prefix), hops, attributes)


def test_two_control_nodes_with_the_same_routes_make_one_next_hop():
    made = host(red_config(), "a")
    made.connect("second")
    made.reconcile()
    route = learnt("10.1.1.9/32", "192.0.2.9")
    made.learn(RED_VRF, [route])
    made.learn(RED_VRF, [route], source="second")
    made.reconcile()
    before = dict(made.datapath.rows[InetRouteRow])

    made.sessions.lost("control", made.now)
    plan = made.reconcile()

    assert (plan.puts, plan.deletes) == ((), ())
    assert before == made.datapath.rows[InetRouteRow]


def test_several_next_hops_share_the_load():
    made = host(red_config(), "a")
    made.learn(RED_VRF, [learnt("10.1.1.9/32", "192.0.2.9", "192.0.2.8")])

    made.reconcile()

    route = made.datapath.rows[InetRouteRow][(1, ip_network("10.1.1.9/32"))]
    row = made.datapath.rows[NextHopRow][route.nexthop_id]
    assert row.kind == NextHopKind.ECMP
    assert len(row.members) == 2


def test_load_is_not_shared_with_a_tunnel_that_is_not_resolved():
    made = host(red_config(), "a")
    made.learn(RED_VRF, [learnt("10.1.1.9/32", "192.0.2.9", "192.0.2.8")])
    made.resolve("192.0.2.8")

    made.reconcile()

    route = made.datapath.rows[InetRouteRow][(1, ip_network("10.1.1.9/32"))]
    assert made.datapath.rows[NextHopRow][route.nexthop_id].remote == IPv4Address("192.0.2.8")


def test_better_preference_wins_over_sharing():
    made = host(red_config(), "a")
    made.connect("second")
    made.reconcile()
    made.learn(RED_VRF, [learnt("10.1.1.9/32", "192.0.2.9", preference=200)])
    made.learn(RED_VRF, [learnt("10.1.1.9/32", "192.0.2.8")], source="second")

    made.reconcile()

    route = made.datapath.rows[InetRouteRow][(1, ip_network("10.1.1.9/32"))]
    remote = made.datapath.rows[NextHopRow][route.nexthop_id].remote
    assert IPv4Address("192.0.2.9") == remote


def test_nobody_takes_over_the_gateway():
    made = host(red_config(), "a")
    made.learn(RED_VRF, [learnt("10.1.1.1/32", "192.0.2.9", preference=300)])

    made.reconcile()

    assert made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.1")).outcome == RECEIVED


def test_own_route_imported_from_another_network_is_delivered_locally():
    config = red_config()
    blue = config.network("blue", 6, [subnet("10.2.2.0/24")])
    config.port("d", blue, ["10.2.2.3"])
    made = host(config, "a", "d")
    own = next(r for i, r in made.published() if str(r.key) == "10.2.2.3/32")
    made.learn(RED_VRF, [own])

    made.reconcile()

    trace = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.2.2.3"))
    assert (DELIVERED, made.vif("d")) == (trace.outcome, trace.vif_id)


def test_same_subnet_in_two_networks_stays_apart():
    config = red_config()
    green = config.network("green", 7, [subnet("10.1.1.0/24")])
    config.port("g", green, ["10.1.1.4"])
    made = host(config, "a", "g")

    trace = made.datapath.send(made.vif("a"), packet("10.1.1.3", "10.1.1.4"))

    assert (trace.outcome, trace.drop_reason) == (DROPPED, "NO_ROUTE")


def test_route_withdrawn_by_the_control_node_is_removed():
    made = host(red_config(), "a")
    made.learn(RED_VRF, [learnt("10.1.1.9/32", "192.0.2.9")])
    made.reconcile()
    made.sessions.received(
        "control", ItemsEvent(Family.INET, RED_VRF, (), (ip_network("10.1.1.9/32"),)), made.now
    )

    made.reconcile()

    assert (1, ip_network("10.1.1.9/32")) not in made.datapath.rows[InetRouteRow]
    assert not [r for r in made.datapath.rows[NextHopRow].values() if r.remote]


def test_local_mac_is_bridged():
    made = host(red_config(), "a", "b")

    macs = {row.mac for row in made.datapath.rows[BridgeRow].values()}

    assert {made.active("a").port.mac, made.active("b").port.mac} == macs


def test_recompute_of_the_same_inputs_writes_nothing():
    made = host(red_config(groups=True), "a", "b")

    plan = made.reconcile()

    assert (plan.puts, plan.deletes) == ((), ())


@pytest.mark.parametrize("label", [0, 15, 1 << 20, (1 << 24) - 1])
def test_label_that_mpls_cannot_carry_makes_the_route_unusable(label):
    made = host(red_config(), "a")
    made.learn(RED_VRF, [learnt("10.1.1.9/32", "192.0.2.9", label=label)])

    made.reconcile()

    assert (1, ip_network("10.1.1.9/32")) not in made.datapath.rows[InetRouteRow]


def test_unplugged_port_leaves_nothing_behind():
    made = host(red_config(groups=True), "a", "b")
    made.plugged.clear()

    made.reconcile()

    left = {kind.__name__: len(rows) for kind, rows in made.datapath.rows.items() if rows}
    assert left == {"InterfaceRow": 1, "NextHopRow": 1}
    assert made.datapath.attached == {1}
    assert made.desired.published == {}


def test_numbers_beyond_their_wire_fields_are_as_good_as_absent():
    config = red_config(groups=True)
    red = ConfigKey("virtual-network", RED)
    config.node("virtual-network", RED, virtual_network_network_id=1 << 40, mtu=-5)
    config.node("security-group", f"{PROJECT}:web", security_group_id=1 << 40)
    made = host(config, "a", "b")

    assert red in config.nodes
    assert made.datapath.rows[VniRow] == {}
    assert all(route.attributes.security_groups == () for _, route in made.published())
