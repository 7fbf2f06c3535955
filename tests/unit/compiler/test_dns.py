import msgspec
import pytest

from skytrail.compiler.engine import Engine
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.dns import dns_label
from skytrail.model.objects import decode_object
from skytrail.testing.configuration import (
    instance_ip,
    network_ipam,
    port,
    uuid_of,
    virtual_dns,
    virtual_machine,
    virtual_network,
)

ZONE = virtual_dns("zone", "corp.example", ttl_s=60)
IPAM = network_ipam("ipam", ZONE)
UUID = "6f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11"


def records(*items):
    engine = Engine(ALL_PASSES)
    engine.load([ZONE, IPAM, *items])
    found = [
        engine.wanted(key) for key in engine.wanted_keys() if key.type_name == "virtual-DNS-record"
    ]
    assert all(each.key.fq_name[:-1] == ZONE.fq_name for each in found)
    data = [each.properties["virtual_DNS_record_data"] for each in found]
    return sorted((each.record_type, each.record_name, each.record_data) for each in data)


def network(name="red", ipam=IPAM, prefix="10.1.1.0/24"):
    return virtual_network(name, ipams=[(ipam, prefix)])


def test_named_port_gets_forward_and_reverse_records():
    red = network()
    machine = virtual_machine("m1", "Web 1")
    vmi = port("p1", red, machine)

    found = records(red, machine, vmi, instance_ip("i1", "10.1.1.3", red, vmi))

    assert found == [
        ("A", "web-1", "10.1.1.3"),
        ("PTR", "3.1.1.10.in-addr.arpa", "web-1.corp.example"),
    ]


def test_ipv6_address_gets_aaaa():
    red = network(prefix="fd00:1::/64")
    vmi = port("p1", red)

    found = records(red, vmi, instance_ip("i1", "fd00:1::3", red, vmi))

    assert ("AAAA", "p1", "fd00:1::3") in found
    assert len(found) == 2


def test_uuid_named_machine_takes_the_port_name():
    red = network()
    machine = virtual_machine(UUID)
    vmi = port("front", red, machine)

    found = records(red, machine, vmi, instance_ip("i1", "10.1.1.3", red, vmi))

    assert found[0] == ("A", "front", "10.1.1.3")


def test_same_name_and_address_in_two_networks_share_the_record():
    red, blue = network("red"), network("blue")
    machine = virtual_machine("web")
    ports = port("p1", red, machine), port("p2", blue, machine)

    found = records(
        red,
        blue,
        machine,
        *ports,
        instance_ip("i1", "10.1.1.3", red, ports[0]),
        instance_ip("i2", "10.1.1.3", blue, ports[1]),
    )

    assert [each[0] for each in found] == ["A", "PTR"]


def test_address_of_another_ipam_gets_no_record():
    red = network()
    vmi = port("p1", red)

    assert records(red, vmi, instance_ip("i1", "192.0.2.1", red, vmi)) == []


def test_ipam_without_virtual_dns_server_gets_no_record():
    plain = network_ipam("plain")
    red = network(ipam=plain)
    vmi = port("p1", red)

    assert records(plain, red, vmi, instance_ip("i1", "10.1.1.3", red, vmi)) == []


def test_time_to_live_is_the_servers():
    red = network()
    vmi = port("p1", red)
    engine = Engine(ALL_PASSES)
    engine.load([ZONE, IPAM, red, vmi, instance_ip("i1", "10.1.1.3", red, vmi)])

    ttls = {
        engine.wanted(key).properties["virtual_DNS_record_data"].record_ttl_seconds
        for key in engine.wanted_keys()
        if key.type_name == "virtual-DNS-record"
    }

    assert ttls == {60}


def test_name_without_letters_is_reported_not_guessed():
    red = network()
    machine = virtual_machine("m", "***")
    vmi = port("p1", red, machine)
    engine = Engine(ALL_PASSES)
    engine.load([ZONE, IPAM, red, machine, vmi, instance_ip("i1", "10.1.1.3", red, vmi)])

    assert [
        each.reason for each in engine.violations() if each.type_name.endswith("interface")
    ] == ["no_dns_name"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("Web 1", "web-1"), ("a.b", "a-b"), ("-x-", "x"), ("ä", ""), ("a" * 70, "a" * 63)],
)
def test_names_become_labels(name, label):
    assert dns_label(name) == label


@pytest.mark.parametrize(
    ("notation", "expected"),
    [
        ("dashed-ip", "192-0-2-7"),
        ("dashed-ip-tenant-name", "192-0-2-7.demo.corp.example"),
        ("vm-name", "web-1"),
        ("vm-name-tenant-name", "web-1.demo.corp.example"),
        (None, None),
    ],
)
def test_floating_address_is_named_as_its_server_says(notation, expected):
    settings = msgspec.structs.replace(ZONE.virtual_DNS_data, floating_ip_record=notation)
    zone = msgspec.structs.replace(ZONE, virtual_DNS_data=settings)
    public = network("public", prefix="192.0.2.0/24")
    red = virtual_network("red")
    machine = virtual_machine("m1", "Web 1")
    vmi = port("p1", red, machine)
    pool = child("floating-ip-pool", public, "pool")
    floating = child("floating-ip", pool, "f1", floating_ip_address="192.0.2.7", port=vmi)

    found = records(zone, public, red, machine, vmi, pool, floating)

    assert [name for kind, name, _ in found if kind == "A"] == ([expected] if expected else [])


def child(type_name, parent, name, *, port=None, **properties):
    refs = {} if port is None else {"virtual_machine_interface_refs": [reference(port)]}
    document = {
        "uuid": uuid_of(type_name, (*parent.fq_name, name)),
        "fq_name": [*parent.fq_name, name],
        "parent_type": parent.type_name,
        "parent_uuid": parent.uuid,
        **properties,
        **refs,
    }
    return decode_object(type_name, document)


def reference(item):
    return {"to": list(item.fq_name), "uuid": item.uuid}
