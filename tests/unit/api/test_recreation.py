"""A uuid that is deleted and comes back as another object, in one transaction."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]
UUID = "0e6f0b0a-9f0e-4c6a-8f5f-3b8d0c5f9a01"
OTHER = "0e6f0b0a-9f0e-4c6a-8f5f-3b8d0c5f9a02"


def transact(api, *operations: dict) -> None:
    reply = api.call("POST", "/api/v1/transaction", {"operations": list(operations)})
    assert reply.status == 200, reply.text


def delete(type_name: str, uuid: str) -> dict:
    return {"op": "delete", "type": type_name, "uuid": uuid}


def create(type_name: str, uuid: str, fq_name: list[str], **members: object) -> dict:
    body = {"uuid": uuid, "fq_name": fq_name, **members}
    return {"op": "create", "type": type_name, "object": body}


def tag_group(api, name: str, uuid: str = UUID) -> str:
    return api.create("address-group", uuid=uuid, fq_name=[*PROJECT, name], parent_type="project")


@pytest.mark.parametrize("restarts", [False, True])
def test_object_recreated_under_another_name_can_be_changed_and_deleted(api, restarts) -> None:
    tag_group(api, "before")
    transact(
        api,
        delete("address-group", UUID),
        create("address-group", UUID, [*PROJECT, "after"], parent_type="project"),
    )
    server = api.restarted() if restarts else api

    assert server.read("address-group", UUID)["fq_name"][-1] == "after"
    assert server.call("GET", f"/address-group/{UUID}").status == 200
    body = {"address-group": {"display_name": "x"}}
    assert server.call("PUT", f"/address-group/{UUID}", body).status == 200
    tag_group(server, "before", OTHER)
    assert server.call("DELETE", f"/address-group/{UUID}").status == 200
    tag_group(server, "after")


@pytest.mark.parametrize("restarts", [False, True])
def test_object_recreated_below_a_recreated_parent_of_its_name_can_be_deleted(
    api, restarts
) -> None:
    first = api.create("project", fq_name=["default-domain", "p"])
    name = ["default-domain", "p", "group"]
    api.create("address-group", uuid=UUID, fq_name=name, parent_type="project")
    transact(
        api,
        {**delete("project", first), "cascade": True},
        create("project", OTHER, ["default-domain", "p"], parent_type="domain"),
        create("address-group", UUID, name, parent_type="project"),
    )
    server = api.restarted() if restarts else api

    assert server.read("address-group", UUID)["parent_uuid"] == OTHER
    assert server.call("DELETE", f"/address-group/{UUID}").status == 200


@pytest.mark.parametrize("restarts", [False, True])
def test_name_that_passes_on_in_a_transaction_can_be_given_up(api, restarts) -> None:
    tag_group(api, "one")
    transact(
        api,
        delete("address-group", UUID),
        create("address-group", OTHER, [*PROJECT, "one"], parent_type="project"),
    )
    server = api.restarted() if restarts else api

    assert server.call("DELETE", f"/address-group/{OTHER}").status == 200
    tag_group(server, "one")


def test_uuid_may_come_back_as_another_type(api) -> None:
    tag_group(api, "one")
    transact(
        api,
        delete("address-group", UUID),
        create("service-group", UUID, [*PROJECT, "one"], parent_type="project"),
    )
    server = api.restarted()

    assert server.call("GET", f"/address-group/{UUID}").status == 404
    assert server.call("DELETE", f"/service-group/{UUID}").status == 200


def test_lists_come_in_the_same_order_after_a_restart(api) -> None:
    tag_group(api, "one")
    tag_group(api, "two", OTHER)
    transact(
        api,
        delete("address-group", UUID),
        create("address-group", UUID, [*PROJECT, "three"], parent_type="project"),
    )

    def listed(server) -> list[str]:
        found = server.call("GET", "/address-groups").json["address-groups"]
        return [each["fq_name"][-1] for each in found]

    assert listed(api) == listed(api.restarted())
