"""Service chains in the control plane: which routes lead through a service, and when they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import (
    Bench,
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.wire.xmpp import (
    ItemsEvent,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
    WithdrawRoute,
)

LEFT, RIGHT = instance_of("left"), instance_of("right")
LEFT_NAME, RIGHT_NAME = "default-domain:p:left", "default-domain:p:right"
FIREWALL_LEFT, FIREWALL_RIGHT = "10.1.0.9/32", "10.2.0.9/32"


def chain_side(near: str, far: str, prefixes: Sequence[str], address: str, target: int,
               *, connected: Sequence[str] | None = None, service: str = "fw",
               **more: object) -> ConfigObject:  # fmt: skip
    version = ip_network(prefixes[0]).version
    name = "service_chain_information" if version == 4 else "ipv6_service_chain_information"
    info = {
        "routing_instance": instance_of(far),
        "prefix": list(prefixes),
        "service_chain_address": address,
        "service_instance": f"default-domain:p:{service}",
        "source_routing_instance": instance_of(near),
        "sc_head": True,
        **more,
    }
    return routing_instance(
        near,
        both=[target],
        connected=[near] if connected is None else connected,
        name=service,
        fields={name: info},
    )


def in_network_chain(**more: object) -> list[ConfigObject]:
    return [
        routing_instance("left", both=[1]),
        routing_instance("right", both=[2]),
        chain_side("left", "right", ["10.2.0.0/24"], "10.1.0.9", 3, **more),
        chain_side("right", "left", ["10.1.0.0/24"], "10.2.0.9", 4, **more),
    ]


def chain_bench(*agents: str, objects: Sequence[ConfigObject] | None = None) -> Bench:
    bench = Bench(*(in_network_chain() if objects is None else objects))
    bench.up(*agents)
    for agent in agents:
        bench.say(agent, Subscribe(LEFT, 1), Subscribe(RIGHT, 2))
    return bench


def publish(instance: str, prefix: str, router: str = "172.16.0.1", label: int = 16,
            **attributes: object) -> PublishRoute:  # fmt: skip
    given = RouteAttributes(local_preference=200)
    return PublishRoute(
        instance, inet_route(prefix, router, label, attributes=replace(given, **attributes))
    )


def service_at(
    bench: Bench, agent: str, router: str, label: int = 90, **attributes: object
) -> None:
    bench.say(
        agent,
        publish(LEFT, FIREWALL_LEFT, router, label, **attributes),
        publish(RIGHT, FIREWALL_RIGHT, router, label + 1, **attributes),
    )


def told(bench: Bench, agent: str) -> dict[tuple[str, str], Route]:
    """Everything an agent hears from now on, as (instance, prefix)."""
    found: dict[tuple[str, str], Route] = {}
    for message in bench.hear(agent):
        if isinstance(message, ItemsEvent):
            for route in message.routes:
                found[message.instance, str(route.key)] = route
            for key in message.retracts:
                found.pop((message.instance, str(key)), None)
    return found


def retracted(bench: Bench, agent: str) -> set[tuple[str, str]]:
    return {
        (message.instance, str(key))
        for message in bench.hear(agent)
        if isinstance(message, ItemsEvent)
        for key in message.retracts
    }


def ways(bench: Bench, instance: str, prefix: str) -> list[tuple[str, int]]:
    """Router and label of each path used for a prefix, as the node's own table has it."""
    rows = tables(bench.plane, lambda: bench.now)["routes"]()
    return sorted(
        (hop["address"], hop["label"])
        for row in rows
        if row["instance"] == instance and row["prefix"] == prefix and row["best"]
        for hop in row["next_hops"]
    )


def test_far_networks_subnet_leads_through_the_service_and_stays_of_the_far_network() -> None:
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(LEFT, "10.1.0.3/32"), publish(RIGHT, "10.2.0.3/32", label=17))

    heard = told(bench, "a")

    to_right, to_left = heard[LEFT, "10.2.0.0/24"], heard[RIGHT, "10.1.0.0/24"]
    assert [(str(h.address), h.label) for h in to_right.next_hops] == [("172.16.0.2", 90)]
    assert [(str(h.address), h.label) for h in to_left.next_hops] == [("172.16.0.2", 91)]
    assert [h.virtual_network for h in to_right.next_hops] == [RIGHT_NAME]
    assert [h.virtual_network for h in to_left.next_hops] == [LEFT_NAME]
    assert (LEFT, "10.2.0.3/32") not in heard, "the direct way is not there"


