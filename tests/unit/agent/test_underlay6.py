"""Hosts whose underlay is IPv6: tunnels, what is published, and what is refused and said."""

from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network

import pytest

from skytrail.agent.control_choice import ControlNode, read_control
from skytrail.agent.nexthop import known_paths
from skytrail.agent.tables import (
    BridgeRow,
    Encapsulation,
    FloodRow,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    MirrorKind,
    MirrorRow,
    NextHopKind,
    NextHopRow,
)
from skytrail.agent.underlay6 import out_of_reach, unmet, unserved
from skytrail.net import BROADCAST_MAC, Label, Mac, Vni, router_mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import EnetKey, NextHop, Route

VRF = f"{PROJECT}:red:red"
OWN, FAR = "2001:db8:1::1", "2001:db8:2::2"
FAR_MAC = Mac.parse("02:00:00:00:00:77")
HERE, THERE = ip_network("10.1.1.3/32"), ip_network("10.1.1.9/32")


def a_host(address=OWN, *, far=FAR, encapsulations=("udp",), port=None, **network):
    """A host with one port, and what another host announces."""
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")], **network)
    key = config.port("a", red, ["10.1.1.3"])
    config.node(key.type_name, key.name, **{**config.nodes[key].properties, **(port or {})})
    host = AgentHost(address)
    host.connect()
    host.configure(config.update())
    host.plug("a", 10)
    host.resolve(far)
    host.reconcile()
    hop = NextHop(ip_address(far), Label(30), Vni(7), mac=FAR_MAC, encapsulations=encapsulations)
    hop = replace(hop, virtual_network=f"{PROJECT}:red")
    keys = [THERE, EnetKey(FAR_MAC, THERE), EnetKey(BROADCAST_MAC, ip_network(far))]
    host.learn(VRF, [Route(key, (hop,)) for key in keys])
    host.reconcile()
    return host


def rows(host, kind):
    return list(host.desired.rows[kind].values())


def tunnels(host):
    return [row for row in rows(host, NextHopRow) if row.kind is NextHopKind.TUNNEL]


@pytest.mark.parametrize("text", ["udp", "gre", "vxlan"])
def test_routes_lead_into_tunnels_over_ipv6(text):
    host = a_host(encapsulations=(text,))
    (row,) = [row for row in rows(host, InetRouteRow) if row.prefix == THERE]
    by_id = {each.nexthop_id: each for each in tunnels(host)}

    assert (by_id[row.nexthop_id].local, by_id[row.nexthop_id].remote) == (
        IPv6Address(OWN), IPv6Address(FAR),
    )  # fmt: skip
    assert {each.remote for each in by_id.values()} == {IPv6Address(FAR)}
    assert Encapsulation.NATIVE not in {each.encapsulation for each in by_id.values()}
    assert [each.mac for each in rows(host, BridgeRow)].count(FAR_MAC) == 1


def test_the_underlay_s_row_and_published_routes_have_the_ipv6_address():
    host = a_host()
    (row,) = [row for row in rows(host, InterfaceRow) if row.kind is InterfaceKind.UNDERLAY]
    hops = [hop for _, route in host.published() for hop in route.next_hops]

    assert (row.tunnel_address, row.tunnel_address6) == (None, IPv6Address(OWN))
    assert hops
    assert {hop.address for hop in hops} == {IPv6Address(OWN)}


def test_a_router_of_routing_networks_has_a_mac_made_of_the_ipv6_address():
    host = a_host(virtual_network_properties={"forwarding_mode": "l3"})
    (hop,) = host.desired.published[VRF, HERE].next_hops

    assert hop.mac == router_mac(IPv6Address(OWN))


def test_workloads_get_20_bytes_less_than_over_ipv4():
    over4 = a_host("192.0.2.1", far="192.0.2.2").active("a")
    over6 = a_host().active("a")

    assert over4.mtu_bytes - over6.mtu_bytes == 20


def test_what_is_for_everybody_goes_to_other_hosts_over_ipv6():
    host = a_host()
    (flood,) = rows(host, FloodRow)
    far = {each.nexthop_id for each in tunnels(host)}

    assert [hop for hop, _ in flood.members if hop in far]


def test_ways_through_the_underlay_outlive_a_restart():
    host = a_host()

    assert known_paths(host.reconciler.adopt()).keys() == {IPv6Address(FAR)}


@pytest.mark.parametrize(("own", "far"), [(OWN, "192.0.2.2"), ("192.0.2.1", FAR)])
def test_a_host_of_the_other_ip_version_is_out_of_reach_and_named(own, far):
    host = a_host(own, far=far)

    assert tunnels(host) == []
    assert THERE not in {row.prefix for row in rows(host, InetRouteRow)}
    (line,) = out_of_reach(host.desired.unreachable, host.underlay())
    assert far in line
    assert own in line


