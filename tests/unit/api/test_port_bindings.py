"""How a port is plugged is filled in from what its bindings and its host say."""

from __future__ import annotations

import json

import pytest

PROJECT = ["default-domain", "default-project"]
HOST = ["default-global-system-config", "fast"]


def bindings(api, **given):
    pairs = [{"key": key, "value": value} for key, value in given.items()]
    uuid = api.create(
        "virtual-machine-interface", fq_name=[*PROJECT, "p"], parent_type="project",
        virtual_network_refs=[{"to": [*PROJECT, "default-virtual-network"]}],
        virtual_machine_interface_bindings={"key_value_pair": pairs},
    )  # fmt: skip
    port = api.read("virtual-machine-interface", uuid)
    found = port["virtual_machine_interface_bindings"]["key_value_pair"]
    return uuid, {pair["key"]: pair["value"] for pair in found}


@pytest.mark.parametrize(
    ("given", "vif"),
    [
        ({"host_id": "slow"}, "vrouter"),
        ({"host_id": "null"}, "vrouter"),
        ({"vnic_type": "direct"}, "hw_veb"),
        ({"vnic_type": "baremetal"}, None),
        ({"vif_type": "mine", "host_id": "fast"}, "mine"),
    ],
)
def test_the_kind_of_port_follows_from_its_bindings(api, given, vif) -> None:
    api.create("virtual-router", fq_name=HOST, virtual_router_dpdk_enabled=True)

    found = bindings(api, **given)[1]

    assert found.get("vif_type") == vif
    assert "vif_details" not in found


def test_a_port_on_a_host_with_dpdk_is_a_socket(api) -> None:
    api.create("virtual-router", fq_name=HOST, virtual_router_dpdk_enabled=True)

    uuid, found = bindings(api, host_id="fast")

    assert (found["vif_type"], found["vnic_type"]) == ("vhostuser", "normal")
    details = json.loads(found["vif_details"])
    assert details["vhostuser_socket"] == f"/var/run/vrouter/uvh_vif_tap{uuid[:11]}"
