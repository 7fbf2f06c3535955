"""Lists and watches of the native API: typed filters, sort, counts, cursors, selectors."""

from __future__ import annotations

import json

import pytest

from skytrail.api.caller import Caller
from skytrail.api.io import lists
from skytrail.api.io.lists import watch_filter
from skytrail.api.io.watch import native
from skytrail.runtime.asgi import Request

PROJECT = ["default-domain", "default-project"]
NETWORKS = "/api/v1/virtual-network"


@pytest.fixture
def networks(api):
    def make(name: str, **members: object) -> None:
        body = {"fq_name": [*PROJECT, name], **members}
        reply = api.call("POST", NETWORKS, body)
        assert reply.status == 201, reply.text

    api.call(
        "POST",
        "/api/v1/tag",
        {"fq_name": ["tier=web"], "tag_type_name": "tier", "tag_value": "web"},
    )
    api.call("POST", "/api/v1/network-policy", {"fq_name": [*PROJECT, "p"]})
    attr = {"sequence": {"major": 0, "minor": 0}}
    make("web-1", mtu=9000, is_shared=True, tag_refs=[{"to": ["tier=web"]}])
    make("web-2", mtu=1400, network_policy_refs=[{"to": [*PROJECT, "p"], "attr": attr}])
    make(
        "db",
        virtual_network_properties={"forwarding_mode": "l3"},
        annotations={"key_value_pair": [{"key": "team", "value": "a"}]},
    )
    return api


def names(api, query: str) -> list[str]:
    reply = api.call("GET", f"{NETWORKS}?{query}")
    assert reply.status == 200, reply.text
    own = {"web-1", "web-2", "db"}
    return [n for item in reply.json["items"] if (n := item["fq_name"][-1]) in own]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter=mtu:eq:9000", ["web-1"]),
        ("filter=mtu:gt:1400", ["web-1"]),
        ("filter=mtu:ge:1400&filter=mtu:lt:9000", ["web-2"]),
        ("filter=mtu:in:1400,9000", ["web-1", "web-2"]),
        ("filter=mtu:absent&filter=name:eq:db", ["db"]),
        ("filter=name:prefix:web", ["web-1", "web-2"]),
        ("filter=display_name:contains:b-2", ["web-2"]),
        ("filter=is_shared:eq:true", ["web-1"]),
        ("filter=virtual_network_properties.forwarding_mode:eq:l3", ["db"]),
        ("filter=network_policy_refs:exists", ["web-2"]),
        ("filter=network_policy_refs:eq:default-domain:default-project:p", ["web-2"]),
        ("filter=annotations.key_value_pair.value:eq:a", ["db"]),
        ("tags=tier=web", ["web-1"]),
        ("labels=team=a", ["db"]),
        ("labels=team", ["db"]),
        ("parent=default-domain:default-project&filter=name:ne:db", ["web-1", "web-2"]),
        ("filter=mtu:exists&sort=-mtu", ["web-1", "web-2"]),
        ("filter=mtu:exists&sort=mtu", ["web-2", "web-1"]),
    ],
)
def test_objects_are_selected_by_typed_filters(networks, query, found) -> None:
    assert names(networks, query) == found


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("filter=mtuu:eq:1", "Did you mean 'mtu'?"),
        ("filter=mtu:eq:big", "is not a number"),
        ("filter=mtu:prefix:9", "integer fields know"),
        ("filter=is_shared:eq:yes", "true or false"),
        ("filter=virtual_network_properties.rpff:eq:x", "Did you mean 'rpf'?"),
        ("filter=mtu", "field:operator:value"),
        ("sort=nothing", "has no field"),
        ("sort=virtual_network_properties", "only simple fields"),
        ("limit=0", "from 1 to"),
        ("cursor=x", "none of this list's"),
        ("fields=mtuu", "Did you mean 'mtu'?"),
        ("filters=mtu==1", "Did you mean 'filter'?"),
    ],
)
def test_what_is_unknown_is_refused_with_what_would_be_right(networks, query, told) -> None:
    reply = networks.call("GET", f"{NETWORKS}?{query}")

    assert reply.status == 400
    assert told in reply.json["detail"]


def test_a_count_comes_without_items(networks) -> None:
    assert networks.call("GET", f"{NETWORKS}?filter=mtu:exists&count=true").json["count"] == 2


def test_fields_leave_only_what_is_asked_for(networks) -> None:
    item = networks.call("GET", f"{NETWORKS}?filter=name:eq:web-1&fields=mtu").json["items"][0]

    assert set(item) == {"uuid", "fq_name", "mtu"}