@pytest.mark.parametrize(("own", "far"), [(OWN, "192.0.2.2"), ("192.0.2.1", FAR)])
def test_who_asks_for_copies_alone_is_out_of_reach_as_well_and_named_while_it_asks(own, far):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("a", red, ["10.1.1.3"])
    host = AgentHost(own)
    host.connect()
    host.configure(config.update())
    host.plug("a", 10)
    host.reconcile()
    hop = NextHop(ip_address(far), Label(30), encapsulations=("udp",))
    asking = Route(
        EnetKey(BROADCAST_MAC, ip_network(far)), (replace(hop, virtual_network=f"{PROJECT}:red"),)
    )
    host.learn(VRF, [asking])
    host.reconcile()
    (line,) = out_of_reach(host.desired.unreachable, host.underlay())
    (flood,) = rows(host, FloodRow)
    host.plugged.clear()
    host.reconcile()

    assert far in line
    assert tunnels(host) == []
    assert len(flood.members) == 1
    assert host.desired.unreachable == frozenset()


def test_nobody_is_out_of_reach_when_the_route_has_gone():
    host = a_host(far="192.0.2.2")
    host.plugged.clear()
    host.reconcile()

    assert host.desired.unreachable == frozenset()
    assert list(out_of_reach(host.desired.unreachable, host.underlay())) == []


COLLECTOR6, COLLECTOR4 = "2001:db8:9::9", "192.0.2.99"


def mirroring(own, **to):
    sent = {"traffic_direction": "ingress", "mirror_to": to}
    properties = {"virtual_machine_interface_properties": {"interface_mirror": sent}}
    return a_host(own, far=FAR if ":" in own else "192.0.2.2", port=properties)


def test_an_analyzer_in_a_network_gets_copies_of_a_host_without_ipv4():
    host = mirroring(OWN, analyzer_ip_address="10.1.1.9", routing_instance=VRF)
    (row,) = rows(host, MirrorRow)

    assert row.kind is MirrorKind.ROUTED
    assert row.header[26:34] == ip_address("192.0.0.8").packed + ip_address("10.1.1.9").packed
    assert list(unserved(host.desired.ports, host.underlay())) == []


@pytest.mark.parametrize(
    ("own", "reached", "other"), [(OWN, COLLECTOR6, COLLECTOR4), ("192.0.2.1", COLLECTOR4, COLLECTOR6)]
)  # fmt: skip
def test_a_collector_in_the_underlay_is_of_its_ip_version_or_refused_and_said(own, reached, other):
    served = mirroring(own, analyzer_ip_address=reached)
    refused = mirroring(own, analyzer_ip_address=other)

    (row,) = rows(served, MirrorRow)
    assert (row.kind, str(row.analyzer)) == (MirrorKind.FIXED, reached)
    assert ip_address(reached) in served.desired.remotes
    assert list(unserved(served.desired.ports, served.underlay())) == []
    assert rows(refused, MirrorRow) == []
    (trouble,) = unserved(refused.desired.ports, refused.underlay())
    assert f"mirroring to {other}" in trouble.reason
    (line,) = unmet(refused.view, refused.desired.unreachable, refused.underlay())
    assert other in line


def test_a_replicator_s_address_of_the_other_ip_version_is_said():
    config = ConfigBuilder()
    note = {"key_value_pair": [{"key": "replicator-address", "value": "192.0.2.101"}]}
    config.node("virtual-router", "default-global-system-config:host", annotations=note)
    host = AgentHost(OWN)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    (line,) = unmet(host.view, host.desired.unreachable, host.underlay())

    assert "192.0.2.101" in line
    assert OWN in line


def test_what_needs_an_ipv4_underlay_is_said_of_the_port():
    asked = {"virtual_network_properties": {}, "fabric_snat": True}
    (over6,) = unserved(a_host(**asked).desired.ports, a_host(**asked).underlay())
    host = a_host("192.0.2.1", far="192.0.2.2", **asked)

    assert over6.uuid == uuid_of("a")
    assert "fabric SNAT" in over6.reason
    assert list(unserved(host.desired.ports, host.underlay())) == []
    everywhere = ip_network("0.0.0.0/0")
    assert everywhere in {row.prefix for row in rows(host, InetRouteRow)}
    # There too, for its drops to say why.
    assert everywhere in {row.prefix for row in rows(a_host(**asked), InetRouteRow)}


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("192.0.2.1", ControlNode("192.0.2.1", 5269)),
        ("control1:77@rack-2", ControlNode("control1", 77, "rack-2")),
        ("2001:db8::1", ControlNode("2001:db8::1", 5269)),
        ("[2001:db8::1]", ControlNode("2001:db8::1", 5269)),
        ("[2001:DB8::1]:77@a", ControlNode("2001:db8::1", 77, "a")),
    ],
)
def test_control_nodes_are_told_by_address_of_either_version(text, node):
    assert read_control(text, 5269) == node


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":77",
        "[]:77",
        "[2001:db8::1]:",
        "[2001:db8::1]:0",
        "2001:db8::zz",
        "a:70000",
        "a@",
        "a@b@c",
    ],
)
def test_what_is_no_control_node_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        read_control(text, 5269)
