from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import plan
from skytrail.compiler.engine import Engine, Put
from skytrail.compiler.passes import ALL_PASSES
from skytrail.testing.configuration import (
    network_policy,
    port,
    routing_instance,
    rule,
    text_of,
    virtual_network,
)
from skytrail.testing.routing import (
    interconnect,
    internal_network_name,
    linked_network,
    logical_router,
)

UNDERLAY = linked_network("underlay", provider=True)
RED = linked_network("red", UNDERLAY)
BLUE = virtual_network("blue")
POLICY = network_policy("p1", rule(text_of(RED), text_of(BLUE), protocol="tcp"))
BASE = (UNDERLAY, RED, BLUE, POLICY, *map(routing_instance, (UNDERLAY, RED, BLUE)))


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(list({each.uuid: each for each in (*BASE, *items)}.values()))
    return engine


def instance(engine, network):
    return engine.wanted(DerivedKey("routing-instance", (*network.fq_name, network.name)))


def peers(engine, network):
    return [each.to[-1] for each in instance(engine, network).links["routing_instance_refs"]]


def denied(engine, network):
    acl = engine.wanted(DerivedKey("access-control-list", (*network.fq_name, network.name)))
    matches = [
        each.match_condition
        for each in acl.properties["access_control_list_entries"].acl_rule
        if each.action_list.simple_action == "deny"
    ]
    return {
        tuple(side.virtual_network.split(":")[-1] for side in (each.src_address, each.dst_address))
        for each in matches
    }


def targets(engine, network):
    return {each.to[0] for each in instance(engine, network).links["route_target_refs"]}


def test_network_and_the_provider_network_it_refers_to_exchange_routes():
    engine = compiled()

    assert peers(engine, RED) == ["underlay"]
    assert peers(engine, UNDERLAY) == ["red"]
    assert peers(engine, BLUE) == []


def test_reference_to_an_ordinary_network_joins_nothing():
    assert peers(compiled(linked_network("red", BLUE)), RED) == []


def test_policy_closes_the_way_to_the_underlay_unless_a_rule_opens_it():
    engine = compiled()

    assert {("red", "underlay"), ("underlay", "red")} < denied(engine, RED)


def test_fabric_snat_is_told_and_lets_nobody_start_from_the_underlay():
    network = linked_network("red", snat=True)
    engine = compiled(network)

    assert instance(engine, RED).properties["routing_instance_fabric_snat"] is True
    assert ("ip-fabric", "red") in denied(engine, RED)
    assert ("red", "ip-fabric") not in denied(engine, RED)


def test_switching_fabric_snat_off_is_written():
    stored = routing_instance(RED)
    on = type(stored)(uuid=stored.uuid, fq_name=stored.fq_name, routing_instance_fabric_snat=True)
    engine = compiled(on)

    (write,) = plan(engine, [DerivedKey("routing-instance", stored.fq_name)])

    assert write.wire["routing_instance_fabric_snat"] is False


def test_interconnection_adds_its_targets_to_internal_networks_of_its_routers():
    red_port = port("r-red", RED)
    router = logical_router("r", red_port, is_vxlan=True)
    internal = virtual_network(internal_network_name(router))
    between = interconnect("dci", "target:65000:7", routers=[router])
    engine = compiled(red_port, router, internal, routing_instance(internal), between)

    assert "target:65000:7" in targets(engine, internal)
    assert "target:65000:7" not in targets(engine, RED)


def test_layer2_interconnection_adds_its_targets_to_its_networks():
    engine = compiled(interconnect("dci", "target:65000:7", networks=[BLUE], mode="l2"))
    assert "target:65000:7" in targets(engine, BLUE)

    engine.apply([Put(interconnect("dci", "target:65000:7", mode="l2"))])

    assert "target:65000:7" not in targets(engine, BLUE)


def test_unreadable_target_of_an_interconnection_is_reported_on_it():
    engine = compiled(interconnect("dci", "target:x", networks=[BLUE], mode="l2"))

    assert [(each.type_name, each.reason) for each in engine.violations()] == [
        ("data-center-interconnect", "bad_route_target")
    ]
