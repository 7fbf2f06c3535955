"""The typed Python clients against a real API."""

import asyncio
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from skytrail.client import (
    ApiClient,
    AsyncApiClient,
    Conflict,
    Invalid,
    NotFound,
    PreconditionFailed,
)
from skytrail.client.typed import Absent, Api, AsyncApi, Present, Synced, above
from skytrail.model.base import Reference
from skytrail.model.generated.objects import NetworkIpam, NetworkPolicy, Project, VirtualNetwork
from skytrail.model.generated.types import (
    IpamSubnetType,
    KeyValuePair,
    KeyValuePairs,
    SequenceType,
    SubnetType,
    VirtualNetworkPolicyType,
    VirtualNetworkType,
    VnSubnetsType,
)
from skytrail.testing.controller import running_controller

ROOT = Path(__file__).parents[2]
PROJECT = ("default-domain", "typed")
IPAM = (*PROJECT, "ipam")
RED = (*PROJECT, "red")


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    with running_controller(tmp_path_factory.mktemp("typed")) as found:
        yield found


@pytest.fixture
def api(controller):
    with ApiClient(controller.api_url) as client:
        api = Api(client)
        api.projects.create(Project(fq_name=PROJECT))
        api.network_ipams.create(NetworkIpam(fq_name=IPAM))
        yield api
        for collection in (api.virtual_networks, api.network_policys, api.network_ipams):
            for found in collection.list(parent=PROJECT):
                collection.delete(found)
        api.projects.delete(PROJECT)


def subnets(prefix, length):
    subnet = IpamSubnetType(subnet=SubnetType(ip_prefix=prefix, ip_prefix_len=length))
    return Reference(to=IPAM, attr=VnSubnetsType(ipam_subnets=(subnet,)))


def red(**changes):
    return VirtualNetwork(fq_name=RED, network_ipam_refs=(subnets("10.7.0.0", 24),), **changes)


def test_created_network_comes_back_with_what_the_api_allocated(api):
    made = api.virtual_networks.create(red(mtu=1400))

    assert made.mtu == 1400
    assert made.network_ipam_refs[0].attr.ipam_subnets[0].default_gateway == "10.7.0.254"
    assert made.virtual_network_network_id
    assert made.parent_uuid == api.projects.get(PROJECT).uuid
    assert api.virtual_networks.get(made.uuid) == api.virtual_networks.get(RED)


def test_update_changes_clears_and_leaves_the_rest(api):
    made = api.virtual_networks.create(red(mtu=1400, is_shared=True))
    policy = api.network_policys.create(NetworkPolicy(fq_name=(*PROJECT, "web")))
    attribute = VirtualNetworkPolicyType(sequence=SequenceType(major=0, minor=0))
    reference = Reference(to=policy.fq_name, attr=attribute)

    changed = api.virtual_networks.update(made, {"mtu": None, "network_policy_refs": [reference]})
    cleared = api.virtual_networks.update(RED, {"network_policy_refs": None})

    assert (changed.mtu, changed.is_shared) == (None, True)
    assert changed.network_policy_refs[0].uuid == policy.uuid
    assert cleared.network_policy_refs == ()
    assert cleared.network_ipam_refs == made.network_ipam_refs


def test_property_given_to_an_update_is_replaced_whole(api):
    made = api.virtual_networks.create(
        red(virtual_network_properties=VirtualNetworkType(rpf="enable", mirror_destination=True))
    )
    wanted = VirtualNetworkType(mirror_destination=True)

    changed = api.virtual_networks.update(made, {"virtual_network_properties": wanted})

    assert changed.virtual_network_properties == wanted


def test_update_of_a_version_that_is_gone_is_refused(api):
    api.virtual_networks.create(red())
    read = api.virtual_networks.read(RED)
    api.virtual_networks.update(RED, {"mtu": 1400}, if_match=read.tag)

    with pytest.raises(PreconditionFailed):
        api.virtual_networks.update(RED, {"mtu": 1500}, if_match=read.tag)
    with pytest.raises(PreconditionFailed):
        api.virtual_networks.delete(RED, if_match=read.tag)

    assert api.virtual_networks.get(RED).mtu == 1400


def test_list_finds_by_parent_and_by_filter(api):
    api.virtual_networks.create(red(is_shared=True))
    api.virtual_networks.create(VirtualNetwork(fq_name=(*PROJECT, "blue")))

    below = api.virtual_networks.list(parent=PROJECT)
    shared = api.virtual_networks.list(
        parent=api.projects.get(PROJECT), filters={"is_shared": True}
    )

    assert {each.name for each in below} == {"red", "blue"}
    assert [each.fq_name for each in shared] == [RED]
    assert len(api.virtual_networks.list()) >= 4


