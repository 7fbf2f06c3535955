"""Hostile names, wild bodies of every action, cycles and writers in each other's way.

Each is answered with a 4xx that changes nothing, or carried out whole; the graph stays sound.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.model.catalog import CATALOG

PROJECT = ["default-domain", "default-project"]
TYPES = sorted(name for name in CATALOG.objects if name != "config-root")
NOBODY = "00000000-0000-4000-8000-000000000000"


def sound(api) -> None:
    """Every reference names an object, both indexes agree, every number has a living owner."""
    graph = api.service.graph
    for record in graph.records.values():
        assert graph.uuid_of(record.type_name, record.fq_name) == record.uuid
        for field, target in record.targets:
            other = graph.get(target)
            assert other is not None, (record.fq_name, field)
            assert record.uuid in graph.referrer_uuids(target, record.type_name)
            named = [r for r in record.body[field] if r["uuid"] == target]
            assert named[0]["to"] == list(other.fq_name)
        if record.parent_uuid is not None:
            assert graph.get(record.parent_uuid).fq_name == record.fq_name[:-1]


HOSTILE_NAMES = [
    "a\x00b", "a\x01", "\x7f\x1b[31m\x08", "a:b", ":", "", "x" * 1_000_000, "x" * 1_025,
    "\u202eevil", "\t", "\ufffe", "\uffff", ["list"], {"a": 1}, 7, True, None, 1e308,
]  # fmt: skip
ODD_NAMES = [
    "default\u2010project", "dеfault-project", "a\u200bb", "%00", "../../etc/passwd",
    "'; drop table x; --", "{{7*7}}", "<script>", "a b", " ", "🦎", "ﬁ", "A" * 900,
]  # fmt: skip
"""Strange, but names: look-alikes are other names, nothing is folded into one."""


def create(api, type_name, name, **members):
    resource = CATALOG.objects[type_name]
    body = {"fq_name": [*PROJECT, name], "parent_type": "project", **members}
    if "project" not in resource.parents:
        body = {"fq_name": [name], **members}
    return api.call("POST", f"/{type_name}s", {type_name: body})


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda n: repr(n)[:20])
def test_no_type_takes_a_hostile_name(fuzzed, name) -> None:
    before = fuzzed.service.revision

    for type_name in TYPES:
        reply = create(fuzzed, type_name, name)
        assert 400 <= reply.status < 500, (type_name, reply.text)
        assert len(reply.text) < 4_000
        reply.text.encode("ascii", "replace").decode("ascii")
    for path in ("fqname-to-id", "ref-update", "set-tag", "list-bulk-collection"):
        body = {"type": "virtual-network", "fq_name": [name], "obj_type": name, "fq_names": name}
        assert fuzzed.call("POST", f"/{path}", body).status < 500
    assert fuzzed.service.revision == before


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_kept_as_it_is(api, name) -> None:
    reply = create(api, "network-policy", name)

    assert reply.status == 200, reply.text
    uuid = reply.json["network-policy"]["uuid"]
    assert api.read("network-policy", uuid)["name"] == name
    body = {"type": "network-policy", "fq_name": [*PROJECT, name]}
    assert api.call("POST", "/fqname-to-id", body).json == {"uuid": uuid}
    body["fq_name"] = ["default-domain", name]
    assert api.call("POST", "/fqname-to-id", body).status == 404


def test_a_lone_surrogate_is_no_json(fuzzed) -> None:
    raw = b'{"virtual-network":{"fq_name":["default-domain","default-project","\\ud800"]}}'

    assert fuzzed.call("POST", "/virtual-networks", raw).status == 400


CYCLIC = sorted(
    (name, field)
    for name, resource in CATALOG.objects.items()
    for field, entry in resource.references.items()
    # Networks refer to provider networks alone, which refer to none: no cycle can come about.
    if entry.target == name and name != "virtual-network"
)


@pytest.mark.parametrize(("type_name", "field"), CYCLIC)
def test_cycles_of_references_are_harmless(api, type_name, field) -> None:
    parent_type = next(iter(CATALOG.objects[type_name].parent_types), None)
    parents = {
        "project": PROJECT,
        "global-system-config": ["default-global-system-config"],
        "virtual-network": [*PROJECT, "ip-fabric"],
        "routing-instance": [*PROJECT, "ip-fabric", "ip-fabric"],
    }
    if parent_type == "physical-router":
        parents["physical-router"] = ["default-global-system-config", "pr"]
        api.create("physical-router", fq_name=parents["physical-router"])
    network = [{"to": [*PROJECT, "default-virtual-network"]}]
    extra = {"virtual_network_refs": network} if "machine" in type_name else {}
    uuids = []
    for name in ("a", "b", "c"):
        if type_name == "tag":
            extra = {"tag_type_name": "label", "tag_value": name}
        fq_name = [*parents[parent_type], name]
        uuids.append(api.create(type_name, fq_name=fq_name, parent_type=parent_type, **extra))
    for source, target in zip(uuids, [*uuids[1:], uuids[0]], strict=True):
        body = {
            "type": type_name, "uuid": source, "ref-type": type_name, "ref-uuid": target,
            "operation": "ADD",
        }  # fmt: skip
        assert api.call("POST", "/ref-update", body).status == 200
    own = {**body, "ref-uuid": uuids[2], "uuid": uuids[2]}
    assert api.call("POST", "/ref-update", own).status < 500
    sound(api)
    for uuid in uuids:
        assert api.read(type_name, uuid)[field]
        assert api.call("DELETE", f"/{type_name}/{uuid}").status == 409
    for uuid in uuids:
        assert api.call("PUT", f"/{type_name}/{uuid}", {type_name: {field: []}}).status == 200
    for uuid in uuids:
        assert api.call("DELETE", f"/{type_name}/{uuid}").status == 200


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)  # fmt: skip
wild = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


def either(good):
    return st.integers(0, 5).flatmap(lambda dice: wild if dice == 0 else good)


@pytest.fixture(scope="module")
def world(fuzzed):
    """Tags, firewall objects in a drafted scope, an address group, a pool of integers."""
    made = {"nobody": NOBODY}
    made["network"] = fuzzed.network("hostile", fuzzed.subnet("10.1.0.0/24"))
    made["tag"] = fuzzed.create("tag", fq_name=["t"], tag_type_name="tier", tag_value="w")
    for kind in ("address-group", "service-group"):
        made[kind] = fuzzed.create(kind, fq_name=[*PROJECT, "h"], parent_type="project")
    made["firewall-rule"] = fuzzed.create(
        "firewall-rule", fq_name=[*PROJECT, "h"], parent_type="project", service={"protocol": "1"}
    )
    made["firewall-policy"] = fuzzed.create(
        "firewall-policy", fq_name=[*PROJECT, "h"], parent_type="project"
    )
    made["project"] = fuzzed.service.graph.uuid_of("project", tuple(PROJECT))
    mode = {"project": {"enable_security_policy_draft": True}}
    assert fuzzed.call("PUT", f"/project/{made['project']}", mode).status == 200
    return fuzzed, made


texts = st.sampled_from(
    ["w", "tier", "v4", "me", "add", "h", "global:tier=w", "10.1.0.9", "x" * 300]
)
KINDS = [
    "address-group", "service-group", "firewall-rule", "firewall-policy", "virtual-network", "tag",
    "project", "nothing",
]  # fmt: skip


@st.composite
def requests(draw):
    """An action, and a body with the members it knows; uuids are given by name of a made object."""
    uuid = either(st.sampled_from([
        "network", "tag", "address-group", "service-group", "firewall-rule", "firewall-policy",
        "project", "nobody",
    ]))  # fmt: skip
    kind = either(st.sampled_from(KINDS))
    number = either(st.integers(-1, 12))
    value = {"is_global": either(st.booleans()), "value": either(texts), "add_values": either(st.lists(texts, max_size=2))}  # fmt: skip
    shapes = {
        "chown": {"uuid": uuid, "owner": either(texts)},
        "chmod": {
            "uuid": uuid, "owner": either(texts), "owner_access": number, "global_access": number,
            "share": either(st.lists(st.fixed_dictionaries({"tenant": texts, "tenant_access": number}), max_size=2)),
        },
        "set-tag": {
            "obj_type": kind, "obj_uuid": uuid,
            "tier": either(st.fixed_dictionaries({}, optional=value)),
            "label": either(st.fixed_dictionaries({}, optional=value)),
        },
        "security-policy-draft": {
            "scope_uuid": uuid, "action": either(st.sampled_from(["commit", "discard"])),
        },
        "int-pools": {"pool": either(texts), "start": number, "end": number},
        "int-pool": {"pool": either(texts), "owner": either(texts), "value": number},
        "ref-update": {
            "type": kind, "uuid": uuid, "ref-type": kind, "ref-uuid": uuid, "attr": wild,
            "operation": either(st.sampled_from(["ADD", "DELETE"])),
        },
        "ref-relax-for-delete": {"uuid": uuid, "ref-uuid": uuid},
        "virtual-network/{network}/ip-alloc": {"count": number, "subnet": uuid, "family": either(texts)},
        "virtual-network/{network}/ip-free": {"ip_addr": either(st.lists(texts, max_size=3))},
        "virtual-network/{network}/subnet-ip-count": {"subnet_list": either(st.lists(texts))},
        "firewall-policys": {
            "firewall-policy": st.fixed_dictionaries({
                "fq_name": either(st.just([*PROJECT, "new"])), "parent_type": either(st.just("project")),
                "firewall_rule_refs": either(st.just([{"to": [*PROJECT, "h"]}])),
            }),
        },
        "firewall-rules": {
            "firewall-rule": st.fixed_dictionaries({
                "fq_name": either(st.just([*PROJECT, "new"])), "parent_type": either(st.just("project")),
                "service": either(st.fixed_dictionaries({"protocol": texts | st.just("tcp")})),
                "endpoint_1": either(st.fixed_dictionaries({"tags": either(st.lists(texts, max_size=2))})),
                "endpoint_2": either(st.fixed_dictionaries({"address_group": texts})),
            }),
        },
    }  # fmt: skip
    path = draw(st.sampled_from(sorted(shapes)))
    method = draw(st.sampled_from(["POST", "POST", "POST", "DELETE"])) if "int" in path else "POST"
    body = draw(either(st.fixed_dictionaries({}, optional=shapes[path])))
    return method, path, body


def filled(body, made):
    """Puts the uuids of made objects in place of their names."""
    if not isinstance(body, dict):
        return body
    members = ("uuid", "ref-uuid", "obj_uuid", "scope_uuid")
    return {
        name: made.get(value, value) if name in members and isinstance(value, str) else value
        for name, value in body.items()
    }


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests(), st.sampled_from(["firewall-rule", "firewall-policy", "address-group"]))
def test_no_action_is_answered_with_a_server_error_or_half_done(world, request_, edited) -> None:
    api, made = world
    method, path, body = request_
    before = api.service.revision

    reply = api.call(method, "/" + path.format(**made), filled(body, made))

    assert reply.status in {200, 202} or 400 <= reply.status < 500, reply.text
    if reply.status >= 400:
        assert reply.text
        assert api.service.revision == before
    change = {edited: {"display_name": "x"}}
    assert api.call("PUT", f"/{edited}/{made[edited]}", change).status in {200, 202, 404, 409}
    sound(api)


def together(api, *calls):
    async def all_at_once():
        return await asyncio.gather(*(api.acall(*call) for call in calls))

    return api.loop.run_until_complete(all_at_once())


def test_of_writers_of_one_name_one_wins(api) -> None:
    body = {"virtual-network": {"fq_name": [*PROJECT, "n"], "parent_type": "project"}}

    replies = together(api, *[("POST", "/virtual-networks", body)] * 20)

    assert sorted(reply.status for reply in replies) == [200] + [409] * 19
    (won,) = [reply.json["virtual-network"]["uuid"] for reply in replies if reply.status == 200]
    assert all(won in reply.text for reply in replies if reply.status == 409)
    sound(api)


def test_a_reference_and_the_deletion_of_its_target_never_both_happen(api) -> None:
    for turn in range(20):
        network = api.network(f"n{turn}")
        policy = create(api, "network-policy", f"p{turn}").json["network-policy"]["uuid"]
        add = {
            "type": "virtual-network", "uuid": network, "ref-type": "network-policy",
            "ref-uuid": policy, "operation": "ADD",
        }  # fmt: skip
        calls = [("POST", "/ref-update", add), ("DELETE", f"/network-policy/{policy}")]

        first, second = together(api, *(calls if turn % 2 else calls[::-1]))

        assert sorted((first.status, second.status)) in ([200, 404], [200, 409])
        sound(api)


def test_elements_that_many_writers_add_are_all_there(api) -> None:
    network = api.network("n")

    def add(number):
        value = {"key": f"k{number}", "value": "v"}
        update = {"field": "annotations", "operation": "set", "value": value}
        return ("POST", "/prop-collection-update", {"uuid": network, "updates": [update]})

    replies = together(api, *(add(number) for number in range(30)))

    assert {reply.status for reply in replies} == {200}
    pairs = api.read("virtual-network", network)["annotations"]["key_value_pair"]
    assert {pair["key"] for pair in pairs} == {f"k{number}" for number in range(30)}


def test_addresses_asked_for_at_once_go_to_one_each(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/28"))

    def ask(number):
        body = {
            "fq_name": [f"a{number}"], "virtual_network_refs": [{"uuid": network}],
            "instance_ip_address": f"10.0.0.{1 + number % 3}",
        }  # fmt: skip
        return ("POST", "/instance-ips", {"instance-ip": body})

    replies = together(api, *(ask(number) for number in range(9)))

    assert sorted(reply.status for reply in replies) == [200] * 3 + [409] * 6
