"""Another tenant attacks: by id, by name, through references, lists, watches and transactions."""

from __future__ import annotations

import asyncio
import json

import pytest

from skytrail.api.authorize import MODE_NOTE
from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.io import watch
from skytrail.api.sight import Sight
from skytrail.model.derived_uuid import derived_uuid

from .two_tenants import SYSTEM, Tenants

NOWHERE = "deadbeef-0000-4000-8000-000000000000"


@pytest.fixture
def tenants(api) -> Tenants:
    return Tenants(api)


def as_blue(tenants: Tenants, method: str, target: str, body: object = None):
    with tenants.api.as_caller(tenants.blue):
        return tenants.api.call(method, target, body)


def same_as_unknown(tenants: Tenants, method: str, target: str, body: object, real: str) -> None:
    """The reply about a real object of another tenant is the one about a uuid nobody has."""
    told = as_blue(tenants, method, target, body)
    unknown = as_blue(
        tenants,
        method,
        target.replace(real, NOWHERE),
        None if body is None else json.loads(json.dumps(body).replace(real, NOWHERE)),
    )
    assert told.status == unknown.status >= 400
    assert told.text.replace(real, NOWHERE) == unknown.text


def test_objects_of_others_answer_like_unknown_ones(tenants) -> None:
    network, update = tenants.network, {"virtual-network": {"display_name": "mine"}}
    reference = {"type": "virtual-network", "uuid": network, "ref-type": "network-policy",
                 "ref-uuid": NOWHERE, "operation": "ADD", "attr": None}  # fmt: skip
    element = {"field": "annotations", "operation": "set", "value": {"key": "a", "value": "b"}}
    for method, target, body in (
        ("GET", f"/virtual-network/{network}", None),
        ("HEAD", f"/virtual-network/{network}", None),
        ("PUT", f"/virtual-network/{network}", update),
        ("DELETE", f"/virtual-network/{network}", None),
        ("POST", "/id-to-fqname", {"uuid": network}),
        ("POST", "/ref-update", reference),
        ("POST", "/ref-relax-for-delete", {"uuid": network, "ref-uuid": NOWHERE}),
        ("GET", f"/prop-collection-get?uuid={network}&fields=annotations", None),
        ("POST", "/prop-collection-update", {"uuid": network, "updates": [element]}),
        ("POST", f"/virtual-network/{network}/ip-alloc", {"count": 1}),
        ("POST", f"/virtual-network/{network}/ip-free", {"ip_addr": ["10.0.0.1"]}),
        ("POST", f"/virtual-network/{network}/subnet-ip-count", {"subnet_list": []}),
    ):
        same_as_unknown(tenants, method, target, body, network)


def test_a_transaction_is_no_way_round(tenants) -> None:
    for operation in (
        {"op": "update", "type": "virtual-network", "uuid": tenants.network, "object": {}},
        {"op": "delete", "type": "virtual-network", "uuid": tenants.network},
    ):
        same_as_unknown(
            tenants, "POST", "/api/v1/transaction", {"operations": [operation]}, tenants.network
        )
    below = {"op": "create", "type": "virtual-network",
             "object": {"fq_name": ["default-domain", "red", "x"]}}  # fmt: skip

    reply = as_blue(tenants, "POST", "/api/v1/transaction", {"operations": [below]})

    assert (reply.status, "does not exist" in reply.text) == (400, True)


def test_a_user_does_not_pass_as_the_compiler(tenants) -> None:
    made = {"op": "create", "type": "route-target", "object": {"fq_name": ["target:1:1"]}}

    reply = as_blue(
        tenants, "POST", "/api/v1/transaction", {"operations": [made], "derived_from": 1}
    )
    assert (reply.status, "derived_from" in reply.text) == (403, True)

    reply = as_blue(tenants, "POST", "/route-targets", {"route-target": made["object"]})
    assert reply.status == 403


def test_a_user_s_object_does_not_pass_as_one_of_the_compiler_s(tenants) -> None:
    """Hosts and compilers tell theirs by the uuid, and do what is written there."""
    name = ("source-nat-public-host",)
    taken = derived_uuid("virtual-machine", name)
    machine = {"fq_name": list(name), "uuid": taken}
    alone = as_blue(tenants, "POST", "/virtual-machines", {"virtual-machine": machine})
    operation = {"op": "create", "type": "virtual-machine", "object": machine}
    together = as_blue(tenants, "POST", "/api/v1/transaction", {"operations": [operation]})
    free = {**machine, "uuid": NOWHERE}

    for reply in (alone, together):
        assert (reply.status, "kept for what the compiler makes" in reply.text) == (403, True)
    assert as_blue(tenants, "POST", "/virtual-machines", {"virtual-machine": free}).status == 200
    tenants.api.create("virtual-machine", fq_name=["source-nat-x"],
                       uuid=derived_uuid("virtual-machine", ("source-nat-x",)))  # fmt: skip


