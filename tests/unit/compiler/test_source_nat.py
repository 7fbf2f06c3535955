"""Routers with an external network: which hosts get an address of it, and for which networks."""

import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Create, Delete, Update, all_keys, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.annotation_names import SOURCE_NAT
from skytrail.model.generated.types import LogicalRouterVirtualNetworkType
from skytrail.model.objects import decode_object
from skytrail.model.source_nat import NAME_START, SourceNat, name_of
from skytrail.testing.configuration import (
    instance_ip,
    link,
    link_with,
    network_ipam,
    port,
    routing_instance,
    uuid_of,
    virtual_machine,
    virtual_network,
)
from skytrail.testing.routing import logical_router, system_config

IPAM = network_ipam("ipam")
PUBLIC = virtual_network("public", ipams=[(IPAM, "203.0.113.0/24")])
RED = virtual_network("red", ipams=[(IPAM, "10.1.1.0/24")])
BLUE = virtual_network("blue", ipams=[(IPAM, "10.2.2.0/24")])
MACHINES = [virtual_machine(each) for each in ("one", "two")]
RED_PORT = port("red-one", RED, machine=MACHINES[0])
BLUE_PORT = port("blue-two", BLUE, machine=MACHINES[1])
SIDES = port("router-red", RED), port("router-blue", BLUE)
HOSTS = ("h1", "h2", "h3")
BASE = (
    system_config(), IPAM, *MACHINES, RED_PORT, BLUE_PORT, *SIDES,
    PUBLIC, RED, BLUE, *map(routing_instance, (PUBLIC, RED, BLUE)),
)  # fmt: skip


def host(name, *machines):
    fq_name = ["default-global-system-config", name]
    refs = [{"to": list(each.fq_name), "uuid": each.uuid} for each in machines]
    body = {"fq_name": fq_name, "uuid": uuid_of("virtual-router", fq_name)}
    return decode_object("virtual-router", body | {"virtual_machine_refs": refs})


def bound(item, name):
    pairs = {"key_value_pair": [{"key": "host_id", "value": name}]}
    given = decode_object(item.type_name, {"fq_name": list(item.fq_name), "uuid": item.uuid,
                                           "virtual_machine_interface_bindings": pairs})  # fmt: skip
    return msgspec.structs.replace(
        item, virtual_machine_interface_bindings=given.virtual_machine_interface_bindings
    )


def router(name="r", *sides, external=PUBLIC):
    kind = LogicalRouterVirtualNetworkType(logical_router_virtual_network_type="ExternalGateway")
    made = logical_router(name, *(sides or SIDES))
    return msgspec.structs.replace(made, virtual_network_refs=(link_with(external, kind),))


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load([*BASE, *items])
    return engine


def carry_out(engine, *, refused=()):
    """Do to the intent what the API would do to the store, but for objects of ``refused`` types."""
    for _ in range(3):
        for write in plan(engine, all_keys(engine)):
            match write:
                case Create(key, _, wire) if key.type_name not in refused:
                    engine.apply([Put(decode_object(key.type_name, dict(wire)))])
                case Update(key, _, wire):
                    known = engine.intent.find(key.type_name, key.fq_name)
                    body = msgspec.to_builtins(known) | dict(wire)
                    engine.apply([Put(decode_object(key.type_name, body))])
                case Delete(key, uuid):
                    engine.apply([Remove(key.type_name, uuid)])
                case _:
                    pass


def on_hosts(engine):
    """What stands on hosts, by host: the networks that are led out."""
    found = {}
    for name in HOSTS:
        key = DerivedKey("virtual-router", ("default-global-system-config", name))
        stored = engine.intent.find(key.type_name, key.fq_name)
        if stored is None:
            continue
        label = name_of(PUBLIC.uuid, stored.uuid)
        machine = engine.intent.find("virtual-machine", (label,))
        if machine is None:
            continue
        assert (label,) in {each.to for each in stored.virtual_machine_refs}
        (pair,) = machine.annotations.key_value_pair
        assert pair.key == SOURCE_NAT
        found[name] = msgspec.json.decode(pair.value, type=SourceNat)
    return found


def instances(*networks):
    return tuple(sorted(":".join((*each.fq_name, each.name)) for each in networks))


def test_hosts_with_machines_of_the_router_s_networks_get_an_address_each():
    engine = compiled(host("h1", MACHINES[0]), host("h2", MACHINES[1]), host("h3"), router())
    carry_out(engine)

    told = SourceNat(instances=instances(BLUE, RED), inside=("10.1.1.0/24", "10.2.2.0/24"))
    assert on_hosts(engine) == {"h1": told, "h2": told}
    label = name_of(PUBLIC.uuid, host("h1").uuid)
    made = engine.intent.find("virtual-machine-interface", (*PUBLIC.fq_name[:-1], label))
    address = engine.intent.find("instance-ip", (label,))
    assert [each.to for each in made.virtual_network_refs] == [PUBLIC.fq_name]
    assert [each.to for each in address.virtual_machine_interface_refs] == [made.fq_name]
    assert address.instance_ip_family == "v4"
    assert plan(engine, all_keys(engine)) == []
    assert engine.violations() == []


