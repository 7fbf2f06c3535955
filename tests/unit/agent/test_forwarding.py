"""Networks that bridge, route or both: which rows their ports get, and which routes are published."""

from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.agent.forwarding import Forwarding
from skytrail.agent.interface import ActivePort
from skytrail.agent.introspect import ExplainRefused, RuleBook, explain_query
from skytrail.agent.tables import BridgeRow, FloodRow, InetRouteRow, InterfaceRow, SourceRow
from skytrail.net import BROADCAST_MAC, Label, Mac, router_mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import ConfigUpdate, EnetKey, NextHop, Route

VRF = f"{PROJECT}:red:red"
FAR = IPv4Address("192.0.2.2")
OWN = ip_network("10.1.1.3/32")
FAR_MAC = Mac.parse("02:00:00:00:00:77")


def network(mode, *, rpf="enable", addresses=("10.1.1.3",), default=None, dhcp=True):
    """A host with one port of a network, and what another host announces there."""
    config = ConfigBuilder()
    properties = {"forwarding_mode": mode, "rpf": rpf} if mode else {}
    red = config.network(
        "red", 5, [subnet("10.1.1.0/24", enable_dhcp=dhcp)], virtual_network_properties=properties
    )
    config.port("a", red, list(addresses))
    if default:
        config.node("global-vrouter-config", "default:vrouter", forwarding_mode=default)
    host = AgentHost()
    host.connect()
    host.configure(config.update())
    host.plug("a", 10)
    host.resolve(str(FAR))
    host.reconcile()
    hop = NextHop(FAR, Label(30), mac=FAR_MAC, encapsulations=("udp",))
    keys = [ip_network("10.1.1.9/32"), EnetKey(FAR_MAC, ip_network("10.1.1.9/32"))]
    host.learn(VRF, [Route(key, (hop,)) for key in keys])
    host.reconcile()
    return host, config


def rows(host, kind):
    return list(host.desired.rows[kind].values())


def published(host):
    return {route.key for instance, route in host.published() if instance == VRF}


def own(host):
    return host.active("a").port.mac


def inclusive(host):
    return EnetKey(BROADCAST_MAC, ip_network(host.address))


def test_a_network_routes_and_bridges_unless_told():
    host, _ = network("")
    prefix = ip_network("10.1.1.3/32")

    assert published(host) == {prefix, EnetKey(own(host), prefix), inclusive(host)}
    assert {row.mac for row in rows(host, BridgeRow)} == {own(host), FAR_MAC}
    assert ip_network("10.1.1.9/32") in {row.prefix for row in rows(host, InetRouteRow)}


def test_a_bridging_network_has_macs_alone():
    host, _ = network("l2")
    (interface,) = [row for row in rows(host, InterfaceRow) if row.ifindex == 10]

    assert published(host) == {EnetKey(own(host), ip_network("10.1.1.3/32")), inclusive(host)}
    assert rows(host, InetRouteRow) == []
    assert {row.mac for row in rows(host, BridgeRow)} == {own(host), FAR_MAC}
    assert len(rows(host, FloodRow)) == 1
    assert (interface.is_layer2, interface.is_layer3, interface.lets_dhcp_by) == (
        True,
        False,
        False,
    )


def test_a_routing_network_has_addresses_alone():
    host, _ = network("l3")
    (interface,) = [row for row in rows(host, InterfaceRow) if row.ifindex == 10]
    prefix = ip_network("10.1.1.3/32")
    (hop,) = host.desired.published[VRF, prefix].next_hops

    assert published(host) == {prefix}
    assert hop.mac == router_mac(host.address)
    assert rows(host, BridgeRow) == []
    assert rows(host, FloodRow) == []
    assert ip_network("10.1.1.9/32") in {row.prefix for row in rows(host, InetRouteRow)}
    assert (interface.is_layer2, interface.is_layer3) == (False, True)


def test_a_port_that_is_only_bridged_to_needs_no_address():
    host, _ = network("l2", addresses=())

    assert published(host) == {EnetKey(own(host), None), inclusive(host)}


@pytest.mark.parametrize("mode", ["l3", ""])
def test_a_port_that_is_routed_to_needs_one(mode):
    host, _ = network(mode, addresses=())

    assert not isinstance(host.desired.ports[uuid_of("a")], ActivePort)


