"""What members leave to administrators, and to who may write a network: at every door to the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skytrail.api.authorize import MODE_NOTE, NO_AUTH
from skytrail.model.catalog import CATALOG
from skytrail.model.catalog_types import Guard

from .two_tenants import Tenants

ROOT = Path(__file__).parents[3]
VN, VMI, LR = "virtual-network", "virtual-machine-interface", "logical-router"
OWN = ["default-domain", "red", "x"]
STATIC = {
    "traffic_direction": "both",
    "mirror_to": {
        "nh_mode": "static", "juniper_header": False, "udp_port": 4789,
        "static_nh_header": {"vtep_dst_ip_address": "192.0.2.9", "vni": 7},
    },
}  # fmt: skip
COLLECTOR = {
    "traffic_direction": "both",
    "mirror_to": {"analyzer_name": "mine", "analyzer_ip_address": "192.0.2.9", "udp_port": 8099},
}
TARGETS = {"route_target": ["target:64999:1"]}


def mirror(how):
    return {"virtual_machine_interface_properties": {"interface_mirror": how}}


def binding(key, value):
    return {
        "virtual_machine_interface_bindings": {"key_value_pair": [{"key": key, "value": value}]}
    }


def term(community):
    update = {"extcommunity": {"add": {"community": [community]}}}
    return {"routing_policy_entries": {"term": [{"term_action_list": {"update": update, "action": "accept"}}]}}  # fmt: skip


def policy(action):
    rule = {
        "direction": ">", "protocol": "any", "ethertype": "IPv4",
        "src_addresses": [{"virtual_network": "any"}], "dst_addresses": [{"virtual_network": "any"}],
        "src_ports": [{"start_port": -1, "end_port": -1}], "dst_ports": [{"start_port": -1, "end_port": -1}],
        "action_list": {"simple_action": "pass", **action},
    }  # fmt: skip
    return {"network_policy_entries": {"policy_rule": [rule]}}


SAID = {
    "fabric_snat": (VN, {"fabric_snat": True}),
    "is_provider_network": (VN, {"is_provider_network": True}),
    "router_external": (VN, {"router_external": True}),
    "provider_properties": (VN, {"provider_properties": {"physical_network": "x", "segmentation_id": 5}}),
    "virtual_network_category": (VN, {"virtual_network_category": "infra"}),
    "virtual_network_routed_properties": (VN, {"virtual_network_routed_properties": {"shared_across_all_lrs": True}}),
    "route_target_list": (VN, {"route_target_list": TARGETS}),
    "import_route_target_list": (VN, {"import_route_target_list": TARGETS}),
    "export_route_target_list": (VN, {"export_route_target_list": TARGETS}),
    "virtual_network_properties.vxlan_network_identifier": (VN, {"virtual_network_properties": {"vxlan_network_identifier": 77}}),
    "configured_route_target_list": (LR, {"configured_route_target_list": TARGETS}),
    "vxlan_network_identifier": (LR, {"vxlan_network_identifier": "78"}),
    "logical_router_gateway_external": (LR, {"logical_router_gateway_external": True}),
    "route_target_list ": ("bgpvpn", {"route_target_list": TARGETS}),
    "virtual_machine_interface_bindings.host_id": (VMI, binding("host_id", "compute-1")),
    "virtual_machine_interface_bindings.profile": (VMI, binding("profile", "{}")),
    "virtual_machine_interface_bindings.vif_details": (VMI, binding("vif_details", "{}")),
    "virtual_machine_interface_disable_policy": (VMI, {"virtual_machine_interface_disable_policy": True}),
    "virtual_machine_interface_properties.interface_mirror.mirror_to.static_nh_header": (VMI, mirror(STATIC)),
    "virtual_machine_interface_properties.interface_mirror.mirror_to.analyzer_ip_address": (VMI, mirror(COLLECTOR)),
    "network_policy_entries.policy_rule[].action_list.mirror_to.static_nh_header": ("network-policy", policy({"mirror_to": STATIC["mirror_to"]})),
    "routing_policy_entries.term[].term_action_list.update.extcommunity": ("routing-policy", term("target:64512:8000001")),
    "configured_security_group_id": ("security-group", {"configured_security_group_id": 9}),
    "dscp_entries": ("qos-config", {"qos_config_type": "project", "dscp_entries": {"qos_id_forwarding_class_pair": [{"key": 1, "forwarding_class_id": 3}]}}),
    "default_forwarding_class_id": ("qos-config", {"qos_config_type": "project", "default_forwarding_class_id": 3}),
    "telemetry_profile_is_default": ("telemetry-profile", {"telemetry_profile_is_default": True}),
}  # fmt: skip
"""By what the refusal names: a type with what only administrators say of it."""
NEEDED = {"security-group": {"security_group_entries": {"policy_rule": []}}}


@pytest.fixture
def tenants(api) -> Tenants:
    return Tenants(api)


def body_of(tenants, kind, said):
    links = {"virtual_network_refs": [{"uuid": tenants.network}]} if kind == VMI else {}
    return {"fq_name": OWN, "parent_type": "project", **links, **NEEDED.get(kind, {}), **said}


def plain(said):
    """The same members as a client sends them that leaves the guarded value out."""
    return dict.fromkeys(said)


def doors(api, kind, uuid, said):
    """Every way to write members of an object that is there."""
    whole = api.call("PUT", f"/{kind}/{uuid}", {kind: said})
    patched = api.call("PATCH", f"/api/v1/{kind}/{uuid}", said)
    operation = {"op": "update", "type": kind, "uuid": uuid, "object": said}
    together = api.call("POST", "/api/v1/transaction", {"operations": [operation]})
    planned = api.call("POST", "/api/v1/transaction?dry_run=true", {"operations": [operation]})
    return [whole, patched, together, planned]


@pytest.mark.parametrize("place", SAID)
def test_member_says_it_at_no_door(tenants, place):
    kind, said = SAID[place]
    api, named = tenants.api, place.strip()
    body = body_of(tenants, kind, said)
    create = {"op": "create", "type": kind, "object": body}
    with api.as_caller(tenants.red):
        before = api.service.revision
        replies = [
            api.call("POST", f"/{kind}s", {kind: body}),
            api.call("POST", f"/api/v1/{kind}", body),
            api.call("POST", "/api/v1/transaction", {"operations": [create]}),
        ]
        assert api.service.revision == before
        made = api.call("POST", f"/{kind}s", {kind: body_of(tenants, kind, {})})
        assert made.status == 200, made.text
        uuid = made.json[kind]["uuid"]
        before = api.service.revision
        replies += doors(api, kind, uuid, said)

        assert [each.status for each in replies] == [403] * 7, [each.text for each in replies]
        assert all(
            f"{named} of a {kind} is written by administrators" in each.text for each in replies
        )
        assert api.service.revision == before


@pytest.mark.parametrize("place", SAID)
def test_member_writes_back_what_an_administrator_said(tenants, place):
    kind, said = SAID[place]
    api = tenants.api
    with api.as_caller(tenants.red):
        uuid = api.create(kind, **body_of(tenants, kind, {}))
    assert api.call("PUT", f"/{kind}/{uuid}", {kind: said}).status == 200
    with api.as_caller(tenants.red):
        read = api.read(kind, uuid)
        read.pop("security_group_id", None)  # The server's own; a chosen one is out of its range.
        whole = api.call("PUT", f"/{kind}/{uuid}", {kind: {**read, "display_name": "mine"}})
        dropped = api.call("PUT", f"/{kind}/{uuid}", {kind: plain(said)})

    assert whole.status == 200, whole.text
    # What is one of many, or under a key, may go; it reaches nobody then.
    assert dropped.status == (200 if "[]" in place or "bindings." in place else 403), dropped.text


def test_what_means_nothing_is_anybody_s_to_say(tenants):
    nothing = {
        "fabric_snat": False, "is_provider_network": False, "router_external": False,
        "virtual_network_category": "tenant", "route_target_list": {"route_target": []},
        "import_route_target_list": None, "provider_properties": None,
        "virtual_network_properties": {"forwarding_mode": "l2_l3", "vxlan_network_identifier": None},
    }  # fmt: skip
    router = {"logical_router_gateway_external": False, "configured_route_target_list": {}}

    with tenants.api.as_caller(tenants.red):
        network = tenants.make(VN, "red", "n", **nothing)
        tenants.make(LR, "red", "r", **router)
        changed = tenants.api.call("PUT", f"/{VN}/{network}", {VN: nothing})

    assert changed.status == 200, changed.text


def test_nothing_changes_where_nobody_is_asked(tenants):
    tenants.api.service.graph.memory[MODE_NOTE] = NO_AUTH

    with tenants.api.as_caller(tenants.red):
        tenants.make(VN, "red", "n", fabric_snat=True, route_target_list=TARGETS)


def test_member_copies_to_his_own_analyzer(tenants):
    inside = {
        **COLLECTOR["mirror_to"],
        "routing_instance": "default-domain:red:secret-net:secret-net",
    }

    with tenants.api.as_caller(tenants.red):
        said = mirror({"traffic_direction": "both", "mirror_to": inside})
        reply = tenants.api.call("PUT", f"/{VMI}/{tenants.port}", {VMI: said})

    assert reply.status == 200, reply.text


def test_member_joins_a_vpn_that_is_shared_with_him(tenants):
    """Route targets are an operator's to give: as a VPN, which networks and routers refer to."""
    api = tenants.api
    vpn = api.create("bgpvpn", fq_name=["default-domain", "default-project", "wan"],
                     parent_type="project", import_route_target_list=TARGETS)  # fmt: skip
    join = {VN: {"bgpvpn_refs": [{"uuid": vpn}]}}
    with api.as_caller(tenants.red):
        assert api.call("PUT", f"/{VN}/{tenants.network}", join).status == 400

    tenants.share("bgpvpn", vpn, 5)

    with api.as_caller(tenants.red):
        assert api.call("PUT", f"/{VN}/{tenants.network}", join).status == 200
        more = api.call("PUT", f"/bgpvpn/{vpn}", {"bgpvpn": {"route_target_list": TARGETS}})
    assert more.status == 403


