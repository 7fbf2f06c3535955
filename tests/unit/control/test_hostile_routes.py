"""Routes that no sound agent or router would say: whoever said them, others go on."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from skytrail.control.inclusive import hop_of
from skytrail.control.limits import Limits
from skytrail.control.plane import PeerRefused
from skytrail.net import Label, Mac, RouteDistinguisher, RouteTarget
from skytrail.testing.control_plane import (
    BGP_PLACE,
    Bench,
    bgp_router,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    Negotiated,
    PmsiTunnel,
    Reach,
    Update,
    VpnNlri,
    communities,
    decode_update,
)
from skytrail.wire.bgp.attributes import TunnelType
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    EnetKey,
    ItemsEvent,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    RouteKey,
    Subscribe,
)

RED = instance_of("red")
PEER = ":".join((*BGP_PLACE, "gateway"))
FAMILIES = frozenset((BgpFamily.INET_VPN, BgpFamily.INET6_VPN, BgpFamily.EVPN))
NEGOTIATED = Negotiated(FAMILIES, 64512, 64512, IPv4Address("10.0.0.2"))
INET = ip_network("10.1.1.3/32")
ENET = EnetKey(Mac.parse("02:00:00:00:00:0a"), None)
BROADCAST = EnetKey(Mac.parse("ff:ff:ff:ff:ff:ff"), ip_network("172.16.0.1/32"))
HOP = NextHop(IPv4Address("172.16.0.1"), Label(20), encapsulations=("udp",))
TOO_LONG = Label(0x10_0000)


def bench() -> Bench:
    made = Bench(
        bgp_router("control1", "10.0.0.1", peers=[("gateway", {})]),
        bgp_router("gateway", "10.0.0.2"),
        routing_instance("red", both=[1]),
        node="control1",
    )
    made.plane.bgp.session_up(PEER, NEGOTIATED, made.now)
    made.up("compute1", "compute2")
    for name in ("compute1", "compute2"):
        made.say(name, Subscribe(RED, 1))
    return made


def told(made: Bench) -> list[str]:
    """Return the routes the gateway is told now."""
    made.plane.bgp.take_ready()
    messages = made.plane.bgp.collect(PEER, 1 << 20)
    updates = [decode_update(message[HEADER_BYTES:], NEGOTIATED) for message in messages]
    return [str(nlri) for each in updates for reach in each.reach for nlri in reach.nlri]


def heard(made: Bench, name: str) -> list[Route]:
    return [
        route
        for event in made.hear(name)
        if isinstance(event, ItemsEvent)
        for route in event.routes
    ]


@pytest.mark.parametrize(
    ("key", "hop"),
    [
        (INET, replace(HOP, label=TOO_LONG)),
        (ENET, replace(HOP, label=TOO_LONG)),
        (ENET, replace(HOP, l3_label=TOO_LONG)),
        (BROADCAST, replace(HOP, label=TOO_LONG)),
        (INET, replace(HOP, address=IPv6Address("fd00::1"))),
    ],
    ids=["label", "MAC's label", "second label", "broadcast's label", "next hop"],
)
def test_what_an_agent_says_beyond_bgp_does_not_keep_others_routes_from_peers(
    key: RouteKey, hop: NextHop
) -> None:
    made = bench()

    made.say("compute1", PublishRoute(RED, Route(key, (hop,), RouteAttributes())))
    made.say("compute2", PublishRoute(RED, inet_route("10.1.1.9/32", "172.16.0.2")))

    assert any("10.1.1.9/32" in each for each in told(made))


def test_more_communities_groups_and_tags_than_agents_read_end_no_agents_session() -> None:
    made = bench()
    groups = tuple(communities.SecurityGroup(64512, each).packed for each in range(1, 400))
    tags = tuple(communities.Tag(64512, each).packed for each in range(1, 400))
    attributes = Attributes(
        0,
        local_preference=100,
        communities=tuple(range(0x10001, 0x10001 + 400)),
        extended_communities=(RouteTarget.parse("target:64512:1").packed, *groups, *tags),
    )
    nlri = VpnNlri(RouteDistinguisher.parse("10.0.0.9:1"), INET, (20,))
    reach = Reach(BgpFamily.INET_VPN, IPv4Address("172.16.0.9"), (nlri,))

    made.plane.bgp.receive(PEER, Update(attributes, (reach,)))

    (route,) = heard(made, "compute1")
    assert (len(route.attributes.communities), len(route.attributes.security_groups)) == (32, 256)


@pytest.mark.parametrize("address", ["255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0", "::1"])
def test_no_host_is_told_to_send_into_a_tunnel_that_ends_nowhere(address: str) -> None:
    made = bench()
    hop = replace(HOP, address=ip_address(address))

    made.say("compute1", PublishRoute(RED, Route(INET, (hop,), RouteAttributes())))

    assert heard(made, "compute2") == []


def test_copies_of_broadcasts_are_not_sent_to_a_broadcast_of_the_underlay() -> None:
    tunnel = PmsiTunnel(0, TunnelType.INGRESS_REPLICATION, 20 << 4, b"\xff\xff\xff\xff")

    assert hop_of(tunnel, IPv4Address("172.16.0.9"), ()) is None


BLUE = instance_of("blue")
VICTIM = IPv4Address("172.16.0.2")
GREEN = instance_of("green")


def two_tenants() -> Bench:
    """Green imports what blue exports; red is somebody else's, on ``thief`` only."""
    made = Bench(
        routing_instance("red", both=[1]),
        routing_instance("blue", both=[2]),
        routing_instance("green", both=[3], imports=[2]),
        virtual_router("thief", address="172.16.0.1"),
        virtual_router("victim", address="172.16.0.2"),
    )
    made.up("thief", "victim", "reader")
    made.say("thief", Subscribe(RED, 7))
    made.say("victim", Subscribe(BLUE, 7))
    made.say("reader", Subscribe(GREEN, 1))
    return made


