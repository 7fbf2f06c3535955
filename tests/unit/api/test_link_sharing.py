"""Who may make a port a VLAN of another port's link, when the two are of different tenants."""

from __future__ import annotations

import pytest

from .test_tenants import Tenants, as_blue


def sub_interface(tag: int, primary: str, network: str) -> dict:
    return {
        "virtual_machine_interface_properties": {"sub_interface_vlan_tag": tag},
        "virtual_machine_interface_refs": [{"uuid": primary}],
        "virtual_network_refs": [{"uuid": network}],
    }


@pytest.fixture
def tenants(api) -> Tenants:
    return Tenants(api)


@pytest.fixture
def shared_port(tenants) -> str:
    """A port of red whose sharing lets everybody read it and refer to it."""
    tenants.share("virtual-machine-interface", tenants.port, 5)
    with tenants.api.as_caller(tenants.blue):
        tenants.blue_network = tenants.make("virtual-network", "blue", "own-net")
    return tenants.port


def test_a_vlan_of_a_port_of_others_is_not_made(tenants, shared_port) -> None:
    members = sub_interface(5, shared_port, tenants.blue_network)
    body = {"fq_name": ["default-domain", "blue", "sub"], "parent_type": "project", **members}

    refused = as_blue(
        tenants, "POST", "/virtual-machine-interfaces", {"virtual-machine-interface": body}
    )
    native = as_blue(
        tenants,
        "POST",
        "/api/v1/transaction",
        {"operations": [{"op": "create", "type": "virtual-machine-interface", "object": body}]},
    )

    assert (refused.status, native.status) == (403, 403)
    assert "virtual_machine_interface_refs" in refused.text


def test_no_order_of_steps_makes_a_vlan_of_a_port_of_others(tenants, shared_port) -> None:
    with tenants.api.as_caller(tenants.blue):
        made = {"virtual_network_refs": [{"uuid": tenants.blue_network}]}
        mine = tenants.make("virtual-machine-interface", "blue", "mine", **made)
    reference = {"type": "virtual-machine-interface", "uuid": mine, "operation": "ADD",
                 "ref-type": "virtual-machine-interface", "ref-uuid": shared_port}  # fmt: skip
    tag = {"virtual-machine-interface": {
        "virtual_machine_interface_properties": {"sub_interface_vlan_tag": 5}}}  # fmt: skip
    target = f"/virtual-machine-interface/{mine}"

    assert as_blue(tenants, "POST", "/ref-update", reference).status == 200
    assert as_blue(tenants, "PUT", target, tag).status == 403
    assert (
        as_blue(tenants, "POST", "/ref-update", {**reference, "operation": "DELETE"}).status == 200
    )
    assert as_blue(tenants, "PUT", target, tag).status == 200
    assert as_blue(tenants, "POST", "/ref-update", reference).status == 403


def test_a_sub_interface_of_others_is_not_taken_to_an_own_port(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        members = sub_interface(7, tenants.port, tenants.network)
        sub = tenants.make("virtual-machine-interface", "red", "sub", **members)
    tenants.share("virtual-machine-interface", sub, 5)
    with tenants.api.as_caller(tenants.blue):
        network = tenants.make("virtual-network", "blue", "own-net")
        made = {"virtual_network_refs": [{"uuid": network}]}
        mine = tenants.make("virtual-machine-interface", "blue", "mine", **made)
    refs = {"virtual_machine_interface_refs": [{"uuid": sub}]}

    reply = as_blue(
        tenants,
        "PUT",
        f"/virtual-machine-interface/{mine}",
        {"virtual-machine-interface": refs},
    )

    assert reply.status == 403


def test_who_may_write_both_ports_makes_one_a_vlan_of_the_other(tenants) -> None:
    tenants.share("virtual-machine-interface", tenants.port, 7)
    with tenants.api.as_caller(tenants.blue):
        network = tenants.make("virtual-network", "blue", "own-net")
        members = sub_interface(5, tenants.port, network)
        sub = tenants.make("virtual-machine-interface", "blue", "sub", **members)

    renamed = {"virtual-machine-interface": {"display_name": "still mine"}}
    tenants.share("virtual-machine-interface", tenants.port, 5)

    reply = as_blue(tenants, "PUT", f"/virtual-machine-interface/{sub}", renamed)
    assert reply.status == 200
