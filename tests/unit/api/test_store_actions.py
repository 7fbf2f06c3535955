"""The check of the store, the dump of records, the memory's entries, host-based services."""

from __future__ import annotations

import json

import pytest

from skytrail.api.caller import Caller
from skytrail.store.transaction import Delete, Put

PROJECT = ["default-domain", "default-project"]
NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def populated(api):
    network = api.network("red", api.subnet("10.0.0.0/24"), virtual_network_category="routed")
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "port"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network}],
    )
    address = api.address(network, "ip", virtual_machine_interface_refs=[{"uuid": port}]).json
    api.create("security-group", fq_name=[*PROJECT, "web"], parent_type="project")
    api.call("POST", f"/virtual-network/{network}/ip-alloc", {"count": 1})
    api.call("POST", "/int-pools", {"pool": "p", "start": 5, "end": 7})
    api.call("POST", "/int-pool", {"pool": "p", "owner": "me"})
    api.uuids = {"network": network, "port": port, "ip": address["instance-ip"]["uuid"]}
    return api


def damage(api, *operations):
    api.loop.run_until_complete(api.store.transact((), operations))


def stored(api, prefix):
    return api.loop.run_until_complete(api.store.range(prefix, limit=1000)).items


def found(api):
    reply = api.call("POST", "/db-check", {})
    assert reply.status == 200
    return {(each["kind"], each["type"], each["uuid"]) for each in reply.json["results"]}


def changed(api, type_name, uuid, **members):
    """The write that puts members into a stored document, past all checks."""
    (item,) = stored(api, f"/o/{type_name}/{uuid}")
    return Put(item.key, json.dumps(json.loads(item.value) | members).encode())


def test_a_store_that_only_the_api_wrote_is_consistent(populated) -> None:
    reply = populated.call("POST", "/db-check", {})

    assert reply.json["results"] == []
    assert reply.json["results_count"] == 0
    assert reply.json["checked"]["objects"] == len(populated.service.graph.records)
    assert reply.json["checked"]["numbers"] > 5


def test_dangling_references_parents_and_names_are_found(populated) -> None:
    uuids = populated.uuids
    ref = [{"to": [*PROJECT, "gone"], "uuid": NOBODY}]
    (name,) = [item for item in stored(populated, "/f/") if item.value.decode() == uuids["ip"]]
    damage(
        populated,
        changed(populated, "virtual-machine-interface", uuids["port"], virtual_network_refs=ref),
        changed(populated, "virtual-network", uuids["network"], parent_uuid=NOBODY),
        Delete(name.key),
        Put("/f/tag/nothing", NOBODY.encode()),
        Put(f"/x/{NOBODY}", b"{}"),
    )

    assert found(populated) >= {
        ("reference", "virtual-machine-interface", uuids["port"]),
        ("parent", "virtual-network", uuids["network"]),
        ("name", "instance-ip", uuids["ip"]),
        ("name", "", NOBODY),
        ("side", "", NOBODY),
    }


def test_references_of_a_wrong_type_or_name_are_found(populated) -> None:
    uuids = populated.uuids
    wrong = [{"to": [*PROJECT, "blue"], "uuid": uuids["network"]}]
    damage(
        populated,
        changed(populated, "instance-ip", uuids["ip"], virtual_network_refs=wrong),
        changed(
            populated, "virtual-machine-interface", uuids["port"],
            security_group_refs=[{"to": [*PROJECT, "red"], "uuid": uuids["network"]}],
        ),
    )  # fmt: skip

    assert found(populated) >= {
        ("reference", "instance-ip", uuids["ip"]),
        ("reference", "virtual-machine-interface", uuids["port"]),
    }


def test_allocations_without_owner_and_owners_without_allocation_are_found(populated) -> None:
    uuids = populated.uuids
    numbers = {item.key: item for item in stored(populated, "/n/")}
    (address,) = [key for key in numbers if numbers[key].value.decode() == uuids["ip"]]
    (identifier,) = [key for key in numbers if numbers[key].value.decode() == uuids["network"]]
    damage(
        populated,
        Delete(address),
        Put(identifier, NOBODY.encode()),
        Put("/n/security-group-id/99", NOBODY.encode()),
        Put("/n/security-group-id/x", b""),
    )

    reply = populated.call("POST", "/db-check", {})

    details = " ".join(each["detail"] for each in reply.json["results"])
    assert "ip: 10.0.0.252 is not allocated to it" in details
    assert f"is allocated to {NOBODY}" in details
    assert "99 of pool security-group-id belongs to an object that is not there" in details
    assert "/n/security-group-id/x" in details