def test_a_name_of_another_project_is_not_found(tenants) -> None:
    for name in ("secret-net", "nothing"):
        body = {"type": "virtual-network", "fq_name": ["default-domain", "red", name]}
        reply = as_blue(tenants, "POST", "/fqname-to-id", body)

        assert reply.status == 404
        assert reply.text == f"Name {body['fq_name']} not found"


def test_creating_below_another_project_tells_nothing_of_what_is_there(tenants) -> None:
    replies = []
    for name in ("secret-net", "nothing"):
        body = {"fq_name": ["default-domain", "red", name], "parent_type": "project"}
        reply = as_blue(tenants, "POST", "/virtual-networks", {"virtual-network": body})
        replies.append((reply.status, reply.text))

    assert replies[0] == replies[1]
    assert replies[0][0] == 400
    assert "does not exist" in replies[0][1]


def test_a_taken_uuid_does_not_tell_whose_it_is(tenants) -> None:
    body = {"fq_name": ["default-domain", "blue", "n"], "uuid": tenants.network}

    reply = as_blue(tenants, "POST", "/virtual-networks", {"virtual-network": body})

    assert (reply.status, reply.text) == (409, f"{tenants.network} already exists")


def test_references_do_not_reach_objects_of_others(tenants) -> None:
    name = ["default-domain", "blue", "port"]
    for target in ({"uuid": tenants.network}, {"to": ["default-domain", "red", "secret-net"]}):
        body = {"fq_name": name, "parent_type": "project", "virtual_network_refs": [target]}
        reply = as_blue(
            tenants, "POST", "/virtual-machine-interfaces", {"virtual-machine-interface": body}
        )
        assert reply.status == 400
        assert reply.text.startswith("Unknown reference in resource create")

    with tenants.api.as_caller(tenants.blue):
        mine = tenants.make("virtual-network", "blue", "net")
    for target in (
        {"ref-uuid": tenants.policy},
        {"ref-fq-name": ["default-domain", "red", "secret-policy"]},
    ):
        body = {"type": "virtual-network", "uuid": mine, "ref-type": "network-policy",
                "operation": "ADD", "attr": None, **target}  # fmt: skip
        assert as_blue(tenants, "POST", "/ref-update", body).status == 404


def test_references_do_not_reach_marks_and_queues_of_others(tenants) -> None:
    """Marks and queues are shares of the underlay: by uuid, by name, made, changed or linked."""
    qos = {"parent_type": "global-qos-config"}
    place = [SYSTEM, "default-global-qos-config"]
    with tenants.api.as_caller(tenants.red):
        gold = tenants.make("qos-config", "red", "gold", qos_config_type="project")
    names = {"qos-config": ["default-domain", "red", "gold"], "qos-queue": [*place, "urgent"]}
    uuids = {
        "qos-config": gold,
        "qos-queue": tenants.api.create("qos-queue", fq_name=names["qos-queue"], **qos),
    }
    voice = tenants.api.create("forwarding-class", fq_name=[*place, "voice"], **qos)
    with tenants.api.as_caller(tenants.blue):
        net = tenants.make("virtual-network", "blue", "net")
        link = [{"uuid": net}]
        port = tenants.make("virtual-machine-interface", "blue", "port", virtual_network_refs=link)
    body = {"fq_name": ["default-domain", "blue", "other"], "parent_type": "project"}
    for target in ({"uuid": gold}, {"to": names["qos-config"]}):
        refs = {"qos_config_refs": [target]}
        for kind, uuid, more in (
            ("virtual-network", net, {}),
            ("virtual-machine-interface", port, {"virtual_network_refs": link}),
        ):
            made = as_blue(tenants, "POST", f"/{kind}s", {kind: {**body, **more, **refs}})
            changed = as_blue(tenants, "PUT", f"/{kind}/{uuid}", {kind: refs})
            assert (made.status, changed.status) == (400, 400), kind
            assert made.text.startswith("Unknown reference"), kind
    for kind, uuid, wanted in (
        ("virtual-network", net, "qos-config"),
        ("virtual-machine-interface", port, "qos-config"),
        ("forwarding-class", voice, "qos-queue"),
    ):
        for target in ({"ref-uuid": uuids[wanted]}, {"ref-fq-name": names[wanted]}):
            change = {"type": kind, "uuid": uuid, "ref-type": wanted, "operation": "ADD",
                      "attr": None, **target}  # fmt: skip
            assert as_blue(tenants, "POST", "/ref-update", change).status == 404, kind
        read = tenants.api.call("GET", f"/{kind}/{uuid}").json[kind]
        assert f"{wanted.replace('-', '_')}_refs" not in read
    tenants.share("qos-config", gold, 7)
    refs = {"qos_config_refs": [{"uuid": gold}]}
    assert (
        as_blue(tenants, "PUT", f"/virtual-network/{net}", {"virtual-network": refs}).status == 200
    )


