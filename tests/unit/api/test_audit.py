"""The audit log: what it tells, that it cannot be altered unseen, the past, and going back."""

from __future__ import annotations

import asyncio
import json

import pytest

from skytrail.store.plugin import Delete, Put

PROJECT = ["default-domain", "default-project"]
NETWORKS = "/api/v1/virtual-network"


def make(api, name: str, **members: object) -> dict:
    reply = api.call("POST", NETWORKS, {"fq_name": [*PROJECT, name], **members})
    assert reply.status == 201, reply.text
    return {**reply.json, "change": reply.headers["x-skytrail-change"]}


def patch(api, uuid: str, **members: object):
    reply = api.call("PATCH", f"{NETWORKS}/{uuid}", members)
    assert reply.status == 200, reply.text
    return reply.headers["x-skytrail-change"]


def history(api, query: str = "") -> list[dict]:
    reply = api.call("GET", f"/api/v1/history{query}")
    assert reply.status == 200, reply.text
    return reply.json["entries"]


def tamper(api, operation) -> dict:
    api.loop.run_until_complete(api.store.transact((), (operation,)))
    return api.call("GET", "/api/v1/history/verify").json


def test_an_entry_tells_who_changed_what_from_what_to_what(api) -> None:
    uuid = make(api, "red", mtu=9000)["uuid"]
    api.call("PATCH", f"{NETWORKS}/{uuid}", {"mtu": 1400}, x_request_id="ticket-7")

    entry = history(api, f"?object={uuid}")[0]

    assert (entry["by"], entry["request_id"]) == ("no-auth", "ticket-7")
    assert entry["operations"] == [
        {
            "op": "update",
            "type": "virtual-network",
            "uuid": uuid,
            "fq_name": [*PROJECT, "red"],
            "fields": [{"path": "/mtu", "from": 9000, "to": 1400}],
        }
    ]


def test_writes_of_the_compatible_api_are_told_as_well(api) -> None:
    uuid = api.network("red")
    api.call("PUT", f"/virtual-network/{uuid}", {"virtual-network": {"is_shared": True}})

    assert [e["operations"][0]["op"] for e in history(api, f"?object={uuid}")] == [
        "update",
        "create",
    ]


def test_a_refused_and_an_empty_write_leave_no_entry(api) -> None:
    made = make(api, "red")
    before = len(history(api))

    api.call("POST", NETWORKS, {"fq_name": [*PROJECT, "red"]})
    api.call("PUT", f"{NETWORKS}/{made['uuid']}", {"mtu": None})

    assert len(history(api)) == before


def test_pages_of_history_continue_where_the_last_ended(api) -> None:
    names = [f"n{number}" for number in range(7)]
    for name in names:
        make(api, name)

    found, cursor = [], ""
    while cursor is not None:
        reply = api.call("GET", f"/api/v1/history?type=virtual-network&by=no-auth&limit=2{cursor}")
        found += [e["operations"][0]["fq_name"][-1] for e in reply.json["entries"]]
        cursor = f"&cursor={reply.json['next']}" if reply.json["next"] else None

    assert found == names[::-1]


def test_the_chain_holds_over_a_restart(api) -> None:
    make(api, "red")
    later = api.restarted()
    make(later, "blue")

    found = later.call("GET", "/api/v1/history/verify").json
    later.close()

    assert found["valid"]
    assert found["pages"] >= 3


def test_an_altered_page_is_found(api) -> None:
    make(api, "red")
    make(api, "blue")
    key = f"/h/main/{api.service.audit_head.number - 1:012d}"
    page = api.loop.run_until_complete(api.store.get(key))

    found = tamper(api, Put(key, page.value.replace(b"red", b"rot")))

    assert not found["valid"]
    assert "altered" in found["fault"]


def test_a_removed_page_and_a_cut_tail_are_found(api) -> None:
    for name in ("red", "blue", "green"):
        make(api, name)
    number = api.service.audit_head.number

    tail = tamper(api, Delete(f"/h/main/{number:012d}"))
    middle = tamper(api, Delete(f"/h/main/{number - 2:012d}"))

    assert "ends with page" in tail["fault"]
    assert middle["fault"] == f"page {number - 2} is missing"


def test_an_object_is_read_as_of_any_revision(api) -> None:
    made = make(api, "red", mtu=9000)
    uuid, first = made["uuid"], api.service.revision
    patch(api, uuid, mtu=1400, is_shared=True)
    second = api.service.revision
    api.call("DELETE", f"{NETWORKS}/{uuid}")

    def at(revision: int):
        return api.call("GET", f"{NETWORKS}/{uuid}?revision={revision}")

    assert at(first - 1).status == 404
    assert {**made, "change": 0} == {**at(first).json, "change": 0}
    assert (at(second).json["mtu"], at(second).json["is_shared"]) == (1400, True)
    assert at(api.service.revision).status == 404
    assert at(api.service.revision + 1).status == 400


