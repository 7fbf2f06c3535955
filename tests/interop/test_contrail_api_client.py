"""The unmodified third-party client drives a real server process over loopback."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skytrail.testing.api_server import ApiServer

vnc_api = pytest.importorskip("vnc_api.vnc_api")

PROJECT = ["default-domain", "default-project"]


class Server(ApiServer):
    def client(self) -> object:
        return vnc_api.VncApi(
            api_server_host="127.0.0.1", api_server_port=str(self.port), auth_type="noauth"
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("api"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
def client(server: Server):
    return server.client()


def make_network(client, name: str, prefix: str = "10.1.1.0", length: int = 24):
    project = client.project_read(fq_name=PROJECT)
    manager = client.network_ipam_read(fq_name=[*PROJECT, "default-network-ipam"])
    network = vnc_api.VirtualNetwork(name, project)
    subnet = vnc_api.IpamSubnetType(vnc_api.SubnetType(prefix, length))
    network.add_network_ipam(manager, vnc_api.VnSubnetsType([subnet]))
    client.virtual_network_create(network)
    return client.virtual_network_read(id=network.uuid)


def make_port(client, name: str, network):
    project = client.project_read(fq_name=PROJECT)
    port = vnc_api.VirtualMachineInterface(name, project)
    port.add_virtual_network(network)
    client.virtual_machine_interface_create(port)
    address = vnc_api.InstanceIp(f"{name}-ip")
    address.add_virtual_network(network)
    address.add_virtual_machine_interface(port)
    client.instance_ip_create(address)
    return (
        client.virtual_machine_interface_read(id=port.uuid),
        client.instance_ip_read(id=address.uuid),
    )


def test_a_port_gets_mac_address_and_routing_instance(client) -> None:
    network = make_network(client, "port-net")

    port, address = make_port(client, "port-1", network)

    assert address.instance_ip_address == "10.1.1.252"
    digits = port.uuid.replace("-", "")
    expected = "02:" + ":".join(digits[i : i + 2] for i in range(0, 10, 2))
    assert port.virtual_machine_interface_mac_addresses.mac_address == [expected]
    (instance,) = port.get_routing_instance_refs()
    assert instance["to"] == [*PROJECT, "port-net", "port-net"]
    assert network.virtual_network_network_id > 0


def test_the_same_subnet_serves_two_networks(client) -> None:
    one, other = make_network(client, "twin-1"), make_network(client, "twin-2")

    first = make_port(client, "twin-port-1", one)[1]
    second = make_port(client, "twin-port-2", other)[1]

    assert first.instance_ip_address == second.instance_ip_address


def test_references_hold_a_network_until_they_go(client) -> None:
    network = make_network(client, "held")
    port, address = make_port(client, "held-port", network)

    with pytest.raises(vnc_api.RefsExistError) as refusal:
        client.virtual_network_delete(id=network.uuid)
    assert str(refusal.value).startswith("Delete when resource still referred: ['http://127.0.0.1")

    client.instance_ip_delete(id=address.uuid)
    client.virtual_machine_interface_delete(id=port.uuid)
    client.virtual_network_delete(id=network.uuid)
    with pytest.raises(vnc_api.NoIdError):
        client.virtual_network_read(id=network.uuid)


def test_updates_merge_and_reference_lists_are_replaced(client) -> None:
    network = make_network(client, "merge")
    project = client.project_read(fq_name=PROJECT)
    policy = vnc_api.NetworkPolicy("merge-policy", project)
    client.network_policy_create(policy)

    network.display_name = "shown"
    network.add_network_policy(policy, vnc_api.VirtualNetworkPolicyType(vnc_api.SequenceType(0, 0)))
    client.virtual_network_update(network)
    read = client.virtual_network_read(id=network.uuid)
    assert read.display_name == "shown"
    assert [ref["uuid"] for ref in read.get_network_policy_refs()] == [policy.uuid]
    assert len(read.get_network_ipam_refs()) == 1

    read.set_network_policy_list([], [])
    client.virtual_network_update(read)
    assert not client.virtual_network_read(id=network.uuid).get_network_policy_refs()


def test_lists_filter_count_and_detail(client) -> None:
    network = make_network(client, "listed")
    project = client.project_read(fq_name=PROJECT)

    found = client.virtual_networks_list(
        parent_id=project.uuid, filters={"display_name": ["listed", "absent"]}
    )
    detailed = client.virtual_networks_list(obj_uuids=[network.uuid], detail=True)
    many = client.virtual_networks_list(obj_uuids=[network.uuid] * 30)
    count = client.virtual_networks_list(count=True)

    assert [item["uuid"] for item in found["virtual-networks"]] == [network.uuid]
    assert [each.uuid for each in detailed] == [network.uuid]
    assert [item["uuid"] for item in many["virtual-networks"]] == [network.uuid]
    assert count["virtual-networks"]["count"] >= 1


def test_map_elements_are_edited_one_by_one(client) -> None:
    network = make_network(client, "bound")
    port, _ = make_port(client, "bound-port", network)

    port.add_virtual_machine_interface_bindings(vnc_api.KeyValuePair("host_id", "node-1"))
    client.virtual_machine_interface_update(port)

    read = client.virtual_machine_interface_read(id=port.uuid)
    pairs = read.virtual_machine_interface_bindings.key_value_pair
    assert {(pair.key, pair.value) for pair in pairs} >= {
        ("host_id", "node-1"),
        ("vif_type", "vrouter"),
    }


def test_security_group_rules_get_uuids_and_the_group_an_id(client) -> None:
    project = client.project_read(fq_name=PROJECT)
    rule = vnc_api.PolicyRuleType(
        direction=">",
        protocol="tcp",
        src_addresses=[vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))],
        src_ports=[vnc_api.PortType(0, 65535)],
        dst_addresses=[vnc_api.AddressType(security_group="local")],
        dst_ports=[vnc_api.PortType(80, 80)],
        ethertype="IPv4",
    )
    group = vnc_api.SecurityGroup("web", project)
    group.set_security_group_entries(vnc_api.PolicyEntriesType([rule]))

    client.security_group_create(group)

    read = client.security_group_read(id=group.uuid)
    assert read.security_group_id >= 8_000_000
    assert read.security_group_entries.policy_rule[0].rule_uuid


def test_names_and_ids_translate_both_ways(client) -> None:
    network = make_network(client, "named")

    assert client.fq_name_to_id("virtual-network", [*PROJECT, "named"]) == network.uuid
    assert client.id_to_fq_name(network.uuid) == [*PROJECT, "named"]
    with pytest.raises(vnc_api.NoIdError):
        client.virtual_network_read(fq_name=[*PROJECT, "nobody"])


def test_an_address_in_use_is_a_conflict(client) -> None:
    network = make_network(client, "taken")
    _, address = make_port(client, "taken-port", network)
    again = vnc_api.InstanceIp("taken-again", instance_ip_address=address.instance_ip_address)
    again.add_virtual_network(network)

    with pytest.raises(vnc_api.RefsExistError, match="IP address already in use"):
        client.instance_ip_create(again)


def test_reserved_addresses_come_and_go(client) -> None:
    network = make_network(client, "reserve")

    taken = client.virtual_network_ip_alloc(network, count=2)

    assert taken == ["10.1.1.252", "10.1.1.251"]
    client.virtual_network_ip_free(network, taken)
    assert client.virtual_network_ip_alloc(network, count=1) == ["10.1.1.252"]


def test_every_type_the_client_knows_lists(client) -> None:
    from vnc_api.gen.vnc_api_client_gen import all_resource_types

    for type_name in all_resource_types - {"config-root"}:
        assert f"{type_name}s" in client.resource_list(type_name)


def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    first = Server(tmp_path)
    first.start()
    client = first.client()
    network = make_network(client, "durable")
    made = [make_port(client, f"durable-{i}", network) for i in range(5)]

    first.kill()
    second = Server(tmp_path)
    second.start()

    try:
        again = second.client()
        for port, address in made:
            assert again.instance_ip_read(id=address.uuid).instance_ip_address == (
                address.instance_ip_address
            )
            assert again.virtual_machine_interface_read(id=port.uuid).name == port.name
        _, following = make_port(again, "durable-next", network)
        assert following.instance_ip_address not in {a.instance_ip_address for _, a in made}
    finally:
        second.kill()


def test_no_acknowledged_write_is_lost_when_killed_under_load(tmp_path: Path) -> None:
    first = Server(tmp_path)
    first.start()
    acknowledged: list[str] = []
    enough = threading.Event()

    def create_until_refused(worker: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=10)
        for number in itertools.count():
            name = f"machine-{worker}-{number}"
            body = json.dumps({"virtual-machine": {"fq_name": [name]}})
            try:
                connection.request(
                    "POST", "/virtual-machines", body, {"Content-Type": "application/json"}
                )
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException):
                return
            assert reply.status == 200
            acknowledged.append(name)
            if len(acknowledged) > 300:
                enough.set()

    workers = [threading.Thread(target=create_until_refused, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    assert enough.wait(30)
    first.kill()
    for worker in workers:
        worker.join()

    second = Server(tmp_path)
    second.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", second.port, timeout=10)
        connection.request("GET", "/virtual-machines")
        listed = json.loads(connection.getresponse().read())["virtual-machines"]
    finally:
        second.kill()
    present = {item["fq_name"][0] for item in listed}
    assert set(acknowledged) <= present
    assert len(present) <= len(acknowledged) + len(workers)