def test_reading_without_the_right_to_link_refuses_the_reference(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 4)
    body = {"fq_name": ["default-domain", "blue", "port"], "parent_type": "project",
            "virtual_network_refs": [{"uuid": tenants.network}]}  # fmt: skip

    reply = as_blue(
        tenants, "POST", "/virtual-machine-interfaces", {"virtual-machine-interface": body}
    )

    assert (reply.status, reply.text) == (403, "Permission Denied: it needs X on the object")


def test_lists_and_counts_leave_out_what_belongs_to_others(tenants) -> None:
    with tenants.api.as_caller(tenants.blue):
        mine = tenants.make("virtual-network", "blue", "net")
    red = tenants.red.project
    for query in (
        "",
        "?detail=true",
        f"?parent_id={red},{tenants.blue.project}",
        f"?obj_uuids={tenants.network},{mine}",
        "?fq_names=default-domain:red:secret-net,default-domain:blue:net",
        "?page_limit=10",
        "?fields=virtual_machine_interface_back_refs",
    ):
        listed = as_blue(tenants, "GET", f"/virtual-networks{query}")
        assert [i.get("virtual-network", i)["uuid"] for i in listed.json["virtual-networks"]] == [
            mine
        ], query
    counted = as_blue(tenants, "GET", "/virtual-networks?count=true").json
    assert counted == {"virtual-networks": {"count": 1}}
    filtered = as_blue(tenants, "GET", '/virtual-networks?filters=display_name=="secret-net"')
    assert filtered.json == {"virtual-networks": []}
    ports = as_blue(tenants, "GET", f"/virtual-machine-interfaces?back_ref_id={tenants.network}")
    assert ports.json == {"virtual-machine-interfaces": []}


def test_bulk_lists_leave_out_what_belongs_to_others(tenants) -> None:
    body = {"type": "virtual-network", "obj_uuids": tenants.network, "detail": True}

    assert as_blue(tenants, "POST", "/list-bulk-collection", body).json == {"virtual-networks": []}


def test_back_references_and_children_of_a_shared_object_are_filtered(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 5)

    seen = as_blue(tenants, "GET", f"/virtual-network/{tenants.network}").json["virtual-network"]

    assert "virtual_machine_interface_back_refs" not in seen
    assert "secret-port" not in json.dumps(seen)
    detailed = as_blue(
        tenants,
        "GET",
        "/virtual-networks?detail=true&fields=virtual_machine_interface_back_refs",
    )
    assert "secret-net" in detailed.text
    assert "secret-port" not in detailed.text


def test_a_refused_delete_counts_unseen_holders_without_naming_them(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 5)
    with tenants.api.as_caller(tenants.blue):
        port = tenants.make(
            "virtual-machine-interface", "blue", "p", virtual_network_refs=[
                {"uuid": tenants.network}]
        )  # fmt: skip

    with tenants.api.as_caller(tenants.red):
        reply = tenants.api.call("DELETE", f"/virtual-network/{tenants.network}")

    assert reply.status == 409
    assert port not in reply.text
    assert f"/{tenants.port}'] and 1 more that are not visible to you" in reply.text


def test_a_shared_object_can_be_read_but_not_changed_or_deleted(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 5)
    path = f"/virtual-network/{tenants.network}"

    assert as_blue(tenants, "GET", path).status == 200
    assert as_blue(tenants, "PUT", path, {"virtual-network": {"mtu": 9000}}).status == 403
    assert as_blue(tenants, "DELETE", path).status == 403
    taken = {"perms2": {"owner": tenants.blue.owner}}
    assert as_blue(tenants, "PUT", path, {"virtual-network": taken}).status == 403


