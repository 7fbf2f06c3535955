"""The control plane's core, driven by messages; what agents receive is decoded from its bytes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from skytrail.control.limits import Limits
from skytrail.control.plane import PeerRefused
from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.net import Label, Mac, RouteDistinguisher
from skytrail.testing.control_plane import (
    BGP_PLACE,
    SYSTEM,
    Bench,
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    EthernetSegment,
    GracefulRestart,
    Negotiated,
    Reach,
    Update,
)
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    ConfigKey,
    ConfigSubscribe,
    EndOfRib,
    EnetKey,
    Family,
    IgnoredRoute,
    ItemsEvent,
    JoinTree,
    Message,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
    Unsubscribe,
    WithdrawRoute,
)

RED, BLUE = instance_of("red"), instance_of("blue")
P3, P4 = IPv4Network("10.1.1.3/32"), IPv4Network("10.1.1.4/32")


def publish(prefix: str, router: str = "172.16.0.1", instance: str = RED) -> PublishRoute:
    return PublishRoute(instance, inet_route(prefix, router))


def hosts(messages: list[Message]) -> dict[str, list[str]]:
    """Return next-hop addresses by prefix of all received items."""
    return {
        str(route.key): [str(hop.address) for hop in route.next_hops]
        for message in messages
        if isinstance(message, ItemsEvent)
        for route in message.routes
    }


def retracts(messages: list[Message]) -> list[object]:
    return [
        key for message in messages if isinstance(message, ItemsEvent) for key in message.retracts
    ]


def red() -> ConfigObject:
    return routing_instance("red", both=[1])


def test_route_reaches_every_subscriber_but_its_publisher() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))

    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}
    assert hosts(bench.hear("a")) == {}


def test_virtual_network_is_named_when_the_agent_did_not() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))

    (event,) = [message for message in bench.hear("b") if isinstance(message, ItemsEvent)]

    assert event.routes[0].next_hops[0].virtual_network == "default-domain:p:red"


def test_unsubscribed_agent_receives_nothing_and_loses_its_paths() -> None:
    bench = Bench(red())
    bench.up("a", "b", "c")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))
    bench.hear("b")
    bench.say("a", Unsubscribe(RED))

    assert retracts(bench.hear("b")) == [P3]
    assert hosts(bench.hear("c")) == {}


def test_publish_only_subscription_receives_nothing() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1, no_ribout=True))

    assert hosts(bench.hear("b")) == {}


def test_subscription_and_routes_before_the_instance_are_remembered() -> None:
    bench = Bench()
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))
    assert hosts(bench.hear("b")) == {}

    bench.put(red())

    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}


def test_deleted_instance_retracts_its_routes_and_may_come_back() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))
    bench.hear("b")

    bench.delete(red())
    assert retracts(bench.hear("b")) == [P3]

    bench.put(red())
    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}


def test_withdrawn_route_is_retracted() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))
    bench.hear("b")
    bench.say("a", WithdrawRoute(RED, P3), WithdrawRoute(RED, P4))

    assert retracts(bench.hear("b")) == [P3]


def test_unchanged_publish_sends_nothing() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))
    bench.hear("b")
    bench.say("a", publish("10.1.1.3/32"))

    assert bench.hear("b") == []


def test_two_offers_are_merged_and_sent_to_both_publishers() -> None:
    bench = Bench(red())
    bench.up("a", "b", "c")
    for name in "abc":
        bench.say(name, Subscribe(RED, 1))
    bench.say("a", publish("10.1.1.3/32", "172.16.0.1"))
    bench.say("b", publish("10.1.1.3/32", "172.16.0.2"))
    both = {"10.1.1.3/32": ["172.16.0.1", "172.16.0.2"]}

    assert hosts(bench.hear("a")) == both
    assert hosts(bench.hear("b")) == both
    assert hosts(bench.hear("c")) == both


def test_merged_offer_has_no_more_next_hops_than_receivers_take() -> None:
    bench = Bench(red())
    bench.up("a", "b", "c")
    for name, first in (("a", 0), ("b", 64), ("c", 0)):
        bench.say(name, Subscribe(RED, 1))
        hops = [NextHop(IPv4Address(0xAC100000 + first + n), Label(16)) for n in range(64)]
        if name != "c":
            bench.say(name, PublishRoute(RED, Route(P3, tuple(hops))))

    assert len(hosts(bench.hear("c"))[str(P3)]) == 64


def test_large_routes_are_spread_over_messages() -> None:
    bench = Bench(red())
    bench.up("a", "c")
    for name in "ac":
        bench.say(name, Subscribe(RED, 1))
    network = "&" * 4096  # Five bytes each once escaped.
    hops = tuple(
        NextHop(IPv4Address(0xAC100000 + n), Label(16), virtual_network=f"{network[:-2]}{n:02}")
        for n in range(32)
    )
    prefixes = [IPv4Network((n, 32)) for n in range(8)]
    for prefix in prefixes:
        bench.say("a", PublishRoute(RED, Route(prefix, hops)))

    heard = [message for message in bench.hear("c") if isinstance(message, ItemsEvent)]
    bench.up("d")
    bench.say("d", Subscribe(RED, 1))
    bulk = [message for message in bench.hear("d") if isinstance(message, ItemsEvent)]

    for messages in (heard, bulk):
        assert [route.key for each in messages for route in each.routes] == prefixes
        assert len(messages) == len(prefixes)


def test_last_publisher_left_is_told_to_forget_the_merged_route() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    for name in "ab":
        bench.say(name, Subscribe(RED, 1))
    bench.say("a", publish("10.1.1.3/32", "172.16.0.1"))
    assert bench.hear("a") == []
    bench.say("b", publish("10.1.1.3/32", "172.16.0.2"))
    bench.hear("a")
    bench.say("b", WithdrawRoute(RED, P3))

    assert retracts(bench.hear("a")) == [P3]
    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}


def test_publisher_is_not_told_to_forget_what_it_was_never_sent() -> None:
    bench = Bench(red())
    bench.up("a")
    bench.say("a", Subscribe(RED, 1))
    bench.hear("a")
    bench.say("a", publish("10.1.1.3/32"))
    assert bench.hear("a") == []
    bench.say("a", WithdrawRoute(RED, P3))

    assert bench.hear("a") == []


def test_routes_cross_instances_by_route_target_only() -> None:
    bench = Bench(
        routing_instance("red", both=[1], exports=[9]),
        routing_instance("blue", both=[2], imports=[9]),
        routing_instance("green", both=[3]),
    )
    bench.up("a", "b", "c")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(BLUE, 1), publish("10.2.2.3/32", instance=BLUE))
    bench.say("c", Subscribe(instance_of("green"), 1))

    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}
    assert hosts(bench.hear("a")) == {}
    assert hosts(bench.hear("c")) == {}


def test_connected_instances_import_each_other_whoever_refers() -> None:
    bench = Bench(
        routing_instance("red", both=[1], connected=["blue"]),
        routing_instance("blue", both=[2]),
    )
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(BLUE, 1), publish("10.2.2.3/32", "172.16.0.2", BLUE))

    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}
    assert hosts(bench.hear("a")) == {"10.2.2.3/32": ["172.16.0.2"]}

    bench.put(routing_instance("red", both=[1]))

    assert retracts(bench.hear("b")) == [P3]
    assert retracts(bench.hear("a")) == [IPv4Network("10.2.2.3/32")]


def test_imported_route_says_which_network_it_came_from() -> None:
    bench = Bench(
        routing_instance("red", both=[1], connected=["blue"]), routing_instance("blue", both=[2])
    )
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(BLUE, 1))

    (event,) = [message for message in bench.hear("b") if isinstance(message, ItemsEvent)]

    assert event.instance == BLUE
    assert event.routes[0].next_hops[0].virtual_network == "default-domain:p:red"


def test_changed_export_target_moves_the_routes() -> None:
    bench = Bench(routing_instance("red", both=[1]), routing_instance("blue", both=[2]))
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(BLUE, 1))
    assert hosts(bench.hear("b")) == {}

    bench.put(routing_instance("red", both=[1, 2]))
    assert hosts(bench.hear("b")) == {"10.1.1.3/32": ["172.16.0.1"]}

    bench.put(routing_instance("red", both=[1]))
    assert retracts(bench.hear("b")) == [P3]


def test_own_path_wins_over_the_same_prefix_of_another_network() -> None:
    bench = Bench(
        routing_instance("red", both=[1], connected=["blue"]), routing_instance("blue", both=[2])
    )
    bench.up("a", "b", "c")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32", "172.16.0.1"))
    bench.say("b", Subscribe(BLUE, 1), publish("10.1.1.3/32", "172.16.0.2", BLUE))
    bench.say("c", Subscribe(RED, 1))

    assert hosts(bench.hear("c")) == {"10.1.1.3/32": ["172.16.0.1"]}


def test_moved_workload_is_where_its_sequence_is_highest() -> None:
    bench = Bench(red())
    bench.up("a", "b", "c")
    for name in "abc":
        bench.say(name, Subscribe(RED, 1))
    bench.say("a", publish("10.1.1.3/32", "172.16.0.1"))
    moved = inet_route(
        "10.1.1.3/32",
        "172.16.0.2",
        attributes=RouteAttributes(local_preference=200, sequence_number=1),
    )
    bench.say("b", PublishRoute(RED, moved))

    assert hosts(bench.hear("c")) == {"10.1.1.3/32": ["172.16.0.2"]}


def test_enet_routes_live_in_their_own_table() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    key = EnetKey(Mac.parse("02:00:00:00:00:03"), P3)
    hop = NextHop(inet_route("10.1.1.3/32").next_hops[0].address, Label(50), l3_label=Label(16))
    bench.say("a", Subscribe(RED, 1), PublishRoute(RED, Route(key, (hop,))))
    bench.say("b", Subscribe(RED, 1))

    (event,) = [message for message in bench.hear("b") if isinstance(message, ItemsEvent)]

    assert event.family is Family.ENET
    assert event.routes[0].key == key
    assert event.routes[0].next_hops[0].l3_label == 16


def test_lost_session_keeps_routes_until_the_restart_time_is_over() -> None:
    bench = Bench(red(), limits=Limits(restart_time_s=60))
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.say("b", Subscribe(RED, 1))
    bench.hear("b")

    bench.down("a")
    bench.wait(59)
    assert hosts(bench.hear("b")) == {}
    assert retracts(bench.hear("b")) == []

    bench.wait(1)
    assert retracts(bench.hear("b")) == [P3]
    assert "a" not in bench.plane.peers


def test_agent_back_in_time_causes_no_message_but_for_what_changed() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"), publish("10.1.1.4/32"))
    bench.say("b", Subscribe(RED, 1))
    bench.hear("b")

    bench.down("a")
    bench.wait(50)
    bench.up("a")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.wait(50)
    assert [m for m in bench.hear("b") if isinstance(m, ItemsEvent)] == []

    bench.say("a", EndOfRib())
    assert retracts(bench.hear("b")) == [P4]


def test_subscription_not_repeated_after_a_restart_is_dropped() -> None:
    bench = Bench(red())
    bench.up("a")
    bench.say("a", Subscribe(RED, 1))
    bench.down("a")
    bench.up("a")
    bench.say("a", EndOfRib())

    assert not bench.plane.peers["a"].subscriptions  # type: ignore[index]


def test_fresh_path_wins_over_a_stale_one() -> None:
    bench = Bench(red())
    bench.up("a", "b", "c")
    for name in "abc":
        bench.say(name, Subscribe(RED, 1))
    bench.say("a", publish("10.1.1.3/32", "172.16.0.1"))
    bench.say("b", publish("10.1.1.3/32", "172.16.0.2"))
    bench.hear("c")

    bench.down("a")

    assert hosts(bench.hear("c")) == {"10.1.1.3/32": ["172.16.0.2"]}


def test_copies_of_a_service_keep_their_shares_while_one_s_agent_restarts() -> None:
    bench = Bench(red())
    bench.up("a", "b", "c")
    for name in "abc":
        bench.say(name, Subscribe(RED, 1))
    for name, router in (("a", "172.16.0.1"), ("b", "172.16.0.2")):
        given = publish("10.1.1.3/32", router)
        attributes = replace(given.route.attributes, sub_protocol="service-interface")
        bench.say(name, replace(given, route=replace(given.route, attributes=attributes)))
    bench.hear("c")

    bench.down("a")
    assert hosts(bench.hear("c")) == {}, "nothing to tell: the kernel forwards on"

    bench.wait(61)
    assert hosts(bench.hear("c")) == {"10.1.1.3/32": ["172.16.0.2"]}


def test_newer_session_of_the_same_agent_replaces_the_older() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"))
    bench.up("a")
    bench.say("a", EndOfRib())
    bench.say("b", Subscribe(RED, 1))

    assert hosts(bench.hear("b")) == {}


def test_end_of_rib_waits_for_configuration_and_known_agents() -> None:
    bench = Bench(limits=Limits(deferral_time_s=30))
    bench.up("a")
    bench.say("a", EndOfRib())
    assert EndOfRib() not in bench.hear("a")

    bench.plane.config_replace([red(), virtual_router("a"), virtual_router("b")])
    bench.commit()
    assert EndOfRib() not in bench.hear("a")

    bench.up("b")
    bench.say("b", EndOfRib())

    assert bench.hear("a") == [EndOfRib()]
    assert bench.hear("b") == [EndOfRib()]


def test_end_of_rib_waits_no_longer_than_the_deferral_time() -> None:
    bench = Bench(
        red(), virtual_router("a"), virtual_router("b"), limits=Limits(deferral_time_s=30)
    )
    bench.up("a")
    bench.say("a", EndOfRib())
    bench.wait(29)
    assert bench.hear("a") == []

    bench.wait(1)

    assert bench.hear("a") == [EndOfRib()]


def test_agents_end_of_rib_waits_for_bgp_peers_who_may_wait_for_ours() -> None:
    """An agent sweeps what is not said again: also what only a peer can say."""
    peer = ":".join((*BGP_PLACE, "gateway"))
    bench = Bench(
        red(),
        virtual_router("a"),
        bgp_router("control1", "10.0.0.1", peers=[("gateway", {})]),
        bgp_router("gateway", "10.0.0.2"),
        node="control1",
    )
    bench.up("a")
    bench.say("a", Subscribe(RED, 1), EndOfRib())
    bench.wait(1)
    assert EndOfRib() not in bench.hear("a")
    assert bench.plane.bgp.may_end_rib

    families = frozenset((BgpFamily.INET_VPN,))
    restart = GracefulRestart(families=((BgpFamily.INET_VPN, True),))
    negotiated = Negotiated(
        families, 64512, 64512, IPv4Address("10.0.0.2"), graceful_restart=restart
    )
    bench.plane.bgp.session_up(peer, negotiated, bench.now)
    bench.wait(1)
    assert EndOfRib() not in bench.hear("a")

    bench.plane.bgp.receive(peer, Update(Attributes(), end_of_rib=BgpFamily.INET_VPN))
    bench.wait(1)
    assert bench.hear("a") == [EndOfRib()]


def test_end_of_rib_comes_after_the_routes() -> None:
    bench = Bench(red())
    bench.up("a", "b")
    bench.say(
        "a", Subscribe(RED, 1), *(publish(f"10.1.{n // 250}.{n % 250}/32") for n in range(500))
    )
    bench.say("b", Subscribe(RED, 1), EndOfRib())

    messages = bench.hear("b")

    assert messages[-1] == EndOfRib()
    assert len(hosts(messages[:-1])) == 500
    assert all(len(m.routes) <= 32 for m in messages if isinstance(m, ItemsEvent))


def test_agent_that_never_ends_its_rib_gets_ours_in_time() -> None:
    bench = Bench(red(), limits=Limits(end_of_rib_wait_s=15))
    bench.up("a")
    bench.wait(14)
    assert bench.hear("a") == []

    bench.wait(1)

    assert bench.hear("a") == [EndOfRib()]


def test_bounds_refuse_the_peer() -> None:
    bench = Bench(red(), limits=Limits(routes_count_max=1, subscriptions_count_max=1))
    bench.up("a")
    bench.say("a", Subscribe(RED, 1), publish("10.1.1.3/32"), publish("10.1.1.3/32"))

    with pytest.raises(PeerRefused, match="more than 1 routes"):
        bench.say("a", publish("10.1.1.4/32"))
    with pytest.raises(PeerRefused, match="more than 1 subscriptions"):
        bench.say("a", Subscribe(BLUE, 2))


def test_agent_may_not_speak_as_a_control_node_or_for_another_host() -> None:
    bench = Bench(red())
    bench.up("a")

    with pytest.raises(PeerRefused, match="ItemsEvent"):
        bench.say("a", ItemsEvent(Family.INET, RED))
    with pytest.raises(PeerRefused, match="virtual-router"):
        bench.say("a", ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:b")))
    with pytest.raises(PeerRefused, match="nothing an agent may ask for"):
        bench.say("a", ConfigSubscribe(ConfigKey("project", "default-domain:p")))


def test_routes_outside_a_subscription_are_counted_and_ignored() -> None:
    bench = Bench(red())
    bench.up("a")
    bench.say("a", publish("10.1.1.3/32"), IgnoredRoute(RED, "1/5/x"))

    assert bench.plane.peers["a"].counters.routes_ignored == 2  # type: ignore[index]
    assert bench.plane.peers["a"].routes_count == 0  # type: ignore[index]


def test_every_introspection_table_can_be_read() -> None:
    static = {"prefix": "10.9.0.0/16", "next_hop": "10.1.1.3"}
    fields: dict[str, object] = {"static_route_entries": {"route": [static]}}
    bench = Bench(routing_instance("red", both=[1], fields=fields), virtual_router("a"))
    bench.up("a", "b")
    router = ConfigKey("virtual-router", f"{SYSTEM}:a")
    bench.say("a", ConfigSubscribe(router), Subscribe(RED, 1), publish("10.1.1.3/32"))
    better = inet_route("10.1.1.3/32", attributes=RouteAttributes(local_preference=300))
    bench.say("b", Subscribe(RED, 1), PublishRoute(RED, better))
    bench.hear("a")
    bench.plane.node = "control1"
    other = bgp_router("control2", "10.0.0.2")
    workload = {
        "router_type": "bgpaas-client", "autonomous_system": 65001, "address": "10.1.1.3",
        "source_port": 50000,
    }  # fmt: skip
    place = ("default-domain", "p", "red", "red", "web")
    client = build(
        "bgp-router",
        place,
        parent="routing-instance",
        fields={"bgp_router_parameters": workload},
    )
    bench.put(client)
    bench.put(bgp_router("control1", "10.0.0.1", peers=[("control2", {})]), other)
    hear_segment_route(bench)
    tree_end = JoinTree(RED, BROADCAST_TREE, IPv4Address("172.16.0.1"), Label(99), Label(99))
    bench.say("a", tree_end)
    shown = {name: list(rows()) for name, rows in tables(bench.plane, lambda: bench.now).items()}

    # Nothing here moves.
    assert [name for name in shown if not shown[name]] == ["duplicate_macs"]
    assert {(row["source"], row["best"], row["why_not_best"]) for row in shown["routes"]} == {
        ("a", False, "lower local preference"),
        ("b", True, ""),
        ("static via 172.16.0.1:1", True, ""),
    }
    assert [row["name"] for row in shown["peers"]] == ["a", "b"]


def test_item_is_encoded_once_for_many_receivers() -> None:
    bench = Bench(red())
    receivers = [f"r{number}" for number in range(20)]
    bench.up("a", *receivers)
    for name in ("a", *receivers):
        bench.say(name, Subscribe(RED, 1))
    for name in receivers:
        bench.hear(name)
    bench.say("a", publish("10.1.1.3/32"), publish("10.1.1.4/32"))

    for name in receivers:
        assert len(hosts(bench.hear(name))) == 2

    counters = bench.plane.groups[RED, Family.INET].counters  # type: ignore[index]
    assert counters.items_encoded == 2
    assert counters.messages_encoded == 1
    assert counters.messages_sent == 20


def test_slow_receiver_gets_the_latest_state_once() -> None:
    bench = Bench(red())
    bench.up("a", "slow")
    bench.say("a", Subscribe(RED, 1))
    bench.say("slow", Subscribe(RED, 1))
    bench.hear("slow")
    route = inet_route("10.1.1.3/32")
    for label in range(16, 5016):
        hop = replace(route.next_hops[0], label=Label(label))
        bench.say("a", PublishRoute(RED, replace(route, next_hops=(hop,))))

    group = bench.plane.groups[RED, Family.INET]  # type: ignore[index]
    assert len(group.log) < 1100
    (event,) = bench.hear("slow")
    assert isinstance(event, ItemsEvent)
    assert [hop.label for hop in event.routes[0].next_hops] == [5015]
    assert bench.hear("a") == []
    assert len(group.log) == 0


def hear_segment_route(bench: Bench) -> None:
    """From the other control node: a route no instance has a table for."""
    name = ":".join((*BGP_PLACE, "control2"))
    peer = IPv4Address("10.0.0.2")
    bgp = bench.plane.bgp
    bgp.session_up(name, Negotiated(frozenset((BgpFamily.EVPN,)), 64512, 64512, peer), bench.now)
    route = EthernetSegment(RouteDistinguisher.parse("10.0.0.2:1"), bytes(10), peer)
    bgp.receive(name, Update(Attributes(), (Reach(BgpFamily.EVPN, peer, (route,)),)))
