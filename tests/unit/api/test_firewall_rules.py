"""Tag-based firewall objects: endpoints, services, scope, and what the server computes."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]
GLOBAL = ["default-policy-management"]
ANY = {"protocol": "any"}


def post(api, type_name, parent, name, **members):
    parent_type = "project" if parent == PROJECT else "policy-management"
    body = {"fq_name": [*parent, name], "parent_type": parent_type, **members}
    return api.call("POST", f"/{type_name}s", {type_name: body})


def rule(api, parent=PROJECT, name="r", **members):
    members.setdefault("service", ANY)
    return post(api, "firewall-rule", parent, name, **members)


def read(api, reply):
    assert reply.status == 200, reply.text
    ((kind, created),) = reply.json.items()
    return api.read(kind, created["uuid"])


@pytest.fixture
def tagged(api):
    scoped = api.create(
        "tag", fq_name=[*PROJECT, "t"], parent_type="project", tag_type_name="tier", tag_value="web"
    )
    world = api.create("tag", fq_name=["t"], tag_type_name="tier", tag_value="db")
    return api, scoped, world


def test_tags_of_endpoints_become_references_and_numbers(tagged) -> None:
    api, scoped, world = tagged

    made = read(
        api, rule(api, endpoint_1={"tags": ["tier=web", "global:tier=db"]}, endpoint_2={"any": True})
    )  # fmt: skip

    numbers = [int(api.read("tag", uuid)["tag_id"], 16) for uuid in (scoped, world)]
    assert made["endpoint_1"]["tag_ids"] == numbers
    assert {ref["uuid"] for ref in made["tag_refs"]} == {scoped, world}
    assert made["match_tag_types"] == {"tag_type": [1]}
    assert api.call("DELETE", f"/tag/{scoped}").status == 409


def test_references_follow_the_endpoints(tagged) -> None:
    api, scoped, _ = tagged
    network = api.network("n")
    text = ":".join([*PROJECT, "n"])
    uuid = read(
        api,
        rule(api, endpoint_1={"tags": ["tier=web"]}, endpoint_2={"virtual_network": text}),
    )["uuid"]
    assert api.read("firewall-rule", uuid)["virtual_network_refs"][0]["uuid"] == network

    body = {"endpoint_1": {"any": True}, "endpoint_2": {"any": True}}
    api.call("PUT", f"/firewall-rule/{uuid}", {"firewall-rule": body})

    after = api.read("firewall-rule", uuid)
    assert not {"tag_refs", "virtual_network_refs", "address_group_refs"} & after.keys()
    assert api.call("DELETE", f"/tag/{scoped}").status == 200


def test_address_groups_are_found_by_name(api) -> None:
    group = read(api, post(api, "address-group", PROJECT, "g"))["uuid"]

    made = read(api, rule(api, endpoint_1={"address_group": ":".join([*PROJECT, "g"])}))

    assert [ref["uuid"] for ref in made["address_group_refs"]] == [group]


def test_protocols_get_numbers(api) -> None:
    made = read(api, rule(api, service={"protocol": "TCP", "dst_ports": {"start_port": 1}}))
    services = {"firewall_service": [{"protocol": "17"}, {"protocol": "icmp6"}]}
    group = read(
        api,
        post(api, "service-group", PROJECT, "s", service_group_firewall_service_list=services),
    )

    assert made["service"]["protocol_id"] == 6
    found = group["service_group_firewall_service_list"]["firewall_service"]
    assert [each["protocol_id"] for each in found] == [17, 58]


def test_match_tags_become_type_numbers(api) -> None:
    made = read(api, rule(api, match_tags={"tag_list": ["tier", "Site"]}))

    assert made["match_tag_types"] == {"tag_type": [2, 4]}
    assert rule(api, name="x", match_tags={"tag_list": ["label"]}).status == 400
    assert rule(api, name="x", match_tags={"tag_list": ["nothing"]}).status == 404


@pytest.mark.parametrize(
    ("members", "status", "text"),
    [
        (
            {"endpoint_1": {"any": True, "tags": ["tier=web"]}},
            400,
            "Endpoint is limited to only one endpoint type at a time",
        ),
        ({"endpoint_1": {"tags": ["tier=none"]}}, 404, "Tag with FQName"),
        ({"endpoint_2": {"address_group": "a:b:c"}}, 404, "address-group a:b:c of the endpoint"),
        (
            {"endpoint_2": {"subnet": {"ip_prefix": "x", "ip_prefix_len": 24}}},
            400,
            "Invalid subnet",
        ),
        ({"service": {"protocol": "tpc"}}, 400, "Rule with invalid protocol : tpc"),
        ({"service": {"protocol": "256"}}, 400, "Rule with invalid protocol : 256"),
        (
            {"service": {"protocol": "tcp", "dst_ports": {"start_port": 9, "end_port": 5}}},
            400,
            "Service with invalid ports : 9-5",
        ),
        ({"service": None}, 400, "Firewall Rule requires at least Service or Service Group"),
        ({"tag_refs": [{"to": ["tier=db"]}]}, 400, "Cannot directly define Tags reference"),
        ({"draft_mode_state": "created"}, 400, "Security resource property 'draft_mode_state' is"),
    ],
)
def test_bad_rules_are_refused(tagged, members, status, text) -> None:
    api, _, _ = tagged
    before = api.service.revision

    reply = rule(api, **members)

    assert (reply.status, reply.text[: len(text)]) == (status, text)
    assert api.service.revision == before


def test_a_rule_has_a_service_or_service_groups(api) -> None:
    group = read(api, post(api, "service-group", PROJECT, "s"))["uuid"]
    groups = [{"uuid": group}]

    assert rule(api, service_group_refs=groups).text == (
        "Firewall Rule cannot have both defined Service Group and Service"
    )
    uuid = read(api, rule(api, service=None, service_group_refs=groups))["uuid"]
    body = {"firewall-rule": {"service": ANY, "service_group_refs": []}}
    assert api.call("PUT", f"/firewall-rule/{uuid}", body).status == 200


def test_global_objects_refer_to_global_ones_only(tagged) -> None:
    api, _, _ = tagged
    scoped = read(api, rule(api))["uuid"]
    world = read(api, rule(api, parent=GLOBAL))["uuid"]

    def policy(parent, target):
        refs = [{"uuid": target, "attr": {"sequence": "1"}}]
        return post(api, "firewall-policy", parent, f"p{target}", firewall_rule_refs=refs).status

    assert [policy(GLOBAL, scoped), policy(GLOBAL, world), policy(PROJECT, world)] == [
        400,
        200,
        200,
    ]
    assert rule(api, GLOBAL, "x", endpoint_1={"tags": ["tier=web"]}).status == 400
    assert rule(api, GLOBAL, "x", endpoint_1={"tags": ["global:tier=db"]}).status == 200


def test_read_and_written_back_a_rule_is_the_same(tagged) -> None:
    api, _, _ = tagged
    made = read(api, rule(api, endpoint_1={"tags": ["tier=web"]}))

    assert api.call("PUT", f"/firewall-rule/{made['uuid']}", {"firewall-rule": made}).status == 200

    again = api.read("firewall-rule", made["uuid"])
    assert {n: v for n, v in again.items() if n != "id_perms"} == {
        n: v for n, v in made.items() if n != "id_perms"
    }


@pytest.mark.parametrize(
    ("kind", "given", "status"),
    [
        ("tier", "0x00028001", 200),
        ("tier", "0x00020100", 400),
        ("tier", "0x00038001", 400),
        ("tier", "nonsense", 400),
        ("tier", "0x" + "f" * 400, 400),
        ("colour", "0x90008001", 200),
    ],
)
def test_users_choose_tag_numbers_from_their_own_range(api, kind, given, status) -> None:
    body = {"fq_name": ["t"], "tag_type_name": kind, "tag_value": "v", "tag_id": given}

    reply = api.call("POST", "/tags", {"tag": body})

    assert reply.status == status, reply.text
    if status == 200:
        assert read(api, reply)["tag_id"] == given
        again = {**body, "tag_value": "w"}
        assert api.call("POST", "/tags", {"tag": again}).status == 400