def test_the_right_to_write_is_not_enough_to_give_the_object_away(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 2)
    path = f"/virtual-network/{tenants.network}"

    assert as_blue(tenants, "PUT", path, {"virtual-network": {"mtu": 9000}}).status == 200
    taken = {"perms2": {"owner": tenants.blue.owner}}
    assert as_blue(tenants, "PUT", path, {"virtual-network": taken}).status == 403
    assert as_blue(tenants, "GET", path).status == 403


def test_hidden_objects_are_told_apart_from_unknown_ones_only_by_the_known_text(tenants) -> None:
    hidden = tenants.api.service.graph.uuid_of("tag-type", ("label",))

    reply = as_blue(tenants, "GET", f"/tag-type/{hidden}")

    assert (reply.status, reply.text) == (404, f"This object is not visible by users: {hidden}")
    assert as_blue(tenants, "GET", "/tag-types").json == {"tag-types": []}


def test_users_do_not_hide_objects(tenants) -> None:
    body = {"fq_name": ["default-domain", "blue", "n"], "id_perms": {"user_visible": False}}

    reply = as_blue(tenants, "POST", "/virtual-networks", {"virtual-network": body})

    assert (reply.status, "user_visible" in reply.text) == (400, True)


def test_notes_of_projects_and_of_the_server_stay_apart(tenants) -> None:
    def note(operation: str, key: str | None, value: str | None = None) -> dict:
        return {"operation": operation, "key": key, "value": value}

    tenants.api.call("POST", "/useragent-kv", note("STORE", "shared", "admin's"))
    with tenants.api.as_caller(tenants.red):
        tenants.api.call("POST", "/useragent-kv", note("STORE", "k", "red's"))

    assert as_blue(tenants, "POST", "/useragent-kv", note("RETRIEVE", None)).json == {"value": []}
    for key in ("k", "shared", MODE_NOTE, f"skytrail/notes/{tenants.red.project}/k"):
        assert as_blue(tenants, "POST", "/useragent-kv", note("RETRIEVE", key)).status == 404
    as_blue(tenants, "POST", "/useragent-kv", note("STORE", MODE_NOTE, "no-auth"))
    assert MODE_NOTE not in tenants.api.service.graph.memory
    everything = tenants.api.call("POST", "/useragent-kv", note("RETRIEVE", None)).json["value"]
    assert everything == [{"key": "shared", "value": "admin's"}]
    assert tenants.api.call("POST", "/useragent-kv", note("STORE", MODE_NOTE, "x")).status == 403


def test_numbers_pools_metrics_and_tables_are_for_administrators(tenants) -> None:
    number = {"pool": "p", "owner": "o", "low": 1, "high": 2}
    for method, path, body in (
        ("POST", "/api/v1/allocate", number),
        ("POST", "/api/v1/free", {"pool": "p", "owner": "o", "value": 1}),
        ("GET", "/metrics", None),
        ("GET", "/introspect/objects", None),
        ("GET", "/api/v1/whatever", None),
    ):
        reply = as_blue(tenants, method, path, body)
        assert (reply.status, "administrator" in reply.text) == (403, True), path
    assert as_blue(tenants, "GET", "/healthz").status == 200


def test_rules_for_a_field_hold_for_actions_too(tenants) -> None:
    entry = {"rule_object": "virtual-network", "rule_field": "network_policy_refs",
             "rule_perms": [{"role_name": "boss", "role_crud": "CRUD"}]}  # fmt: skip
    tenants.api.create("api-access-list", fq_name=[SYSTEM, "more"],
                       parent_type="global-system-config",
                       api_access_list_entries={"rbac_rule": [entry]})  # fmt: skip
    body = {"type": "virtual-network", "uuid": tenants.network, "ref-type": "network-policy",
            "ref-uuid": tenants.policy, "operation": "ADD", "attr": None}  # fmt: skip

    with tenants.api.as_caller(tenants.red):
        reply = tenants.api.call("POST", "/ref-update", body)

    assert reply.status == 403


def lines_seen(tenants: Tenants, caller: Caller, changes) -> list[dict]:
    """The native watch of networks and policies by a caller, from a snapshot over some changes."""

    async def scenario() -> list[dict]:
        service = tenants.api.service
        stream = watch.native(
            service,
            frozenset({"virtual-network", "network-policy"}),
            None,
            Sight(service.graph, caller),
        )
        lines: list[dict] = []
        async for chunk in stream:
            lines += [json.loads(line) for line in chunk.splitlines()]
            if lines[-1]["kind"] == "snapshot_end":
                break
        for type_name, uuid, body, who in changes:
            tenants.api.caller = who
            await tenants.api.acall("PUT", f"/{type_name}/{uuid}", {type_name: body})
            tenants.api.caller = None
            async with asyncio.timeout(5):
                lines += [json.loads(line) for line in (await anext(stream)).splitlines()]
        await stream.aclose()
        return [line for line in lines if line["kind"] in ("put", "delete")]

    return tenants.api.loop.run_until_complete(scenario())


