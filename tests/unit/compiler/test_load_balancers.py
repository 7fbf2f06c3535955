"""Load balancers: where their copies are, and what these are told to serve."""

import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Create, Delete, Update, all_keys, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.load_balancer import LoadBalancer
from skytrail.model.objects import decode_object
from skytrail.testing.configuration import (
    instance_ip,
    network_ipam,
    port,
    routing_instance,
    uuid_of,
    virtual_network,
)
from skytrail.testing.routing import system_config

IPAM = network_ipam("ipam")
FRONT = virtual_network("front", ipams=[(IPAM, "10.1.1.0/24")])
VIP_PORT = port("vip", FRONT)
VIP = instance_ip("vip", "10.1.1.100", FRONT, VIP_PORT)
PROJECT = ["default-domain", "demo"]
HOSTS = ("one", "two", "three")


def made(type_name, *name, refs=(), **members):
    """An object with references, as the API tells it."""
    body = {"fq_name": list(name), "uuid": uuid_of(type_name, name), **members}
    for target in refs:
        field = f"{target.type_name.replace('-', '_')}_refs"
        body[field] = [{"to": list(target.fq_name), "uuid": target.uuid}]
    return decode_object(type_name, body)


def router(name):
    return made("virtual-router", "default-global-system-config", name)


def balancer(**members):
    given = {"vip_subnet_id": FRONT.uuid, "vip_address": "10.1.1.100"}
    return made(
        "loadbalancer", *PROJECT, "web", refs=[VIP_PORT], loadbalancer_properties=given, **members
    )


def parts(item):
    listener = made(
        "loadbalancer-listener", *PROJECT, "http", refs=[item],
        loadbalancer_listener_properties={
            "protocol": "HTTP", "protocol_port": 80, "connection_limit": -1,
        },
    )  # fmt: skip
    monitor = made(
        "loadbalancer-healthmonitor", *PROJECT, "ready",
        loadbalancer_healthmonitor_properties={
            "monitor_type": "HTTP", "delay": 2, "timeout": 1, "max_retries": 3,
            "url_path": "/ready",
        },
    )  # fmt: skip
    pool = made(
        "loadbalancer-pool", *PROJECT, "servers", refs=[listener, monitor],
        loadbalancer_pool_properties={
            "protocol": "HTTP", "subnet_id": FRONT.uuid, "loadbalancer_method": "SOURCE_IP",
        },
    )  # fmt: skip
    member = made(
        "loadbalancer-member", *PROJECT, "servers", "a", parent_uuid=pool.uuid,
        parent_type="loadbalancer-pool",
        loadbalancer_member_properties={"address": "10.1.1.5", "protocol_port": 8080, "weight": 3},
    )  # fmt: skip
    return listener, monitor, pool, member


def compiled(*items, hosts=HOSTS):
    engine = Engine(ALL_PASSES)
    network = (IPAM, FRONT, routing_instance(FRONT), VIP_PORT, VIP)
    engine.load([system_config(), *network, *map(router, hosts), *items])
    return engine


def carry_out(engine):
    """Do to the intent what the API would do to the store."""
    for write in plan(engine, all_keys(engine)):
        match write:
            case Create(key, _, wire):
                engine.apply([Put(decode_object(key.type_name, dict(wire)))])
            case Update(key, uuid, wire):
                known = engine.intent.item(key.type_name, uuid)
                changed = decode_object(
                    key.type_name, {"uuid": uuid, "fq_name": list(known.fq_name), **wire}
                )
                fields = {name: getattr(changed, name) for name in wire}
                engine.apply([Put(msgspec.structs.replace(known, **fields))])
            case Delete(key, uuid):
                engine.apply([Remove(key.type_name, uuid)])


def wanted(engine, type_name):
    found = (engine.wanted(key) for key in engine.wanted_keys() if key.type_name == type_name)
    return [each for each in found if "load-balancer" in str(each.key)]


def told(engine):
    """What each copy is told, and the hosts in order."""
    specs = []
    for machine in wanted(engine, "virtual-machine"):
        (pair,) = machine.properties["annotations"].key_value_pair
        assert pair.key == "load-balancer"
        specs.append(msgspec.json.decode(pair.value, type=LoadBalancer))
    return specs


def machines_of(engine, host):
    key = DerivedKey("virtual-router", ("default-global-system-config", host))
    found = engine.wanted(key)
    return [] if found is None else [link.to[0] for link in found.links["virtual_machine_refs"]]


