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
from skytrail.client.typed import Absent, Api, AsyncApi, Present, Synced
from skytrail.model.base import Reference
from skytrail.model.generated.objects import NetworkIpam, NetworkPolicy, Project, VirtualNetwork
from skytrail.model.generated.types import (
    IpamSubnetType,
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
        "from skytrail.client.typed import Api\n\n\n"
        "def right(api: Api) -> int | None:\n"
        '    api.virtual_networks.update("u", {"mtu": None, "is_shared": True})\n'
        '    return api.virtual_networks.list(filters={"mtu": 1400})[0].mtu\n\n\n'
        "def wrong(api: Api) -> None:\n"
        '    api.virtual_networks.update("u", {"mtuu": 1})\n'
        '    api.virtual_networks.update("u", {"mtu": "1400"})\n'
        '    api.virtual_networks.list(filters={"no_such": 1})\n'
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
    assert [each["range"]["start"]["line"] for each in found] == [9, 10, 11]