def test_element_by_element_and_by_reference_it_is_the_same(tenants):
    api = tenants.api
    fabric = ["default-domain", "default-project", "ip-fabric"]
    fabric_uuid = api.service.graph.uuid_of(VN, tuple(fabric))
    share = {VN: {"perms2": {"owner": "cloud-admin", "global_access": 5}}}
    assert api.call("PUT", f"/{VN}/{fabric_uuid}", share).status == 200
    edit = {"type": VN, "uuid": tenants.network, "ref-type": VN, "ref-uuid": fabric_uuid,
            "operation": "ADD", "attr": None}  # fmt: skip
    host = {"field": "virtual_machine_interface_bindings", "operation": "set",
            "value": {"key": "host_id", "value": "compute-1"}}  # fmt: skip
    target = {"field": "export_route_target_list", "operation": "add", "value": "target:64999:1"}
    with api.as_caller(tenants.red):
        replies = [
            api.call("POST", "/ref-update", edit),
            api.call("POST", "/prop-collection-update", {"uuid": tenants.port, "updates": [host]}),
            api.call(
                "POST", "/prop-collection-update", {"uuid": tenants.network, "updates": [target]}
            ),
        ]

    assert [each.status for each in replies] == [403] * 3, [each.text for each in replies]
    names = (
        "virtual_network_refs",
        "virtual_machine_interface_bindings.host_id",
        "export_route_target_list",
    )
    assert [name in each.text for name, each in zip(names, replies, strict=True)] == [True] * 3


