"""Services: members, shared addresses, copies on ports."""

import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.types import KeyValuePair, KeyValuePairs
from skytrail.testing.compiled import settle
from skytrail.testing.configuration import (
    link,
    network_ipam,
    routing_instance,
    virtual_network,
)
from skytrail.testing.services import (
    health_check,
    interface_route_table,
    members,
    port_tuple,
    service_instance,
    service_port,
    service_template,
)

IPAM = network_ipam("ipam")
LEFT = virtual_network("left", ipams=[(IPAM, "10.1.0.0/24"), (IPAM, "fd01::/64")])
RIGHT = virtual_network("right", ipams=[(IPAM, "10.2.0.0/24")])
TEMPLATE = service_template("t", "in-network")
FW = service_instance("fw", TEMPLATE)


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load([IPAM, LEFT, RIGHT, *map(routing_instance, (LEFT, RIGHT)), TEMPLATE, *items])
    return engine


def addresses(engine):
    return {
        key.fq_name[0]: engine.wanted(key)
        for key in engine.wanted_keys()
        if key.type_name == "instance-ip"
    }


def reasons(engine):
    return [violation.reason for violation in engine.violations()]


def wanted_port(engine, port):
    return engine.wanted(DerivedKey("virtual-machine-interface", port.fq_name))


def names(links):
    return [each.to[-1] for each in links]


def test_each_side_has_one_address_per_family_shared_by_all_members():
    engine = compiled(FW, *members(FW, LEFT, RIGHT, count=2))

    found = addresses(engine)

    assert sorted(found) == [f"{FW.uuid}-{each}" for each in ("left-v4", "left-v6", "right-v4")]
    shared = found[f"{FW.uuid}-left-v4"]
    assert set(names(shared.links["virtual_machine_interface_refs"])) == {"fw-1-left", "fw-2-left"}
    assert shared.properties["service_instance_ip"]
    assert shared.properties["instance_ip_mode"] == "active-active"


def test_service_refers_to_its_shared_addresses_by_side():
    engine = compiled(FW, *members(FW, LEFT, RIGHT))

    links = engine.wanted(DerivedKey("service-instance", FW.fq_name)).links["instance_ip_refs"]

    assert [(each.to[0][-8:], each.attr.interface_type) for each in links] == [
        ("-left-v4", "left"),
        ("-left-v6", "left"),
        ("right-v4", "right"),
    ]


def test_mode_of_the_address_is_the_service_ha_mode():
    standby = service_instance("fw", TEMPLATE, ha_mode="active-standby")
    engine = compiled(standby, *members(standby, LEFT, RIGHT))

    modes = {each.properties["instance_ip_mode"] for each in addresses(engine).values()}

    assert modes == {"active-standby"}


def test_transparent_services_share_no_addresses():
    engine = compiled(FW, service_template("t", "transparent"), *members(FW, LEFT, RIGHT))

    assert addresses(engine) == {}


def test_last_member_takes_the_shared_addresses_with_it():
    parts = members(FW, LEFT, RIGHT)
    engine = compiled(FW, *parts)
    settle(engine)

    for port in parts[1:]:
        engine.apply([Put(msgspec.structs.replace(port, port_tuple_refs=()))])
    settle(engine)

    assert not list(engine.intent.objects("instance-ip"))
    assert engine.intent.item("service-instance", FW.uuid).instance_ip_refs == ()


def test_two_ports_of_one_role_in_a_tuple_are_reported_and_unused():
    member = port_tuple("1", FW)
    engine = compiled(FW, member, *(service_port(n, LEFT, member, "left") for n in ("a", "b")))

    assert addresses(engine) == {}
    assert reasons(engine) == ["same_role_twice"]


def test_port_of_a_tuple_without_role_is_reported():
    member = port_tuple("1", FW)
    engine = compiled(FW, member, service_port("a", LEFT, member, None))

    assert reasons(engine) == ["no_service_role"]