def test_a_watch_shows_what_becomes_visible_and_takes_back_what_stops(tenants) -> None:
    shared = {"perms2": {"owner": tenants.red.owner, "global_access": 4}}
    closed = {"perms2": {"owner": tenants.red.owner, "global_access": 0}}
    changes = [
        ("virtual-network", tenants.network, {"mtu": 1400}, tenants.red),
        ("virtual-network", tenants.network, shared, tenants.red),
        ("virtual-network", tenants.network, {"mtu": 1500}, tenants.red),
        ("virtual-network", tenants.network, closed, tenants.red),
        ("virtual-network", tenants.network, {"mtu": 1600}, tenants.red),
    ]

    seen = lines_seen(tenants, tenants.blue, changes)

    mine = [(line["kind"], line["uuid"]) for line in seen if line["uuid"] == tenants.network]
    assert mine == [("put", tenants.network), ("put", tenants.network),
                    ("delete", tenants.network)]  # fmt: skip
    assert {line["uuid"] for line in seen} == {tenants.network}


def test_a_watch_ends_when_the_identity_expires(tenants) -> None:
    service = tenants.api.service
    gone = Caller(user="x", project=tenants.blue.project, roles=frozenset(), expires_at=1.0)

    async def scenario() -> list[bytes]:
        stream = watch.native(
            service, frozenset(), (service.revision + 1, ""), Sight(service.graph, gone)
        )
        return [chunk async for chunk in stream]

    chunks = tenants.api.loop.run_until_complete(scenario())

    assert [json.loads(chunk)["kind"] for chunk in chunks] == ["bookmark"]


def test_server_sent_events_are_filtered_too(tenants) -> None:
    service = tenants.api.service

    async def scenario() -> bytes:
        stream = watch.server_sent(
            service, {"virtual-network": None}, "http://x", Sight(service.graph, tenants.blue)
        )
        first = b""
        async for chunk in stream:
            first += chunk
            if first.endswith(b"\n\n"):
                break
        await stream.aclose()
        return first

    first = tenants.api.loop.run_until_complete(scenario())

    assert first == b'event: init\ndata: {"virtual-networks":[]}\n\n'


def test_owners_keep_full_use_of_their_own_objects(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        network = tenants.make("virtual-network", "red", "own")
        body = {"type": "virtual-network", "uuid": network, "ref-type": "network-policy",
                "ref-uuid": tenants.policy, "operation": "ADD", "attr": None}  # fmt: skip
        assert tenants.api.call("POST", "/ref-update", body).status == 200
        assert tenants.api.read("virtual-network", network)["network_policy_refs"]
        tag = tenants.make("tag", "red", "x", tag_type_name="application", tag_value="web")
        assert tenants.api.call("DELETE", f"/tag/{tag}").status == 200
        assert tenants.api.call("DELETE", f"/virtual-network/{network}").status == 200


def test_native_paths_answer_like_for_unknown_objects(tenants) -> None:
    network = tenants.network
    path = f"/api/v1/virtual-network/{network}"
    for method, target, body in (
        ("GET", path, None),
        ("PUT", path, {"mtu": 9000}),
        ("PATCH", path, {"mtu": 9000}),
        ("DELETE", path, None),
        ("DELETE", f"{path}?cascade=true", None),
        ("PATCH", f"{path}?dry_run=true", {"mtu": 9000}),
    ):
        same_as_unknown(tenants, method, target, body, network)
    by_name = "/api/v1/virtual-network/by-name/default-domain:red:"
    for method, body in (("GET", None), ("PUT", {"mtu": 9000}), ("DELETE", None)):
        told = as_blue(tenants, method, f"{by_name}secret-net", body)
        unknown = as_blue(tenants, method, f"{by_name}nothing", body)
        assert told.status == unknown.status >= 400
        assert told.text.replace("secret-net", "nothing") == unknown.text


def test_a_cascade_stops_at_objects_of_others_without_naming_them(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 5)
    with tenants.api.as_caller(tenants.blue):
        tenants.make(
            "virtual-machine-interface", "blue", "blue-port", virtual_network_refs=[
                {"uuid": tenants.network}]
        )  # fmt: skip

    with tenants.api.as_caller(tenants.red):
        reply = tenants.api.call(
            "DELETE", f"/api/v1/virtual-network/{tenants.network}?cascade=true"
        )

    assert reply.status == 409, reply.text
    assert "blue-port" not in reply.text
    assert tenants.api.call("GET", f"/virtual-network/{tenants.network}").status == 200


def test_applying_nothing_new_needs_the_right_to_write_too(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", tenants.network, 4)

    reply = as_blue(
        tenants, "PUT", "/api/v1/virtual-network/by-name/default-domain:red:secret-net", {}
    )

    assert reply.status == 403


def test_owner_mode_and_tags_need_the_rights_on_the_object(tenants) -> None:
    uuid = tenants.network
    chown = {"uuid": uuid, "owner": tenants.blue.project}
    chmod = {"uuid": uuid, "global_access": 7}
    tag = {"obj_type": "virtual_network", "obj_uuid": uuid, "label": None}
    for path, body in (("/chown", chown), ("/chmod", chmod), ("/set-tag", tag)):
        same_as_unknown(tenants, "POST", path, body, uuid)
    with tenants.api.as_caller(tenants.red):
        tenants.share("virtual-network", uuid, 4)
    for path, body in (("/chown", chown), ("/chmod", chmod), ("/set-tag", tag)):
        assert as_blue(tenants, "POST", path, body).status == 403, path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/history"),
        ("GET", "/api/v1/history/1.0"),
        ("GET", "/api/v1/history/verify"),
        ("POST", "/api/v1/history/1.0/revert"),
        ("GET", "/api/v1/snapshot"),
        ("GET", "/api/v1/virtual-network?revision=1"),
        ("POST", "/api/v1/plan"),
        ("GET", "/api/v1/change-sets"),
        ("POST", "/api/v1/change-sets"),
        ("GET", "/api/v1/status"),
        ("POST", "/api/v1/status/compiler"),
    ],
)
def test_what_shows_everybodys_changes_is_for_administrators(tenants, method, path) -> None:
    body = {"operations": []} if method == "POST" else None

    assert as_blue(tenants, method, path, body).status == 403


