"""Quotas hold for every type users see, counted inside the transaction."""

from __future__ import annotations

import asyncio

import pytest

from skytrail.model.catalog import CATALOG

HOME = ["default-domain", "small"]
NEEDY = {"virtual-machine-interface", "bgp-as-a-service"}
COUNTED = sorted(
    name
    for name, each in CATALOG.objects.items()
    if "project" in each.parents and name not in NEEDY
)


def body(type_name: str, name: str) -> dict:
    return {
        type_name: {"fq_name": [*HOME, name], "parent_type": "project", **EXTRA.get(type_name, {})}
    }


ENDS = {"endpoint_1": {"any": True}, "endpoint_2": {"any": True}}
EXTRA = {
    "firewall-rule": {"service": {"protocol": "any"}, **ENDS},
    "tag": {"tag_type_name": "tier", "tag_value": "t"},
}


@pytest.fixture(scope="module")
def served(fuzzed):
    quota = dict.fromkeys((name.replace("-", "_") for name in COUNTED), 0)
    known = CATALOG.types["QuotaType"].fields
    quota = {name: limit for name, limit in quota.items() if name in known} | {"defaults": 0}
    fuzzed.create("project", fq_name=HOME, quota=quota)
    return fuzzed


@pytest.mark.parametrize("type_name", COUNTED)
def test_a_full_project_takes_no_more_of_any_type(served, type_name) -> None:
    before = served.service.revision

    reply = served.call("POST", f"/{type_name}s", body(type_name, "one"))

    kind = type_name.replace("-", "_")
    assert (reply.status, reply.text) == (412, f"quota limit (0) exceeded for resource {kind}")
    assert served.service.revision == before


def rules(count: int, first: int = 1) -> dict:
    local, world = {"security_group": "local"}, {"security_group": "any"}
    rule = {"protocol": "tcp", "src_addresses": [world], "dst_addresses": [local]}
    return {
        "policy_rule": [
            {**rule, "dst_ports": [{"start_port": port, "end_port": port}]}
            for port in range(first, first + count)
        ]
    }


def group(api, name: str, count: int):
    content = {
        "fq_name": [*HOME, name], "parent_type": "project",
        "security_group_entries": rules(count),
    }  # fmt: skip
    return api.call("POST", "/security-groups", {"security-group": content})


def test_security_rules_are_counted_over_all_groups_of_the_project(api) -> None:
    api.create("project", fq_name=HOME, quota={"security_group_rule": 3})

    first, second = group(api, "a", 2), group(api, "b", 2)
    fits = group(api, "c", 1)
    uuid = fits.json["security-group"]["uuid"]

    def put(entries):
        content = {"security-group": {"security_group_entries": entries}}
        return api.call("PUT", f"/security-group/{uuid}", content).status

    assert first.status == fits.status == 200
    assert (second.status, second.text) == (412, "security_group_entries: 3")
    assert put(rules(2)) == 412
    assert put(rules(1, first=9)) == 200


def test_a_lowered_quota_refuses_more_but_not_edits_and_less(api) -> None:
    project = api.create("project", fq_name=HOME)
    uuid = group(api, "a", 3).json["security-group"]["uuid"]
    api.call("PUT", f"/project/{project}", {"project": {"quota": {"security_group_rule": 1}}})

    def put(count):
        content = {"security-group": {"security_group_entries": rules(count, first=50)}}
        return api.call("PUT", f"/security-group/{uuid}", content).status

    assert [put(4), put(3), put(2), put(3)] == [412, 200, 200, 412]


def test_what_users_do_not_see_does_not_count(api) -> None:
    api.create("project", fq_name=HOME, quota={"virtual_network": 1})

    def create(name, **members):
        content = {"fq_name": [*HOME, name], "parent_type": "project", **members}
        return api.call("POST", "/virtual-networks", {"virtual-network": content}).status

    hidden = {"id_perms": {"enable": True, "user_visible": False}}
    assert create("h1", **hidden) == create("h2", **hidden) == 200
    assert [create("a"), create("b")] == [200, 412]
    assert create("h3", **hidden) == 200


def test_a_project_gets_its_default_objects_whatever_its_quota(api) -> None:
    project = api.create("project", fq_name=HOME, quota={"defaults": 0})

    assert api.read("project", project)["application_policy_sets"]


def test_concurrent_creates_cannot_exceed_a_quota(api) -> None:
    api.create("project", fq_name=HOME, quota={"virtual_network": 3})

    async def all_at_once():
        calls = (
            api.acall("POST", "/virtual-networks", body("virtual-network", f"n{i}"))
            for i in range(10)
        )
        return [reply.status for reply in await asyncio.gather(*calls)]

    statuses = api.loop.run_until_complete(all_at_once())

    assert sorted(statuses) == [200] * 3 + [412] * 7
