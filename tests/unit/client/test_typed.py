"""The typed clients: structs in, structs out, and the same calls in both."""

import asyncio
import inspect

import msgspec
import pytest

from skytrail.client import (
    ApiClient,
    ApiUnavailable,
    AsyncApiClient,
    Conflict,
    Denied,
    Invalid,
    NotAvailable,
    NotFound,
    ObjectDelete,
    ObjectPut,
    PreconditionFailed,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    Unauthenticated,
)
from skytrail.client.kinds import Kind
from skytrail.client.typed import (
    Absent,
    Api,
    AsyncApi,
    AsyncChangeSets,
    AsyncNativeApi,
    AsyncResources,
    ChangeSets,
    NativeApi,
    Present,
    Resources,
    Synced,
    Versioned,
    above,
    one_of,
)
from skytrail.client.typed_events import TypedEvents
from skytrail.model.base import Reference
from skytrail.model.catalog import CATALOG
from skytrail.model.generated.objects import OBJECT_CLASSES, Project, VirtualNetwork
from skytrail.model.generated.types import EcmpHashingIncludeFields, VirtualNetworkType
from skytrail.runtime.asgi import JSON, Response, json_reply, text_reply

UUID = "5f7c9d2a-1c2b-4d3e-8f90-a1b2c3d4e5f6"
NAME = ("default-domain", "p", "red")
NETWORK = VirtualNetwork(
    uuid=UUID, fq_name=NAME, mtu=1400, virtual_network_properties=VirtualNetworkType(rpf="enable")
)
WIRE = {"fq_name": list(NAME), "mtu": 1400, "virtual_network_properties": {"rpf": "enable"}}
STORED = Response(200, msgspec.json.encode({"uuid": UUID, **WIRE}), JSON, (("etag", '"7"'),))
PATH = f"/api/v1/virtual-network/{UUID}"


@pytest.fixture(params=[Api, AsyncApi])
def call(request, with_api):
    """Call a method of a collection of either client against the scripted API."""

    def run(collection, method, *args, **kwargs):
        async def scenario(path):
            if request.param is Api:
                with ApiClient(unix_socket=path) as client:
                    method_of = getattr(getattr(Api(client), collection), method)
                    return await asyncio.to_thread(method_of, *args, **kwargs)
            async with AsyncApiClient(unix_socket=path) as client:
                return await getattr(getattr(AsyncApi(client), collection), method)(*args, **kwargs)

        return with_api(scenario)

    return run


def sent(api):
    return [
        (each.method, each.path, msgspec.json.decode(each.body) if each.body else None)
        for each in api.requests
    ]


def test_create_sends_the_struct_and_returns_what_was_stored(api, call):
    api.reply = STORED

    made = call("virtual_networks", "create", msgspec.structs.replace(NETWORK, uuid=""))

    assert made == NETWORK
    assert sent(api) == [
        ("POST", "/api/v1/virtual-network", WIRE),
    ]


def test_read_comes_with_the_tag_that_a_write_can_demand(api, call):
    api.reply = STORED

    found = call("virtual_networks", "read", UUID)
    call("virtual_networks", "update", UUID, {"mtu": 1}, if_match=found.tag)
    call("virtual_networks", "delete", UUID, if_match=found.tag)

    assert found == Versioned(NETWORK, '"7"')
    assert [each.headers.get("if-match") for each in api.requests] == [None, '"7"', '"7"']


def test_update_replaces_what_is_given_whole_and_none_clears(api, call):
    api.reply = STORED
    changes = {
        "mtu": 1400,
        "display_name": None,
        "network_policy_refs": (),
        "ecmp_hashing_include_fields": EcmpHashingIncludeFields(source_ip=True),
        "network_ipam_refs": [Reference(uuid=UUID)],
    }

    assert call("virtual_networks", "update", NETWORK, changes) == NETWORK

    ((method, path, body),) = sent(api)
    assert (method, path) == ("PATCH", PATH)
    hashing = body.pop("ecmp_hashing_include_fields")
    assert hashing.pop("source_ip") is True
    assert set(hashing) == set(CATALOG.types["EcmpHashingIncludeFields"].fields) - {"source_ip"}
    assert set(hashing.values()) == {None}
    assert body == {
        "mtu": 1400,
        "display_name": None,
        "network_policy_refs": None,
        "network_ipam_refs": [{"uuid": UUID}],
    }


