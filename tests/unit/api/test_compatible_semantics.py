"""The wire contract of creates, reads, updates, deletes, lists and actions."""

from __future__ import annotations

import re

import pytest

PROJECT = ["default-domain", "default-project"]
BAD = "Bad property in create: Error validating property"


def test_home_page_lists_every_type_and_only_what_is_there(api) -> None:
    page = api.call("GET", "/").json

    assert page["href"] == "http://api.test:8082"
    links = [entry["link"] for entry in page["links"]]
    collections = {link["name"] for link in links if link["rel"] == "collection"}
    assert len(collections) == len(api.service.schema.resources)
    actions = {link["name"] for link in links if link["rel"] == "action"}
    assert "ref-update" in actions
    assert "execute-job" not in actions
    assert api.call("POST", "/execute-job", {}).status == 501


def test_create_reply_names_the_parent_and_root_objects_have_none(api) -> None:
    network = api.call(
        "POST", "/virtual-networks", {"virtual-network": {"fq_name": [*PROJECT, "n"], "uuid": None}}
    ).json["virtual-network"]
    machine = api.call("POST", "/virtual-machines", {"virtual-machine": {"fq_name": ["m"]}}).json[
        "virtual-machine"
    ]

    assert network["parent_type"] == "project"
    assert network["parent_href"].startswith("http://api.test:8082/project/")
    assert re.fullmatch(r"[0-9a-f-]{14}4[0-9a-f-]{21}", network["uuid"])
    assert "parent_uuid" not in machine


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "Bad Request, no fq_name in POST body"),
        ({"fq_name": ["a", "b", "x:y"]}, 400, "Bad Request, name has one of invalid chars"),
        ({"fq_name": ["a", "b", "x\u0001"]}, 400, "Bad Request, name has illegal xml characters"),
        (
            {"fq_name": ["no", "where", "n"]},
            400,
            "Parent ['no', 'where'] type project does not exist",
        ),
        (
            {"fq_name": ["x", "y"], "parent_type": "domain"},
            400,
            "Invalid parent type: domain. Allowed types: ['project']",
        ),
        (
            {"fq_name": ["n"], "parent_type": "project"},
            400,
            "Invalid fq-name for object with parent_type project: ['n']",
        ),
        ({"fq_name": [*PROJECT, "n"], "uuid": "X"}, 400, "Invalid UUID format: X"),
        (
            {"fq_name": [*PROJECT, "n"], "is_shared": "maybe"},
            400,
            f"{BAD} is_shared: true/false expected instead of maybe",
        ),
        (
            {"fq_name": [*PROJECT, "n"], "mtu": 99999},
            400,
            f"{BAD} mtu: value must be between",
        ),
        (
            {"fq_name": [*PROJECT, "n"], "virtual_network_properties": {"nope": 1}},
            400,
            f"{BAD} virtual_network_properties value {{'nope': 1}} class VirtualNetworkType does",
        ),
        (
            {"fq_name": [*PROJECT, "n"], "mtu": " 1_500"},
            400,
            f"{BAD} mtu: integer value expected instead of  1_500",
        ),
        (
            {"fq_name": [*PROJECT, "n"], "display_name": "a\u0001"},
            400,
            f"{BAD} display_name: value has illegal xml characters",
        ),
        (
            {"fq_name": [*PROJECT, "n"], "route_target_list": "target:1:1"},
            400,
            f"{BAD} route_target_list value target:1:1 class RouteTargetList expects an object",
        ),
        (
            {
                "fq_name": [*PROJECT, "n"],
                "network_policy_refs": [{"to": ["a", "b", "c"], "attr": {"sequence": 1}}],
            },
            400,
            (
                "Bad reference in create: Error validating reference network_policy_refs value "
                "{'sequence': 1} class SequenceType expects an object instead of 1"
            ),
        ),
        (
            {"fq_name": [*PROJECT, "n"], "network_policy_refs": [{"to": ["a", "b", "c"]}]},
            400,
            "Unknown reference in resource create {'to': ['a', 'b', 'c']}.",
        ),
        (
            {"fq_name": [*PROJECT, "n"], "virtual_network_network_id": 7},
            403,
            "Cannot set the virtual network ID",
        ),
    ],
)
def test_create_refusals_have_the_contract_texts(api, body, status, text) -> None:
    before = api.service.revision

    reply = api.call("POST", "/virtual-networks", {"virtual-network": body})

    assert (reply.status, reply.text[: len(text)]) == (status, text)
    assert reply.headers["content-type"] == "text/html; charset=UTF-8"
    assert api.service.revision == before