def test_a_snapshot_is_the_configuration_as_of_then(api) -> None:
    def snapshot(query: str = "") -> dict[str, dict]:
        reply = api.call("GET", f"/api/v1/snapshot{query}")
        lines = [json.loads(line) for line in reply.text.splitlines()]
        return {each["object"]["uuid"]: each["object"] for each in lines}

    red = make(api, "red", mtu=9000)["uuid"]
    then, revision = snapshot(), api.service.revision
    patch(api, red, mtu=1400)
    make(api, "blue")
    api.call("DELETE", f"{NETWORKS}/{red}")

    assert snapshot(f"?revision={revision}") == then
    assert snapshot() != then


def test_what_was_before_the_log_is_gone_and_said_so(api) -> None:
    assert api.call("GET", "/api/v1/snapshot?revision=0").status == 410


def test_a_change_is_reverted_as_a_new_change(api) -> None:
    uuid = make(api, "red", mtu=9000)["uuid"]
    change = patch(api, uuid, mtu=1400, is_shared=True)

    preview = api.call("POST", f"/api/v1/history/{change}/revert?dry_run=true").json
    reply = api.call("POST", f"/api/v1/history/{change}/revert")

    now = api.call("GET", f"{NETWORKS}/{uuid}").json
    assert {field["path"] for field in preview["changes"][0]["fields"]} >= {"/mtu", "/is_shared"}
    assert reply.json["results"][0]["result"] == "changed"
    assert (now["mtu"], "is_shared" in now) == (9000, False)


def test_a_revert_of_what_changed_since_is_refused_unless_forced(api) -> None:
    uuid = make(api, "red", mtu=9000)["uuid"]
    change = patch(api, uuid, mtu=1400)
    patch(api, uuid, mtu=1500)

    refused = api.call("POST", f"/api/v1/history/{change}/revert")
    forced = api.call("POST", f"/api/v1/history/{change}/revert?force=true")

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (409, "/mtu")
    assert forced.status == 200
    assert api.call("GET", f"{NETWORKS}/{uuid}").json["mtu"] == 9000


def test_a_deleted_object_comes_back_with_its_uuid(api) -> None:
    made = make(api, "red", mtu=9000)
    gone = api.call("DELETE", f"{NETWORKS}/{made['uuid']}").headers["x-skytrail-change"]

    reply = api.call("POST", f"/api/v1/history/{gone}/revert")

    assert reply.status == 200, reply.text
    assert api.call("GET", f"{NETWORKS}/{made['uuid']}").json["mtu"] == 9000


def join(api, name: str, other: str) -> dict:
    """Refer from the instance of one network to that of another, as the compiler does."""
    manager = {"type": "routing-instance", "ref-type": "routing-instance", "operation": "ADD",
               "uuid": instance(api, name)["uuid"],
               "ref-fq-name": [*PROJECT, other, other], "attr": {}}  # fmt: skip
    reply = api.call("POST", "/ref-update", manager)
    assert reply.status == 200, reply.text


def instance(api, name: str) -> dict:
    body = {"type": "routing-instance", "fq_name": [*PROJECT, name, name]}
    return api.read("routing-instance", api.call("POST", "/fqname-to-id", body).json["uuid"])


def test_a_deleted_network_comes_back_though_the_instance_of_another_referred_to_its_own(
    api,
) -> None:
    web = make(api, "web", mtu=9000)
    make(api, "app")
    join(api, "app", "web")
    join(api, "web", "app")
    gone = api.call("DELETE", f"{NETWORKS}/{web['uuid']}").headers["x-skytrail-change"]
    touched = {each["type"] for each in history(api)[0]["operations"]}
    assert touched == {"virtual-network", "routing-instance"}

    reply = api.call("POST", f"/api/v1/history/{gone}/revert")

    assert reply.status == 200, reply.text
    assert [each["type"] for each in reply.json["results"]] == ["virtual-network"]
    assert api.call("GET", f"{NETWORKS}/{web['uuid']}").json["mtu"] == 9000
    assert "routing_instance_refs" not in instance(api, "app")