def test_two_copies_on_two_hosts_the_second_with_less_preference():
    item = balancer()
    engine = compiled(item, *parts(item))

    ports = wanted(engine, "virtual-machine-interface")
    field = "virtual_machine_interface_properties"
    assert sorted(each.properties[field].local_preference for each in ports) == [100, 200]
    placed = [name for host in HOSTS for name in machines_of(engine, host)]
    assert sorted(placed) == [f"load-balancer-{item.uuid}-{n}" for n in (1, 2)]
    holders = engine.wanted(DerivedKey("instance-ip", VIP.fq_name)).links
    assert {link.to for link in holders["virtual_machine_interface_refs"]} == {
        VIP_PORT.fq_name, *(each.key.fq_name for each in ports)
    }  # fmt: skip


def test_copies_are_told_listeners_pools_members_and_monitors():
    item = balancer()
    first, second = told(compiled(item, *parts(item)))

    assert first == second
    (listener,) = first.listeners
    assert (first.vip, listener.protocol, listener.port) == ("10.1.1.100", "HTTP", 80)
    assert listener.connection_limit == 0
    assert (listener.pool.method, listener.pool.monitor.path) == ("SOURCE_IP", "/ready")
    (member,) = listener.pool.members
    assert (member.address, member.port, member.weight) == ("10.1.1.5", 8080, 3)


def test_hosts_are_those_said_the_active_one_first():
    note = {"key_value_pair": [{"key": "load-balancer-hosts", "value": "three, one"}]}
    item = balancer(annotations=note)
    engine = compiled(item)

    assert machines_of(engine, "three") == [f"load-balancer-{item.uuid}-1"]
    assert machines_of(engine, "one") == [f"load-balancer-{item.uuid}-2"]
    assert machines_of(engine, "two") == []


def test_floating_address_of_the_balancer_s_port_is_the_copies_as_well():
    item = balancer()
    floating = made(
        "floating-ip", "default-domain", "demo", "public", "pool", "web", refs=[VIP_PORT]
    )
    engine = compiled(item, floating)

    found = engine.wanted(DerivedKey("floating-ip", floating.fq_name))
    ports = {each.key.fq_name for each in wanted(engine, "virtual-machine-interface")}
    assert {link.to for link in found.links["virtual_machine_interface_refs"]} == {
        VIP_PORT.fq_name, *ports
    }  # fmt: skip
    assert found.properties == {"floating_ip_fixed_ip_address": "10.1.1.100"}

    carry_out(engine)
    engine.apply([Remove("loadbalancer", item.uuid)])
    carry_out(engine)
    left = engine.intent.item("floating-ip", floating.uuid)
    assert [each.to for each in left.virtual_machine_interface_refs] == [VIP_PORT.fq_name]


@pytest.mark.parametrize(
    ("members", "hosts", "reason"),
    [
        ({"virtual_machine_interface_refs": []}, HOSTS, "no_port"),
        ({}, (), "no_host"),
        ({"loadbalancer_provider": "native"}, HOSTS, "provider_not_served"),
        (
            {
                "annotations": {
                    "key_value_pair": [{"key": "load-balancer-hosts", "value": "nowhere"}]
                }
            },
            HOSTS,
            "no_host",
        ),
    ],
)
def test_what_is_missing_is_said(members, hosts, reason):
    item = balancer()
    if members:
        body = {"uuid": item.uuid, "fq_name": list(item.fq_name), **members}
        changed = decode_object("loadbalancer", body)
        fields = {name: getattr(changed, name) for name in members}
        item = msgspec.structs.replace(item, **fields)

    engine = compiled(item, hosts=hosts)

    assert reason in {each.reason for each in engine.violations()}
    assert wanted(engine, "virtual-machine") == []


def test_nothing_is_left_of_a_balancer_that_goes():
    item = balancer()
    engine = compiled(item, *parts(item))
    carry_out(engine)
    assert any(machines_of(engine, host) for host in HOSTS)

    engine.apply([Remove("loadbalancer", item.uuid)])
    for _ in range(3):
        carry_out(engine)

    kinds = ("virtual-machine", "virtual-machine-interface", "instance-ip", "virtual-router")
    items = [engine.intent.item(kind, uuid) for kind in kinds for uuid in engine.intent.uuids(kind)]
    assert not [each for each in items if "load-balancer-" in each.fq_name[-1]]
    assert not [each for each in items if getattr(each, "virtual_machine_refs", ())]
    vip = engine.intent.item("instance-ip", VIP.uuid)
    assert [each.to for each in vip.virtual_machine_interface_refs] == [VIP_PORT.fq_name]