@pytest.mark.parametrize("path", ["/virtual-networks?filters=<script>1</script>", "/<script>"])
def test_what_a_refusal_quotes_is_run_by_no_browser(api, path) -> None:
    """The contract has refusals as HTML, of the origin that serves the console."""
    reply = api.call("GET", path)

    assert "<script>" in reply.text
    assert reply.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_an_empty_list_in_place_of_a_value_counts_as_not_given(api) -> None:
    uuid = api.network("n", mtu="1500", route_target_list=[])
    assert (api.read("virtual-network", uuid)["mtu"]) == 1500

    body = {"virtual-network": {"mtu": []}}
    assert api.call("PUT", f"/virtual-network/{uuid}", body).status == 200

    assert not {"mtu", "route_target_list"} & api.read("virtual-network", uuid).keys()


def test_a_second_object_of_the_same_name_or_uuid_is_a_conflict(api) -> None:
    uuid = api.network("n")

    same_name = api.call(
        "POST", "/virtual-networks", {"virtual-network": {"fq_name": [*PROJECT, "n"]}}
    )
    same_uuid = api.call(
        "POST", "/virtual-networks", {"virtual-network": {"fq_name": [*PROJECT, "m"], "uuid": uuid}}
    )

    assert same_name.text == f"{[*PROJECT, 'n']} already exists with uuid: {uuid}"
    assert same_uuid.text == f"{uuid} already exists with fq_name: {[*PROJECT, 'n']}"
    assert same_name.status == same_uuid.status == 409


def test_unknown_fields_are_accepted_and_named_in_a_warning(api) -> None:
    reply = api.call(
        "POST", "/virtual-networks", {"virtual-network": {"fq_name": [*PROJECT, "n"], "colour": 1}}
    )

    assert reply.status == 200
    assert "colour" in reply.headers["warning"]


def test_reads_show_and_hide_what_is_asked(api) -> None:
    network = api.network("n")
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "p"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network}],
    )

    whole = api.read("virtual-network", network)
    bare = api.read("virtual-network", network, "?exclude_back_refs=True&exclude_children=True")
    named = api.read("virtual-network", network, "?fields=routing_instances,display_name")
    unlinked = api.read("virtual-network", network, "?exclude_hrefs")

    assert whole["virtual_machine_interface_back_refs"][0]["uuid"] == port
    assert whole["routing_instances"][0]["to"] == [*PROJECT, "n", "n"]
    assert "routing_instances" not in bare
    assert bare["network_ipam_refs"][0]["href"].startswith("http://api.test:8082/network-ipam/")
    assert set(named) == {
        "uuid", "fq_name", "name", "parent_type", "parent_uuid", "parent_href", "href",
        "id_perms", "perms2", "display_name", "routing_instances",
    }  # fmt: skip
    assert "href" not in unlinked
    assert "href" not in unlinked["network_ipam_refs"][0]
    assert None not in whole.values()


def test_an_unchanged_object_is_not_sent_again(api) -> None:
    network = api.network("n")
    etag = api.call("GET", f"/virtual-network/{network}").headers["etag"]

    again = api.call("GET", f"/virtual-network/{network}", if_none_match=etag)
    api.call("PUT", f"/virtual-network/{network}", {"virtual-network": {"display_name": "x"}})
    after = api.call("GET", f"/virtual-network/{network}", if_none_match=etag)

    assert (again.status, again.body) == (304, b"")
    assert after.status == 200


