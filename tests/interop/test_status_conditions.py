"""A real compiler reports: what is created becomes derived, and what it cannot do is said."""

from __future__ import annotations

from skytrail.client import ApiClient
from skytrail.client.messages import Call, decode_reply
from skytrail.testing.api_server import running_api_server
from skytrail.testing.controller import Controller, running_controller, wait_until

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


def reporters(client) -> set[str]:
    reply = client.call(Call("GET", "/api/v1/status"))
    found = decode_reply(reply, dict[str, object])["reports"]
    return {each["reporter"].partition("-")[0] for each in found}


def test_servers_beside_the_own_one_are_told_whether_all_of_them_run_or_not(tmp_path) -> None:
    for folder in ("own", "other"):
        (tmp_path / folder).mkdir()
    own = Controller(tmp_path / "own")
    with running_api_server(tmp_path / "other") as other:
        url = f"http://127.0.0.1:{other.port}"
        others = ["--report-to", url, "--report-to", "http://127.0.0.1:9"]
        try:
            own.start_api()
            own.start_compiler(options=others)
            own.start_control(*others)
            with own.client() as first, ApiClient(url) as second:
                for client in (first, second):
                    wait_until(
                        lambda client=client: reporters(client) == {"compiler", "control"},
                        "both components have reported",
                    )
        finally:
            own.stop()