def test_list_selects_by_comparison_reference_label_and_past_revision(api):
    policy = api.network_policys.create(NetworkPolicy(fq_name=(*PROJECT, "web")))
    attribute = VirtualNetworkPolicyType(sequence=SequenceType(major=0, minor=0))
    api.virtual_networks.create(
        VirtualNetwork(
            fq_name=(*PROJECT, "blue"),
            mtu=9000,
            network_policy_refs=(Reference(to=policy.fq_name, attr=attribute),),
            annotations=KeyValuePairs(key_value_pair=(KeyValuePair(key="team", value="net"),)),
        )
    )
    before = api.transaction([api.virtual_networks.to_create(red(mtu=1400))])
    api.virtual_networks.update(RED, {"mtu": 9000})

    def names(**selection):
        return [each.name for each in api.virtual_networks.list(parent=PROJECT, **selection)]

    assert names(sort="-name") == ["red", "blue"]
    assert names(filters={"mtu": above(1400)}) == ["blue", "red"]
    assert names(filters={"mtu": above(1400)}, revision=before.revision) == ["blue"]
    assert names(filters={"network_policy_refs": policy.fq_name}) == ["blue"]
    assert names(filters={"network_policy_refs": None}) == ["red"]
    assert names(labels={"team": "net"}) == names(labels={"team": None}) == ["blue"]
    assert names(where=["fq_name:contains:typed:b"]) == ["blue"]
    assert api.virtual_networks.count(parent=PROJECT) == 2


def test_pages_show_one_revision_while_objects_come_and_go(api):
    for number in range(5):
        api.virtual_networks.create(VirtualNetwork(fq_name=(*PROJECT, f"n{number}")))
    pages = api.virtual_networks.iterate(parent=PROJECT, page_size=2)

    first = next(pages)
    api.virtual_networks.delete((*PROJECT, "n3"))
    api.virtual_networks.create(VirtualNetwork(fq_name=(*PROJECT, "n2a")))

    assert [each.name for each in (first, *pages)] == ["n0", "n1", "n2", "n3", "n4"]


def test_transaction_is_one_change_that_can_be_seen_and_reverted(api):
    networks, policies = api.virtual_networks, api.network_policys
    made = networks.create(red(mtu=1400))

    committed = api.transaction(
        [
            networks.to_update(RED, {"mtu": 9000}),
            policies.to_apply(NetworkPolicy(fq_name=(*PROJECT, "web")), field_owner="tests"),
        ]
    )
    entry = api.change(committed.change)
    rehearsed = api.rehearse_revert(committed.change)
    api.revert(committed.change)

    assert [each.result for each in committed.results] == ["changed", "created"]
    assert [(each.op, each.type) for each in entry.operations] == [
        ("update", "virtual-network"),
        ("create", "network-policy"),
    ]
    (field,) = [each for each in entry.operations[0].fields if each.path == "/mtu"]
    assert (field.before, field.after) == (1400, 9000)
    assert {each.op for each in rehearsed.changes} == {"update", "delete"}
    assert networks.get(made).mtu == 1400
    assert networks.get(made, revision=committed.revision).mtu == 9000
    assert committed.change in [each.change for each in networks.history(made)]
    assert api.verify_history().valid
    with pytest.raises(NotFound, match="web"):
        policies.get((*PROJECT, "web"))


def test_refused_operation_of_a_transaction_leaves_nothing_behind(api):
    networks = api.virtual_networks

    with pytest.raises(NotFound, match="operation 1"):
        api.transaction([networks.to_create(red()), networks.to_delete((*PROJECT, "green"))])

    assert networks.count(parent=PROJECT) == 0


def test_plan_tells_what_is_derived_and_changes_nothing(api):
    planned = api.plan([api.virtual_networks.to_create(red())])
    rehearsed = api.rehearse([api.virtual_networks.to_create(red())])

    assert ("create", "virtual-network") in [(each.op, each.type) for each in planned.changes]
    assert planned.derived_count == len(planned.derived) > 0
    assert "routing-instance" in {each.type for each in planned.derived}
    assert rehearsed.changes[0].type == "virtual-network"
    assert api.virtual_networks.count(parent=PROJECT) == 0


def test_change_set_is_gathered_reviewed_and_committed(api):
    networks = api.virtual_networks
    made = networks.create(red())
    drafted = api.change_sets.create("larger", [networks.to_update(made, {"mtu": 9000})])
    api.change_sets.add(
        drafted.id, [networks.to_create(VirtualNetwork(fq_name=(*PROJECT, "blue")))]
    )
    networks.update(made, {"is_shared": True})

    reviewed = api.change_sets.review(drafted.id)
    with pytest.raises(Conflict, match="changed since"):
        api.change_sets.commit(drafted.id)
    api.change_sets.rebase(drafted.id)
    committed = api.change_sets.commit(drafted.id)

    assert [each.pointer for each in reviewed.conflicts] == ["/operations/0"]
    assert [each.result for each in committed.results] == ["changed", "created"]
    assert networks.get(made).mtu == 9000
    other = api.change_sets.create("never mind")
    assert [each.title for each in api.change_sets.list()] == ["never mind"]
    api.change_sets.discard(other.id)
    with pytest.raises(NotFound, match=other.id):
        api.change_sets.get(other.id)