def test_reading_by_the_wrong_type_or_an_unknown_uuid_is_not_found(api) -> None:
    network = api.network("n")
    nobody = "00000000-0000-4000-8000-000000000000"

    assert (
        api.call("GET", f"/project/{network}").text == f"No project object found for id {network}"
    )
    assert api.call("GET", f"/project/{nobody}").text == f"Unknown id: {nobody}"
    assert api.call("DELETE", f"/project/{nobody}").text == f"ID {nobody} does not exist"


def test_update_replaces_present_removes_null_and_keeps_absent(api) -> None:
    network = api.network("n", is_shared=True, mtu=1400)

    reply = api.call(
        "PUT",
        f"/virtual-network/{network}",
        {"virtual-network": {"mtu": None, "display_name": "d", "fq_name": ["ignored"]}},
    )

    assert reply.json["virtual-network"]["uuid"] == network
    read = api.read("virtual-network", network)
    assert (read["is_shared"], read["display_name"], read["fq_name"][-1]) == (True, "d", "n")
    assert "mtu" not in read
    assert api.call("PUT", f"/virtual-network/{network}", {}).body == b""


def test_perms2_update_needs_an_owner_and_merges(api) -> None:
    network = api.network("n")

    bad = api.call(
        "PUT", f"/virtual-network/{network}", {"virtual-network": {"perms2": {"global_access": 5}}}
    )
    good = {"virtual-network": {"perms2": {"owner": "me", "global_access": 5}}}
    api.call("PUT", f"/virtual-network/{network}", good)

    assert (bad.status, bad.text) == (400, "owner in perms2 must be present")
    assert api.read("virtual-network", network)["perms2"] == {
        "owner": "me", "owner_access": 7, "global_access": 5, "share": [],
    }  # fmt: skip


def test_children_block_a_delete_before_references_do(api) -> None:
    network = api.network("n")
    pool = api.create(
        "floating-ip-pool", fq_name=[*PROJECT, "n", "fip"], parent_type="virtual-network"
    )
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "p"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network}],
    )
    base = "http://api.test:8082"

    first = api.call("DELETE", f"/virtual-network/{network}")
    api.call("DELETE", f"/floating-ip-pool/{pool}")
    second = api.call("DELETE", f"/virtual-network/{network}")
    api.call("DELETE", f"/virtual-machine-interface/{port}")
    third = api.call("DELETE", f"/virtual-network/{network}")

    children = [f"{base}/floating-ip-pool/{pool}"]
    assert first.text == f"Delete when children still present: {children}"
    referrers = [f"{base}/virtual-machine-interface/{port}"]
    assert second.text == f"Delete when resource still referred: {referrers}"
    assert (third.status, third.body) == (200, b"")
    assert not [r for r in api.service.graph.of_type("routing-instance") if "n" in r.fq_name]


def test_system_objects_are_protected(api) -> None:
    fabric = next(r for r in api.service.graph.of_type("virtual-network") if r.name == "ip-fabric")
    network = api.network("n")
    (instance,) = api.read("virtual-network", network)["routing_instances"]

    assert api.call("DELETE", f"/virtual-network/{fabric.uuid}").text == (
        f"Can not delete system created default virtual-network {fabric.uuid}"
    )
    refusal = api.call("DELETE", f"/routing-instance/{instance['uuid']}")
    name = ":".join([*PROJECT, "n", "n"])
    assert (refusal.status, refusal.text) == (
        409,
        f"Cannot modify system resource Routing Instance {name}({instance['uuid']})",
    )


def test_a_relaxed_reference_no_longer_blocks_and_goes_with_its_target(api) -> None:
    table = api.create("route-table", fq_name=[*PROJECT, "t"])
    network = api.network("n", route_table_refs=[{"uuid": table}])
    assert api.call("DELETE", f"/route-table/{table}").status == 409

    api.call("POST", "/ref-relax-for-delete", {"uuid": network, "ref-uuid": table})

    assert api.call("DELETE", f"/route-table/{table}").status == 200
    assert "route_table_refs" not in api.read("virtual-network", network)


