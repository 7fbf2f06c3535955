"""The native API's objects: strict bodies, preconditions, merge patch, apply, dry run, cascade."""

from __future__ import annotations

PROJECT = ["default-domain", "default-project"]
NETWORKS = "/api/v1/virtual-network"


def network(name: str, **members: object) -> dict:
    return {"fq_name": [*PROJECT, name], **members}


def policy(api, name: str) -> str:
    reply = api.call("POST", "/api/v1/network-policy", {"fq_name": [*PROJECT, name]})
    assert reply.status == 201, reply.text
    return reply.json["uuid"]


def by_name(name: str) -> str:
    return f"{NETWORKS}/by-name/{':'.join([*PROJECT, name])}"


def pointers(reply) -> list[str]:
    return [each["pointer"] for each in reply.json["errors"]]


def test_a_created_object_is_read_back_with_its_tag(api) -> None:
    made = api.call("POST", NETWORKS, network("red"))
    read = api.call("GET", made.headers["location"])

    assert made.status == 201
    assert read.json == made.json
    assert read.headers["etag"] == made.headers["etag"] == f'"{api.service.revision}"'
    assert api.call("GET", by_name("red")).json == read.json


def test_a_read_with_the_current_tag_says_not_modified(api) -> None:
    made = api.call("POST", NETWORKS, network("red"))

    reply = api.call("GET", made.headers["location"], if_none_match=made.headers["etag"])

    assert (reply.status, reply.body) == (304, b"")


def test_all_problems_are_told_at_once_with_pointers(api) -> None:
    body = network(
        "red",
        is_sharde=True,
        mtu=99999,
        virtual_network_properties={"forwarding_mode": "l9", "rpff": "enable"},
        network_policy_refs=[{"to": "nothing"}],
        href="x",
    )

    reply = api.call("POST", NETWORKS, body)

    assert reply.status == 400
    assert reply.headers["content-type"] == "application/problem+json"
    assert sorted(pointers(reply)) == [
        "/href",
        "/is_sharde",
        "/mtu",
        "/network_policy_refs/0",
        "/virtual_network_properties/forwarding_mode",
        "/virtual_network_properties/rpff",
    ]
    told = {each["pointer"]: each["detail"] for each in reply.json["errors"]}
    assert "Did you mean 'is_shared'?" in told["/is_sharde"]
    assert "Did you mean 'rpf'?" in told["/virtual_network_properties/rpff"]
    assert told["/mtu"].startswith("value must be between")


def test_an_unknown_target_is_named_with_the_nearest_one(api) -> None:
    policy(api, "web-to-db")
    body = network("red", network_policy_refs=[{"to": [*PROJECT, "web-to-bd"]}])

    reply = api.call("POST", NETWORKS, body)

    assert pointers(reply) == ["/network_policy_refs/0"]
    assert "Did you mean 'default-domain:default-project:web-to-db'?" in reply.text


def test_an_unknown_type_or_parameter_is_named_with_the_nearest_one(api) -> None:
    assert "'virtual-network'" in api.call("GET", "/api/v1/virtual-netwrok/x").json["detail"]
    assert "'dry_run'" in api.call("POST", NETWORKS + "?dryrun=true", network("n")).json["detail"]


def test_a_write_with_an_old_tag_is_refused(api) -> None:
    made = api.call("POST", NETWORKS, network("red"))
    place, tag = made.headers["location"], made.headers["etag"]
    first = api.call("PATCH", place, {"display_name": "a"}, if_match=tag)

    second = api.call("PATCH", place, {"display_name": "b"}, if_match=tag)

    assert (first.status, second.status) == (200, 412)
    assert second.json["current"] == first.headers["etag"]
    assert api.call("GET", place).json["display_name"] == "a"


def test_of_two_writers_in_one_batch_only_one_has_the_right_tag(api) -> None:
    made = api.call("POST", NETWORKS, network("red"))
    place, tag = made.headers["location"], made.headers["etag"]

    async def race():
        import asyncio

        return await asyncio.gather(
            *(
                api.acall("PATCH", place, {"display_name": name}, if_match=tag)
                for name in ("a", "b", "c")
            )
        )

    replies = api.loop.run_until_complete(race())

    assert sorted(reply.status for reply in replies) == [200, 412, 412]


def test_a_merge_patch_changes_members_deeply_and_null_removes(api) -> None:
    made = api.call(
        "POST",
        NETWORKS,
        network(
            "red", mtu=9000, virtual_network_properties={"rpf": "enable", "allow_transit": True}
        ),
    )

    reply = api.call(
        "PATCH",
        made.headers["location"],
        {"mtu": None, "virtual_network_properties": {"rpf": None, "forwarding_mode": "l3"}},
        content_type="application/merge-patch+json",
    )

    assert "mtu" not in reply.json
    properties = reply.json["virtual_network_properties"]
    assert {k: v for k, v in properties.items() if k != "vxlan_network_identifier"} == {
        "allow_transit": True,
        "forwarding_mode": "l3",
    }