def test_reverting_brings_back_nothing_that_was_not_the_member_s(tenants):
    api = tenants.api
    path = f"/{VN}/{tenants.network}"
    assert api.call("PUT", path, {VN: {"fabric_snat": True}}).status == 200
    assert api.call("PUT", path, {VN: {"fabric_snat": False}}).status == 200
    last = api.service.revision

    with api.as_caller(tenants.red):
        reply = api.call("POST", f"/api/v1/history/{last}/revert")

    assert reply.status in {403, 404}, reply.text
    assert api.read(VN, tenants.network).get("fabric_snat") is not True


def test_member_gives_himself_no_rights(tenants):
    """Lists of his project could add to what the installation's allow, or drop what they keep."""
    entries = {
        "rbac_rule": [{"rule_object": "*", "rule_perms": [{"role_name": "*", "role_crud": "CRUD"}]}]
    }
    body = {"fq_name": ["default-domain", "red", "mine"], "parent_type": "project",
            "api_access_list_entries": entries}  # fmt: skip
    narrow = tenants.api.create(
        "api-access-list", **{**body, "fq_name": ["default-domain", "red", "kept"]}
    )

    with tenants.api.as_caller(tenants.red):
        replies = [
            tenants.api.call("POST", "/api-access-lists", {"api-access-list": body}),
            tenants.api.call("DELETE", f"/api-access-list/{narrow}"),
        ]

    assert [each.status for each in replies] == [403, 403]


def test_member_names_no_dns_server_of_others(tenants):
    """Names of his workloads would be written into it, and its names read."""
    api = tenants.api
    zone = {"domain_name": "red.example", "dynamic_records_from_client": True, "record_order": "fixed",
            "default_ttl_seconds": 60}  # fmt: skip
    server = api.create("virtual-DNS", fq_name=["default-domain", "blue"], parent_type="domain",
                        virtual_DNS_data=zone)  # fmt: skip
    managed = {"network_ipam_mgmt": {
        "ipam_dns_method": "virtual-dns-server",
        "ipam_dns_server": {"virtual_dns_server_name": "default-domain:blue"},
    }}  # fmt: skip
    body = {"fq_name": ["default-domain", "blue", "i"], "parent_type": "project", **managed}
    with api.as_caller(tenants.blue):
        refused = api.call("POST", "/network-ipams", {"network-ipam": body})
    tenants.share("virtual-DNS", server, 5)
    with api.as_caller(tenants.blue):
        shared = api.call("POST", "/network-ipams", {"network-ipam": body})

    assert (refused.status, "virtual-DNS default-domain:blue" in refused.text) == (403, True)
    assert shared.status == 200, shared.text