def test_ref_update_adds_replaces_and_drops(api) -> None:
    network = api.network("n")
    policy = api.create("network-policy", fq_name=[*PROJECT, "p"])
    request = {
        "type": "virtual_network", "uuid": network, "ref-type": "network_policy_refs",
        "ref-fq-name": [*PROJECT, "p"], "ref-uuid": None, "operation": "add",
        "attr": {"sequence": {"major": 1, "minor": 0}},
    }  # fmt: skip

    assert api.call("POST", "/ref-update", request).json == {"uuid": network}
    request["attr"] = {"sequence": {"major": 2, "minor": 0}}
    api.call("POST", "/ref-update", request)

    (item,) = api.read("virtual-network", network)["network_policy_refs"]
    assert (item["uuid"], item["attr"]["sequence"]["major"]) == (policy, 2)
    (back,) = api.read("network-policy", policy)["virtual_network_back_refs"]
    assert (back["uuid"], back["attr"]) == (network, item["attr"])
    request["operation"] = "DELETE"
    assert api.call("POST", "/ref-update", request).status == 200
    assert api.call("POST", "/ref-update", request).status == 200
    assert "network_policy_refs" not in api.read("virtual-network", network)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"operation": None}, "Bad Request: type/uuid/ref-type/operation is null"),
        ({"operation": "X"}, "Bad Request: operation should be add or delete: X"),
        ({"ref-fq-name": None}, "Bad Request: ref-uuid or ref-fq-name must be specified"),
        ({"ref-fq-name": ["q"]}, "Name ['q'] not found"),
    ],
)
def test_ref_update_refusals(api, change, text) -> None:
    request = {
        "type": "virtual-network", "uuid": api.network("n"), "ref-type": "network-policy",
        "ref-fq-name": ["a"], "operation": "ADD", **change,
    }  # fmt: skip

    assert api.call("POST", "/ref-update", request).text.startswith(text)


def test_list_elements_keep_their_positions(api) -> None:
    network = api.network("n", route_target_list={"route_target": ["target:1:1", "target:1:2"]})

    def update(*updates: dict):
        return api.call("POST", "/prop-collection-update", {"uuid": network, "updates": updates})

    def elements() -> list:
        reply = api.call("GET", f"/prop-collection-get?uuid={network}&fields=route_target_list")
        return reply.json["route_target_list"]

    assert elements() == [["target:1:1", "0"], ["target:1:2", "1"]]
    field = {"field": "route_target_list"}
    added = {**field, "operation": "add", "value": "target:1:3", "position": "x"}
    assert (update(added).status, update(added).body) == (200, b"")
    update({**field, "operation": "delete", "position": "0"})
    update({**field, "operation": "modify", "value": "target:1:9", "position": "1"})
    assert elements() == [["target:1:9", "1"], ["target:1:3", "x"]]
    mixed = update({**field, "operation": "delete", "position": "1"}, {**field, "operation": "no"})
    assert mixed.status == 400
    assert len(elements()) == 2
    assert update({"field": "mtu", "operation": "add", "value": 1}).text.startswith(
        'mtu neither "ListProperty" nor "MapProperty"'
    )
    restarted = api.restarted()
    again = restarted.call("GET", f"/prop-collection-get?uuid={network}&fields=route_target_list")
    assert again.json["route_target_list"] == [["target:1:9", "1"], ["target:1:3", "x"]]
    restarted.close()


def test_notes_are_stored_listed_and_dropped(api) -> None:
    def note(operation: str, key: object, value: object = None):
        return api.call(
            "POST", "/useragent-kv", {"operation": operation, "key": key, "value": value}
        )

    note("STORE", "k/1", "v")

    assert note("RETRIEVE", "k/1").json == {"value": "v"}
    assert note("RETRIEVE", None).json == {"value": [{"key": "k/1", "value": "v"}]}
    note("DELETE", "k/1")
    assert (note("RETRIEVE", "k/1").status, note("X", "k").status) == (404, 404)


