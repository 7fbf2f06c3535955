"""A real compiler reports: what is created becomes derived, and what it cannot do is said."""

from __future__ import annotations

from skytrail.client.messages import Call, decode_reply
from skytrail.testing.controller import running_controller, wait_until

PROJECT = ("default-domain", "default-project")


def derived(client, type_name: str, uuid: str) -> dict:
    reply = client.call(Call("GET", f"/api/v1/{type_name}/{uuid}/status"))
    found = decode_reply(reply, dict[str, object])["conditions"]
    return next(each for each in found if each["type"] == "derived")


def test_objects_become_derived_or_say_why_not(tmp_path) -> None:
    with running_controller(tmp_path) as controller, controller.client() as client:
        network = client.create("virtual-network", {"fq_name": [*PROJECT, "red"]})
        rule = {
            "direction": ">",
            "protocol": "tcp",
            "src_addresses": [{"virtual_network": "any"}],
            "dst_addresses": [{"virtual_network": "default-domain:default-project:nowhere"}],
            "src_ports": [{"start_port": -1, "end_port": -1}],
            "dst_ports": [{"start_port": 80, "end_port": 80}],
            "action_list": {"simple_action": "pass"},
        }
        entries = {"policy_rule": [rule]}
        policy = client.create(
            "network-policy", {"fq_name": [*PROJECT, "p"], "network_policy_entries": entries}
        )
        attr = {"sequence": {"major": 0, "minor": 0}}
        client.update(
            "virtual-network", network, {"network_policy_refs": [{"uuid": policy, "attr": attr}]}
        )

        wait_until(
            lambda: derived(client, "virtual-network", network)["status"] == "true", "derived"
        )
        wait_until(
            lambda: derived(client, "network-policy", policy)["reason"] == "unknown_network",
            "reason",
        )