@pytest.mark.parametrize("kept_s", [60.0, -1.0], ids=["kept", "found again in the audit log"])
def test_pages_show_one_revision_whatever_happens_between_them(
    networks, monkeypatch, kept_s
) -> None:
    monkeypatch.setattr(lists, "KEPT_S", kept_s)
    query = "filter=parent_uuid:exists&limit=2"
    whole = networks.call("GET", f"{NETWORKS}?filter=parent_uuid:exists").json["items"]
    found, cursor = [], ""
    for number in range(20):
        page = networks.call("GET", f"{NETWORKS}?{query}{cursor}").json
        found += page["items"]
        networks.call("POST", NETWORKS, {"fq_name": [*PROJECT, f"a-new-{number}"]})
        networks.call("DELETE", f"{NETWORKS}/by-name/{':'.join([*PROJECT, 'web-2'])}")
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert found == whole


def test_later_page_of_a_kept_list_shows_no_object_whose_rights_are_gone(networks) -> None:
    tenant = "2b2ee9a5-6a4c-4f0d-9a1f-0d6c7a4c2f11"
    rules = [{"rule_object": "*", "rule_perms": [{"role_name": "*", "role_crud": "CRUD"}]}]
    networks.create(
        "api-access-list", fq_name=["default-global-system-config", "open"],
        parent_type="global-system-config", api_access_list_entries={"rbac_rule": rules},
    )  # fmt: skip
    uuids = [
        networks.call("GET", f"{NETWORKS}/by-name/{':'.join([*PROJECT, name])}").json["uuid"]
        for name in ("db", "web-1", "web-2")
    ]
    for uuid in uuids:
        networks.call("POST", "/chown", {"uuid": uuid, "owner": tenant})
    networks.call("PUT", "/aaa-mode", {"aaa-mode": "rbac"})
    caller = Caller(user="t", project=tenant, roles=frozenset({"member"}))

    with networks.as_caller(caller):
        first = networks.call("GET", f"{NETWORKS}?limit=1").json
    networks.call("POST", "/chmod", {"uuid": uuids[2], "owner_access": 0})
    networks.call("POST", "/chown", {"uuid": uuids[2], "owner": "0" * 32})
    with networks.as_caller(caller):
        later = networks.call("GET", f"{NETWORKS}?limit=9&cursor={first['next']}").json

    assert [each["uuid"] for each in first["items"]] == uuids[:1]
    assert [each["uuid"] for each in later["items"]] == uuids[1:2]


def test_a_list_as_of_a_revision(networks) -> None:
    revision = networks.service.revision
    networks.call("DELETE", f"{NETWORKS}/by-name/{':'.join([*PROJECT, 'db'])}")

    assert names(networks, f"filter=name:eq:db&revision={revision}") == ["db"]
    assert names(networks, "filter=name:eq:db") == []


def test_a_filtered_watch_tells_only_what_fits_and_what_no_longer_does(networks) -> None:
    types = frozenset({"virtual-network"})
    asked = Request("GET", "/", (), {"filter": ("mtu:exists",)}, {})
    fits = watch_filter(networks.service, types, asked)
    stream = native(networks.service, types, None, fits=fits)

    async def until(kind: str) -> list[dict]:
        lines: list[dict] = []
        async for chunk in stream:
            lines += [json.loads(line) for line in chunk.splitlines()]
            if lines[-1]["kind"] == kind:
                return lines
        return lines

    snapshot = networks.loop.run_until_complete(until("snapshot_end"))
    place = f"{NETWORKS}/by-name/{':'.join([*PROJECT, 'web-1'])}"
    networks.call("PATCH", place, {})
    uuid = networks.call("GET", place).json["uuid"]
    networks.call("PATCH", f"{NETWORKS}/{uuid}", {"mtu": None})
    after = networks.loop.run_until_complete(until("revision_end"))
    networks.loop.run_until_complete(stream.aclose())

    assert {e["object"]["fq_name"][-1] for e in snapshot if e["kind"] == "put"} == {
        "web-1",
        "web-2",
    }
    assert [(e["kind"], e.get("uuid")) for e in after] == [("delete", uuid), ("revision_end", None)]


def test_a_filtered_watch_needs_its_types(networks) -> None:
    reply = networks.call("GET", "/api/v1/watch?filter=mtu:exists")

    assert reply.status == 400