def test_where_machines_are_is_told_by_their_ports_binding_as_well():
    items = [bound(RED_PORT, "h2"), bound(BLUE_PORT, "h2")]
    engine = compiled(*map(host, HOSTS), *items, router())
    carry_out(engine)

    assert set(on_hosts(engine)) == {"h2"}


def test_a_machine_that_may_be_anywhere_has_every_host_get_one():
    engine = compiled(*map(host, HOSTS), bound(RED_PORT, "h2"), router())
    carry_out(engine)

    assert set(on_hosts(engine)) == set(HOSTS)


def test_routers_of_one_external_network_share_a_host_s_address():
    hosts = [host("h1", *MACHINES)]
    engine = compiled(*hosts, router("a", SIDES[0]), router("b", SIDES[1]))
    carry_out(engine)

    assert on_hosts(engine)["h1"].instances == instances(BLUE, RED)


def test_what_a_router_had_made_goes_with_it_its_gateway_and_its_hosts():
    hosts = [host("h1", MACHINES[0]), host("h2", MACHINES[1])]
    engine = compiled(*hosts, router())
    carry_out(engine)
    assert set(on_hosts(engine)) == {"h1", "h2"}

    engine.apply([Put(bound(BLUE_PORT, "h1")), Put(host("h2"))])
    carry_out(engine)
    assert set(on_hosts(engine)) == {"h1"}

    engine.apply([Put(logical_router("r", *SIDES))])
    carry_out(engine)

    assert on_hosts(engine) == {}
    left = [each for kind in ("virtual-machine", "virtual-machine-interface", "instance-ip")
            for each in engine.intent.objects(kind) if each.name.startswith("source-nat")]  # fmt: skip
    assert left == []
    (stored,) = [e for e in engine.intent.objects("virtual-router") if e.fq_name[-1] == "h1"]
    assert [each.to for each in stored.virtual_machine_refs] == [MACHINES[0].fq_name]


def test_a_host_for_which_no_address_is_left_is_named_and_has_all_but_that():
    engine = compiled(host("h1", *MACHINES), router())
    carry_out(engine, refused=("instance-ip",))

    (violation,) = engine.violations()
    assert (violation.type_name, violation.reason) == ("logical-router", "no_address")
    assert "host h1 has no address of default-domain:demo:public" in violation.detail
    assert set(on_hosts(engine)) == {"h1"}

    carry_out(engine)
    assert engine.violations() == []


@pytest.mark.parametrize("kind", ["InternalVirtualNetwork", "DCIInternalVirtualNetwork"])
def test_other_networks_of_a_router_are_no_way_out(kind):
    attr = LogicalRouterVirtualNetworkType(logical_router_virtual_network_type=kind)
    made = msgspec.structs.replace(
        logical_router("r", *SIDES), virtual_network_refs=(link_with(PUBLIC, attr),)
    )
    engine = compiled(host("h1", *MACHINES), made)
    carry_out(engine)

    assert on_hosts(engine) == {}


def test_the_underlay_as_gateway_needs_no_address():
    fabric = msgspec.structs.replace(
        virtual_network("ip-fabric"), fq_name=("default-domain", "default-project", "ip-fabric")
    )
    engine = compiled(host("h1", *MACHINES), fabric, router(external=fabric))
    carry_out(engine)

    assert on_hosts(engine) == {}


def test_users_addresses_of_the_external_network_are_left_alone():
    own = instance_ip("mine", "203.0.113.9", PUBLIC, SIDES[0])
    engine = compiled(own, host("h1", *MACHINES), router())
    carry_out(engine)
    engine.apply([Remove("logical-router", router().uuid)])
    carry_out(engine)

    assert engine.intent.find("instance-ip", own.fq_name) == own
    assert link(PUBLIC) in own.virtual_network_refs


def test_a_tenant_s_machine_of_such_a_name_stays_where_it_runs():
    """Somebody else referred to it: it is neither taken away nor taken for an address."""
    posing = virtual_machine(f"{NAME_START}{PUBLIC.uuid}-elsewhere")
    engine = compiled(host("h1", posing), posing)
    carry_out(engine)

    key = DerivedKey("virtual-router", ("default-global-system-config", "h1"))
    stored = engine.intent.find(key.type_name, key.fq_name)
    assert [each.to for each in stored.virtual_machine_refs] == [posing.fq_name]
    assert on_hosts(engine) == {}