def test_member_in_another_network_does_not_share_the_address():
    one, two = port_tuple("1", FW), port_tuple("2", FW)
    engine = compiled(
        FW, one, two, service_port("a", LEFT, one, "left"), service_port("b", RIGHT, two, "left")
    )

    assert reasons(engine) == ["service_networks_differ"]
    assert all(
        len(each.links["virtual_machine_interface_refs"]) == 1
        for each in addresses(engine).values()
    )


@pytest.mark.parametrize(("kind", "expected"), [("segment", 2), ("link-local", 0)])
def test_health_check_of_a_side_gets_addresses_to_probe_from(kind, expected):
    engine = compiled(FW, health_check("hc", FW, "left", kind), *members(FW, LEFT, RIGHT))

    found = [each for name, each in addresses(engine).items() if "health-check" in name]

    assert len(found) == expected
    assert all(each.properties["service_health_check_ip"] for each in found)


def test_ports_get_tables_checks_and_pairs_of_their_side():
    service = service_instance("fw", TEMPLATE, left_pair="10.9.0.0/24")
    parts = members(service, LEFT, RIGHT)
    table = interface_route_table("routes", service, "left")
    check = health_check("hc", service, "right")
    engine = compiled(service, table, check, *parts)

    left, right = (wanted_port(engine, port) for port in parts[1:])

    assert names(left.links["interface_route_table_refs"]) == ["routes"]
    pairs = left.properties["virtual_machine_interface_allowed_address_pairs"]
    assert [each.ip.ip_prefix for each in pairs.allowed_address_pair] == ["10.9.0.0"]
    assert "service_health_check_refs" not in left.links
    assert names(right.links["service_health_check_refs"]) == ["hc"]


def test_copies_go_with_what_they_are_copies_of_and_users_own_stay():
    mine = interface_route_table("mine", service_instance("other"), "left")
    table = interface_route_table("routes", FW, "left")
    member, port, _ = members(FW, LEFT, RIGHT)
    port = msgspec.structs.replace(
        port,
        interface_route_table_refs=(link(mine),),
        annotations=KeyValuePairs(key_value_pair=(KeyValuePair(key="team", value="a"),)),
    )
    engine = compiled(FW, member, port, mine, table)
    settle(engine)
    stored = engine.intent.item("virtual-machine-interface", port.uuid)
    assert [each.to[-1] for each in stored.interface_route_table_refs] == ["mine", "routes"]

    engine.apply([Put(msgspec.structs.replace(table, service_instance_refs=()))])
    settle(engine)

    stored = engine.intent.item("virtual-machine-interface", port.uuid)
    assert [each.to[-1] for each in stored.interface_route_table_refs] == ["mine"]
    assert [each.key for each in stored.annotations.key_value_pair] == ["team"]


def test_reference_a_user_made_before_is_not_taken_away_as_a_copy():
    table = interface_route_table("routes", FW, "left")
    member, port, _ = members(FW, LEFT, RIGHT)
    port = msgspec.structs.replace(port, interface_route_table_refs=(link(table),))
    engine = compiled(FW, member, port, table)
    settle(engine)

    engine.apply([Put(msgspec.structs.replace(table, service_instance_refs=()))])
    settle(engine)

    stored = engine.intent.item("virtual-machine-interface", port.uuid)
    assert [each.to[-1] for each in stored.interface_route_table_refs] == ["routes"]


def test_unreadable_mark_is_taken_for_no_mark():
    member, port, _ = members(FW, LEFT, RIGHT)
    scribble = KeyValuePair(key="skytrail.service-copies", value="{")
    port = msgspec.structs.replace(port, annotations=KeyValuePairs(key_value_pair=(scribble,)))

    engine = compiled(FW, member, port)
    settle(engine)

    assert reasons(engine) == []


def test_deleted_service_leaves_no_address():
    parts = members(FW, LEFT, RIGHT)
    engine = compiled(FW, *parts)
    settle(engine)

    engine.apply([Remove(each.type_name, each.uuid) for each in (*parts, FW)])
    settle(engine)

    assert not list(engine.intent.objects("instance-ip"))