@pytest.mark.parametrize(("mode", "used"), [("", "l3"), ("l2", "l2")])
def test_the_global_mode_counts_for_networks_that_say_none(mode, used):
    host, _ = network(mode, default="l3")

    assert host.active("a").port.network.forwarding is Forwarding(used)


@pytest.mark.parametrize(
    ("mode", "rpf", "anything"),
    [("l2_l3", "enable", False), ("l2_l3", "disable", True), ("l2", "enable", True)],
)
def test_sources_are_checked_where_the_network_asks_and_routes(mode, rpf, anything):
    host, _ = network(mode, rpf=rpf)
    sources = {row.prefix: row.mac for row in rows(host, SourceRow)}

    assert (ip_network("0.0.0.0/0") in sources) == anything
    assert set(sources.values()) == {own(host)}


def test_a_mode_that_changes_takes_learnt_routes_along():
    host, config = network("l2")
    key = next(key for key in config.nodes if key.type_name == "virtual-network")
    for mode, kinds in (("l3", (True, False)), ("l2", (False, True)), ("l2_l3", (True, True))):
        node = config.node(
            key.type_name,
            key.name,
            virtual_network_network_id=5,
            virtual_network_properties={"forwarding_mode": mode},
        )
        host.configure(ConfigUpdate((config.nodes[node],)))
        host.reconcile()
        routed = ip_network("10.1.1.9/32") in {row.prefix for row in rows(host, InetRouteRow)}
        bridged = FAR_MAC in {row.mac for row in rows(host, BridgeRow)}

        assert (routed, bridged) == kinds, mode


def test_requests_for_addresses_pass_where_no_subnet_has_dhcp():
    host, _ = network("l2_l3", dhcp=False)

    assert [row.lets_dhcp_by for row in rows(host, InterfaceRow) if row.ifindex == 10] == [True]


def test_a_trace_in_a_bridging_network_goes_by_the_neighbours_mac():
    host, _ = network("l2")
    tables = host.datapath.tables()
    book = RuleBook(host.numbers, host.planner.policies)
    query = {"vmi": uuid_of("a"), "dst": "10.1.1.9", "src": "10.1.1.3"}
    answer = explain_query(tables, host.desired, book, query)

    assert answer["outcome"] == "forwarded", answer
    assert any(str(FAR_MAC) in str(step) for step in answer["steps"])


@pytest.mark.parametrize("mode", ["l2", "l2_l3"])
@pytest.mark.parametrize(
    ("mac", "outcome", "reason"),
    [(FAR_MAC, "forwarded", ""), (Mac.parse("02:00:00:00:00:99"), "dropped", "NO_ROUTE")],
)
def test_a_trace_by_mac_alone_is_decided_by_who_has_it(mode, mac, outcome, reason):
    host, _ = network(mode)
    book = RuleBook(host.numbers, host.planner.policies)
    query = {"vmi": uuid_of("a"), "dst": "0.0.0.0", "src": "10.1.1.3", "dmac": str(mac)}
    answer = explain_query(host.datapath.tables(), host.desired, book, query)

    assert (answer["outcome"], answer["drop_reason"]) == (outcome, reason)
    assert not any(step.stage == "route" for step in answer["steps"])


def test_a_trace_to_an_address_that_no_port_of_a_bridging_network_has_asks_for_the_mac():
    host, _ = network("l2")
    book = RuleBook(host.numbers, host.planner.policies)
    query = {"vmi": uuid_of("a"), "dst": "10.1.1.77", "src": "10.1.1.3"}

    with pytest.raises(ExplainRefused, match=r"10\.1\.1\.77.*only bridges: name the MAC"):
        explain_query(host.datapath.tables(), host.desired, book, query)


def test_a_trace_of_what_arrives_in_a_bridging_network_knows_the_sender_by_mac():
    host, _ = network("l2")
    book = RuleBook(host.numbers, host.planner.policies)
    (route,) = [route for _, route in host.published() if route.key == EnetKey(own(host), OWN)]
    query = {"label": str(route.next_hops[0].label), "dst": "10.1.1.3", "src": "10.1.1.9"}
    answer = explain_query(host.datapath.tables(), host.desired, book, query)

    assert any(str(FAR_MAC) in step.answer for step in answer["steps"])
