"""What a tenant may name in text, where the name puts the object to use."""

from __future__ import annotations

import pytest

from .two_tenants import Tenants

INSTANCE = "default-domain:red:secret-net:secret-net"


@pytest.fixture
def tenants(api) -> Tenants:
    return Tenants(api)


def rule(**actions: object) -> dict[str, object]:
    ports = [{"start_port": -1, "end_port": -1}]
    return {"policy_rule": [{
        "direction": "<>", "protocol": "any", "action_list": {"simple_action": "pass", **actions},
        "src_addresses": [{"virtual_network": "local"}],
        "dst_addresses": [{"virtual_network": "any"}],
        "src_ports": ports, "dst_ports": ports,
    }]}  # fmt: skip


def mirror(**members: object) -> dict[str, object]:
    return {"mirror_to": {"analyzer_ip_address": "10.0.0.9", "udp_port": 8099, **members}}


def write(tenants: Tenants, type_name: str, **members: object):
    body = {"fq_name": ["default-domain", "blue", "p"], "parent_type": "project", **members}
    with tenants.api.as_caller(tenants.blue):
        return tenants.api.call("POST", f"/{type_name}s", {type_name: body})


USES = {
    "copies are looked up in an instance": mirror(routing_instance=INSTANCE),
    "copies go to an analyzer": {"mirror_to": {"analyzer_name": "default-domain:red:tap"}},
    "packets are looked up in an instance": {"assign_routing_instance": INSTANCE},
    "packets pass a service": {"apply_service": ["default-domain:red:firewall"]},
    "packets are marked": {"qos_action": "default-domain:red:gold"},
}


@pytest.mark.parametrize("actions", USES.values(), ids=list(USES))
@pytest.mark.parametrize("is_there", [True, False])
def test_a_policy_uses_nothing_of_another_project(tenants, actions, is_there) -> None:
    if is_there:
        tenants.make("service-instance", "red", "tap")
        tenants.make("service-instance", "red", "firewall")
        tenants.make("qos-config", "red", "gold")
    before = tenants.api.service.revision

    reply = write(tenants, "network-policy", network_policy_entries=rule(**actions))

    assert reply.status == 403
    assert "does not exist or may not be used by you" in reply.text
    assert tenants.api.service.revision == before


def test_nor_do_ports_route_tables_and_updates(tenants) -> None:
    place = {"interface_mirror": {"traffic_direction": "both", **mirror(routing_instance=INSTANCE)}}
    network = write(tenants, "virtual-network").json["virtual-network"]["uuid"]
    port = write(
        tenants,
        "virtual-machine-interface",
        virtual_machine_interface_properties=place,
        virtual_network_refs=[{"uuid": network}],
    )
    hop = {"prefix": "0.0.0.0/0", "next_hop": "default-domain:red:fw", "next_hop_type": None}
    table = write(tenants, "route-table", routes={"route": [hop]})
    policy = write(tenants, "network-policy", network_policy_entries=rule())
    with tenants.api.as_caller(tenants.blue):
        uuid = policy.json["network-policy"]["uuid"]
        entries = rule(assign_routing_instance=INSTANCE)
        body = {"network-policy": {"network_policy_entries": entries}}
        update = tenants.api.call("PUT", f"/network-policy/{uuid}", body)

    assert (port.status, table.status, policy.status, update.status) == (403, 403, 200, 403)


def test_what_is_shared_for_use_may_be_named(tenants) -> None:
    entries = rule(assign_routing_instance=INSTANCE)
    tenants.share("virtual-network", tenants.network, 4)
    assert write(tenants, "network-policy", network_policy_entries=entries).status == 403

    tenants.share("virtual-network", tenants.network, 5)
    assert write(tenants, "network-policy", network_policy_entries=entries).status == 200


def test_ones_own_may_be_named_before_it_exists_and_addresses_are_no_names(tenants) -> None:
    later = rule(
        apply_service=["default-domain:blue:later"],
        assign_routing_instance="default-domain:blue:net:net",
    )
    hop = {"prefix": "::/0", "next_hop": "fd00::1"}

    assert write(tenants, "network-policy", network_policy_entries=later).status == 200
    assert write(tenants, "route-table", routes={"route": [hop]}).status == 200


def test_what_is_named_already_stays_when_something_else_changes(tenants) -> None:
    """An administrator may have written it."""
    policy = tenants.make(
        "network-policy", "blue", "p", network_policy_entries=rule(**USES["packets are marked"]),
        perms2={"owner": tenants.blue.owner},
    )  # fmt: skip
    with tenants.api.as_caller(tenants.blue):
        body = {"network-policy": {"display_name": "mine"}}
        assert tenants.api.call("PUT", f"/network-policy/{policy}", body).status == 200