def test_documents_that_cannot_be_read_are_found(populated) -> None:
    damage(
        populated,
        Put(f"/o/virtual-network/{NOBODY}", b"{"),
        Put("/o/no-such-type/u", b"{}"),
        Put("/o/of/another/form", b"{}"),
        Put("/o/tag/u", b'{"uuid":"v","fq_name":["t"]}'),
    )

    kinds = found(populated)

    assert ("object", "no-such-type", "u") in kinds
    assert ("object", "tag", "u") in kinds
    assert ("object", "", "") in kinds


def test_memory_that_is_not_as_the_store_is_found(populated) -> None:
    uuids = populated.uuids
    network = changed(populated, "virtual-network", uuids["network"])
    damage(populated, Delete(f"/o/instance-ip/{uuids['ip']}"), network)

    kinds = found(populated)

    assert ("memory", "instance-ip", uuids["ip"]) in kinds
    assert ("memory", "virtual-network", uuids["network"]) in kinds


def test_records_are_every_object_with_secrets_masked(populated) -> None:
    router = populated.create(
        "physical-router",
        fq_name=["default-global-system-config", "leaf"],
        parent_type="global-system-config",
        physical_router_user_credentials={"username": "root", "password": "hidden-word"},
    )

    reply = populated.call("POST", "/fetch-records", {"fetch_records": None})

    records = reply.json["results"]
    assert len(records) == len(populated.service.graph.records)
    by_uuid = {next(iter(each.values()))["uuid"]: next(iter(each)) for each in records}
    assert by_uuid[router] == "physical-router"
    assert "hidden-word" not in reply.text


def test_memory_entries_are_told_by_uuid_or_newest(populated) -> None:
    uuid = populated.uuids["network"]

    named = populated.call("GET", f"/obj-cache?uuids={uuid},{NOBODY}").json
    newest = populated.call("POST", "/obj-cache", {"count": 2}).json

    assert list(named) == [uuid]
    assert named[uuid]["type"] == "virtual-network"
    assert named[uuid]["obj_dict"]["fq_name"] == [*PROJECT, "red"]
    assert named[uuid]["revision"] > 0
    assert len(newest) == 2


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/obj-cache?count=x", None),
        ("GET", "/obj-cache?count=0", None),
        ("POST", "/obj-cache", {"count": 1001}),
        ("POST", "/obj-cache", {"uuids": "u"}),
        ("POST", "/obj-cache", []),
        ("POST", "/hbs-get", {}),
        ("POST", "/hbs-get", {"hbs_fq_name": "x"}),
    ],
)
def test_bad_questions_are_refused(api, method, target, body) -> None:
    assert api.call(method, target, body).status == 400


def test_host_based_service_is_read_by_name(api) -> None:
    network = api.network("left")
    uuid = api.create(
        "host-based-service",
        fq_name=[*PROJECT, "wall"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network, "attr": {"virtual_network_type": "left"}}],
    )

    read = api.call("POST", "/hbs-get", {"hbs_fq_name": [*PROJECT, "wall"]})
    missing = api.call("POST", "/hbs-get", {"hbs_fq_name": [*PROJECT, "none"]})

    assert read.json["host-based-service"]["uuid"] == uuid
    assert read.json["host-based-service"]["virtual_network_refs"][0]["uuid"] == network
    assert (missing.status, missing.text) == (
        404, "Name ['default-domain', 'default-project', 'none'] not found",
    )  # fmt: skip


def test_only_administrators_look_into_the_store(api) -> None:
    api.create("host-based-service", fq_name=[*PROJECT, "wall"], parent_type="project")
    tenant = Caller(user="alice", roles=frozenset({"member"}), project=NOBODY)
    with api.as_caller(tenant):
        statuses = {
            path: api.call("POST", f"/{path}", {}).status
            for path in ("db-check", "fetch-records", "obj-cache")
        }
        cache = api.call("GET", "/obj-cache")
        service = api.call("POST", "/hbs-get", {"hbs_fq_name": [*PROJECT, "wall"]})

    assert set(statuses.values()) == {403}
    assert cache.status == 403
    assert service.status in {403, 404}
    assert "wall" not in service.text.replace("'wall'] not found", "")
