from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put
from skytrail.compiler.passes import ALL_PASSES
from skytrail.testing.configuration import routing_instance, virtual_network
from skytrail.testing.routing import (
    chain_instance,
    port_tuple,
    route_aggregate,
    routing_policy,
    service_instance,
    service_port,
    with_routing,
)

RED, BLUE = virtual_network("red"), virtual_network("blue")
FW, OTHER = service_instance("fw"), service_instance("other-fw")
MEMBER = port_tuple("member", FW)
BASE = (
    RED,
    BLUE,
    FW,
    OTHER,
    MEMBER,
    service_port("fw-left", RED, MEMBER, "left"),
    service_port("fw-right", BLUE, MEMBER, "right"),
    *map(routing_instance, (RED, BLUE)),
    chain_instance(RED, FW, "10.1.1.20"),
    chain_instance(BLUE, FW, "10.1.2.20"),
    chain_instance(RED, OTHER, "10.1.1.30"),
)


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(list({each.uuid: each for each in (*BASE, *items)}.values()))
    return engine


def applied(engine, policy):
    links = engine.wanted(DerivedKey("routing-policy", policy.fq_name)).links
    return {each.to: each.attr.sequence for each in links["routing_instance_refs"]}


def test_policy_of_a_network_applies_to_its_default_instance_with_its_sequence():
    first, second = routing_policy("first"), routing_policy("second")
    network = with_routing(RED, policies=[(first, "1"), (second, "2.5")])
    engine = compiled(first, second, network)

    assert applied(engine, first) == {(*RED.fq_name, "red"): "1"}
    assert applied(engine, second) == {(*RED.fq_name, "red"): "2.5"}


def test_policy_of_a_service_applies_to_its_instances_of_the_named_side_only():
    policy = routing_policy("p", FW, right="3")

    assert applied(compiled(policy), policy) == {chain_instance(BLUE, FW).fq_name: "3"}


def test_detached_policy_applies_nowhere():
    policy = routing_policy("p")
    engine = compiled(policy, with_routing(RED, policies=[(policy, "1")]))

    engine.apply([Put(RED)])

    assert applied(engine, policy) == {}


def test_aggregate_applies_to_one_side_and_points_to_where_the_chain_is_entered():
    aggregate = route_aggregate("a", FW, "left", "10.0.0.0/8")

    wanted = compiled(aggregate).wanted(DerivedKey("route-aggregate", aggregate.fq_name))

    assert [each.to for each in wanted.links["routing_instance_refs"]] == [
        chain_instance(RED, FW).fq_name
    ]
    assert wanted.properties["aggregate_route_nexthop"] == "10.1.1.20"
