"""Ports of bare-metal servers come into port groups by their bindings."""

from __future__ import annotations

import json

import pytest

from skytrail.api.caller import Caller

PROJECT = ["default-domain", "default-project"]
SYSTEM = ["default-global-system-config"]


@pytest.fixture
def fabric(api):
    uuid = api.create("fabric", fq_name=[*SYSTEM, "f"], parent_type="global-system-config")
    for device in ("leaf1", "leaf2"):
        api.create("physical-router", fq_name=[*SYSTEM, device], fabric_refs=[{"uuid": uuid}])
        for port in ("xe-0/0/1", "xe-0/0/2"):
            api.create(
                "physical-interface", fq_name=[*SYSTEM, device, port], parent_type="physical-router"
            )
    for name in ("red", "blue"):
        api.network(name)
    return uuid


def link(device, port="xe-0/0/1", **more):
    return {"switch_info": device, "port_id": port, **more}


def bindings(*links, **more):
    pairs = {"vnic_type": "baremetal", "profile": json.dumps({"local_link_information": links})}
    return {"key_value_pair": [{"key": k, "value": v} for k, v in (pairs | more).items()]}


def plug(api, name, given, network="red", **members):
    body = {
        "fq_name": [*PROJECT, name],
        "parent_type": "project",
        "virtual_network_refs": [{"to": [*PROJECT, network]}],
        "virtual_machine_interface_bindings": given,
        **members,
    }
    return api.call("POST", "/virtual-machine-interfaces", {"virtual-machine-interface": body})


def plugged(api, *arguments, **members):
    reply = plug(api, *arguments, **members)
    assert reply.status == 200, reply.text
    return reply.json["virtual-machine-interface"]["uuid"]


def tag(number):
    return {"virtual_machine_interface_properties": {"sub_interface_vlan_tag": number}}


def groups(api):
    listed = api.call("GET", "/virtual-port-groups?detail=true").json["virtual-port-groups"]
    return [each["virtual-port-group"] for each in listed]


def members(group):
    return [each["uuid"] for each in group.get("virtual_machine_interface_refs", [])]


def test_a_group_is_made_of_the_switch_ports_and_goes_with_its_last_interface(api, fabric) -> None:
    first = plugged(api, "a", bindings(link("leaf1"), link("leaf2")), **tag(10))
    second = plugged(api, "b", bindings(link("leaf1"), link("leaf2")), network="blue", **tag(20))

    (made,) = groups(api)
    assert made["fq_name"] == [*SYSTEM, "f", "vpg-internal-0"]
    assert made["virtual_port_group_user_created"] is False
    assert members(made) == [first, second]
    assert {each["to"][1]: each["attr"] for each in made["physical_interface_refs"]} == {
        "leaf1": {"ae_num": 0}, "leaf2": {"ae_num": 0},
    }  # fmt: skip

    assert api.call("DELETE", f"/virtual-machine-interface/{first}").status == 200
    assert [members(each) for each in groups(api)] == [[second]]
    assert api.call("DELETE", f"/virtual-machine-interface/{second}").status == 200
    assert groups(api) == []
    assert not list(api.service.graph.numbers.pool("virtual-port-group-id"))


def test_the_group_of_the_ports_or_the_one_named_is_used(api, fabric) -> None:
    port = api.service.graph.uuid_of("physical-interface", (*SYSTEM, "leaf1", "xe-0/0/1"))
    made = api.create(
        "virtual-port-group", fq_name=[*SYSTEM, "f", "mine"], parent_type="fabric",
        physical_interface_refs=[{"uuid": port}],
    )  # fmt: skip

    by_port = plugged(api, "a", bindings(link("leaf1")), **tag(10))
    by_name = plugged(api, "b", bindings(link("leaf1"), vpg="mine"), network="blue", **tag(11))

    assert [(each["uuid"], members(each)) for each in groups(api)] == [(made, [by_port, by_name])]
    for uuid in (by_port, by_name):
        assert api.call("DELETE", f"/virtual-machine-interface/{uuid}").status == 200
    assert [each["uuid"] for each in groups(api)] == [made]


def test_an_interface_moves_with_its_bindings_and_leaves_without(api, fabric) -> None:
    uuid = plugged(api, "a", bindings(link("leaf1")))

    def bind(given):
        body = {"virtual-machine-interface": {"virtual_machine_interface_bindings": given}}
        return api.call("PUT", f"/virtual-machine-interface/{uuid}", body)

    assert bind(bindings(link("leaf2", "xe-0/0/2"))).status == 200
    (moved,) = groups(api)
    assert [each["to"] for each in moved["physical_interface_refs"]] == [
        [*SYSTEM, "leaf2", "xe-0/0/2"]
    ]
    assert members(moved) == [uuid]
    assert bind({"key_value_pair": [{"key": "vnic_type", "value": "normal"}]}).status == 200
    assert groups(api) == []


def test_native_and_tagged_vlans_of_a_group_differ(api, fabric) -> None:
    plugged(api, "a", bindings(link("leaf1"), tor_port_vlan_id="10"))

    clash = plug(api, "b", bindings(link("leaf1")), network="blue", **tag(10))
    untagged = plug(api, "b", bindings(link("leaf1"), tor_port_vlan_id="11"), network="blue")
    elsewhere = plug(api, "b", bindings(link("leaf2"), tor_port_vlan_id="10"), network="blue")

    assert [clash.status, untagged.status, elsewhere.status] == [400, 400, 400]
    assert "VLAN 10 is used by two interfaces" in clash.text
    assert "VLAN 10 carries another network" in elsewhere.text
    assert len(groups(api)) == 1
    assert plug(api, "b", bindings(link("leaf2"), tor_port_vlan_id="10")).status == 200