def test_subnet_is_told_as_long_as_anything_inside_it_is_there() -> None:
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(RIGHT, "10.2.0.3/32"), publish(RIGHT, "10.2.0.4/32", label=17))
    assert (LEFT, "10.2.0.0/24") in told(bench, "a")

    bench.say("a", WithdrawRoute(RIGHT, ip_network("10.2.0.3/32")))
    assert retracted(bench, "b") == {(RIGHT, "10.2.0.3/32")}

    bench.say("a", WithdrawRoute(RIGHT, ip_network("10.2.0.4/32")))
    # The service's own address is inside the far network too.
    bench.say("b", WithdrawRoute(RIGHT, ip_network(FIREWALL_RIGHT)))
    assert (LEFT, "10.2.0.0/24") in retracted(bench, "a")


def test_routes_through_a_service_that_is_gone_are_withdrawn() -> None:
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(LEFT, "10.1.0.3/32"), publish(RIGHT, "10.2.0.3/32", label=17))
    told(bench, "a")

    bench.say("b", WithdrawRoute(LEFT, ip_network(FIREWALL_LEFT)))

    assert (LEFT, "10.2.0.0/24") in retracted(bench, "a")
    assert ways(bench, LEFT, "10.2.0.0/24") == []


def test_copies_of_a_service_share_the_load_at_its_hop() -> None:
    bench = chain_bench("a", "b", "c")
    service_at(bench, "b", "172.16.0.2")
    service_at(bench, "c", "172.16.0.3", 70)
    bench.say("a", publish(RIGHT, "10.2.0.3/32"))

    (route,) = [
        route for place, route in told(bench, "a").items() if place == (LEFT, "10.2.0.0/24")
    ]

    assert {(str(hop.address), hop.label) for hop in route.next_hops} == {
        ("172.16.0.2", 90),
        ("172.16.0.3", 70),
    }


def test_standby_takes_over_when_the_active_copy_is_gone() -> None:
    bench = chain_bench("a", "b", "c")
    service_at(bench, "b", "172.16.0.2")
    service_at(bench, "c", "172.16.0.3", 70, local_preference=100)
    bench.say("a", publish(RIGHT, "10.2.0.3/32"))
    bench.hear("a")
    assert ways(bench, LEFT, "10.2.0.0/24") == [("172.16.0.2", 90)]

    bench.say("b", WithdrawRoute(LEFT, ip_network(FIREWALL_LEFT)))
    bench.hear("a")
    assert ways(bench, LEFT, "10.2.0.0/24") == [("172.16.0.3", 70)]


def test_route_from_outside_the_subnets_is_told_as_it_is_with_its_communities() -> None:
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(RIGHT, "0.0.0.0/0", communities=("64512:7",)))

    route = told(bench, "b")[LEFT, "0.0.0.0/0"]

    assert [str(hop.address) for hop in route.next_hops] == ["172.16.0.2"]
    assert route.attributes.communities == ("64512:7",)


def test_address_of_a_transparent_service_is_told_nowhere_again() -> None:
    """It would be an anchor itself: two nodes would hold each other's chain up for ever."""
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(RIGHT, "0.255.255.251/32"))

    assert ways(bench, LEFT, "0.255.255.251/32") == []


def test_route_marked_no_reoriginate_is_not_told_again() -> None:
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(RIGHT, "0.0.0.0/0", communities=("no-reoriginate",)))

    assert (LEFT, "0.0.0.0/0") not in told(bench, "b")


def test_routes_of_other_networks_are_told_again_only_for_a_transit_network() -> None:
    third = routing_instance("third", both=[5], connected=["right"])
    bench = chain_bench("a", "b", objects=[*in_network_chain(), third])
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", Subscribe(instance_of("third"), 3))
    bench.say("a", publish(instance_of("third"), "10.3.0.3/32"))
    assert (LEFT, "10.3.0.3/32") not in told(bench, "b")

    transit = build(
        "virtual-network",
        ["default-domain", "p", "right"],
        fields={"virtual_network_properties": {"allow_transit": True}},
    )
    bench.put(transit)

    route = told(bench, "b")[LEFT, "10.3.0.3/32"]
    assert [hop.virtual_network for hop in route.next_hops] == ["default-domain:p:third"]