def test_native_lists_counts_and_conditions_tell_nothing_of_others(tenants) -> None:
    by_name = "filter=name:prefix:secret"

    listed = as_blue(tenants, "GET", f"/api/v1/virtual-network?{by_name}").json
    counted = as_blue(tenants, "GET", f"/api/v1/virtual-network?{by_name}&count=true").json
    conditions = as_blue(tenants, "GET", f"/api/v1/virtual-network/{tenants.network}/status")
    past = as_blue(tenants, "GET", f"/api/v1/virtual-network/{tenants.network}?revision=1")

    assert (listed["items"], listed["count"], counted["count"]) == ([], 0, 0)
    assert conditions.status == 404
    assert past.status in {403, 404}


def test_everybody_logged_in_may_read_how_the_api_is_described(tenants) -> None:
    for path in ("/api/v1/schemas", "/api/v1/schemas/virtual-network", "/api/v1/docs"):
        assert as_blue(tenants, "GET", path).status == 200


def test_parent_selector_tells_nothing_of_unseen_parents(tenants) -> None:
    for path in ("virtual-network?count=true&", "watch?types=virtual-network&"):
        replies = [
            as_blue(tenants, "GET", f"/api/v1/{path}parent=default-domain:{name}")
            for name in ("red", "nope")
        ]
        assert [reply.status for reply in replies] == [404, 404], path
        assert replies[0].text.replace("red", "nope") == replies[1].text
    own = as_blue(tenants, "GET", "/api/v1/virtual-network?count=true&parent=default-domain:blue")
    assert own.json["count"] == 0


def make_tag(tenants: Tenants, caller: Caller, *scope: str) -> str:
    parent = {"parent_type": "project"} if scope else {}
    with tenants.api.as_caller(caller):
        return tenants.api.create(
            "tag", fq_name=[*scope, "tier=web"], tag_type_name="tier", tag_value="web", **parent
        )


def set_tier(tenants: Tenants, type_name: str, uuid: str, value: str, *, is_global: bool = False):
    tier = {"value": value, "is_global": is_global}
    body = {"obj_type": type_name, "obj_uuid": uuid, "tier": tier}
    return as_blue(tenants, "POST", "/set-tag", body)


