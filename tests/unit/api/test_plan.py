"""Plans: the intent part, what would be derived, which hosts and which pairs change."""

from __future__ import annotations

import pytest

from skytrail.api.io.http import HttpApi
from skytrail.compiler.preview import Preview

PROJECT = ["default-domain", "default-project"]
RED, BLUE = "default-domain:default-project:red", "default-domain:default-project:blue"


@pytest.fixture
def planning(api):
    api.app = HttpApi(api.service, Preview())
    return api


def passing(protocol: str, port: int) -> dict:
    return {
        "direction": "<>",
        "protocol": protocol,
        "src_addresses": [{"virtual_network": RED}],
        "dst_addresses": [{"virtual_network": BLUE}],
        "src_ports": [{"start_port": -1, "end_port": -1}],
        "dst_ports": [{"start_port": port, "end_port": port}],
        "action_list": {"simple_action": "pass"},
    }


def attach(name: str) -> dict:
    attr = {"sequence": {"major": 0, "minor": 0}}
    return {
        "op": "patch",
        "type": "virtual-network",
        "name": [*PROJECT, name],
        "object": {"network_policy_refs": [{"to": [*PROJECT, "web"], "attr": attr}]},
    }


def connecting() -> list[dict]:
    rules = {"policy_rule": [passing("tcp", 80)]}
    web = {"fq_name": [*PROJECT, "web"], "network_policy_entries": rules}
    create = {"op": "create", "type": "network-policy", "object": web}
    return [create, attach("red"), attach("blue")]


def plan(api, *operations: dict) -> dict:
    reply = api.call("POST", "/api/v1/plan", {"operations": list(operations)})
    assert reply.status == 200, reply.text
    return reply.json


def test_hosts_are_also_those_whose_agents_asked_for_a_machine(planning) -> None:
    network = planning.network("red")
    machine = planning.create("virtual-machine", fq_name=["plugged"])
    planning.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "p"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network}],
        virtual_machine_refs=[{"uuid": machine}],
    )
    change = {"op": "patch", "type": "virtual-network", "uuid": network, "object": {"mtu": 1400}}
    before = plan(planning, change)
    rows = [{"host": "one", "machines": ["plugged"]}]
    report = {"kind": "placement", "revision": 0, "placements": rows}
    planning.call("POST", "/api/v1/status/n-placement", report)

    found = plan(planning, change)

    assert before["interfaces_without_host_count"] == 1
    assert (found["hosts"], found["interfaces_without_host_count"]) == (
        [{"host": "one", "interfaces": 1}],
        0,
    )


def place_port(api, network: str, host: str) -> str:
    machine = api.create("virtual-machine", fq_name=[f"vm-{host}"])
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, f"port-{host}"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network}],
        virtual_machine_refs=[{"uuid": machine}],
    )
    api.create(
        "virtual-router",
        fq_name=["default-global-system-config", host],
        parent_type="global-system-config",
        virtual_machine_refs=[{"uuid": machine}],
    )
    return port


def test_a_policy_between_networks_shows_the_pairs_that_start_talking(planning) -> None:
    planning.network("red")
    planning.network("blue")

    found = plan(planning, *connecting())

    assert [(p["from"], p["to"]) for p in found["reachability"]] == [(BLUE, RED), (RED, BLUE)]
    forth = next(p for p in found["reachability"] if p["from"] == RED)
    assert forth["before"] == ["nothing"]
    assert forth["after"][0] == "pass tcp port 80"
    assert {d["type"] for d in found["derived"]} >= {"access-control-list", "routing-instance"}


def test_a_plan_changes_nothing_and_says_the_same_again(planning) -> None:
    planning.network("red")
    planning.network("blue")
    revision = planning.service.revision

    first, second = plan(planning, *connecting()), plan(planning, *connecting())

    def derived(found: dict) -> list:
        return [(d["op"], d["type"], d["fq_name"]) for d in found["derived"]]

    assert derived(first) == derived(second)
    assert first["reachability"] == second["reachability"]
    assert planning.service.revision == revision


def test_a_plan_follows_what_was_committed_since_the_last(planning) -> None:
    planning.network("red")
    assert plan(planning)["derived"] == []
    planning.network("blue")
    planning.call("POST", "/api/v1/transaction", {"operations": connecting()})

    closing = {"op": "delete", "type": "network-policy", "name": [*PROJECT, "web"]}
    opened = [{**attach(n), "object": {"network_policy_refs": []}} for n in ("red", "blue")]
    found = plan(planning, *opened, closing)

    forth = next(p for p in found["reachability"] if p["from"] == RED)
    assert forth["before"][0] == "pass tcp port 80"
    assert forth["after"] == ["nothing"]


def test_only_hosts_of_concerned_networks_are_named(planning) -> None:
    red, green = planning.network("red"), planning.network("green")
    planning.network("blue")
    place_port(planning, red, "one")
    place_port(planning, green, "two")

    found = plan(planning, *connecting())

    assert found["hosts"] == [{"host": "one", "interfaces": 1}]


def test_a_group_rule_shows_who_gets_in(planning) -> None:
    group = {"fq_name": [*PROJECT, "g"]}
    rule = {
        "direction": ">",
        "protocol": "tcp",
        "ethertype": "IPv4",
        "src_addresses": [{"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}}],
        "dst_addresses": [{"security_group": "local"}],
        "src_ports": [{"start_port": 0, "end_port": 65535}],
        "dst_ports": [{"start_port": 22, "end_port": 22}],
    }
    planning.call("POST", "/api/v1/security-group", group)
    patch = {
        "op": "patch",
        "type": "security-group",
        "name": [*PROJECT, "g"],
        "object": {"security_group_entries": {"policy_rule": [rule]}},
    }

    pairs = plan(planning, patch)["reachability"]

    name = "default-domain:default-project:g"
    assert [(p["from"], p["to"], p["before"]) for p in pairs] == [("0.0.0.0/0", name, ["nothing"])]
    assert pairs[0]["after"][0].startswith("pass tcp port 22")


def test_a_rule_that_cannot_be_compiled_is_told_before_it_is_committed(planning) -> None:
    planning.network("red")
    planning.network("blue")
    operations = connecting()
    rule = operations[0]["object"]["network_policy_entries"]["policy_rule"][0]
    rule["dst_addresses"] = [{"virtual_network": "default-domain:default-project:nowhere"}]

    assert "unknown_network" in {v["reason"] for v in plan(planning, *operations)["violations"]}


def test_what_people_write_is_not_told_as_derived(planning) -> None:
    planning.network("red")

    found = plan(planning, {**attach("red"), "object": {"mtu": 1400}})

    assert [c["fq_name"][-1] for c in found["changes"]] == ["red"]
    assert found["derived"] == []


def test_a_refused_plan_names_the_operation(planning) -> None:
    body = {"operations": [{"op": "delete", "type": "virtual-network", "name": "a:b:c"}]}

    reply = planning.call("POST", "/api/v1/plan", body)

    assert (reply.status, reply.json["operation"]) == (404, 0)


def test_without_a_compiler_a_plan_says_that_it_knows_the_intent_only(api) -> None:
    found = plan(
        api, {"op": "create", "type": "virtual-network", "object": {"fq_name": [*PROJECT, "n"]}}
    )

    assert found["changes"][0]["type"] == "virtual-network"
    assert "derived_unknown" in found
