"""Service chains, static and aggregate routes: what is made depends on what is there, not on how it came."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import Bench, build, inet_route, instance_of, routing_instance
from skytrail.wire.xmpp import PublishRoute, RouteAttributes, Subscribe, WithdrawRoute

NETWORKS = ("left", "right")
AGENTS = ("a", "b")
ROUTERS = {"a": "172.16.0.1", "b": "172.16.0.2"}
PREFIXES = {
    "left": ("10.1.0.3/32", "10.1.0.9/32", "0.0.0.0/0"),
    "right": ("10.2.0.3/32", "10.2.0.9/32", "10.2.0.0/25", "0.0.0.0/0", "172.20.5.0/24"),
}
PLACES = [(network, prefix) for network in NETWORKS for prefix in PREFIXES[network]]


def side(near: str, far: str, prefix: str, address: str, target: int) -> ConfigObject:
    info = {
        "routing_instance": instance_of(far),
        "prefix": [prefix],
        "service_chain_address": address,
        "source_routing_instance": instance_of(near),
    }
    fields: dict[str, object] = {"service_chain_information": info}
    return routing_instance(near, both=[target], connected=[near], name="fw", fields=fields)


def network(name: str) -> ConfigObject:
    fields: dict[str, object] = {"virtual_network_properties": {"allow_transit": True}}
    return build("virtual-network", ["default-domain", "p", name], fields=fields)


STATIC = {"prefix": "172.20.0.0/15", "next_hop": "10.2.0.3"}
OBJECTS = {
    "left": routing_instance("left", both=[1]),
    "right": routing_instance(
        "right", both=[2], fields={"static_route_entries": {"route": [STATIC]}}
    ),
    "fw-left": side("left", "right", "10.2.0.0/24", "10.1.0.9", 3),
    "fw-right": side("right", "left", "10.1.0.0/24", "10.2.0.9", 4),
    "transit-left": network("left"),
    "transit-right": network("right"),
    "policy": build(
        "routing-policy",
        ["default-domain", "p", "picky"],
        refs=[
            ("routing-instance", instance_of("right").split(":"), {"sequence": "1.0"}),
            ("routing-instance", instance_of("left").split(":"), {"sequence": "1.0"}),
        ],
        fields={
            "routing_policy_entries": {
                "term": [
                    {
                        "term_match_condition": {
                            "prefix": [{"prefix": "10.0.0.0/8", "prefix_type": "longer"}],
                            "local_pref": 100,
                        },
                        "term_action_list": {"update": {"local_pref": 250, "med": 7}},
                    },
                    {
                        "term_match_condition": {"prefix": [{"prefix": "172.20.5.0/24"}]},
                        "term_action_list": {"action": "reject"},
                    },
                ]
            }
        },
    ),
    "aggregate": build(
        "route-aggregate",
        ["default-domain", "p", "whole"],
        refs=[("routing-instance", instance_of("right").split(":"), None)],
        fields={
            "aggregate_route_entries": {"route": ["172.20.0.0/16"]},
            "aggregate_route_nexthop": "10.2.0.9",
        },
    ),
}
PUT = st.tuples(st.just("put"), st.sampled_from(sorted(OBJECTS)))
DELETE = st.tuples(st.just("delete"), st.sampled_from(sorted(OBJECTS)))
PUBLISH = st.tuples(
    st.just("publish"), st.sampled_from(AGENTS), st.sampled_from(PLACES),
    st.sampled_from((100, 200)),
)  # fmt: skip
WITHDRAW = st.tuples(st.just("withdraw"), st.sampled_from(AGENTS), st.sampled_from(PLACES))
PULL = st.just(("pull",))
STEPS = st.lists(st.one_of(PUT, PUT, DELETE, PUBLISH, PUBLISH, WITHDRAW, PULL), max_size=40)

Published = Mapping[tuple[str, tuple[str, str]], int]


def started() -> Bench:
    bench = Bench()
    bench.up(*AGENTS)
    for agent in AGENTS:
        for number, name in enumerate(NETWORKS, 1):
            bench.say(agent, Subscribe(instance_of(name), number))
    return bench


def publish(bench: Bench, agent: str, place: tuple[str, str], preference: int) -> None:
    name, prefix = place
    attributes = RouteAttributes(local_preference=preference)
    label = 16 + PLACES.index(place)
    route = inet_route(prefix, ROUTERS[agent], label, attributes=attributes)
    bench.say(agent, PublishRoute(instance_of(name), route))


def routes(bench: Bench) -> list[str]:
    bench.plane.take_ready()
    return sorted(map(str, tables(bench.plane, lambda: 0.0)["routes"]()))


def from_nothing(present: set[str], published: Published) -> list[str]:
    bench = started()
    for (agent, place), preference in sorted(published.items()):
        publish(bench, agent, place, preference)
    bench.put(*(OBJECTS[name] for name in sorted(present)))
    return routes(bench)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_what_is_made_is_a_function_of_what_is_there(steps: list[tuple[object, ...]]) -> None:
    bench = started()
    present: set[str] = set()
    published: dict[tuple[str, tuple[str, str]], int] = {}
    for step in steps:
        match step:
            case ("put", str(name)):
                present.add(name)
                bench.put(OBJECTS[name])
            case ("delete", str(name)) if name in present:
                present.discard(name)
                bench.delete(OBJECTS[name])
            case ("publish", str(agent), (str(name), str(prefix)), int(preference)):
                published[agent, (name, prefix)] = preference
                publish(bench, agent, (name, prefix), preference)
            case ("withdraw", str(agent), (str(name), str(prefix))):
                if published.pop((agent, (name, prefix)), None) is not None:
                    bench.say(agent, WithdrawRoute(instance_of(name), ip_network(prefix)))
            case _:
                bench.plane.take_ready()

    assert routes(bench) == from_nothing(present, published)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_nothing_is_led_to_a_service_that_is_not_there(steps: list[tuple[object, ...]]) -> None:
    bench = started()
    bench.put(*OBJECTS.values())
    offered: set[tuple[str, str, str]] = set()
    for step in steps:
        match step:
            case ("publish", str(agent), (str(name), str(prefix)), int(preference)):
                offered.add((agent, name, prefix))
                publish(bench, agent, (name, prefix), preference)
            case ("withdraw", str(agent), (str(name), str(prefix))):
                offered.discard((agent, name, prefix))
                bench.say(agent, WithdrawRoute(instance_of(name), ip_network(prefix)))
            case _:
                pass
    bench.plane.take_ready()
    ways = {"left": "10.1.0.9/32", "right": "10.2.0.9/32"}
    for row in tables(bench.plane, lambda: 0.0)["routes"]():
        if row["made"] == "service-chain":
            near = str(row["origin"]).split(":")[2]
            hops = {str(hop["address"]) for hop in row["next_hops"]}  # type: ignore[attr-defined]
            assert hops <= {ROUTERS[a] for a, name, prefix in offered
                            if (name, prefix) == (near, ways[near])}  # fmt: skip