def test_status_names_every_condition_with_its_reason(api):
    made = api.virtual_networks.create(red())

    found = api.virtual_networks.status(made)

    kinds = [each.type for each in found.conditions]
    assert kinds == ["accepted", "derived", "distributed", "programmed"]
    assert found.condition("accepted").status == "true"
    assert not found.is_complete


def test_watch_goes_on_where_another_ended_and_tells_what_it_selects(api):
    networks = api.virtual_networks
    made = networks.create(red(mtu=1400))
    first = networks.watch(filters={"mtu": above(1300)}, parent=PROJECT)
    told = list(itertools.takewhile(lambda each: not isinstance(each, Synced), first))
    first.close()
    position = api.rehearse([]).revision

    networks.create(VirtualNetwork(fq_name=(*PROJECT, "blue"), mtu=1200))
    networks.update(made, {"mtu": 1500})
    networks.update(made, {"mtu": 1000})
    second = networks.watch(position + 1, filters={"mtu": above(1300)}, parent=PROJECT)
    later = [each for each in itertools.islice(second, 6) if not isinstance(each, Synced)][:2]
    second.close()

    assert [each.object.name for each in told] == ["red"]
    assert (later[0].object.mtu, later[1].uuid) == (1500, made.uuid)
    assert isinstance(later[1], Absent)


def test_refusals_are_typed_and_say_why(api):
    api.virtual_networks.create(red())

    with pytest.raises(Conflict, match="red"):
        api.virtual_networks.create(red())
    with pytest.raises(Conflict, match="virtual-network"):
        api.network_ipams.delete(IPAM)
    with pytest.raises(NotFound, match="green"):
        api.virtual_networks.get((*PROJECT, "green"))
    with pytest.raises(Invalid, match="rpf"):
        api.virtual_networks.update(
            RED, {"virtual_network_properties": VirtualNetworkType(rpf="perhaps")}
        )


def test_blocking_watch_tells_every_object_then_changes(api):
    made = api.virtual_networks.create(red())
    events = api.virtual_networks.watch()
    before = list(itertools.takewhile(lambda each: not isinstance(each, Synced), events))

    api.virtual_networks.update(made, {"mtu": 1500})
    changed = next(each for each in events if isinstance(each, Present) and each.object.mtu)
    api.virtual_networks.delete(made)
    gone = next(each for each in events if isinstance(each, Absent))
    events.close()

    assert RED in {each.object.fq_name for each in before if isinstance(each, Present)}
    assert changed.object.fq_name == RED
    assert gone.uuid == made.uuid


def test_asyncio_client_makes_the_same_way(api, controller):
    async def scenario():
        async with AsyncApiClient(controller.api_url) as client:
            networks = AsyncApi(client).virtual_networks
            events = networks.watch()
            while not isinstance(await anext(events), Synced):
                pass
            made = await networks.create(red())
            changed = await networks.update(made, {"mtu": 1400})
            listed = await networks.list(parent=PROJECT)
            await networks.delete(changed)
            async for event in events:
                if isinstance(event, Absent):
                    await events.aclose()
                    return changed, listed, event
        return None

    changed, listed, gone = asyncio.run(asyncio.wait_for(scenario(), 60))

    assert changed.mtu == 1400
    assert listed == [changed]
    assert gone.uuid == changed.uuid


def test_type_checker_finds_a_wrong_field_and_a_wrong_value(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text(
        "from skytrail.client.typed import Api, above, containing\n\n\n"
        "def right(api: Api) -> int | None:\n"
        '    api.virtual_networks.update("u", {"mtu": None, "is_shared": True})\n'
        '    return api.virtual_networks.list(filters={"mtu": above(1400)})[0].mtu\n\n\n'
        "def wrong(api: Api) -> None:\n"
        '    api.virtual_networks.update("u", {"mtuu": 1})\n'
        '    api.virtual_networks.update("u", {"mtu": "1400"})\n'
        '    api.virtual_networks.list(filters={"no_such": 1})\n'
        '    api.virtual_networks.list(filters={"mtu": containing("1")})\n'
    )
    settings = {
        "include": [str(script)],
        "extraPaths": [str(ROOT / "src")],
        "venvPath": str(ROOT),
        "venv": ".venv",
        "typeCheckingMode": "strict",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))

    checked = subprocess.run(
        [Path(sys.executable).parent / "basedpyright", "-p", tmp_path, "--outputjson"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    found = json.loads(checked.stdout)["generalDiagnostics"]
    assert [each["range"]["start"]["line"] for each in found] == [9, 10, 11, 12]
