"""Routes between agents of underlay-routed networks and switches."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address

from skytrail.control.bgp_import import NO_DISTINGUISHER
from skytrail.control.path import FABRIC_INSTANCE, VPN_INSTANCE, Learned, Path, PathSlot, PeerName
from skytrail.control.path import Relay as PeerRelay
from skytrail.control.show import tables
from skytrail.control.underlay import OWN
from skytrail.model.config_object import ConfigObject
from skytrail.net import IpAddress, Label
from skytrail.testing.control_plane import BGP_PLACE, Bench, bgp_router, build
from skytrail.wire.bgp import AsSegment, AsSegmentKind, Attributes, BgpFamily
from skytrail.wire.xmpp import (
    ItemsEvent,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
    WithdrawRoute,
)

HOST = IPv4Address("198.18.1.2")
WORKLOAD, OUTSIDE = IPv4Network("10.50.0.3/32"), IPv4Network("192.0.2.0/24")
NODE = bgp_router("control1", "198.19.1.2", router_type="control-node", identifier="198.19.1.2")
FABRIC = build("routing-instance", BGP_PLACE, parent="virtual-network")
NETWORK = "default-domain:p:plain"
PROVIDER = build("virtual-network", BGP_PLACE[:-1], fields={"is_provider_network": True})


def network(prefix: str = "10.50.0.0", name: str = "plain") -> ConfigObject:
    """A network the underlay routes, with one subnet."""
    subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": 24}}
    return build(
        "virtual-network",
        ("default-domain", "p", name),
        refs=[
            ("virtual-network", BGP_PLACE[:-1], None),
            ("network-ipam", ("default-domain", "p", "ipam"), {"ipam_subnets": [subnet]}),
        ],
    )


def bench() -> Bench:
    made = Bench(NODE, FABRIC, PROVIDER, network(), node="control1")
    made.up("compute1")
    made.say("compute1", Subscribe(FABRIC_INSTANCE, 2))
    return made


def published(key: IPv4Network = WORKLOAD) -> PublishRoute:
    hop = NextHop(HOST, Label(0), encapsulations=("native",), virtual_network=NETWORK)
    return PublishRoute(FABRIC_INSTANCE, Route(key, (hop,), RouteAttributes(local_preference=200)))


def hear(made: Bench, key: IPv4Network = OUTSIDE, next_hop: IpAddress | None = None) -> None:
    """A switch says a plain route."""
    hop = next_hop or IPv4Address("198.19.1.1")
    segment = AsSegment(AsSegmentKind.SEQUENCE, (65100,))
    learned = Learned(
        Attributes(as_path=(segment,)), is_external=True, router_id=IPv4Address("198.19.1.1")
    )
    path = Path(
        slot=PathSlot(PeerName("switch"), VPN_INSTANCE, key),
        distinguisher=NO_DISTINGUISHER,
        next_hops=(),
        attributes=RouteAttributes(local_preference=100),
        targets=frozenset(),
        learned=learned,
        relay=PeerRelay(BgpFamily.INET, hop, key),
    )
    made.plane.bgp.relay.put((BgpFamily.INET, key), path)


def told(made: Bench, key: IPv4Network = WORKLOAD) -> Path | None:
    made.plane.take_ready()
    return made.plane.bgp.relay.path((BgpFamily.INET, key), OWN)


def routes_told(made: Bench) -> dict[str, Route | None]:
    """What the agent was told of the fabric instance since it was last asked."""
    found: dict[str, Route | None] = {}
    for message in made.hear("compute1"):
        if isinstance(message, ItemsEvent) and message.instance == FABRIC_INSTANCE:
            found.update((str(route.key), route) for route in message.routes)
            found.update((str(key), None) for key in message.retracts)
    return found


def test_a_workload_is_told_to_peers_with_its_host_as_next_hop() -> None:
    made = bench()
    made.say("compute1", published())

    path = told(made)

    assert path is not None
    assert path.relay is not None
    assert (path.relay.next_hop, path.relay.nlri) == (HOST, WORKLOAD)


def test_a_workload_that_is_withdrawn_is_taken_back() -> None:
    made = bench()
    made.say("compute1", published())
    assert told(made) is not None

    made.say("compute1", WithdrawRoute(FABRIC_INSTANCE, WORKLOAD))

    assert told(made) is None


def test_a_switchs_route_reaches_agents_without_tunnel_and_goes_with_it() -> None:
    made = bench()
    hear(made)

    route = routes_told(made)["192.0.2.0/24"]

    assert route is not None
    (hop,) = route.next_hops
    assert (str(hop.address), hop.encapsulations) == ("198.19.1.1", ("native",))
    assert hop.virtual_network == "default-domain:default-project:ip-fabric"
    made.plane.bgp.relay.remove((BgpFamily.INET, OUTSIDE), PeerName("switch"))
    assert routes_told(made) == {"192.0.2.0/24": None}


def test_a_next_hop_no_host_can_use_is_no_route() -> None:
    made = bench()
    hear(made, next_hop=IPv6Address("2001:db8::1"))

    assert routes_told(made) == {}


def test_what_switches_say_of_a_workload_does_not_replace_what_its_agent_says() -> None:
    made = bench()
    made.say("compute1", published())
    hear(made, WORKLOAD)

    path = told(made)

    assert path is not None
    assert path.relay is not None
    assert path.relay.next_hop == HOST
    entry = made.plane.bgp.relay.entries[BgpFamily.INET, WORKLOAD]
    assert entry.best is path


def test_routes_heard_before_the_fabric_instance_is_known_are_kept_for_it() -> None:
    made = Bench(NODE, node="control1")
    hear(made)
    made.up("compute1")
    made.say("compute1", Subscribe(FABRIC_INSTANCE, 2))
    assert routes_told(made) == {}

    made.plane.config_put(FABRIC)
    made.plane.commit(2, made.now)

    assert "192.0.2.0/24" in routes_told(made)


def test_without_the_fabric_instance_nothing_is_told() -> None:
    made = bench()
    made.say("compute1", published())
    assert told(made) is not None

    made.plane.config_delete(FABRIC.uuid)
    made.plane.commit(3, made.now)

    assert told(made) is None


def test_a_node_without_name_among_peers_tells_nothing_until_it_has_one() -> None:
    made = Bench(FABRIC, PROVIDER, network(), node="control1")
    made.up("compute1")
    made.say("compute1", Subscribe(FABRIC_INSTANCE, 2), published())
    assert told(made) is None

    made.plane.config_put(NODE)
    made.plane.commit(2, made.now)

    assert told(made) is not None


STRANGE = IPv4Network("198.18.2.2/32")


def refused(made: Bench) -> object:
    made.plane.take_ready()
    (row,) = tables(made.plane, lambda: made.now)["control"]()
    return row["underlay_refused"]


def test_a_host_cannot_have_other_addresses_told_to_switches() -> None:
    made = bench()
    made.say("compute1", published(STRANGE), published())

    assert told(made, STRANGE) is None
    assert told(made) is not None
    assert refused(made) == ["198.18.2.2/32"]


def test_what_a_network_gains_is_told_then_and_what_it_loses_no_more() -> None:
    made = bench()
    made.say("compute1", published(STRANGE))
    assert told(made, STRANGE) is None

    made.put(network("198.18.2.0"))
    assert told(made, STRANGE) is not None
    assert refused(made) == []

    made.put(network())
    assert told(made, STRANGE) is None


def test_a_prefix_behind_a_port_is_told_as_its_route_table_says() -> None:
    made = bench()
    behind = IPv4Network("172.16.0.0/16")
    made.say("compute1", published(behind))
    assert told(made, behind) is None

    routes = {"interface_route_table_routes": {"route": [{"prefix": "172.16.0.0/16"}]}}
    made.put(build("interface-route-table", ("default-domain", "p", "t"), fields=routes))

    assert told(made, behind) is not None


def test_subnets_of_a_flat_ipam_count() -> None:
    made = bench()
    made.say("compute1", published(STRANGE))
    subnets = [{"subnet": {"ip_prefix": "198.18.2.0", "ip_prefix_len": 24}}]
    fields = {"ipam_subnets": {"subnets": subnets}}
    made.put(build("network-ipam", ("default-domain", "p", "ipam"), fields=fields))

    assert told(made, STRANGE) is not None