def test_put_replaces_what_users_set_and_keeps_what_the_server_fills_in(api) -> None:
    made = api.call("POST", NETWORKS, network("red", mtu=9000))

    reply = api.call("PUT", made.headers["location"], network("red", is_shared=True))

    assert reply.json["is_shared"] is True
    assert "mtu" not in reply.json
    number = "virtual_network_network_id"
    assert reply.json[number] == made.json[number]


def test_what_was_read_can_be_put_back_unchanged(api) -> None:
    made = api.call("POST", NETWORKS, network("red", mtu=9000))

    reply = api.call("PUT", made.headers["location"], made.json)

    assert reply.headers["x-skytrail-result"] == "unchanged"
    assert reply.headers["etag"] == made.headers["etag"]


def test_identity_cannot_be_changed(api) -> None:
    made = api.call("POST", NETWORKS, network("red"))

    reply = api.call("PATCH", made.headers["location"], {"fq_name": ["x"], "uuid": "y"})

    assert pointers(reply) == ["/uuid", "/fq_name"]


def test_applying_twice_changes_nothing_the_second_time(api) -> None:
    reference = {"uuid": policy(api, "p"), "attr": {"sequence": {"major": 0, "minor": 0}}}
    body = {
        "mtu": 9000,
        "network_policy_refs": [reference],
        "annotations": {"key_value_pair": [{"key": "team", "value": "a"}]},
    }
    first = api.call("PUT", by_name("red"), body)
    revision = api.service.revision

    second = api.call("PUT", by_name("red"), body)

    assert (first.status, second.status) == (201, 200)
    assert second.headers["x-skytrail-result"] == "unchanged"
    assert api.service.revision == revision


def test_a_field_of_another_owner_is_a_conflict_unless_forced(api) -> None:
    api.call("PUT", by_name("red") + "?field_owner=terraform", {"mtu": 9000, "is_shared": True})

    same = api.call("PUT", by_name("red") + "?field_owner=ops", {"mtu": 9000})
    other = api.call("PUT", by_name("red") + "?field_owner=ops", {"mtu": 1400})
    forced = api.call("PUT", by_name("red") + "?field_owner=ops&force=true", {"mtu": 1400})
    back = api.call("PUT", by_name("red") + "?field_owner=terraform", {"mtu": 9000})

    assert same.status == 200
    assert (other.status, other.json["owners"], pointers(other)) == (409, ["terraform"], ["/mtu"])
    assert forced.json["mtu"] == 1400
    assert back.json["owners"] == ["ops"]


def test_two_owners_share_a_reference_list_and_a_map(api) -> None:
    p, q = policy(api, "p"), policy(api, "q")

    def of(uuid: str, key: str) -> dict:
        return {
            "network_policy_refs": [{"uuid": uuid}],
            "annotations": {"key_value_pair": [{"key": key, "value": "x"}]},
        }

    api.call("PUT", by_name("red") + "?field_owner=one", of(p, "a"))
    both = api.call("PUT", by_name("red") + "?field_owner=two", of(q, "b")).json
    left = api.call("PUT", by_name("red") + "?field_owner=one", {}).json

    assert [each["uuid"] for each in both["network_policy_refs"]] == [p, q]
    assert [each["uuid"] for each in left["network_policy_refs"]] == [q]
    assert [each["key"] for each in left["annotations"]["key_value_pair"]] == ["b"]


def test_a_field_no_longer_applied_goes_and_others_stay(api) -> None:
    made = api.call("PUT", by_name("red"), {"mtu": 9000, "is_shared": True})
    api.call("PATCH", f"{NETWORKS}/{made.json['uuid']}", {"flood_unknown_unicast": True})

    left = api.call("PUT", by_name("red"), {"mtu": 9000}).json

    assert left["mtu"] == 9000
    assert "is_shared" not in left
    assert left["flood_unknown_unicast"] is True


def test_field_owners_survive_a_restart(api) -> None:
    api.call("PUT", by_name("red") + "?field_owner=terraform", {"mtu": 9000})

    later = api.restarted()
    reply = later.call("PUT", by_name("red") + "?field_owner=ops", {"mtu": 1400})
    later.close()

    assert reply.json["owners"] == ["terraform"]


def test_a_dry_run_tells_every_change_and_makes_none(api) -> None:
    before = api.service.revision

    reply = api.call("POST", NETWORKS + "?dry_run=true", network("red"))

    assert (reply.status, api.service.revision) == (200, before)
    assert [(each["op"], each["type"]) for each in reply.json["changes"]] == [
        ("create", "virtual-network"),
        ("create", "routing-instance"),
    ]
    assert api.call("GET", by_name("red")).status == 404