def page(*names, following=None):
    items = [{"uuid": UUID, "fq_name": ["d", "p", name]} for name in names]
    return json_reply({"revision": 7, "count": 3, "next": following, "items": items})


def test_list_sends_what_is_selected_and_decodes_every_object(api, call):
    stored = {"uuid": UUID, **WIRE}
    api.reply = json_reply({"revision": 7, "count": 1, "next": None, "items": [stored]})

    found = call(
        "virtual_networks", "list", parent=NAME[:2], sort="-mtu", where=["mtu:exists"],
        filters={
            "is_shared": True, "mtu": above(1400), "display_name": None,
            "network_policy_refs": ("d", "p", "web"), "virtual_network_network_id": one_of(1, 2),
        },
        tags={"tier": "web"}, labels={"team": "net", "seen": None},
    )  # fmt: skip

    assert found == [NETWORK]
    assert api.requests[0].path == "/api/v1/virtual-network"
    asked = {name: sorted(values) for name, values in api.requests[0].query_all.items()}
    assert asked == {
        "filter": sorted(
            [
                "is_shared:eq:true", "mtu:gt:1400", "display_name:absent", "mtu:exists",
                "network_policy_refs:eq:d:p:web", "virtual_network_network_id:in:1,2",
            ]
        ),
        "tags": ["tier=web"],
        "labels": ["seen", "team=net"],
        "parent": ["default-domain:p"],
        "sort": ["-mtu"],
        "limit": ["500"],
    }  # fmt: skip


def test_list_reads_every_page_of_the_first_ones_revision(api, call):
    api.replies = [page("a", "b", following="7.2"), page("c")]

    found = call("virtual_networks", "list", revision=7)

    assert [each.name for each in found] == ["a", "b", "c"]
    assert [dict(each.query) for each in api.requests] == [
        {"revision": "7", "limit": "500"},
        {"cursor": "7.2", "limit": "500"},
    ]


def test_page_is_not_asked_for_before_its_objects_are_needed(api, with_api):
    api.replies = [page("a", "b", following="7.2"), page("c")]

    async def scenario(path):
        async with AsyncApiClient(unix_socket=path) as client:
            found = AsyncApi(client).virtual_networks.iterate(page_size=2)
            return [(each.name, len(api.requests)) async for each in found]

    assert with_api(scenario) == [("a", 1), ("b", 1), ("c", 2)]


def test_count_asks_for_the_number_alone(api, call):
    api.reply = json_reply({"revision": 7, "count": 12})

    assert call("virtual_networks", "count", filters={"is_shared": True}) == 12
    assert dict(api.requests[0].query) == {"filter": "is_shared:eq:true", "count": "true"}


def test_apply_names_the_object_and_the_owner(api, call):
    api.reply = STORED

    made = call("virtual_networks", "apply", NETWORK, field_owner="terraform", force=True)

    assert made == NETWORK
    (asked,) = api.requests
    assert (asked.method, asked.path) == (
        "PUT", "/api/v1/virtual-network/by-name/default-domain:p:red",
    )  # fmt: skip
    assert dict(asked.query) == {"field_owner": "terraform", "force": "true"}


def test_collections_make_the_operations_of_a_transaction():
    networks = Api(client=None).virtual_networks
    new = msgspec.structs.replace(NETWORK, uuid="")

    assert [
        networks.to_create(new),
        networks.to_apply(new, field_owner="me", force=True),
        networks.to_update(NAME, {"mtu": None}, if_match='"7"'),
        networks.to_delete(UUID, cascade=True),
    ] == [
        {"op": "create", "type": "virtual-network", "object": WIRE},
        {
            "op": "apply", "type": "virtual-network", "name": list(NAME), "object": WIRE,
            "field_owner": "me", "force": True,
        },
        {
            "op": "patch", "type": "virtual-network", "name": list(NAME), "if_match": '"7"',
            "object": {"mtu": None},
        },
        {"op": "delete", "type": "virtual-network", "uuid": UUID, "cascade": True},
    ]  # fmt: skip


def test_name_is_resolved_before_the_object_is_deleted(api, call):
    api.reply = json_reply({"uuid": UUID})

    call("virtual_networks", "delete", NAME)

    assert sent(api) == [
        ("POST", "/fqname-to-id", {"type": "virtual-network", "fq_name": list(NAME)}),
        ("DELETE", PATH, None),
    ]