def test_tags_are_set_with_the_right_to_refer_to_them_only(tenants) -> None:
    secret = make_tag(tenants, NOBODY_ASKED)
    with tenants.api.as_caller(tenants.blue):
        network = tenants.make("virtual-network", "blue", "net")

    def setting(value: str):
        return set_tier(tenants, "virtual-network", network, value, is_global=True)

    hidden, missing = setting("web"), setting("nope")
    tenants.api.call("POST", "/chmod", {"uuid": secret, "global_access": 5})
    shared = setting("web")
    tenants.api.call("POST", "/chmod", {"uuid": secret, "global_access": 0})
    again = setting("web")

    assert (hidden.status, missing.status) == (404, 404)
    assert hidden.text.replace("=web", "=nope") == missing.text
    assert shared.status == 200
    assert again.status == 200, "what the object carries already needs no right"


def test_an_owner_that_the_creator_named_gives_no_way_to_its_tags(tenants) -> None:
    make_tag(tenants, tenants.red, "default-domain", "red")
    replies = []
    for name, owner in (("a", tenants.red.owner), ("b", NOWHERE.replace("-", ""))):
        perms = {"owner": owner, "owner_access": 7, "share": [
            {"tenant": tenants.blue.owner, "tenant_access": 7}]}  # fmt: skip
        machine = tenants.api.create("virtual-machine", fq_name=[name], perms2=perms)
        reply = set_tier(tenants, "virtual-machine", machine, "web")
        replies.append((reply.status, reply.text.replace(machine, "")))

    assert replies[0] == replies[1]
    assert replies[0][0] == 400


def test_endpoints_of_firewall_rules_name_nothing_of_others(tenants) -> None:
    with tenants.api.as_caller(tenants.red):
        tenants.make("address-group", "red", "secret-group")
    make_tag(tenants, NOBODY_ASKED)

    def naming(endpoint: dict[str, object]):
        rule = {"fq_name": ["default-domain", "blue", "r"], "parent_type": "project",
                "action_list": {"simple_action": "pass"}, "direction": "<>",
                "service": {"protocol": "tcp"}, "endpoint_1": {"any": True},
                "endpoint_2": endpoint}  # fmt: skip
        return as_blue(tenants, "POST", "/firewall-rules", {"firewall-rule": rule})

    for there, missing in (
        ({"virtual_network": "default-domain:red:secret-net"}, "secret-net"),
        ({"address_group": "default-domain:red:secret-group"}, "secret-group"),
        ({"tags": ["global:tier=web"]}, "web"),
    ):
        known = naming(there)
        unknown = naming(json.loads(json.dumps(there).replace(missing, "nope")))
        assert (known.status, unknown.status) == (404, 404), there
        assert known.text.replace(missing, "nope") == unknown.text


def test_firewall_rule_keeps_what_somebody_else_may_refer_to(tenants) -> None:
    make_tag(tenants, NOBODY_ASKED)
    rule = tenants.make(
        "firewall-rule", "blue", "r", action_list={"simple_action": "pass"}, direction="<>",
        service={"protocol": "tcp"}, endpoint_1={"any": True},
        endpoint_2={"tags": ["global:tier=web"]},
        perms2={"owner": tenants.blue.owner},
    )  # fmt: skip

    body = {"firewall-rule": {"display_name": "mine"}}
    assert as_blue(tenants, "PUT", f"/firewall-rule/{rule}", body).status == 200


def policy_naming(tenants: Tenants, network: str) -> str:
    """Make blue's policy that names a network; its own name is the last part of that."""
    rule = {
        "direction": "<>", "protocol": "any", "action_list": {"simple_action": "pass"},
        "src_addresses": [{"virtual_network": "any"}],
        "dst_addresses": [{"virtual_network": network}],
        "src_ports": [{"start_port": -1, "end_port": -1}],
        "dst_ports": [{"start_port": -1, "end_port": -1}],
    }  # fmt: skip
    name = network.rpartition(":")[2]
    with tenants.api.as_caller(tenants.blue):
        return tenants.make(
            "network-policy", "blue", name, network_policy_entries={"policy_rule": [rule]}
        )


def derived(tenants: Tenants, caller: Caller, place: str) -> dict:
    with tenants.api.as_caller(caller):
        reply = tenants.api.call("GET", f"/api/v1/{place}/status")
    assert reply.status == 200, reply.text
    return next(each for each in reply.json["conditions"] if each["type"] == "derived")


