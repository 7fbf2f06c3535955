"""Every object type lives its whole life through the compatible API."""

from __future__ import annotations

import pytest

from skytrail.model.catalog import CATALOG

PROJECT = ["default-domain", "default-project"]
TYPES = sorted(name for name in CATALOG.objects if name != "config-root")
NAMES = {"route-target": "target:64512:77", "tag": "tier=holder"}
# The tag's type follows from its name; an address comes from one kind of place; what
# a firewall rule refers to follows from its endpoints; a virtual-router takes flat managers only.
NOT_ANY_TARGET = {
    ("tag", "tag_type_refs"),
    ("instance-ip", "network_ipam_refs"),
    ("instance-ip", "virtual_router_refs"),
    ("firewall-rule", "address_group_refs"),
    ("virtual-router", "network_ipam_refs"),
    ("virtual-network", "virtual_network_refs"),
}
SINGLETONS = {"global-system-config": ["default-global-system-config"]}


def parent_of(api, type_name: str) -> tuple[str | None, list[str]]:
    """Type and name of a parent, which is made when it is missing."""
    resource = CATALOG.objects[type_name]
    if resource.is_root or not resource.parent_types:
        return None, []
    preferred = ("project", "domain", "global-system-config", "floating-ip-pool")
    parents = sorted(
        resource.parent_types,
        key=lambda name: preferred.index(name) if name in preferred else len(preferred),
    )
    return parents[0], made(api, parents[0])


def made(api, type_name: str) -> list[str]:
    """The name of an object of the type, which is made when it is missing."""
    known = {"project": PROJECT, "domain": PROJECT[:1], **SINGLETONS}
    if type_name in known:
        return known[type_name]
    parent_type, parent = parent_of(api, type_name)
    name = [*parent, NAMES.get(type_name, f"holder-{type_name}")]
    if api.service.graph.uuid_of(type_name, tuple(name)) is None:
        api.create(type_name, **minimal(api, type_name, name, parent_type))
    return name


def minimal(api, type_name: str, name: list[str], parent_type: str | None) -> dict:
    body: dict[str, object] = {"fq_name": name}
    if parent_type is not None:
        body["parent_type"] = parent_type
    match type_name:
        case "virtual-network":
            subnet = api.subnet("192.0.2.0/24")
            manager = [*PROJECT, "default-network-ipam"]
            body["network_ipam_refs"] = [{"to": manager, "attr": {"ipam_subnets": [subnet]}}]
        case "virtual-machine-interface" | "instance-ip":
            body["virtual_network_refs"] = [{"to": made(api, "virtual-network")}]
        case "tag":
            body |= {"tag_type_name": "tier", "tag_value": name[-1].removeprefix("tier=")}
        case "firewall-rule":
            body["service"] = {"protocol": "any"}
        case "route-target":
            body["fq_name"] = [name[0] if ":" in name[0] else "target:64512:78"]
        case _:
            pass
    return body


@pytest.mark.parametrize("type_name", TYPES)
def test_create_read_update_list_and_delete(api, type_name: str) -> None:
    parent_type, parent = parent_of(api, type_name)
    body = minimal(api, type_name, [*parent, "subject"], parent_type)

    reply = api.call("POST", f"/{type_name}s", {type_name: body})
    assert reply.status == 200, reply.text
    uuid = reply.json[type_name]["uuid"]
    read = api.read(type_name, uuid)
    assert read["uuid"] == uuid
    name = {"type": type_name, "fq_name": read["fq_name"]}
    assert api.call("POST", "/fqname-to-id", name).json == {"uuid": uuid}
    notes = {"annotations": {"key_value_pair": [{"key": "k", "value": "v"}]}}
    assert api.call("PUT", f"/{type_name}/{uuid}", {type_name: notes}).status == 200
    assert api.read(type_name, uuid)["annotations"] == notes["annotations"]
    listed = api.call("GET", f"/{type_name}s?fields=annotations").json[f"{type_name}s"]
    assert notes["annotations"] in [item.get("annotations") for item in listed]
    if parent_type is not None:
        holder = api.service.graph.uuid_of(parent_type, tuple(parent))
        child = next(
            entry.name
            for entry in CATALOG.objects[parent_type].children.values()
            if entry.type == type_name
        )
        children = api.read(parent_type, holder, f"?fields={child}")[child]
        assert uuid in [item["uuid"] for item in children]
    assert api.call("DELETE", f"/{type_name}/{uuid}").status == 200
    assert api.call("GET", f"/{type_name}/{uuid}").status == 404


def references() -> list[tuple[str, str]]:
    return sorted(
        (name, field)
        for name, resource in CATALOG.objects.items()
        for field, entry in resource.references.items()
        if field != "tag_refs" and entry.target != "config-root" and name != "config-root"
    )


def test_every_reference_is_seen_from_both_ends_and_holds_its_target(api) -> None:
    for source, field in references():
        entry = CATALOG.objects[source].references[field]
        target = made(api, entry.target)
        target_uuid = api.service.graph.uuid_of(entry.target, tuple(target))
        parent_type, parent = parent_of(api, source)
        body = minimal(api, source, [*parent, "referrer"], parent_type)
        if (source, field) in NOT_ANY_TARGET:
            continue
        body[field] = [{"to": target}]
        if field == "service_group_refs":
            del body["service"]
        reply = api.call("POST", f"/{source}s", {source: body})
        assert reply.status == 200, (source, field, reply.text)
        uuid = reply.json[source]["uuid"]

        found = api.read(source, uuid)[field]
        assert target_uuid in [item["uuid"] for item in found]
        back = next(
            name
            for name, inverse in CATALOG.objects[entry.target].back_references.items()
            if inverse.source == source
        )
        backs = api.read(entry.target, target_uuid, f"?fields={back}")[back]
        assert uuid in [item["uuid"] for item in backs]
        if not entry.weak:
            assert api.call("DELETE", f"/{entry.target}/{target_uuid}").status == 409
        assert api.call("DELETE", f"/{source}/{uuid}").status == 200