@pytest.mark.parametrize(
    ("method", "arguments", "says"),
    [
        ("get", ("red",), "not a uuid"),
        ("update", (UUID, {"mtuu": 1}), "no mtuu"),
        ("create", (Project(fq_name=("d", "p")),), "Project is not a VirtualNetwork"),
        ("list", ({"display_name": one_of("a,b")},), "hold a comma"),
        ("list", ({"mtuu": 1},), "no mtuu"),
        ("list", ({"mtu": 1.5},), "compares with 1.5"),
    ],
)
def test_local_mistakes_are_told_before_anything_is_sent(api, call, method, arguments, says):
    keywords = {}
    if method == "list":
        arguments, keywords = (), {"filters": arguments[0]}

    with pytest.raises((ValueError, TypeError), match=says):
        call("virtual_networks", method, *arguments, **keywords)

    assert api.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthenticated),
        (403, Denied),
        (404, NotFound),
        (409, Conflict),
        (412, PreconditionFailed),
        (501, NotAvailable),
    ],
)
def test_refusals_are_typed_and_keep_the_text(api, call, status, kind):
    api.reply = text_reply("the reason", status=status)

    with pytest.raises(kind, match="the reason") as raised:
        call("virtual_networks", "get", UUID)

    assert raised.value.status == status


def test_an_answer_of_another_shape_is_unavailability(api, call):
    wrong = msgspec.json.encode({"uuid": UUID, "fq_name": list(NAME), "mtu": "no"})
    api.reply = Response(200, wrong, JSON, (("etag", '"7"'),))

    with pytest.raises(ApiUnavailable, match="mtu"):
        call("virtual_networks", "get", UUID)


def test_empty_reply_to_delete_is_fine(api, call):
    api.reply = Response(200)

    assert call("virtual_networks", "delete", NETWORK) is None


def events_of(*events):
    typed = TypedEvents(Kind(VirtualNetwork))
    return [told for event in events for told in typed.of(event)]


def put(revision, uuid=UUID, name="red"):
    return ObjectPut("virtual-network", uuid, revision, {"uuid": uuid, "fq_name": [name]})


def test_watch_tells_what_a_later_snapshot_misses():
    told = events_of(
        SnapshotBegin(4), put(1), put(2, "u2", "blue"), SnapshotEnd(4),
        SnapshotBegin(9), put(2, "u2", "blue"), SnapshotEnd(9),
    )  # fmt: skip

    assert told[2] == Synced(4)
    assert told[-2:] == [Absent(UUID, ("red",), 9), Synced(9)]


def test_watch_tells_changes_and_deletions_with_their_revision():
    told = events_of(
        put(5), RevisionEnd(5), ObjectDelete("virtual-network", UUID, ("red",), 6), RevisionEnd(6)
    )

    network = VirtualNetwork(uuid=UUID, fq_name=("red",))
    assert told == [Present(network, 5), Synced(5), Absent(UUID, ("red",), 6), Synced(6)]


def test_deleted_object_is_not_told_again_by_the_next_snapshot():
    gone = ObjectDelete("virtual-network", UUID, ("red",), 6)

    assert events_of(put(5), gone, SnapshotBegin(8), SnapshotEnd(8))[2:] == [Synced(8)]


@pytest.mark.parametrize(
    ("blocking", "twin"),
    [
        (Api, AsyncApi),
        (Resources, AsyncResources),
        (NativeApi, AsyncNativeApi),
        (ChangeSets, AsyncChangeSets),
    ],
)
def test_both_clients_offer_the_same(blocking, twin):
    def offered(kind):
        return {
            name: tuple(inspect.signature(member).parameters) if callable(member) else ()
            for name, member in vars(kind).items()
            if not name.startswith("_")
        }

    assert offered(blocking) == offered(twin)


def test_every_object_type_has_a_collection_of_its_struct():
    api = Api(client=None)

    found = {
        name: getattr(api, name)._kind.type_name
        for name, member in vars(Api).items()
        if isinstance(member, property)
    }

    assert sorted(found.values()) == sorted(OBJECT_CLASSES)
    assert all(
        CATALOG.objects[type_name].collection.replace("-", "_").lower() == name
        for name, type_name in found.items()
    )