def test_conditions_do_not_tell_which_of_the_named_objects_exist(tenants) -> None:
    there = policy_naming(tenants, "default-domain:red:secret-net")
    missing = policy_naming(tenants, "default-domain:red:nope")
    detail = "network default-domain:red:nope does not exist"
    trouble = {"type": "network-policy", "fq_name": ["default-domain", "blue", "nope"],
               "reason": "unknown_network", "detail": detail}  # fmt: skip
    report = {"kind": "compiler", "revision": tenants.api.service.revision, "troubles": [trouble]}
    assert tenants.api.call("POST", "/api/v1/status/c", report).status == 200

    to_blue = [
        derived(tenants, tenants.blue, f"network-policy/{uuid}") for uuid in (there, missing)
    ]
    above = derived(tenants, tenants.blue, f"project/{tenants.blue.project}")
    to_all = derived(tenants, NOBODY_ASKED, f"network-policy/{missing}")

    assert to_blue[0]["reason"] == "names_unseen_objects"
    assert json.loads(json.dumps(to_blue[0]).replace("secret-net", "nope")) == to_blue[1]
    assert above["status"] == "true"
    assert (to_all["reason"], to_all["detail"]) == ("unknown_network", detail)


def test_conditions_tell_of_trouble_among_what_the_caller_sees(tenants) -> None:
    with tenants.api.as_caller(tenants.blue):
        tenants.make("virtual-network", "blue", "net")
    policy = policy_naming(tenants, "default-domain:blue:net")
    trouble = {"type": "network-policy", "fq_name": ["default-domain", "blue", "net"],
               "reason": "too_many_rules", "detail": "2001 entries"}  # fmt: skip
    report = {"kind": "compiler", "revision": tenants.api.service.revision, "troubles": [trouble]}
    tenants.api.call("POST", "/api/v1/status/c", report)

    for place in (f"network-policy/{policy}", f"project/{tenants.blue.project}"):
        assert derived(tenants, tenants.blue, place)["reason"] == "too_many_rules", place


@pytest.mark.parametrize(
    ("type_name", "members"),
    [
        ("domain", {}),
        ("global-system-config", {"autonomous_system": 64512}),
        ("tag", {"tag_type_name": "tier", "tag_value": "mine"}),
        ("policy-management", {}),
        ("sub-cluster", {"sub_cluster_asn": 64512}),
    ],
)
def test_only_administrators_create_what_belongs_to_everybody(tenants, type_name, members) -> None:
    body = {type_name: {"fq_name": ["mine"], **members}}
    by_member = as_blue(tenants, "POST", f"/{type_name}s", body)
    native = as_blue(tenants, "POST", f"/api/v1/{type_name}", body[type_name])

    assert (by_member.status, native.status) == (403, 403)
    assert "administrator's role" in by_member.text
    assert tenants.api.call("POST", f"/{type_name}s", body).status == 200


def test_taken_name_at_the_root_is_not_told_to_members(tenants) -> None:
    replies = [
        as_blue(tenants, "POST", "/domains", {"domain": {"fq_name": [name]}})
        for name in ("default-domain", "nope")
    ]

    assert [reply.status for reply in replies] == [403, 403]
    assert replies[0].text == replies[1].text


def test_members_create_machines_addresses_and_tags_of_their_own(tenants) -> None:
    with tenants.api.as_caller(tenants.blue):
        network = tenants.make("virtual-network", "blue", "net", network_ipam_refs=[
            {"to": ["default-domain", "default-project", "default-network-ipam"],
             "attr": {"ipam_subnets": [tenants.api.subnet("10.0.0.0/24")]}}])  # fmt: skip
        tenants.api.create("virtual-machine", fq_name=["vm"])
        address = tenants.api.address(network, "a")
    make_tag(tenants, tenants.blue, "default-domain", "blue")
    kind = {"fq_name": ["default-domain", "blue", "t"], "parent_type": "project",
            "tag_type_name": "shape", "tag_value": "round"}  # fmt: skip

    assert address.status == 200, address.text
    assert as_blue(tenants, "POST", "/tags", {"tag": kind}).status == 200


def test_settings_of_everybody_are_those_of_the_default_objects(api) -> None:
    other = ["a-system"]
    api.create("global-system-config", fq_name=other, autonomous_system=70000, enable_4byte_as=True)
    api.create("global-vrouter-config", fq_name=[*other, "v"], forwarding_mode="l3",
               parent_type="global-system-config")  # fmt: skip
    cluster = {"fq_name": ["s"], "sub_cluster_asn": 70000}
    flat = {"fq_name": ["default-domain", "default-project", "n"], "parent_type": "project",
            "network_ipam_refs": [{"attr": {"ipam_subnets": []}, "to": [
                "default-domain", "default-project", "service-chain-flat-ipam"]}]}  # fmt: skip

    assert api.call("POST", "/sub-clusters", {"sub-cluster": cluster}).status == 400
    reply = api.call("POST", "/virtual-networks", {"virtual-network": flat})
    assert (reply.status, "only with l3 network" in reply.text) == (400, True)
