"""Service chains: everything low-level they need, and why one is not ready."""

import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.chain import chain_id_of
from skytrail.model.generated.types import VirtualNetworkType
from skytrail.testing.compiled import settle
from skytrail.testing.configuration import (
    link,
    network_ipam,
    network_policy,
    routing_instance,
    rule,
    virtual_network,
)
from skytrail.testing.services import (
    chain_ipam,
    members,
    port_tuple,
    service_instance,
    service_port,
    service_template,
    through,
)

RED = "default-domain:demo:red"
BLUE = "default-domain:demo:blue"
IPAM = network_ipam("ipam")
ONE = service_template("one", "in-network")
FW = service_instance("fw", ONE)


def networks(policy, subnets=(("10.1.0.0/24",), ("10.2.0.0/24",)), **fields):
    found = []
    for name, prefixes in zip(("red", "blue"), subnets, strict=True):
        network = virtual_network(name, policy, ipams=[(IPAM, each) for each in prefixes])
        found.append(msgspec.structs.replace(network, **fields))
    return found


def chained(*services, mode="in-network", direction="<>", count=1, more=(), **fields):
    """An engine in which red and blue are joined through services, at rest."""
    policy = network_policy(
        "chain", rule(RED, BLUE, action=through(*services), direction=direction)
    )
    red, blue = networks(policy, **fields)
    template = service_template("one", mode)
    parts = [part for each in services for part in members(each, red, blue, count)]
    engine = Engine(ALL_PASSES)
    base = [IPAM, chain_ipam(), template, policy, red, blue]
    engine.load([*base, *map(routing_instance, (red, blue)), *services, *parts, *more])
    settle(engine)
    return engine


def instances(engine):
    """The chain's routing instances by (network, service)."""
    found = {}
    for item in engine.intent.objects("routing-instance"):
        if chain_id_of(item.fq_name):
            network, name = item.fq_name[-2:]
            found[network, name.rpartition("_")[2]] = item
    return found


def connected(item):
    return [each.to[-1].rpartition("_")[2] for each in item.routing_instance_refs]


def acl(engine, network):
    key = DerivedKey("access-control-list", ("default-domain", "demo", network, network))
    return engine.wanted(key).properties["access_control_list_entries"].acl_rule


def reasons(engine):
    return sorted({violation.reason for violation in engine.violations()})


def address_of(engine, service, side):
    name = (f"{service.uuid}-{side}-v4",)
    return engine.intent.find("instance-ip", name).instance_ip_address


def test_service_has_an_instance_on_either_side_with_its_own_target():
    engine = chained(FW)

    found = instances(engine)

    assert sorted(found) == [("blue", "fw"), ("red", "fw")]
    targets = [[each.to[0] for each in item.route_target_refs] for item in found.values()]
    assert [len(each) for each in targets] == [1, 1]
    assert targets[0] != targets[1]
    assert reasons(engine) == []


def test_chain_connects_the_default_instances_over_the_service_only():
    engine = chained(FW)

    found = instances(engine)

    assert connected(found["red", "fw"]) == ["red"]
    assert connected(found["blue", "fw"]) == ["blue"]
    red = engine.intent.find("routing-instance", (*RED.split(":"), "red"))
    assert red.routing_instance_refs == ()


def test_information_names_far_prefixes_near_source_and_the_shared_address():
    engine = chained(FW)

    info = instances(engine)["red", "fw"].service_chain_information
    back = instances(engine)["blue", "fw"].service_chain_information

    assert (info.prefix, back.prefix) == (("10.2.0.0/24",), ("10.1.0.0/24",))
    assert info.routing_instance == f"{BLUE}:blue"
    assert info.source_routing_instance == f"{RED}:red"
    assert info.service_instance == "default-domain:demo:fw"
    assert info.service_chain_address == address_of(engine, FW, "left")
    assert back.service_chain_address == address_of(engine, FW, "right")
    assert info.service_chain_id == chain_id_of(next(iter(instances(engine).values())).fq_name)


def test_entries_lead_into_the_chain_from_both_ends_in_both_lists():
    engine = chained(FW)
    red, blue = (instances(engine)[name, "fw"] for name in ("red", "blue"))

    for network in ("red", "blue"):
        forth, back = (each.action_list for each in acl(engine, network)[:2])
        assert forth.simple_action == back.simple_action == "pass"
        assert forth.assign_routing_instance == ":".join(red.fq_name)
        assert back.assign_routing_instance == ":".join(blue.fq_name)


def test_services_in_a_row_are_connected_to_each_other():
    ids = service_instance("ids", ONE)
    engine = chained(FW, ids)

    found = instances(engine)

    assert len(found) == 4
    assert connected(found["red", "fw"]) == ["red"]
    assert connected(found["red", "ids"]) == ["fw"]
    assert found["red", "ids"].routing_instance_refs[0].to[-2] == "blue"
    assert connected(found["blue", "fw"]) == []
    assert connected(found["blue", "ids"]) == ["blue"]
    heads = {key: item.service_chain_information.sc_head for key, item in found.items()}
    assert heads == {
        ("red", "fw"): True,
        ("red", "ids"): False,
        ("blue", "fw"): False,
        ("blue", "ids"): True,
    }


