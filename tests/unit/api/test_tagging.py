"""Tags set on objects by action."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]


@pytest.fixture
def network(api):
    for kind, value in (("application", "hr"), ("application", "crm"), ("label", "blue")):
        api.create(
            "tag", fq_name=[*PROJECT, "t"], parent_type="project",
            tag_type_name=kind, tag_value=value,
        )  # fmt: skip
    api.create("tag", fq_name=["t"], tag_type_name="application", tag_value="hr")
    api.create("tag", fq_name=["t"], tag_type_name="label", tag_value="red")
    return api.network("n")


def tag(api, network, **types):
    body = {"obj_type": "virtual_network", "obj_uuid": network, **types}
    return api.call("POST", "/set-tag", body)


def tags(api, network):
    refs = api.read("virtual-network", network).get("tag_refs", [])
    return {":".join(ref["to"]) for ref in refs}


def test_a_single_value_type_is_replaced(api, network) -> None:
    tag(api, network, application={"is_global": False, "value": "hr"})
    reply = tag(api, network, application={"value": "crm"})

    assert (reply.status, reply.json) == (200, {})
    assert tags(api, network) == {"default-domain:default-project:application=crm"}


def test_values_of_labels_are_added_and_deleted(api, network) -> None:
    tag(api, network, label={"add_values": ["blue"]}, application={"value": "hr"})
    tag(api, network, label={"is_global": True, "value": "red"})
    both = tags(api, network)
    tag(api, network, label={"delete_values": ["blue", "unknown"]})

    assert len(both) == 3
    assert tags(api, network) == {"label=red", "default-domain:default-project:application=hr"}


def test_null_drops_all_tags_of_a_type(api, network) -> None:
    tag(api, network, label={"add_values": ["blue"]}, application={"value": "hr"})

    tag(api, network, label=None, tier=None)

    assert tags(api, network) == {"default-domain:default-project:application=hr"}


@pytest.mark.parametrize(
    ("types", "status", "text"),
    [
        (
            {"tier": {"add_values": ["a", "b"]}},
            400,
            "Tag type tier cannot be set multiple times on a same object.",
        ),
        (
            {"application": {"value": "crm", "is_global": True}},
            404,
            "Tag with FQName ['application=crm'] not found",
        ),
        ({"application": "crm"}, 400, "Bad Request, tag type application needs an object or null"),
        ({"application": {"value": 7}}, 400, "No valid value provided for tag type application"),
        ({"application": {}}, 400, "No valid value provided for tag type application"),
        ({"label": {}}, 400, "No valid value provided for tag type label"),
        ({"label": {"add_values": "x"}}, 400, "Bad Request, add_values must be a list of strings"),
        ({"label": {"add_values": [[]]}}, 400, "Bad Request, add_values must be a list of strings"),
    ],
)
def test_bad_tags_are_refused_and_nothing_of_the_request_is_done(
    api, network, types, status, text
) -> None:
    before = api.service.revision

    reply = tag(api, network, **{"neutron_tag": None, **types})

    assert (reply.status, reply.text) == (status, text)
    assert api.service.revision == before


def test_only_labels_go_on_address_groups(api, network) -> None:
    group = api.create("address-group", fq_name=[*PROJECT, "g"], parent_type="project")

    def tag_group(**types):
        body = {"obj_type": "address-group", "obj_uuid": group, **types}
        return api.call("POST", "/set-tag", body)

    assert tag_group(application={"value": "hr"}).status == 400
    assert tag_group(label={"value": "blue"}).status == 200


def test_the_object_must_be_named(api) -> None:
    assert api.call("POST", "/set-tag", {}).status == 400
    body = {"obj_type": "virtual_network", "obj_uuid": "nothing"}
    assert api.call("POST", "/set-tag", body).status == 404
    assert api.call("POST", "/set-tag", {**body, "obj_type": "nothing"}).status == 404


def test_an_object_outside_of_projects_takes_tags_of_its_owner(api, network) -> None:
    machine = api.create("virtual-machine", fq_name=["m"])
    body = {"obj_type": "virtual-machine", "obj_uuid": machine, "label": {"value": "blue"}}

    orphan = api.call("POST", "/set-tag", body)
    project = api.service.graph.uuid_of("project", tuple(PROJECT))
    api.call("POST", "/chown", {"uuid": machine, "owner": project})
    owned = api.call("POST", "/set-tag", body)

    assert orphan.status == 400
    assert owned.status == 200


def test_two_tags_of_one_type_are_refused_however_they_are_set(api, network) -> None:
    both = [{"to": ["application=hr"]}, {"to": [*PROJECT, "application=crm"]}]
    labels = [{"to": ["label=red"]}, {"to": [*PROJECT, "label=blue"]}]

    def put(refs):
        body = {"virtual-network": {"tag_refs": refs}}
        return api.call("PUT", f"/virtual-network/{network}", body)

    assert put(both).status == 400
    assert put(labels).status == 200