def test_lists_take_every_selection(api) -> None:
    one = api.network("one", is_shared=True)
    two = api.network("two")
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "p"],
        parent_type="project",
        virtual_network_refs=[{"uuid": two}],
    )
    project = api.read("virtual-network", one)["parent_uuid"]

    def names(query: str) -> list[str]:
        reply = api.call("GET", f"/virtual-networks?{query}")
        assert reply.status == 200, reply.text
        return [item["fq_name"][-1] for item in reply.json["virtual-networks"]]

    assert names("filters=is_shared==true") == ["one"]
    assert names('filters=display_name=="one",display_name==two') == ["one", "two"]
    assert names("filters=nothing==1") == names("")
    assert names(f"obj_uuids={one},{two},{project}") == ["one", "two"]
    assert names(f"fq_names={':'.join(PROJECT)}:one,a:b:c") == ["one"]
    assert names(f"parent_id={project}")[-2:] == ["one", "two"]
    assert names(f"parent_fq_name_str={':'.join(PROJECT)}")[-2:] == ["one", "two"]
    assert names(f"parent_id={two}") == []
    assert api.call("GET", "/virtual-networks?filters=a").status == 400
    ports = api.call("GET", f"/virtual-machine-interfaces?back_ref_id={two}").json
    assert [item["uuid"] for item in ports["virtual-machine-interfaces"]] == [port]
    counted = api.call("GET", "/virtual-networks?count=true&filters=is_shared==true").json
    assert counted == {"virtual-networks": {"count": 1}}


def test_detail_and_fields_decide_what_a_list_item_shows(api) -> None:
    one = api.network("one", mtu=1400)

    plain = api.call(
        "GET", f"/virtual-networks?obj_uuids={one}&fields=mtu&fields=display_name"
    ).json
    detail = api.call("GET", f"/virtual-networks?obj_uuids={one}&detail=True").json
    more = api.call(
        "GET", f"/virtual-networks?obj_uuids={one}&detail=true&fields=routing_instances"
    ).json

    item = plain["virtual-networks"][0]
    assert set(item) == {"uuid", "fq_name", "href", "mtu", "display_name"}
    whole = detail["virtual-networks"][0]["virtual-network"]
    assert whole["mtu"] == 1400
    assert "routing_instances" not in whole
    expanded = more["virtual-networks"][0]["virtual-network"]
    assert set(expanded) == {*whole, "routing_instances"}


def test_pages_cover_the_list_exactly_once_even_when_the_marker_goes(api) -> None:
    uuids = {api.network(f"n{index}") for index in range(7)}
    seen: list[str] = []
    marker = "None"
    while marker:
        reply = api.call("GET", f"/virtual-networks?page_marker={marker}&page_limit=2").json
        seen += [item["uuid"] for item in reply["virtual-networks"]]
        marker = reply["marker"]
        if len(seen) == 6:
            api.call("DELETE", f"/virtual-network/{seen[-1]}")

    assert len(seen) == len(set(seen))
    assert uuids <= set(seen)
    assert api.call("GET", "/virtual-networks?page_limit=x").status == 400


def test_paths_are_found_in_any_case(api) -> None:
    assert api.call("GET", "/virtual-dnss").json == {"virtual-DNSs": []}
    reply = api.call(
        "POST",
        "/virtual-dnss",
        {
            "virtual-dns": {
                "fq_name": ["default-domain", "d"],
                "virtual_DNS_data": {"domain_name": "x.y"},
            }
        },
    )
    assert "virtual-DNS" in reply.json


