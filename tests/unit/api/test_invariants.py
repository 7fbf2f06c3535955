"""Whatever clients do, at once and in any order: nothing dangles, nothing leaks, nothing is lost."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROJECT = ["default-domain", "default-project"]
NETWORKS = ["n0", "n1", "n2"]
PORTS = ["p0", "p1", "p2"]
ADDRESSES = ["i0", "i1", "i2"]
POLICIES = ["y0", "y1"]

BEFORE = [
    ("network-policy", "y0"),
    ("virtual-network", "n0"),
    ("virtual-network", "n1"),
    ("virtual-machine-interface", "p0"),
    ("virtual-machine-interface", "p1"),
    ("instance-ip", "i0"),
]

named = {
    "virtual-network": NETWORKS,
    "virtual-machine-interface": PORTS,
    "instance-ip": ADDRESSES,
    "network-policy": POLICIES,
}


@st.composite
def calls(draw):
    type_name = draw(st.sampled_from(sorted(named)))
    name = draw(st.sampled_from(named[type_name]))
    action = draw(st.sampled_from(["create", "create", "update", "delete", "ref", "bulk"]))
    return (
        action,
        type_name,
        name,
        draw(st.sampled_from(NETWORKS)),
        draw(st.sampled_from(POLICIES)),
        draw(st.integers(0, 2)),
    )


def fq_name(type_name: str, name: str) -> list[str]:
    return [name] if type_name == "instance-ip" else [*PROJECT, name]


def body_of(type_name: str, name: str, network: str, policy: str, dice: int) -> dict:
    body: dict = {"fq_name": fq_name(type_name, name)}
    if type_name != "instance-ip":
        body["parent_type"] = "project"
    subnet = {"subnet": {"ip_prefix": f"10.{dice}.0.0", "ip_prefix_len": 29}}
    match type_name:
        case "virtual-network":
            manager = [*PROJECT, "default-network-ipam"]
            body["network_ipam_refs"] = [{"to": manager, "attr": {"ipam_subnets": [subnet]}}]
            if dice:
                body["network_policy_refs"] = [{"to": [*PROJECT, policy]}]
        case "virtual-machine-interface" | "instance-ip":
            body["virtual_network_refs"] = [{"to": [*PROJECT, network]}]
        case _:
            pass
    return body


async def perform(api, call) -> int:
    action, type_name, name, network, policy, dice = call
    body = body_of(type_name, name, network, policy, dice)
    uuid = api.service.graph.uuid_of(type_name, tuple(body["fq_name"]))
    if action == "create":
        reply = await api.acall("POST", f"/{type_name}s", {type_name: body})
    elif action == "bulk":
        operations = [{"op": "create", "type": type_name, "object": body}]
        if uuid:
            operations.insert(0, {"op": "delete", "type": type_name, "uuid": uuid})
        reply = await api.acall("POST", "/api/v1/transaction", {"operations": operations})
    elif not uuid:
        return 0
    elif action == "update":
        reply = await api.acall("PUT", f"/{type_name}/{uuid}", {type_name: body})
    elif action == "delete":
        reply = await api.acall("DELETE", f"/{type_name}/{uuid}")
    else:
        target = "network-policy" if type_name == "virtual-network" else "virtual-network"
        request = {
            "type": type_name, "uuid": uuid, "ref-type": target,
            "ref-fq-name": [*PROJECT, policy if target == "network-policy" else network],
            "operation": "DELETE" if dice == 0 else "ADD",
        }  # fmt: skip
        reply = await api.acall("POST", "/ref-update", request)
    return reply.status


def check(api) -> None:
    graph = api.service.graph
    for record in graph.records.values():
        assert graph.uuid_of(record.type_name, record.fq_name) == record.uuid
        assert graph.by_type[record.type_name][record.uuid] is record
        if record.parent_uuid is not None:
            parent = graph.get(record.parent_uuid)
            assert parent is not None
            assert record.fq_name[:-1] == parent.fq_name
            assert record.uuid in graph.child_uuids(parent.uuid, record.type_name)
        for field, target in record.targets:
            other = graph.get(target)
            assert other is not None, (record.fq_name, field)
            assert record.uuid in graph.referrer_uuids(target, record.type_name)
    assert len(graph.names) == len(graph.records)
    for pool, taken in graph.numbers.pools.items():
        for number, owner in taken.items():
            assert graph.get(owner) is not None, (pool, number, owner)
    for address in graph.of_type("instance-ip"):
        assert [pool for pool, _ in graph.numbers.owned_by(address.uuid)]
    for network in graph.of_type("virtual-network"):
        defaults = [
            uuid
            for uuid in graph.child_uuids(network.uuid, "routing-instance")
            if graph.get(uuid).body.get("routing_instance_is_default")
        ]
        assert len(defaults) == 1
    for port in graph.of_type("virtual-machine-interface"):
        assert "routing_instance_refs" in port.body


def dump(api) -> tuple:
    graph = api.service.graph
    return (
        {uuid: (r.type_name, r.body, r.side) for uuid, r in graph.records.items()},
        {pool: taken for pool, taken in graph.numbers.pools.items() if taken},
        {
            parent: {kind: set(uuids) for kind, uuids in kinds.items()}
            for parent, kinds in graph._children.items()
        },
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(calls(), min_size=1, max_size=5), min_size=3, max_size=12))
def test_any_interleaving_leaves_a_sound_graph_that_a_restart_reproduces(fresh, rounds) -> None:
    api = fresh()

    async def scenario() -> None:
        for type_name, name in BEFORE:
            call = ("create", type_name, name, "n0", "y0", int(name[1]) + 1)
            assert await perform(api, call) == 200
        for together in rounds:
            statuses = await asyncio.gather(*(perform(api, call) for call in together))
            assert all(status < 500 for status in statuses), list(
                zip(together, statuses, strict=True)
            )
            check(api)

    api.loop.run_until_complete(scenario())

    again = api.restarted()
    assert dump(again) == dump(api)
    again.close()
    api.close()