def test_transit_route_is_not_led_back_to_the_network_it_came_through() -> None:
    transit = [
        build(
            "virtual-network",
            ["default-domain", "p", name],
            fields={"virtual_network_properties": {"allow_transit": True}},
        )
        for name in ("left", "right")
    ]
    bench = chain_bench("a", "b", objects=[*in_network_chain(), *transit])
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(RIGHT, "0.0.0.0/0"), publish(RIGHT, "10.2.0.3/32", label=17))
    bench.hear("b")

    (row,) = [
        row
        for row in tables(bench.plane, lambda: bench.now)["routes"]()
        if row["instance"] == LEFT and row["prefix"] == "0.0.0.0/0"
    ]
    assert row["led_through"] == (RIGHT_NAME,)
    assert ways(bench, RIGHT, "0.0.0.0/0") == [("172.16.0.1", 16)]


def test_several_services_in_a_row_each_lead_to_the_next() -> None:
    """left - fw - right, and dpi between fw and right: each service has an instance per side."""
    objects = [
        routing_instance("left", both=[1]),
        routing_instance("right", both=[2]),
        chain_side("left", "right", ["10.2.0.0/24"], "10.1.0.9", 3),
        chain_side("right", "left", ["10.1.0.0/24"], "10.2.0.9", 4, connected=[]),
        chain_side("left", "right", ["10.2.0.0/24"], "10.1.0.8", 5, connected=["right:fw"],
                   service="dpi"),
        chain_side("right", "left", ["10.1.0.0/24"], "10.2.0.8", 6, service="dpi"),
    ]  # fmt: skip
    bench = chain_bench("a", objects=objects)
    service_at(bench, "a", "172.16.0.1")
    bench.say("a", publish(LEFT, "10.1.0.8/32", label=80), publish(RIGHT, "10.2.0.8/32", label=81))
    bench.say("a", publish(RIGHT, "10.2.0.3/32", label=17), publish(LEFT, "10.1.0.3/32", label=18))
    bench.hear("a")

    behind_firewall = instance_of("right", "fw")
    before_dpi = instance_of("left", "dpi")
    assert ways(bench, LEFT, "10.2.0.0/24") == [("172.16.0.1", 90)], "into the firewall"
    assert ways(bench, behind_firewall, "10.2.0.0/24") == [("172.16.0.1", 80)], "on to the dpi"
    assert ways(bench, RIGHT, "10.1.0.0/24") == [("172.16.0.1", 81)], "back into the dpi"
    assert ways(bench, before_dpi, "10.1.0.0/24") == [("172.16.0.1", 91)], "back to the firewall"


def test_version_6_chain_makes_version_6_routes() -> None:
    objects = [
        routing_instance("left", both=[1]),
        routing_instance("right", both=[2]),
        chain_side("left", "right", ["fd00:2::/64"], "fd00:1::9", 3),
    ]
    bench = chain_bench("a", objects=objects)
    bench.say("a", publish(LEFT, "fd00:1::9/128", label=90), publish(RIGHT, "fd00:2::3/128"))
    bench.hear("a")

    assert ways(bench, LEFT, "fd00:2::/64") == [("172.16.0.1", 90)]


def test_removed_chain_takes_its_routes_along() -> None:
    bench = chain_bench("a", "b")
    service_at(bench, "b", "172.16.0.2")
    bench.say("a", publish(RIGHT, "10.2.0.3/32"))
    told(bench, "a")

    bench.delete(in_network_chain()[2])

    assert (LEFT, "10.2.0.0/24") in retracted(bench, "a")
    assert list(bench.plane.derived.rows()) != [], "the way back is still there"


def test_chain_that_arrives_before_its_networks_works_when_they_are_there() -> None:
    bench = Bench(*in_network_chain()[2:])
    bench.up("a")
    bench.say("a", Subscribe(LEFT, 1), Subscribe(RIGHT, 2))
    service_at(bench, "a", "172.16.0.2")
    bench.say("a", publish(RIGHT, "10.2.0.3/32"))

    bench.put(*in_network_chain()[:2])

    bench.hear("a")
    assert ways(bench, LEFT, "10.2.0.0/24") == [("172.16.0.2", 90)]


def test_routes_a_chain_needs_are_asked_of_bgp_peers_although_no_agent_reads_them() -> None:
    bench = Bench(*in_network_chain(), bgp_router("control1", "10.0.0.1"))
    wanted: dict[str, set[str]] = {}
    bench.plane.bgp.want = (  # type: ignore[method-assign]
        lambda name, targets: wanted.__setitem__(name, set(map(str, targets)))
    )

    bench.put(chain_side("left", "right", ["10.2.0.0/24"], "10.1.0.9", 3, service="second"))

    assert wanted[instance_of("right")] >= {"target:64512:2"}