# What is about a network that others share.

PAIRS = {"virtual_machine_interface_allowed_address_pairs": {"allowed_address_pair": [
    {"ip": {"ip_prefix": "10.9.0.1", "ip_prefix_len": 32}, "address_mode": "active-standby"}]}}  # fmt: skip


@pytest.fixture
def guest(tenants):
    """Blue's port in a network that red shares."""
    with tenants.api.as_caller(tenants.red):
        tenants.share(VN, tenants.network, 5)
    with tenants.api.as_caller(tenants.blue):
        return tenants.make(VMI, "blue", "guest", virtual_network_refs=[{"uuid": tenants.network}])


def said_of_ports(tenants):
    with tenants.api.as_caller(tenants.blue):
        table = tenants.make("interface-route-table", "blue", "t", interface_route_table_routes={
            "route": [{"prefix": "10.9.0.0/24"}]})  # fmt: skip
    return [
        PAIRS,
        {"port_security_enabled": False},
        {"interface_route_table_refs": [{"uuid": table}]},
    ]


def test_guest_claims_nothing_in_a_network_of_others(tenants, guest):
    api = tenants.api
    for said in said_of_ports(tenants):
        with api.as_caller(tenants.blue):
            reply = api.call("PUT", f"/{VMI}/{guest}", {VMI: said})
            own = tenants.make(VN, "blue", f"own-{next(iter(said))}")
            port = tenants.make(
                VMI, "blue", next(iter(said)), virtual_network_refs=[{"uuid": own}], **said
            )
            moved = api.call(
                "PUT",
                f"/{VMI}/{port}",
                {VMI: {"virtual_network_refs": [{"uuid": tenants.network}]}},
            )
        assert (reply.status, moved.status) == (403, 403), (reply.text, moved.text)
        assert next(iter(said)) in reply.text
        assert "default-domain:red:secret-net" in reply.text
        by_operator = api.call("PUT", f"/{VMI}/{guest}", {VMI: said})
        assert by_operator.status == 200, by_operator.text
        with api.as_caller(tenants.blue):
            read = api.read(VMI, guest)
            assert (
                api.call("PUT", f"/{VMI}/{guest}", {VMI: {**read, "display_name": "x"}}).status
                == 200
            )
            assert api.call("PUT", f"/{VMI}/{guest}", {VMI: plain(said)}).status == 200


@pytest.mark.parametrize("kind", [LR, "bgp-as-a-service"])
def test_guest_leads_no_routes_into_a_network_of_others(tenants, guest, kind):
    """A router joins the networks of its ports; a speaker tells routes to all in its port's network."""
    api = tenants.api
    more = {"autonomous_system": 64999} if kind == "bgp-as-a-service" else {}
    refs = {"virtual_machine_interface_refs": [{"uuid": guest}]}
    body = {"fq_name": ["default-domain", "blue", "r"], "parent_type": "project", **more}
    with api.as_caller(tenants.blue):
        created = api.call("POST", f"/{kind}s", {kind: {**body, **refs}})
        own = tenants.make(VN, "blue", "own")
        port = tenants.make(VMI, "blue", "own", virtual_network_refs=[{"uuid": own}])
        uuid = api.create(kind, **body, virtual_machine_interface_refs=[{"uuid": port}])
        edit = {
            "type": kind,
            "uuid": uuid,
            "ref-type": VMI,
            "ref-uuid": guest,
            "operation": "ADD",
            "attr": None,
        }
        linked = api.call("POST", "/ref-update", edit)
        place = {"virtual_network_refs": [{"uuid": tenants.network}]}
        moved = api.call("PUT", f"/{VMI}/{port}", {VMI: place})

    assert [each.status for each in (created, linked, moved)] == [403] * 3, [
        created.text,
        linked.text,
        moved.text,
    ]
    assert "virtual_machine_interface_refs" in created.text
    assert kind in moved.text


def test_console_and_reference_know_every_guard():
    """One table in the model: what it guards is in the console's copy of it."""
    told = json.loads((ROOT / "console/src/generated/model.json").read_text(encoding="utf-8"))
    for entry in CATALOG.objects.values():
        for member in (*entry.properties.values(), *entry.references.values()):
            group = "references" if member.name.endswith("_refs") else "properties"
            guard = told["objects"][entry.name][group][member.name].get("guard")
            assert (guard is None) == (member.guard is None), member.name
    assert CATALOG.objects["virtual-network"].properties["fabric_snat"].guard == Guard(
        by="administrators"
    )
