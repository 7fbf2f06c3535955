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