def router_with_target(api) -> tuple[str, str]:
    target = api.create("route-target", fq_name=["target:64512:8000001"])
    router = api.create("logical-router", fq_name=[*PROJECT, "edge"], parent_type="project",
                        route_target_refs=[{"to": ["target:64512:8000001"]}])  # fmt: skip
    gone = api.call("DELETE", f"/api/v1/logical-router/{router}").headers["x-skytrail-change"]
    reply = api.call("DELETE", f"/route-target/{target}")
    assert reply.status == 200, reply.text
    return router, gone


def test_a_revert_leaves_references_to_what_the_compiler_makes_to_the_compiler(api) -> None:
    router, gone = router_with_target(api)

    reply = api.call("POST", f"/api/v1/history/{gone}/revert")

    assert reply.status == 200, reply.text
    assert "route_target_refs" not in api.read("logical-router", router)


def test_a_reference_to_what_was_made_anew_is_reverted_by_its_name(api) -> None:
    api.create("network-policy", fq_name=[*PROJECT, "allow"])
    made = make(api, "red", network_policy_refs=[{"to": [*PROJECT, "allow"]}])
    gone = api.call("DELETE", f"{NETWORKS}/{made['uuid']}").headers["x-skytrail-change"]
    old = api.call("GET", "/api/v1/network-policy").json["items"][0]["uuid"]
    api.call("DELETE", f"/api/v1/network-policy/{old}")
    anew = api.create("network-policy", fq_name=[*PROJECT, "allow"])

    reply = api.call("POST", f"/api/v1/history/{gone}/revert")

    assert reply.status == 200, reply.text
    assert api.read("virtual-network", made["uuid"])["network_policy_refs"][0]["uuid"] == anew


def test_a_revert_that_needs_what_is_gone_names_it_and_what_to_do(api) -> None:
    policy = api.create("network-policy", fq_name=[*PROJECT, "allow"])
    made = make(api, "red", network_policy_refs=[{"to": [*PROJECT, "allow"]}], mtu=9000)
    gone = api.call("DELETE", f"{NETWORKS}/{made['uuid']}").headers["x-skytrail-change"]
    api.call("DELETE", f"/api/v1/network-policy/{policy}")

    refused = api.call("POST", f"/api/v1/history/{gone}/revert")
    forced = api.call("POST", f"/api/v1/history/{gone}/revert?force=true")

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (409, "/network_policy_refs")
    assert (
        "referred to network-policy default-domain:default-project:allow, which does not exist "
        "any more: revert its deletion first"
    ) in refused.json["detail"]
    assert forced.status == 200, forced.text
    assert api.read("virtual-network", made["uuid"])["mtu"] == 9000


def test_a_deleted_object_does_not_come_back_beside_one_that_took_its_name(api) -> None:
    made = make(api, "red", mtu=9000)
    gone = api.call("DELETE", f"{NETWORKS}/{made['uuid']}").headers["x-skytrail-change"]
    anew = make(api, "red")["uuid"]

    refused = api.call("POST", f"/api/v1/history/{gone}/revert")

    assert refused.status == 409
    assert f"default-domain:default-project:red exists again, as {anew}" in refused.json["detail"]


def test_what_somebody_wrote_to_a_compiled_object_itself_is_reverted(api) -> None:
    make(api, "web")
    make(api, "app")
    join(api, "app", "web")

    reply = api.call("POST", f"/api/v1/history/{history(api)[0]['change']}/revert")

    assert reply.status == 200, reply.text
    assert "routing_instance_refs" not in instance(api, "app")


def test_a_creation_is_reverted_by_deletion(api) -> None:
    made = make(api, "red")

    reply = api.call("POST", f"/api/v1/history/{made['change']}/revert")

    assert reply.status == 200, reply.text
    assert api.call("GET", f"{NETWORKS}/{made['uuid']}").status == 404


def test_of_several_changes_in_one_revision_each_has_its_name(api) -> None:
    async def together():
        return await asyncio.gather(
            *(api.acall("POST", NETWORKS, {"fq_name": [*PROJECT, name]}) for name in ("a", "b"))
        )

    replies = api.loop.run_until_complete(together())
    names = [reply.headers["x-skytrail-change"] for reply in replies]
    revision = api.service.revision

    assert names == [f"{revision}.0", f"{revision}.1"]
    assert api.call("GET", f"/api/v1/history/{revision}").status == 409
    second = api.call("GET", f"/api/v1/history/{names[1]}").json
    assert second["operations"][0]["fq_name"][-1] == "b"


