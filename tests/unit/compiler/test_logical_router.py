import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Create, Delete, Update, all_keys, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.transactions import groups
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import LogicalRouter, RouteTarget
from skytrail.model.objects import Reference
from skytrail.testing.configuration import link, port, routing_instance, virtual_network
from skytrail.testing.routing import bgpvpn, internal_network_name, logical_router

RED, BLUE, GREEN = (virtual_network(name) for name in ("red", "blue", "green"))
RED_PORT, BLUE_PORT = port("router-red", RED), port("router-blue", BLUE)
BASE = (RED, BLUE, GREEN, RED_PORT, BLUE_PORT, *map(routing_instance, (RED, BLUE, GREEN)))


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load([*BASE, *items])
    return engine


def own_target(engine, router):
    ((text,),) = [each.to for each in derived(engine, router).links["route_target_refs"]]
    return text


def derived(engine, item):
    return engine.wanted(DerivedKey(item.type_name, item.fq_name))


def targets(engine, network):
    links = derived(engine, routing_instance(network)).links["route_target_refs"]
    return {each.to[0]: each.attr.import_export for each in links}


def peers(engine, network):
    links = derived(engine, routing_instance(network)).links["routing_instance_refs"]
    return {each.to[-1] for each in links}


def settle(engine):
    """Give the instances and routers the references they should have, as the store would."""
    for key in engine.wanted_keys():
        stored = engine.intent.find(key.type_name, key.fq_name)
        wanted = engine.wanted(key)
        if stored is not None and "route_target_refs" in wanted.links:
            links = tuple(
                Reference(to=each.to, uuid=derived_uuid("route-target", each.to), attr=each.attr)
                for each in wanted.links["route_target_refs"]
            )
            engine.apply([Put(msgspec.structs.replace(stored, route_target_refs=links))])


def test_networks_of_a_router_share_its_own_target_and_others_do_not():
    router = logical_router("r", RED_PORT, BLUE_PORT)
    engine = compiled(router)
    text = own_target(engine, router)

    assert targets(engine, RED)[text] is targets(engine, BLUE)[text] is None
    assert text not in targets(engine, GREEN)
    assert engine.wanted(DerivedKey("route-target", (text,))) is not None


def test_configured_targets_and_those_of_vpns_reach_every_network_with_their_direction():
    vpn = bgpvpn("vpn", both=["target:65000:2"], imports=["target:65000:3"])
    router = logical_router("r", RED_PORT, targets=["target:65000:1"], vpns=[vpn])
    found = targets(compiled(router, vpn), RED)

    assert {text: found[text] for text in found if ":65000:" in text} == {
        "target:65000:1": None,
        "target:65000:2": None,
        "target:65000:3": "import",
    }


def test_layer2_vpn_says_nothing_to_a_router():
    vpn = bgpvpn("vpn", both=["target:65000:2"], kind="l2")

    found = targets(compiled(logical_router("r", RED_PORT, vpns=[vpn]), vpn), RED)

    assert "target:65000:2" not in found


def test_network_on_two_routers_has_the_targets_of_both():
    routers = logical_router("r", RED_PORT), logical_router("s", RED_PORT)
    engine = compiled(*routers)

    assert {own_target(engine, each) for each in routers} < set(targets(engine, RED))


def test_removed_interface_takes_the_targets_away():
    engine = compiled(logical_router("r", RED_PORT, BLUE_PORT))

    engine.apply([Put(logical_router("r", BLUE_PORT))])

    assert len(targets(engine, RED)) == 1
    assert len(targets(engine, BLUE)) == 2


def test_router_keeps_the_target_it_has_and_no_instance_takes_it():
    held = RouteTarget(uuid=derived_uuid("route-target", ("target:64512:8000077",)),
                       fq_name=("target:64512:8000077",))  # fmt: skip
    bare = logical_router("r", RED_PORT)
    router = LogicalRouter(
        uuid=bare.uuid,
        fq_name=bare.fq_name,
        virtual_machine_interface_refs=bare.virtual_machine_interface_refs,
        route_target_refs=(link(held),),
    )

    engine = compiled(router, held)

    assert own_target(engine, router) == "target:64512:8000077"
    assert plan(engine, [DerivedKey("route-target", held.fq_name)]) == []


def test_networks_keep_their_numbers_whatever_routers_come_and_go():
    router = logical_router("r", RED_PORT, BLUE_PORT)
    engine = compiled()
    numbers = [targets(engine, each) for each in (RED, BLUE)]

    for _ in range(2):
        settle(engine)
        assert [targets(engine, each) for each in (RED, BLUE)] == numbers
        engine.apply([Put(router)])
        settle(engine)
        shared = own_target(engine, router)
        for network, number in zip((RED, BLUE), numbers, strict=True):
            assert targets(engine, network) == {**number, shared: None}
        engine.apply([Remove(router.type_name, router.uuid)])


def test_unreadable_configured_target_is_reported_on_the_router():
    engine = compiled(logical_router("r", RED_PORT, targets=["target:x"]))

    (violation,) = engine.violations()
    assert (violation.type_name, violation.reason) == ("logical-router", "bad_route_target")


def test_vxlan_router_joins_networks_without_touching_their_targets():
    router = logical_router("r", RED_PORT, BLUE_PORT, is_vxlan=True, targets=["target:65000:1"])
    internal = virtual_network(internal_network_name(router))
    engine = compiled(router, internal, routing_instance(internal))

    assert len(targets(engine, RED)) == 1
    assert peers(engine, RED) == {"blue", internal.name}
    assert peers(engine, internal) == {"red", "blue"}
    assert peers(engine, GREEN) == set()


def test_vxlan_router_gets_an_internal_network_with_its_targets_and_number():
    router = logical_router(
        "r", is_vxlan=True, vni="5001", targets=["target:65000:1"], external=GREEN
    )
    engine = compiled(router)

    internal = virtual_network(internal_network_name(router))
    wanted = derived(engine, internal).properties
    assert wanted["virtual_network_properties"].vxlan_network_identifier == 5001
    assert wanted["route_target_list"].route_target == ("target:65000:1",)
    links = derived(engine, router).links["virtual_network_refs"]
    assert [(each.to[-1], each.attr.logical_router_virtual_network_type) for each in links] == [
        ("green", "ExternalGateway"),
        (internal.name, "InternalVirtualNetwork"),
    ]


def test_internal_network_and_the_reference_to_it_are_written_together():
    engine = compiled(logical_router("r", RED_PORT, is_vxlan=True))

    together = [
        [type(write) for write in group]
        for group in groups(plan(engine, all_keys(engine)))
        if any(write.key.type_name == "virtual-network" for write in group)
    ]

    assert together == [[Create, Create, Update]]


def test_internal_network_goes_with_its_router():
    router = logical_router("r", is_vxlan=True)
    name = (*router.fq_name[:-1], internal_network_name(router))
    internal = virtual_network(name[-1])
    stored = type(internal)(uuid=derived_uuid("virtual-network", name), fq_name=name)

    writes = plan(compiled(stored), [DerivedKey("virtual-network", name)])

    assert [type(each) for each in writes] == [Delete]


@pytest.mark.parametrize("text", ["red", "9" * 5000, "0" * 12 + "9" * 5000, "²"])
def test_vxlan_number_that_is_none_is_reported(text):
    engine = compiled(logical_router("r", is_vxlan=True, vni=text))

    assert [each.reason for each in engine.violations()] == ["bad_vxlan_network_identifier"]
