"""Secrets of the model: masked for users, there for administrators and components."""

from __future__ import annotations

import json

import pytest

from skytrail.api import secret_fields
from skytrail.api.caller import THE_SERVER, Caller
from skytrail.api.io import watch
from skytrail.api.sight import Sight

ROUTER = {"fq_name": ["default-global-system-config", "leaf"],
          "parent_type": "global-system-config"}  # fmt: skip
SECRET = {"username": "root", "password": "hunter2"}
COMMUNITY = {"version": 2, "v2_community": "hunter2"}


@pytest.fixture
def user(api) -> Caller:
    """Somebody who may read and write the router without being an administrator."""
    rules = [{"rule_object": "*", "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}]}]
    api.create("api-access-list", fq_name=["default-global-system-config", "l"],
               parent_type="global-system-config",
               api_access_list_entries={"rbac_rule": rules})  # fmt: skip
    project = api.create("project", fq_name=["default-domain", "red"])
    return Caller(user="ann", project=project, roles=frozenset({"member"}))


@pytest.fixture
def router(api, user) -> str:
    return api.create(
        "physical-router",
        **ROUTER,
        physical_router_user_credentials=SECRET,
        physical_router_snmp_credentials=COMMUNITY,
        perms2={"owner": "cloud-admin", "global_access": 6},
    )


def test_the_model_marks_its_secrets(api) -> None:
    marked = {
        f"{kind.name}.{name}"
        for kind in api.service.schema.complex_types.values()
        for name, field in kind.fields.items()
        if field.secret
    }

    assert {
        "UserCredentials.password", "SNMPCredentials.v2_community",
        "SNMPCredentials.v3_authentication_password", "SNMPCredentials.v3_privacy_password",
        "AuthenticationKeyItem.key",
    } <= marked  # fmt: skip


def test_reads_of_every_kind_are_masked_for_users(api, user, router) -> None:
    bulk = {"type": "physical-router", "obj_uuids": router, "detail": True}
    with api.as_caller(user):
        replies = [
            api.call("GET", f"/physical-router/{router}"),
            api.call("GET", f"/physical-router/{router}?fields=physical_router_user_credentials"),
            api.call("GET", "/physical-routers?detail=true"),
            api.call("GET", "/physical-routers?fields=physical_router_user_credentials"),
            api.call("POST", "/list-bulk-collection", bulk),
            api.call("GET", f"/api/v1/physical-router/{router}"),
            api.call("GET", "/api/v1/physical-router/by-name/default-global-system-config:leaf"),
            api.call("GET", "/api/v1/physical-router"),
            api.call("PATCH", f"/api/v1/physical-router/{router}", {"display_name": "x"}),
        ]

    for reply in replies:
        assert reply.status == 200, reply.text
        assert "hunter2" not in reply.text
        assert secret_fields.MASK in reply.text


def test_a_rehearsal_does_not_show_the_secret_it_would_replace(api, user, router) -> None:
    new = {"physical_router_user_credentials": {"username": "a", "password": "b"}}
    with api.as_caller(user):
        reply = api.call("PATCH", f"/api/v1/physical-router/{router}?dry_run=true", new)

    assert reply.status == 200, reply.text
    assert "/physical_router_user_credentials/username" in reply.text
    assert "hunter2" not in reply.text


def test_administrators_see_what_is_there(api, router) -> None:
    assert api.read("physical-router", router)["physical_router_user_credentials"] == SECRET


def test_watches_are_masked_for_users_and_not_for_components(api, user, router) -> None:
    service = api.service

    async def first(caller: Caller) -> bytes:
        sight = Sight(service.graph, caller, service.schema)
        stream = watch.native(service, frozenset({"physical-router"}), None, sight)
        seen = b""
        async for chunk in stream:
            seen += chunk
            if b"snapshot_end" in chunk:
                break
        await stream.aclose()
        return seen

    masked = api.loop.run_until_complete(first(user))
    assert b"leaf" in masked
    assert b"hunter2" not in masked
    assert b"hunter2" in api.loop.run_until_complete(first(THE_SERVER))


def test_filters_do_not_confirm_guesses(api, user, router) -> None:
    guess = json.dumps(json.dumps({"password": "hunter2"}))
    with api.as_caller(user):
        reply = api.call(
            "GET", f"/physical-routers?filters=physical_router_user_credentials=={guess}"
        )

    assert (reply.status, "holds secrets" in reply.text) == (403, True)


def test_writing_back_what_was_read_keeps_the_secret(api, user, router) -> None:
    with api.as_caller(user):
        read = api.read("physical-router", router)
        body = {"physical_router_user_credentials": read["physical_router_user_credentials"]}
        reply = api.call("PUT", f"/physical-router/{router}", {"physical-router": body})

    assert reply.status == 200, reply.text
    assert api.read("physical-router", router)["physical_router_user_credentials"] == SECRET


def test_a_new_secret_replaces_the_old_one(api, user, router) -> None:
    body = {"physical_router_user_credentials": {"username": "root", "password": "new"}}
    with api.as_caller(user):
        api.call("PUT", f"/physical-router/{router}", {"physical-router": body})

    found = api.read("physical-router", router)["physical_router_user_credentials"]
    assert found["password"] == "new"


def test_a_mask_does_not_carry_the_secret_to_another_account(api, user, router) -> None:
    body = {"physical_router_user_credentials": {"username": "eve", "password": "***"}}
    with api.as_caller(user):
        reply = api.call("PUT", f"/physical-router/{router}", {"physical-router": body})

    assert reply.status == 400
    assert "physical_router_user_credentials.password" in reply.text


def test_a_mask_is_never_stored_as_a_secret(api) -> None:
    body = {**ROUTER, "physical_router_user_credentials": {"username": "a", "password": "***"}}

    reply = api.call("POST", "/physical-routers", {"physical-router": body})

    assert (reply.status, "give it" in reply.text) == (400, True)


def test_a_mask_is_restored_wherever_an_update_may_carry_it(api) -> None:
    def router(name: str, **members: object) -> str:
        parameters = {"address": "192.0.2.1", "identifier": "192.0.2.1"}
        return api.create(
            "bgp-router",
            fq_name=["default-domain", "default-project", "ip-fabric", "__default__", name],
            bgp_router_parameters=parameters,
            **members,
        )

    def attribute(key: str) -> dict:
        auth = {"key_type": "md5", "key_items": [{"key_id": 1, "key": key}]}
        return {"session": [{"attributes": [{"auth_data": auth}]}]}

    peer = router("peer")
    uuid = router("mine", bgp_router_refs=[{"uuid": peer, "attr": attribute("hunter2")}])
    request = {"type": "bgp-router", "uuid": uuid, "ref-type": "bgp-router", "ref-uuid": peer,
               "operation": "ADD", "attr": attribute("***")}  # fmt: skip

    assert api.call("POST", "/ref-update", request).status == 200
    (kept,) = api.read("bgp-router", uuid)["bgp_router_refs"]
    assert kept["attr"] == attribute("hunter2")
    fresh = router("fresh")
    refused = api.call("POST", "/ref-update", {**request, "uuid": fresh})
    assert (refused.status, "give it" in refused.text) == (400, True)


def test_a_mask_in_a_list_finds_its_element_when_others_leave(api) -> None:
    def login(user: str, password: str) -> dict:
        return {"credential": {"username": user, "password": password}, "vendor": "Maker"}

    fabric = api.create(
        "fabric",
        fq_name=["default-global-system-config", "f"],
        fabric_credentials={"device_credential": [login("a", "one"), login("b", "two")]},
    )
    kept = {"fabric_credentials": {"device_credential": [login("b", "***")]}}

    assert api.call("PUT", f"/fabric/{fabric}", {"fabric": kept}).status == 200
    found = api.read("fabric", fabric)["fabric_credentials"]["device_credential"]
    assert found == [login("b", "two")]
    update = {"field": "fabric_credentials", "operation": "add", "value": login("c", "***")}
    reply = api.call("POST", "/prop-collection-update", {"uuid": fabric, "updates": [update]})
    assert (reply.status, "give it" in reply.text) == (400, True)


def test_a_mask_does_not_carry_the_secret_to_another_device(api, user) -> None:
    driver = {"ipmi_address": "192.0.2.1", "ipmi_username": "root", "ipmi_password": "hunter2"}
    node = api.create(
        "node",
        fq_name=["default-global-system-config", "n"],
        bms_info={"driver_info": driver},
        perms2={"owner": "cloud-admin", "global_access": 7},
    )
    elsewhere = {**driver, "ipmi_address": "198.51.100.66", "ipmi_password": "***"}
    with api.as_caller(user):
        body = {"node": {"bms_info": {"driver_info": elsewhere}}}
        reply = api.call("PUT", f"/node/{node}", body)

    assert (reply.status, "ipmi_address changes" in reply.text) == (400, True)


def test_reverts_say_what_they_cannot_bring_back(api, router) -> None:
    place = f"/api/v1/physical-router/{router}"
    changed = {
        "display_name": "new",
        "physical_router_user_credentials": {"username": "eve", "password": "other"},
    }
    change = api.call("PATCH", place, changed).headers["x-skytrail-change"]

    refused = api.call("POST", f"/api/v1/history/{change}/revert")
    forced = api.call("POST", f"/api/v1/history/{change}/revert?force=true")

    assert (refused.status, "holds secrets" in refused.text) == (409, True)
    assert forced.status == 200, forced.text
    now = api.read("physical-router", router)
    assert now["display_name"] == "leaf"
    assert now["physical_router_user_credentials"]["password"] == "other"


def test_a_deleted_holder_of_secrets_comes_back_without_them_by_force(api, router) -> None:
    gone = api.call("DELETE", f"/api/v1/physical-router/{router}").headers["x-skytrail-change"]

    refused = api.call("POST", f"/api/v1/history/{gone}/revert")
    forced = api.call("POST", f"/api/v1/history/{gone}/revert?force=true")

    assert (refused.status, forced.status) == (409, 200), forced.text
    now = api.read("physical-router", forced.json["results"][0]["uuid"])
    assert now["fq_name"] == ROUTER["fq_name"]
    assert "physical_router_user_credentials" not in now