def test_secrets_are_not_in_the_log(api) -> None:
    created = api.call(
        "POST",
        "/api/v1/physical-router",
        {
            "fq_name": ["default-global-system-config", "leaf"],
            "physical_router_user_credentials": {"username": "root", "password": "hunter2"},
        },
    )
    place = f"/api/v1/physical-router/{created.json['uuid']}"
    patch = {"physical_router_user_credentials": {"password": "hunter3"}}
    api.call("PATCH", place, patch)
    api.call("DELETE", place)

    pages = api.loop.run_until_complete(api.store.range("/h/")).items
    text = b"".join(page.value for page in pages)
    assert b"hunter" not in text
    assert b'"***"' in text


def test_the_compilers_writes_are_kept_in_brief_and_hidden_unless_asked_for(api) -> None:
    create = {"op": "create", "type": "route-target", "object": {"fq_name": ["target:1:2"]}}
    api.call("POST", "/api/v1/transaction", {"operations": [create], "derived_from": 1})

    shown = history(api, "?type=route-target&derived=true")

    assert history(api, "?type=route-target") == []
    assert shown[0]["derived_from"] == 1
    change = shown[0]["change"]
    assert api.call("POST", f"/api/v1/history/{change}/revert").status == 409


def test_compatible_writes_carry_the_senders_request_id(api) -> None:
    network = api.network("red")
    manager = {"type": "virtual-network", "uuid": network, "ref-type": "network-policy",
               "ref-fq-name": ["default-domain", "default-project", "p"], "operation": "ADD"}  # fmt: skip
    api.create("network-policy", fq_name=["default-domain", "default-project", "p"])
    notes = {"field": "annotations", "operation": "set", "value": {"key": "k", "value": "v"}}
    writes = [
        ("PUT", f"/virtual-network/{network}", {"virtual-network": {"display_name": "x"}}),
        ("POST", "/ref-update", manager),
        ("POST", "/prop-collection-update", {"uuid": network, "updates": [notes]}),
        ("POST", "/chmod", {"uuid": network, "global_access": 4}),
        ("POST", "/ref-update", {**manager, "operation": "DELETE"}),
        ("DELETE", f"/virtual-network/{network}", None),
    ]
    for place, (method, target, body) in enumerate(writes):
        reply = api.call(method, target, body, x_request_id=f"ticket-{place}")
        assert (reply.status, reply.headers["x-request-id"]) == (200, f"ticket-{place}"), reply.text

    told = [entry["request_id"] for entry in history(api, f"?object={network}")]

    assert told[:-1] == [f"ticket-{place}" for place in reversed(range(len(writes)))]


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "a\tb", "<script>"])
def test_a_request_id_is_made_where_none_or_a_bad_one_is_given(api, given: str) -> None:
    body = {"project": {"fq_name": ["default-domain", "red"]}}
    reply = api.call("POST", "/projects", body, x_request_id=given)

    made = reply.headers["x-request-id"]
    assert made.startswith("req-")
    assert history(api, f"?object={reply.json['project']['uuid']}")[0]["request_id"] == made


def test_the_revision_of_a_time_is_that_of_the_last_change_until_then(api) -> None:
    changes = [make(api, name)["change"] for name in ("first", "second", "third")]
    first, second, third = (history(api, f"?revision={each.split('.')[0]}")[0] for each in changes)

    def stood_at(time: str) -> int:
        return api.call("GET", f"/api/v1/history/moment?time={time}Z").json["revision"]

    assert [first["change"], second["change"], third["change"]] == changes
    assert stood_at(second["at"]) == second["revision"]
    assert stood_at("2999-01-01T00:00:00") >= third["revision"]
    assert first["revision"] <= stood_at(second["at"]) < third["revision"]


@pytest.mark.parametrize(
    ("time", "status"),
    [("1999-01-01T00:00:00Z", 410), ("", 400), ("yesterday", 400), ("2026-11-28T02:40:00", 400)],
)
def test_a_time_that_no_configuration_is_known_of_is_refused(api, time: str, status: int) -> None:
    make(api, "red")

    assert api.call("GET", f"/api/v1/history/moment?time={time}").status == status


def test_history_and_search_are_read_as_of_a_revision(api) -> None:
    gone = make(api, "gone")
    then = int(gone["change"].split(".")[0])
    api.call("DELETE", f"{NETWORKS}/{gone['uuid']}")
    make(api, "later")

    def found(text: str, query: str = "") -> list[str]:
        items = api.call("GET", f"/api/v1/search?q={text}{query}").json["items"]
        return [each["uuid"] for each in items]

    assert history(api, f"?revision={then}&type=virtual-network")[0]["change"] == gone["change"]
    assert found("gone") == []
    assert found("gone", f"&revision={then}") == [gone["uuid"]]
    assert found("later", f"&revision={then}") == []
    assert api.call("GET", f"/api/v1/history?revision={api.service.revision + 1}").status == 400