def forged() -> PublishRoute:
    preferred = RouteAttributes(local_preference=300, sequence_number=9)
    return PublishRoute(RED, inet_route(str(INET), "172.16.0.2", 30, attributes=preferred))


def test_a_host_that_names_anothers_tunnel_hides_none_of_its_routes() -> None:
    made = two_tenants()

    made.say("thief", forged())
    made.say("victim", PublishRoute(BLUE, inet_route(str(INET), "172.16.0.2", 40)))

    (route,) = heard(made, "reader")
    assert [hop.label for hop in route.next_hops] == [40]


def test_a_route_that_leads_to_another_host_is_used_by_nobody() -> None:
    made = two_tenants()
    made.up("other")
    made.say("other", Subscribe(RED, 1))

    made.say("thief", forged())

    assert heard(made, "other") == []


def test_a_host_that_becomes_known_later_is_protected_from_then_on() -> None:
    made = two_tenants()
    made.delete(virtual_router("victim"))
    made.up("other")
    made.say("other", Subscribe(RED, 1))
    made.say("thief", forged())
    assert len(heard(made, "other")) == 1

    made.put(virtual_router("victim", address="172.16.0.2"))

    (event,) = [each for each in made.hear("other") if isinstance(each, ItemsEvent)]
    assert event.retracts == (INET,)


VICTIMS = EnetKey(Mac.parse("ff:ff:ff:ff:ff:ff"), ip_network("172.16.0.2/32"))
GROUP, SOURCE = ip_address("239.1.2.3"), ip_address("10.1.1.9")
THEFTS = pytest.mark.parametrize(
    "key",
    [VICTIMS, replace(VICTIMS, group=GROUP), replace(VICTIMS, group=GROUP, source=SOURCE)],
    ids=["inclusive", "group", "source"],
)


def for_the_victim(key: EnetKey) -> PublishRoute:
    """What ``thief`` says in its neighbour's name, leading to itself."""
    hop = NextHop(IPv4Address("172.16.0.1"), Label(66), encapsulations=("udp",))
    excluding = RouteAttributes(local_preference=300, multicast_flags=12)
    return PublishRoute(RED, Route(key, (hop,), excluding))


@THEFTS
def test_a_host_asks_for_copies_in_no_other_s_name(key: EnetKey) -> None:
    made = two_tenants()
    made.up("other")
    for name in ("victim", "other"):
        made.say(name, Subscribe(RED, 2))
    made.say("victim", PublishRoute(RED, Route(key, (replace(HOP, address=VICTIM),))))

    made.say("thief", for_the_victim(key))

    (route,) = heard(made, "other")
    assert [(str(hop.address), hop.label) for hop in route.next_hops] == [("172.16.0.2", 20)]


@THEFTS
def test_copies_asked_for_in_the_name_of_a_host_that_comes_later_go_nowhere(key: EnetKey) -> None:
    made = two_tenants()
    made.delete(virtual_router("victim"))
    made.up("other")
    made.say("other", Subscribe(RED, 1))
    made.say("thief", for_the_victim(key))
    assert len(heard(made, "other")) == 1

    made.put(virtual_router("victim", address="172.16.0.2"))

    (event,) = [each for each in made.hear("other") if isinstance(each, ItemsEvent)]
    assert event.retracts == (key,)


def test_hosts_that_share_an_address_both_lead_there() -> None:
    made = two_tenants()
    made.put(virtual_router("thief", address="172.16.0.2"))
    made.up("other")
    made.say("other", Subscribe(RED, 1))

    made.say("thief", forged())

    assert len(heard(made, "other")) == 1


def test_what_an_agent_asks_for_is_not_remembered_beyond_a_bound_of_its_length() -> None:
    made = Bench(limits=Limits(config_roots_length_max=100))
    made.up("compute1")

    def ask(letter: str) -> ConfigSubscribe:
        return ConfigSubscribe(ConfigKey("virtual-machine", letter * 40))

    made.say("compute1", ask("a"), ask("b"), ask("b"), ConfigUnsubscribe(ask("a").key), ask("c"))

    with pytest.raises(PeerRefused, match="longer than 100 characters"):
        made.say("compute1", ask("d"))