def test_service_that_hides_the_left_has_no_way_back():
    engine = chained(FW, mode="in-network-nat")

    assert sorted(instances(engine)) == [("red", "fw")]
    forth, back = (each.action_list for each in acl(engine, "red")[:2])
    assert forth.assign_routing_instance
    assert back.simple_action == "deny"


def test_answers_of_a_service_that_hides_the_left_go_on_in_front_of_it():
    back = acl(chained(FW, mode="in-network-nat"), "red")[1].action_list

    assert back.simple_action == "deny"
    assert back.assign_routing_instance.rpartition("-")[2].endswith("fw")
    assert back.assign_routing_instance.startswith(RED)


def test_chain_with_a_service_behind_one_that_hides_the_left_leads_nowhere():
    """What leaves such a service has its own address: it would go past those behind."""
    ids = service_instance("ids", service_template("two", "in-network"))
    two = service_template("two", "in-network")
    engine = chained(FW, ids, mode="in-network-nat", more=[two])

    assert instances(engine) == {}
    assert {each.action_list.simple_action for each in acl(engine, "red")[:2]} == {"deny"}
    assert "service_behind_nat" in reasons(engine)


def test_one_way_rule_announces_in_one_direction():
    engine = chained(FW, direction=">")

    assert instances(engine)["red", "fw"].service_chain_information
    assert instances(engine)["blue", "fw"].service_chain_information is None


def test_ipv6_prefixes_have_their_own_information():
    engine = chained(FW, subnets=(("10.1.0.0/24", "fd01::/64"), ("fd02::/64",)))

    red, blue = (instances(engine)[name, "fw"] for name in ("red", "blue"))

    assert red.service_chain_information is None
    assert red.ipv6_service_chain_information.prefix == ("fd02::/64",)
    assert blue.ipv6_service_chain_information.prefix == ("fd01::/64",)
    # Nothing leads back to the IPv4 prefix: the service's right has no IPv4 address.
    assert blue.service_chain_information is None


def test_information_of_a_family_goes_with_its_last_prefix():
    engine = chained(FW, subnets=(("10.1.0.0/24",), ("10.2.0.0/24",)))
    blue = engine.intent.find("virtual-network", tuple(BLUE.split(":")))

    engine.apply([Put(msgspec.structs.replace(blue, network_ipam_refs=()))])
    settle(engine)

    found = instances(engine)
    assert all(item.service_chain_information is None for item in found.values())


def port_links(engine, name):
    item = engine.intent.find("virtual-machine-interface", ("default-domain", "demo", name))
    return {each.to[-2]: each.attr for each in item.routing_instance_refs}


def test_transparent_service_has_one_address_and_a_vlan_on_each_port():
    engine = chained(FW, mode="transparent", count=2)
    red, blue = (instances(engine)[name, "fw"] for name in ("red", "blue"))

    left, right = port_links(engine, "fw-1-left")["red"], port_links(engine, "fw-1-right")["blue"]

    address = red.service_chain_information.service_chain_address
    assert blue.service_chain_information.service_chain_address == address
    assert red.service_chain_information.source_routing_instance is None
    assert left.service_chain_address == right.service_chain_address == address
    assert left.vlan_tag == right.vlan_tag
    assert 1 <= left.vlan_tag <= 4094
    assert (left.src_mac, left.dst_mac) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert (right.src_mac, right.dst_mac) == ("02:00:00:00:00:02", "02:00:00:00:00:01")
    assert port_links(engine, "fw-2-left").keys() == {"red"}


def test_port_keeps_its_vlan_when_other_chains_come_and_go():
    engine = chained(FW, mode="transparent")
    before = port_links(engine, "fw-1-left")["red"].vlan_tag
    more = [rule(RED, BLUE, protocol="tcp", port=(n, n), action=through(FW)) for n in range(60)]
    first = rule(RED, BLUE, action=through(FW))

    engine.apply([Put(network_policy("chain", *more, first))])
    settle(engine)
    item = engine.intent.find("virtual-machine-interface", ("default-domain", "demo", "fw-1-left"))
    vlans = [each.attr.vlan_tag for each in item.routing_instance_refs]
    assert len(set(vlans)) == len(vlans) == 61

    engine.apply([Put(network_policy("chain", first))])
    settle(engine)

    assert port_links(engine, "fw-1-left")["red"].vlan_tag == before