@pytest.mark.parametrize(
    ("given", "status", "text"),
    [
        (
            bindings(link("leaf9")),
            404,
            "Physical interface ['default-global-system-config', 'leaf9'",
        ),
        (bindings(link("leaf1", fabric="g")), 404, "Fabric g of local_link_information not found"),
        (bindings(link("leaf1"), vpg="none"), 404, "Vpg object none is not found"),
        (bindings(link("leaf1"), profile="{"), 400, "Invalid binding profile: "),
        (bindings(link("leaf1"), profile='{"local_link_information": 7}'), 400, "Invalid binding"),
        (bindings({"switch_info": "leaf1"}), 400, "Invalid binding profile: "),
        (bindings(link("leaf1"), tor_port_vlan_id="x"), 400, "Invalid binding tor_port_vlan_id: "),
        (bindings(link("leaf1"), tor_port_vlan_id="5000"), 400, "Invalid binding tor_port_vlan_id"),
        (bindings(*[link("leaf1")] * 65), 400, "Invalid binding profile: more than 64 links"),
    ],
)
def test_bindings_that_lead_nowhere_are_refused_and_nothing_stays(
    api, fabric, given, status, text
) -> None:
    reply = plug(api, "a", given)

    assert (reply.status, reply.text[: len(text)]) == (status, text)
    assert groups(api) == []
    listed = api.call("GET", "/virtual-machine-interfaces?count=true").json
    assert listed["virtual-machine-interfaces"]["count"] == 0


def test_a_profile_without_links_is_no_attachment(api, fabric) -> None:
    plugged(api, "a", bindings(profile="{}"))
    plugged(api, "b", bindings(profile=""))

    assert groups(api) == []


def test_a_tenant_cannot_take_a_switch_port_it_may_not_refer_to(api, fabric) -> None:
    tenant = "2b2ee9a5-6a4c-4f0d-9a1f-0d6c7a4c2f11"
    system = api.service.graph.uuid_of("global-system-config", tuple(SYSTEM))
    rules = [{"rule_object": "*", "rule_perms": [{"role_name": "*", "role_crud": "CRUD"}]}]
    api.create(
        "api-access-list", fq_name=[*SYSTEM, "open"], parent_type="global-system-config",
        api_access_list_entries={"rbac_rule": rules},
    )  # fmt: skip
    project = api.service.graph.uuid_of("project", tuple(PROJECT))
    for uuid in (project, api.service.graph.uuid_of("virtual-network", (*PROJECT, "red"))):
        assert api.call("POST", "/chown", {"uuid": uuid, "owner": tenant}).status == 200
    assert system is not None
    api.call("PUT", "/aaa-mode", {"aaa-mode": "rbac"})
    caller = Caller(user="t", project=tenant, roles=frozenset({"member"}))

    with api.as_caller(caller):
        refused = plug(api, "a", bindings(link("leaf1")))
        plain = plug(api, "a", {"key_value_pair": []})

    assert plain.status == 200, plain.text
    assert refused.status in {403, 404}
    assert groups(api) == []


def open_to(api, tenant):
    """Let members do everything their objects' permissions allow; return the tenant."""
    api.create(
        "api-access-list", fq_name=[*SYSTEM, "open"], parent_type="global-system-config",
        api_access_list_entries={
            "rbac_rule": [
                {"rule_object": "*", "rule_perms": [{"role_name": "*", "role_crud": "CRUD"}]}
            ]
        },
    )  # fmt: skip
    owned = [
        api.service.graph.uuid_of("project", tuple(PROJECT)),
        api.service.graph.uuid_of("virtual-network", (*PROJECT, "red")),
        api.service.graph.uuid_of("physical-interface", (*SYSTEM, "leaf1", "xe-0/0/1")),
    ]
    for uuid in owned:
        assert api.call("POST", "/chown", {"uuid": uuid, "owner": tenant}).status == 200
    api.call("PUT", "/aaa-mode", {"aaa-mode": "rbac"})
    return Caller(user="t", project=tenant, roles=frozenset({"member"}))


def test_fabrics_and_groups_of_others_are_to_a_tenant_as_if_there_were_none(api, fabric) -> None:
    """What a tenant may not know of is answered like a name nobody has, whatever it names."""
    made = api.create(
        "virtual-port-group", fq_name=[*SYSTEM, "f", "mine"], parent_type="fabric",
    )  # fmt: skip
    other = api.create("fabric", fq_name=[*SYSTEM, "secret"], parent_type="global-system-config")
    private = {"owner_access": 7, "global_access": 0, "share": [], "owner": "cloud-admin"}
    for uuid in (made, other):
        assert api.call("POST", "/chmod", {"uuid": uuid, **private}).status == 200
    caller = open_to(api, "2b2ee9a5-6a4c-4f0d-9a1f-0d6c7a4c2f11")

    def answers(*names, profile):
        with api.as_caller(caller):
            replies = [plug(api, "a", profile(name)) for name in names]
        return [(each.status, each.text.replace(name, "NAME"))
                for each, name in zip(replies, names, strict=True)]  # fmt: skip

    by_group = answers("mine", "none", profile=lambda n: bindings(link("leaf1"), vpg=n))
    by_fabric = answers(
        "secret", "none", profile=lambda n: bindings({**link("leaf1"), "fabric": n})
    )

    assert by_group[0] == by_group[1]
    assert by_fabric[0] == by_fabric[1]
    assert {by_group[0][0], by_fabric[0][0]} == {404}
    assert members(groups(api)[0]) == []