def test_a_dry_run_of_a_patch_shows_the_fields(api) -> None:
    made = api.call("POST", NETWORKS, network("red", mtu=9000))

    reply = api.call("PATCH", made.headers["location"] + "?dry_run=true", {"mtu": 1400})

    assert reply.json["changes"][0]["fields"] == [{"path": "/mtu", "from": 9000, "to": 1400}]


def test_a_cascade_may_go_along_with_what_it_refers_to(api) -> None:
    """A project refers to its own default policy set."""
    project = api.create("project", fq_name=["default-domain", "doomed"])
    name = ["default-domain", "doomed", "net"]
    inside = api.create("virtual-network", fq_name=name, parent_type="project")

    done = api.call("DELETE", f"/api/v1/project/{project}?cascade=true")

    assert done.status == 200, done.text
    assert api.call("GET", f"/virtual-network/{inside}").status == 404


def test_a_cascade_takes_along_what_is_in_the_way_and_can_be_previewed(api) -> None:
    uuid = api.network("red", api.subnet("10.0.0.0/24"))
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "port"],
        parent_type="project",
        virtual_network_refs=[{"uuid": uuid}],
    )
    api.create(
        "instance-ip",
        fq_name=["address"],
        virtual_network_refs=[{"uuid": uuid}],
        virtual_machine_interface_refs=[{"uuid": port}],
    )

    refused = api.call("DELETE", f"{NETWORKS}/{uuid}")
    preview = api.call("DELETE", f"{NETWORKS}/{uuid}?cascade=true&dry_run=true")
    done = api.call("DELETE", f"{NETWORKS}/{uuid}?cascade=true")

    assert refused.status == 409
    gone = {each["type"] for each in preview.json["changes"] if each["op"] == "delete"}
    assert gone == {
        "instance-ip",
        "virtual-machine-interface",
        "virtual-network",
        "routing-instance",
    }
    assert done.status == 200
    assert api.call("GET", f"/api/v1/virtual-machine-interface/{port}").status == 404


def test_a_transaction_mixes_names_patches_applies_and_preconditions(api) -> None:
    made = api.call("POST", NETWORKS, network("red"))
    operations = [
        {"op": "apply", "type": "network-policy", "object": {"fq_name": [*PROJECT, "p"]}},
        {
            "op": "patch",
            "type": "virtual-network",
            "name": [*PROJECT, "red"],
            "if_match": made.headers["etag"],
            "object": {"network_policy_refs": [{"to": [*PROJECT, "p"]}]},
        },
    ]

    first = api.call("POST", "/api/v1/transaction", {"operations": operations})
    second = api.call("POST", "/api/v1/transaction", {"operations": operations})

    assert [each["result"] for each in first.json["results"]] == ["created", "changed"]
    assert (second.status, second.json["operation"]) == (412, 1)


def test_pointers_of_a_transaction_lead_into_the_operation(api) -> None:
    operations = [{"op": "create", "type": "virtual-network", "object": network("n", mtuu=1)}]

    reply = api.call("POST", "/api/v1/transaction", {"operations": operations})

    assert pointers(reply) == ["/operations/0/object/mtuu"]


def test_a_cascade_takes_a_project_whose_own_ipam_gives_addresses_in_use(api) -> None:
    home = ["default-domain", "red"]
    subnet = {"subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}}
    net, port = [*home, "net"], [*home, "port"]
    for kind, body in (
        ("project", {"fq_name": home, "parent_type": "domain"}),
        ("network-ipam", {"fq_name": [*home, "ipam"], "parent_type": "project"}),
        ("virtual-network", {
            "fq_name": net, "parent_type": "project",
            "network_ipam_refs": [{"to": [*home, "ipam"], "attr": {"ipam_subnets": [subnet]}}],
        }),
        ("virtual-machine-interface", {
            "fq_name": port, "parent_type": "project", "virtual_network_refs": [{"to": net}],
        }),
        ("instance-ip", {
            "fq_name": ["address"], "virtual_network_refs": [{"to": net}],
            "virtual_machine_interface_refs": [{"to": port}],
        }),
    ):  # fmt: skip
        reply = api.call("POST", f"/api/v1/{kind}", body)
        assert reply.status == 201, reply.text
    project = api.call("GET", "/api/v1/project/by-name/default-domain:red").json["uuid"]

    reply = api.call("DELETE", f"/api/v1/project/{project}?cascade=true")

    assert reply.status in {200, 204}, reply.text
    assert api.call("GET", "/api/v1/instance-ip").json["items"] == []