def test_last_rule_takes_everything_of_the_chain_with_it():
    engine = chained(FW, mode="transparent")
    policy = network_policy("chain", rule(RED, BLUE))

    engine.apply([Put(policy)])
    settle(engine)

    assert instances(engine) == {}
    assert port_links(engine, "fw-1-left") == {}
    assert not list(engine.intent.objects("instance-ip"))
    held = {
        reference.to[0]
        for item in engine.intent.objects("routing-instance")
        for reference in item.route_target_refs
    }
    assert {item.fq_name[0] for item in engine.intent.objects("route-target")} == held


def test_references_of_a_port_to_other_instances_are_left_alone():
    engine = chained(FW, mode="transparent")
    port = engine.intent.find("virtual-machine-interface", ("default-domain", "demo", "fw-1-left"))
    red = engine.intent.find("virtual-network", tuple(RED.split(":")))
    own = routing_instance(red)
    mixed = msgspec.structs.replace(
        port, routing_instance_refs=(*port.routing_instance_refs, link(own))
    )

    engine.apply([Put(mixed), Put(network_policy("chain"))])
    settle(engine)

    stored = engine.intent.item("virtual-machine-interface", port.uuid)
    assert [each.to for each in stored.routing_instance_refs] == [own.fq_name]


def test_identity_does_not_depend_on_which_network_is_seen_first():
    again = chained(FW)

    assert [item.fq_name for item in instances(again).values()] == [
        item.fq_name for item in instances(chained(FW)).values()
    ]


def test_transit_network_is_announced_with_its_own_target():
    settings = VirtualNetworkType(allow_transit=True)
    engine = chained(FW, virtual_network_properties=settings)
    red = engine.intent.find("routing-instance", (*RED.split(":"), "red"))

    item = instances(engine)["red", "fw"]

    directions = {each.to[0]: each.attr.import_export for each in item.route_target_refs}
    assert directions[red.route_target_refs[0].to[0]] == "export"


def test_networks_with_several_chains_import_targets_instead_of_connecting():
    engine = chained(FW, multi_policy_service_chains_enabled=True)
    blue = engine.intent.find("routing-instance", (*BLUE.split(":"), "blue"))

    item = instances(engine)["blue", "fw"]

    assert connected(item) == []
    directions = {each.to[0]: each.attr.import_export for each in item.route_target_refs}
    assert directions[blue.route_target_refs[0].to[0]] == "import"


def test_physical_service_is_marked():
    pnf = service_instance("fw", ONE, kind="physical-device")

    assert instances(chained(pnf))["red", "fw"].routing_instance_has_pnf


def test_rule_of_one_network_alone_makes_no_chain():
    policy = network_policy("chain", rule(RED, BLUE, action=through(FW)))
    red, _ = networks(policy)
    blue = virtual_network("blue")
    engine = Engine(ALL_PASSES)
    engine.load(
        [policy, red, blue, *map(routing_instance, (red, blue)), FW, ONE, *members(FW, red, blue)]
    )

    settle(engine)

    assert instances(engine) == {}
    assert acl(engine, "red")[0].action_list.simple_action == "deny"
    assert reasons(engine) == ["service_chain_one_sided"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda engine: remove(engine, FW), "service_not_found"),
        (lambda engine: remove(engine, ONE), "service_without_mode"),
        (lambda engine: remove(engine, port_tuple("1", FW)), "service_without_members"),
        (lambda engine: remove_port(engine, "fw-1-right"), "service_without_interfaces"),
        (lambda engine: move_port(engine, "fw-1-left"), "service_in_other_network"),
    ],
)
def test_chain_that_lacks_something_closes_and_says_what(change, reason):
    engine = chained(FW)

    change(engine)
    settle(engine)

    assert reasons(engine) == [reason]
    assert instances(engine) == {}
    assert {each.action_list.simple_action for each in acl(engine, "blue")[:2]} == {"deny"}


def remove(engine, item):
    engine.apply([Remove(item.type_name, item.uuid)])


def remove_port(engine, name):
    port = engine.intent.find("virtual-machine-interface", ("default-domain", "demo", name))
    engine.apply([Remove(port.type_name, port.uuid)])


def move_port(engine, name):
    blue = engine.intent.find("virtual-network", tuple(BLUE.split(":")))
    engine.apply([Put(service_port(name, blue, port_tuple("1", FW), "left"))])


def test_chain_waits_closed_for_its_address():
    policy = network_policy("chain", rule(RED, BLUE, action=through(FW)))
    red, blue = networks(policy)
    engine = Engine(ALL_PASSES)

    engine.load([IPAM, ONE, policy, red, blue, FW, *members(FW, red, blue)])

    assert reasons(engine)[-1] == "service_address_pending"
    assert acl(engine, "red")[0].action_list.simple_action == "deny"


def test_transparent_chain_without_its_address_manager_closes():
    engine = chained(FW, mode="transparent")

    engine.apply([Remove("network-ipam", chain_ipam().uuid)])
    settle(engine)

    assert reasons(engine) == ["no_chain_addresses"]
