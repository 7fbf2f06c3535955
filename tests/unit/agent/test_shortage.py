"""Numbers that run out: what has one goes on, what has none waits and is told, and gets one that is given back."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.agent.interface import ActivePort, InactivePort
from skytrail.agent.tables import InetRouteRow, NextHopKind, NextHopRow
from skytrail.net import Label
from skytrail.testing.agent_world import PROJECT, SOURCE, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import Family, ItemsEvent, NextHop, Route, RouteAttributes

VRF = f"{PROJECT}:front:front"


def limited(host, kind, count):
    """No more than ``count`` numbers of a kind from now on, beside those in use."""
    space = host.numbers.spaces()[kind]
    space._last = space._first + len(space) + count - 1
    space._next = space._first


def learnt(number, host=None):
    hop = NextHop(
        address=IPv4Address(f"192.0.2.{host or number}"),
        label=Label(100 + number),
        encapsulations=("udp",),
        virtual_network=f"{PROJECT}:front",
    )
    return Route(ip_network(f"10.1.2.{number}/32"), (hop,), RouteAttributes())


@pytest.fixture
def host():
    config = ConfigBuilder()
    network = config.network("front", 5, [subnet("10.1.0.0/16")])
    back = config.network("back", 6, [subnet("10.2.0.0/16")])
    config.port("web", network, ["10.1.1.3"])
    config.port("app", back, ["10.2.1.9"])
    made = AgentHost("192.0.2.1")
    made.plug("web", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def routes_to(host):
    """Learnt addresses, and what kind of next hop each leads to."""
    hops = host.datapath.rows[NextHopRow]
    return {
        str(row.prefix.network_address): hops[row.nexthop_id].kind
        for row in host.datapath.rows[InetRouteRow].values()
        if row.prefix.subnet_of(ip_network("10.1.2.0/24")) and row.prefix.prefixlen == 32
    }


def test_routes_beyond_the_next_hops_lead_nowhere_and_the_others_go_on(host):
    limited(host, "nexthop", 3)

    host.learn(VRF, [learnt(number) for number in range(10, 16)])
    host.reconcile()

    kinds = list(routes_to(host).values())
    assert kinds.count(NextHopKind.TUNNEL) == 3
    assert kinds.count(NextHopKind.DISCARD) == 3
    assert "numbers of next hop are in use" in host.desired.shortage
    assert host.desired.shortage.endswith("wait for one: 3")


def test_a_next_hop_that_is_given_back_is_for_a_route_that_waits(host):
    limited(host, "nexthop", 3)
    host.learn(VRF, [learnt(number) for number in range(10, 16)])
    host.reconcile()
    served = {name for name, kind in routes_to(host).items() if kind is NextHopKind.TUNNEL}
    waiting = routes_to(host).keys() - served

    gone = tuple(ip_network(f"{name}/32") for name in served)
    host.sessions.received(SOURCE, ItemsEvent(Family.INET, VRF, (), gone), 0.0)
    host.reconcile()

    now = {name for name, kind in routes_to(host).items() if kind is NextHopKind.TUNNEL}
    assert now
    assert now <= waiting


@pytest.mark.parametrize("kind", ["vif", "vrf", "label", "identity", "nexthop"])
def test_a_port_without_a_number_is_inactive_and_says_why(host, kind):
    limited(host, kind, 0)
    host.plug("app", 11)
    host.reconcile()

    first, second = (host.desired.ports[uuid_of(name)] for name in ("web", "app"))
    assert isinstance(first, ActivePort)
    assert isinstance(second, InactivePort)
    assert "are in use" in second.reason
    assert host.desired.shortage


def test_a_port_gets_the_number_of_one_that_went(host):
    limited(host, "label", 0)
    host.plug("app", 11)
    host.reconcile()

    del host.plugged[uuid_of("web")]
    host.reconcile()

    assert isinstance(host.desired.ports[uuid_of("app")], ActivePort)
    assert host.desired.shortage == ""


def test_a_route_of_somebody_whom_there_is_no_identity_for_leads_nowhere(host):
    limited(host, "identity", 0)
    known, stranger = learnt(10), learnt(11)
    hop = replace(stranger.next_hops[0], virtual_network=f"{PROJECT}:elsewhere")

    host.learn(VRF, [known, replace(stranger, next_hops=(hop,))])
    host.reconcile()

    assert routes_to(host) == {
        "10.1.2.10": NextHopKind.TUNNEL,
        "10.1.2.11": NextHopKind.DISCARD,
    }
