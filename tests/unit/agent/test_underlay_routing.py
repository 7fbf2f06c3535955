"""Networks that the underlay routes: what is published, and how packets go."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.port_rows import FABRIC_INSTANCE
from skytrail.agent.tables import Encapsulation, InterfaceKind, InterfaceRow
from skytrail.agent.trace import DELIVERED, DROPPED, FORWARDED, TracePacket
from skytrail.testing.agent_world import PROJECT, SOURCE, AgentHost, ConfigBuilder, subnet
from skytrail.testing.fake_datapath import FakeFabric
from skytrail.wire.xmpp import ConfigDelete, ConfigKey, NextHop, Route, RouteAttributes

PLAIN_VRF = f"{PROJECT}:plain:plain"
PROVIDER = "default-domain:default-project:ip-fabric"
SWITCH = "198.18.0.1"


def configuration():
    """Networks plain, which the underlay routes, and red, which has tunnels."""
    config = ConfigBuilder()
    plain = config.network("plain", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    red = config.network("red", 6, [subnet("10.2.1.0/24")])
    provider = config.node("virtual-network", PROVIDER, is_provider_network=True)
    second = config.network("second", 7, [subnet("10.3.1.0/24")])
    config.link(plain, provider)
    config.link(second, provider)
    config.port("c", second, ["10.3.1.3"])
    config.port("a", plain, ["10.1.1.3", "fd00:1::3"])
    config.port("b", plain, ["10.1.1.4"])
    config.port("r", red, ["10.2.1.3"])
    return config


def host(*names, address="192.0.2.1"):
    made = AgentHost(address)
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(configuration().update())
    made.reconcile()
    return made


def exchange(one, other):
    for left, right in ((one, other), (other, one)):
        for instance, route in left.published():
            right.learn(instance, [route], end=False)
        right.resolve(str(left.address))
    one.reconcile()
    other.reconcile()


def switch_route(prefix):
    hop = NextHop(IPv4Address(SWITCH), encapsulations=("native",), virtual_network=PROVIDER)
    return Route(ip_network(prefix), (hop,), RouteAttributes(local_preference=100))


def packet(source, destination):
    return TracePacket(ip_address(source), ip_address(destination), 6, 40000, 80)


def underlay_vrf(made):
    rows = made.compute().rows[InterfaceRow].values()
    return next(row.vrf_id for row in rows if row.kind is InterfaceKind.UNDERLAY)


def test_ipv4_addresses_are_published_to_the_underlay_with_the_hosts_own_as_next_hop():
    published = {
        (instance, str(route.key)): route for instance, route in host("a", "r").published()
    }

    (hop,) = published[FABRIC_INSTANCE, "10.1.1.3/32"].next_hops
    assert (str(hop.address), hop.label, hop.encapsulations) == ("192.0.2.1", 0, ("native",))
    assert (FABRIC_INSTANCE, "fd00:1::3/128") not in published
    assert (FABRIC_INSTANCE, "10.2.1.3/32") not in published
    assert published[PLAIN_VRF, "10.1.1.3/32"].next_hops[0].encapsulations[0] == "native"
    assert "native" not in published[PLAIN_VRF, "fd00:1::3/128"].next_hops[0].encapsulations


def test_packets_between_hosts_go_without_tunnel_and_are_delivered():
    one, other = host("a"), host("b", address="192.0.2.2")
    exchange(one, other)
    fabric = FakeFabric()
    fabric.add(one.address, one.datapath)
    fabric.add(other.address, other.datapath)

    leaving = one.datapath.send(one.vif("a"), packet("10.1.1.3", "10.1.1.4"))
    place, trace = fabric.send(one.address, one.vif("a"), packet("10.1.1.3", "10.1.1.4"))

    assert leaving.encapsulation == Encapsulation.NATIVE.name
    assert (place, trace.outcome, trace.vif_id) == (other.address, DELIVERED, other.vif("b"))


def test_a_network_with_tunnels_has_no_part_in_what_the_underlay_routes():
    made = host("r")
    made.learn(FABRIC_INSTANCE, [switch_route("0.0.0.0/0")], end=False)
    made.resolve(SWITCH)
    made.reconcile()

    trace = made.datapath.send(made.vif("r"), packet("10.2.1.3", "198.51.100.1"))

    assert (trace.outcome, trace.drop_reason) == (DROPPED, "NO_ROUTE")
    assert underlay_vrf(made) == 0


def test_another_provider_network_is_no_underlay():
    config = ConfigBuilder()
    plain = config.network("plain", 5, [subnet("10.1.1.0/24")])
    vlan = config.node("virtual-network", f"{PROJECT}:vlan", is_provider_network=True)
    config.link(plain, vlan)
    config.port("a", plain, ["10.1.1.3"])
    made = AgentHost("192.0.2.1")
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()

    assert {instance for instance, _ in made.published()} == {PLAIN_VRF}
    assert underlay_vrf(made) == 0


@pytest.mark.parametrize("first", ["port", "route"])
def test_what_a_switch_announces_is_reached_whatever_comes_first(first):
    made = AgentHost("192.0.2.1")
    made.connect()
    made.configure(configuration().update())

    def learn():
        made.learn(FABRIC_INSTANCE, [switch_route("198.51.100.0/24")], end=False)
        made.resolve(SWITCH)

    if first == "route":
        # A port of another such network had the host ask for them.
        made.plug("c", 11)
        made.reconcile()
        learn()
        made.reconcile()
    made.plug("a", 10)
    made.reconcile()
    if first == "port":
        learn()
        made.reconcile()

    trace = made.datapath.send(made.vif("a"), packet("10.1.1.3", "198.51.100.1"))

    assert (trace.outcome, trace.remote) == (FORWARDED, SWITCH)
    assert trace.encapsulation == Encapsulation.NATIVE.name


def test_a_network_that_is_routed_no_more_has_tunnels_again():
    one, other = host("a"), host("b", address="192.0.2.2")
    exchange(one, other)

    for made in (one, other):
        gone = ConfigDelete(nodes=(ConfigKey("virtual-network", PROVIDER),))
        made.sessions.received(SOURCE, gone, made.now)
        made.reconcile()
    exchange(one, other)

    leaving = one.datapath.send(one.vif("a"), packet("10.1.1.3", "10.1.1.4"))
    assert leaving.encapsulation == Encapsulation.MPLS_UDP.name
    assert FABRIC_INSTANCE not in one.desired.vrfs
    assert underlay_vrf(one) == 0
    assert FABRIC_INSTANCE not in {instance for instance, _ in one.published()}


def test_two_networks_of_one_host_are_both_known_to_the_underlay_and_one_unplugged_goes():
    made = host("a", "b")
    assert len([1 for instance, _ in made.published() if instance == FABRIC_INSTANCE]) == 2

    made.plugged = {uuid: port for uuid, port in made.plugged.items() if port.ifname != "tap-a"}
    made.reconcile()

    left = [str(route.key) for instance, route in made.published() if instance == FABRIC_INSTANCE]
    assert left == ["10.1.1.4/32"]
    assert underlay_vrf(made) != 0
