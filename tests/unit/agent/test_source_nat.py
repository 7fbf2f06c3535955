"""Addresses of external networks that stand for workloads': whose way out they are, and how."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import msgspec
import pytest

from skytrail.agent.fabric_config import PORT_RANGE_DEFAULT
from skytrail.agent.interface import InactivePort, PluggedPort
from skytrail.agent.io.state import StateFolder
from skytrail.agent.source_nat import device_of, ports_here
from skytrail.agent.tables import (
    BridgeRow,
    FloodRow,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    NextHopKind,
    NextHopRow,
    PortPoolRow,
    SourceRow,
    VniRow,
)
from skytrail.agent.trace import FORWARDED, TracePacket, explain, explain_arrival
from skytrail.model.source_nat import SourceNat
from skytrail.net import Label, router_mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import EnetKey, NextHop, Route

OUTSIDE, CLIENT = "203.0.113.9", "198.51.100.10"
STAND_IN = "source-nat-public-h1"
RED = f"{PROJECT}:red:red"
PUBLIC = f"{PROJECT}:public:public"
TOLD = SourceNat(instances=(RED, PUBLIC), inside=("10.1.1.0/24", "10.2.2.0/24"))


def config_of(told=TOLD, *, name=STAND_IN, uuid="", placed=True, addresses=(OUTSIDE,), snat=False):
    """A network whose workloads an address of another one stands for on this host."""
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    public = config.network("public", 6, [subnet("203.0.113.0/24")])
    if snat:
        config.node(
            "virtual-network", f"{PROJECT}:red", virtual_network_network_id=5, fabric_snat=True
        )
    config.port("a", red, ["10.1.1.3"])
    port = config.port(STAND_IN, public, list(addresses))
    text = told if isinstance(told, str) else msgspec.json.encode(told).decode()
    machine = config.made_machine(name, "source-nat", text, uuid=uuid)
    config.link(port, machine)
    if placed:
        router = config.node("virtual-router", "default-global-system-config:h1")
        config.link(machine, router)
    return config


def host(*, plugged=True, **given):
    made = AgentHost()
    made.plug("a", 10)
    if plugged:
        made.plug(STAND_IN, 20)
        uuid = uuid_of(STAND_IN)
        made.plugged[uuid] = replace(made.plugged[uuid], kind=InterfaceKind.SNAT)
    made.connect()
    made.configure(config_of(**given).update())
    made.reconcile()
    return made


def rows(made, kind):
    return list(made.datapath.rows[kind].values())


def routes(made, prefix):
    return [row for row in rows(made, InetRouteRow) if row.prefix == ip_network(prefix)]


def hop(made, nexthop_id):
    return next(row for row in rows(made, NextHopRow) if row.nexthop_id == nexthop_id)


def default_route():
    hop = NextHop(ip_address("192.0.2.9"), Label(77), encapsulations=("udp",))
    return Route(ip_network("0.0.0.0/0"), (hop,))


def test_a_network_s_way_out_is_the_address_and_nobody_is_looked_for_outside_who_is_inside():
    made = host()

    (way,) = routes(made, "0.0.0.0/0")
    assert (hop(made, way.nexthop_id).kind, hop(made, way.nexthop_id).vif_id) == (
        NextHopKind.FABRIC,
        made.vif(STAND_IN),
    )
    for prefix in TOLD.inside:
        (inside,) = routes(made, prefix)
        assert hop(made, inside.nexthop_id).kind is NextHopKind.DISCARD
    pools = {row.protocol: row.ranges for row in rows(made, PortPoolRow)}
    assert pools == dict.fromkeys((1, 6, 17), (PORT_RANGE_DEFAULT,))
    underlay = next(r for r in rows(made, InterfaceRow) if r.kind is InterfaceKind.UNDERLAY)
    assert not underlay.translates


def test_the_address_is_a_host_route_to_its_interface_and_no_member_of_the_network():
    made = host()

    own = next(row for row in rows(made, InterfaceRow) if row.kind is InterfaceKind.SNAT)
    (route,) = routes(made, f"{OUTSIDE}/32")
    assert (own.tunnel_address, own.antispoof) == (IPv4Address(OUTSIDE), False)
    assert (route.vrf_id, hop(made, route.nexthop_id).vif_id) == (own.vrf_id, own.vif_id)
    assert own.vrf_id not in {row.vrf_id for row in rows(made, FloodRow)}
    assert own.vrf_id not in {row.vrf_id for row in rows(made, BridgeRow)}
    assert own.vif_id not in {row.vif_id for row in rows(made, SourceRow)}
    assert 6 in {row.vni for row in rows(made, VniRow)}
    published = dict(made.published())
    assert not any(isinstance(key.key, EnetKey) for key in [published[PUBLIC]])
    told = published[PUBLIC]
    assert told.key == ip_network(f"{OUTSIDE}/32")
    (offer,) = told.next_hops
    assert offer.mac == router_mac(made.underlay().address)
    assert offer.label in {row.label for row in rows(made, LabelRow)}


@pytest.mark.parametrize(
    "given",
    [
        {"placed": False},
        {"name": "somebody's"},
        {"uuid": uuid_of("a tenant's machine of that name")},
        {"told": "[]"},
        {"told": '{"instances": ["a"], "inside": ["nowhere"]}'},
        {"addresses": ()},
        {"addresses": ("2001:db8::9",)},
        {"plugged": False},
    ],
)
def test_without_all_of_it_nobody_is_led_out(given):
    made = host(**given)

    assert routes(made, "0.0.0.0/0") == []
    assert not any(
        row.kind is InterfaceKind.SNAT and row.tunnel_address for row in rows(made, InterfaceRow)
    )


def test_a_host_without_an_address_says_so():
    state = host(addresses=()).compute().ports[uuid_of(STAND_IN)]

    assert isinstance(state, InactivePort)
    assert state.reason == f"this host has no IPv4 address of {PROJECT}:public"


def test_the_address_comes_before_the_host_s_own_and_a_learnt_default_route_before_both():
    made = host(snat=True)

    (way,) = routes(made, "0.0.0.0/0")
    assert hop(made, way.nexthop_id).vif_id == made.vif(STAND_IN)
    made.learn(RED, [default_route()])
    made.resolve("192.0.2.9")
    made.reconcile()
    (way,) = routes(made, "0.0.0.0/0")
    assert hop(made, way.nexthop_id).kind is NextHopKind.TUNNEL


def test_what_was_led_out_ends_with_the_port():
    made = host()
    made.plugged.pop(uuid_of(STAND_IN))
    made.reconcile()

    assert routes(made, "0.0.0.0/0") == routes(made, f"{OUTSIDE}/32") == []
    assert rows(made, PortPoolRow) == []


def test_trace_tells_the_way_and_why_not():
    made = host()
    tables, a = made.datapath.tables(), made.vif("a")

    def sent(to, protocol=6, port=443):
        packet = TracePacket(ip_address("10.1.1.3"), ip_address(to), protocol, 40000, port)
        return explain(tables, a, packet)

    assert sent(CLIENT).drop_reason == "NO_ROUTE"
    made.learn(PUBLIC, [default_route()])
    made.resolve("192.0.2.9")
    made.reconcile()
    tables = made.datapath.tables()

    there = sent(CLIENT)
    assert (there.outcome, there.remote, there.label) == (FORWARDED, "192.0.2.9", 77)
    assert there.leaves_as.source == ip_address(OUTSIDE)
    assert any(f"by {OUTSIDE} and a port of 61000 to 65535" in s.answer for s in there.steps)
    assert sent(CLIENT, 132).drop_reason == "FABRIC_PROTOCOL"
    assert sent("169.254.1.1").drop_reason == "LINK_SERVICE"
    assert sent("10.2.2.7").drop_reason == "DISCARD"
    assert sent(OUTSIDE).drop_reason == "FABRIC_UNKNOWN"
    label = next(
        row.label
        for row in rows(made, LabelRow)
        if hop(made, row.nexthop_id).vif_id == made.vif(STAND_IN)
        and not hop(made, row.nexthop_id).layer2
    )
    back = TracePacket(ip_address(CLIENT), ip_address(OUTSIDE), 6, 443, 61000)
    assert explain_arrival(tables, ("mpls", label), back).drop_reason == "FABRIC_UNKNOWN"


def test_ports_to_plug_are_those_of_placed_machines_and_are_known_after_a_restart(tmp_path):
    made = host()
    assert ports_here(made.sessions.graph) == {uuid_of(STAND_IN)}

    port = PluggedPort(uuid_of(STAND_IN), "", device_of("x"), InterfaceKind.SNAT)
    StateFolder(tmp_path).save_ports([port])
    assert StateFolder(tmp_path).load_ports() == [port]
