"""A logical router joins networks that no policy joins, and parts them again."""

import contextlib

import pytest

from skytrail.client import ApiError

PROJECT = ["default-domain", "red"]


@pytest.fixture
def router(api):
    """Create a logical router with an interface in each named network; all gone at the end."""
    made = []

    def create(type_name, name, **members):
        content = {"fq_name": [*PROJECT, name], "parent_type": "project", **members}
        made.append((type_name, api.create(type_name, content)))
        return made[-1][1]

    def join(name, networks, **members):
        references = []
        for network in networks:
            label = f"{name}-{network}"
            to = [{"to": [*PROJECT, network]}]
            owner = "network:router_interface"
            create(
                "virtual-machine-interface",
                label,
                virtual_network_refs=to,
                virtual_machine_interface_device_owner=owner,
            )
            references.append({"to": [*PROJECT, label]})
        return create("logical-router", name, virtual_machine_interface_refs=references, **members)

    yield join
    for type_name, uuid in reversed(made):
        with contextlib.suppress(ApiError):
            api.delete(type_name, uuid)


@pytest.mark.parametrize("kind", ["snat-routing", "vxlan-routing"])
def test_router_joins_two_networks_and_removing_an_interface_parts_them(
    api, router, ping, eventually, kind
):
    uuid = router(f"{kind}-r", ["front", "store"], logical_router_type=kind)
    eventually(lambda: reaches(ping, "red-web1", "red-store"), "the router joins the networks")
    traffic = ping("red-web1", "red-store")
    interfaces = api.read("logical-router", uuid)["virtual_machine_interface_refs"]

    api.update("logical-router", uuid, {"virtual_machine_interface_refs": interfaces[:1]})
    eventually(lambda: not traffic.wait_replies(5, timeout_s=0.3), "the networks separate")

    api.update("logical-router", uuid, {"virtual_machine_interface_refs": interfaces})
    assert traffic.wait_replies(20, timeout_s=30), "the networks join again"


def reaches(ping, source, destination):
    try:
        return ping(source, destination)
    except AssertionError:
        return None


def test_deleted_vxlan_router_takes_its_internal_network_along(api, router, eventually):
    uuid = router("short-lived", ["front"], logical_router_type="vxlan-routing")
    name = [*PROJECT, f"__contrail_lr_internal_vn_{uuid}__"]
    eventually(lambda: exists(api, name), "the internal network is made")

    api.delete("logical-router", uuid)

    eventually(lambda: not exists(api, name), "the internal network is removed")


def exists(api, name):
    try:
        return api.name_to_id("virtual-network", name)
    except ApiError:
        return None