def test_unknown_paths_and_methods(api) -> None:
    missing = api.call("GET", "/nothing-here")

    assert (missing.status, missing.text) == (404, "Not found: '/nothing-here'")
    assert api.call("PATCH", "/virtual-networks").text == "Method not allowed."
    assert api.call("GET", "/ref-update").status == 405


def test_tags_are_named_after_type_and_value(api) -> None:
    tag = api.create("tag", fq_name=["whatever"], tag_type_name="tier", tag_value="web")
    own = api.create("tag", fq_name=["x"], tag_type_name="colour", tag_value="red")

    read = api.read("tag", tag)
    assert (read["fq_name"], read["display_name"]) == (["tier=web"], "tier=web")
    assert read["tag_id"].startswith("0x0002")
    assert api.read("tag", own)["tag_type_refs"][0]["to"] == ["colour"]
    api.call("DELETE", f"/tag/{own}")
    assert not [r for r in api.service.graph.of_type("tag-type") if r.name == "colour"]


def test_quota_is_held(api) -> None:
    project = api.create(
        "project", fq_name=["default-domain", "small"], quota={"virtual_network": 1}
    )
    body = {"fq_name": ["default-domain", "small", "a"], "parent_type": "project"}
    api.create("virtual-network", **body)

    body["fq_name"] = ["default-domain", "small", "b"]
    reply = api.call("POST", "/virtual-networks", {"virtual-network": body})

    assert (reply.status, reply.text) == (
        412,
        "quota limit (1) exceeded for resource virtual_network",
    )
    assert api.read("project", project)["application_policy_set_refs"]


def test_quota_counts_subnets_rules_and_referring_objects(api) -> None:
    quota = {"subnet": 1, "security_group_rule": 1, "floating_ip": 1}
    home = ["default-domain", "small"]
    project = api.create("project", fq_name=home, quota=quota)
    rule = {
        "direction": ">", "protocol": "any", "src_addresses": [{"security_group": "local"}],
    }  # fmt: skip
    entries = {"policy_rule": [rule, {**rule, "protocol": "tcp"}]}
    group = {"fq_name": [*home, "g"], "security_group_entries": entries}
    subnets = [api.subnet("10.0.0.0/24"), api.subnet("10.0.1.0/24")]
    network = {
        "fq_name": [*home, "n"],
        "network_ipam_refs": [
            {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": subnets}}
        ],
    }
    public = api.network("public", api.subnet("192.0.2.0/24"))
    api.create("floating-ip-pool", fq_name=[*PROJECT, "public", "p"])

    def floating(name: str):
        body = {
            "fq_name": [*PROJECT, "public", "p", name],
            "parent_type": "floating-ip-pool",
            "project_refs": [{"uuid": project}],
        }
        return api.call("POST", "/floating-ips", {"floating-ip": body})

    too_many_rules = api.call("POST", "/security-groups", {"security-group": group})
    too_many_subnets = api.call("POST", "/virtual-networks", {"virtual-network": network})
    addresses = [floating("a"), floating("b")]

    assert (too_many_rules.status, too_many_rules.text) == (412, "security_group_entries: 1")
    assert (too_many_subnets.status, too_many_subnets.text) == (
        412,
        "quota limit (1) exceeded for resource subnet",
    )
    assert [reply.status for reply in addresses] == [200, 412]
    assert public


def test_a_hostile_host_header_does_not_reach_the_body(api) -> None:
    network = api.network("n")

    reply = api.call("GET", f"/virtual-network/{network}", host='evil","x":"')

    assert reply.json["virtual-network"]["href"] == f"http://localhost/virtual-network/{network}"


def test_no_text_is_mistaken_for_the_place_of_a_link(api) -> None:
    forged = "\\u0000base\\u0000 \\\\u0000base\\\\u0000 @@base@@"
    network = api.network("n", display_name=forged)

    assert api.read("virtual-network", network)["display_name"] == forged
    body = {"fq_name": [*PROJECT, "m"], "display_name": "\0base\0"}
    assert api.call("POST", "/virtual-networks", {"virtual-network": body}).status == 400
